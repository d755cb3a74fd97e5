"""Power swings of a gang against what the grid accepts: storage absorbs them, what it cannot is ramped or burnt.

Two scales. Within a step all accelerators compute, then all exchange: a swing several times a second that capacitors
in the power supplies flatten, then the site's battery; what is left above the grid's limit is held up by burning power
in the exchange. At a stop or a restart the whole gang's power falls or rises at once: a battery follows with a triangle
of power while the grid ramps, and what it cannot carry the gang itself ramps, at half pace on the mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from gigaforge.operations.fleet import Fleet, Group, Site
from gigaforge.operations.intervals import Array
from gigaforge.operations.power import Storage, synchronous_swing

__all__ = ["RampNeed", "ramp_need", "reserve_j", "step_phases"]

SWING_STEP_S: Final = 10.0  # assumption: step of a frontier run, where the operating point has none
SWING_EXCHANGE_SHARE: Final = 0.15  # assumption: exposed exchange of a step


@dataclass(frozen=True, slots=True)
class RampNeed:
    """What a run's swings ask of its site.

    Attributes
    ----------
    stop_step_w : float
        Facility power that a stop takes away at once [W].
    storage_w, storage_j : float
        Battery that hides stops and restarts from the grid completely: the step, and room to give and to take the
        triangle while the grid ramps, each way [W], [J].
    ramp_s : float
        Pace lost at each restart because the battery is smaller [s].
    reserve_j : float
        Of the site's battery, kept free for it [J].
    swing_w, swing_after_w : float
        Within a step, before and after storage in power supplies and battery [W].
    swing_storage_j : float
        That flattens the swing within a step to its mean [J].
    hold_w : float
        Mean IT power burnt so that the swing left stays within the site's limit [W].
    fall_w, rate_w_per_s : float
        IT power of a stop that the battery does not take, and how fast the grid lets it fall [W], [W/s].

    """

    stop_step_w: float
    storage_w: float
    storage_j: float
    ramp_s: float
    reserve_j: float
    swing_w: float
    swing_after_w: float
    swing_storage_j: float
    hold_w: float
    fall_w: float = 0.0
    rate_w_per_s: float = math.inf

    def burnt_j(self, stop_s: Array) -> float:
        """IT energy burnt in stops, so that power falls no faster than the grid accepts [J]."""
        if self.fall_w <= 0.0 or math.isinf(self.rate_w_per_s):
            return 0.0
        falling = np.minimum(stop_s, self.fall_w / self.rate_w_per_s)
        return float((self.fall_w * falling - 0.5 * self.rate_w_per_s * falling**2).sum())


def ramp_need(site: Site, group: Group, active: int, window: int) -> RampNeed:
    """Swings of one run at its site.

    Parameters
    ----------
    site : Site
        With ``ramp_w_per_s`` and ``swing_limit_w`` (None: no limit) and its storage.
    group : Group
        The run; its power at work and idle are the phases.
    active : int
        Racks that compute.
    window : int
        For its power then, and the PUE.

    """
    pue, storage = float(site.pue_mean[window]), site.storage or Storage(0.0, 0.0)
    full_w, idle_w = float(group.full_w[window]), float(group.idle_w[window])
    step_w = active * (full_w - idle_w) * pue
    rate = site.ramp_w_per_s
    needed_w = needed_j = ramp_s = reserve = fall = 0.0
    if rate is not None and step_w > 0.0:
        needed_w, needed_j = step_w, step_w**2 / rate  # two triangles of step^2 / (2 rate)
        carried = min(step_w, storage.power_w, math.sqrt(rate * storage.energy_j))
        ramp_s = 0.5 * (step_w - carried) / rate
        reserve, fall = carried**2 / rate, (step_w - carried) / pue
    count = group.rack.accelerators
    compute_w, exchange_w = step_phases(full_w, idle_w)
    step_s = (0.0 if group.step_s is None else float(group.step_s[window])) or SWING_STEP_S
    swing = synchronous_swing(active * count, compute_w / count, exchange_w / count, step_s, SWING_EXCHANGE_SHARE)
    after = max(0.0, swing.after_storage_w - 2.0 * _battery_w(storage, active * count * swing.needed_j))
    over = 0.0 if site.swing_limit_w is None else max(0.0, after - site.swing_limit_w / pue)
    return RampNeed(step_w, needed_w, needed_j, ramp_s, reserve, swing.high_w - swing.low_w, after,
                    active * count * swing.needed_j, over * SWING_EXCHANGE_SHARE, fall,
                    math.inf if rate is None else rate / pue)  # fmt: skip


def step_phases(mean_w: float, idle_w: float) -> tuple[float, float]:
    """Power of one rack in a step's compute and in its exposed exchange, whose mean is the operating point's [W]."""
    return (mean_w - SWING_EXCHANGE_SHARE * idle_w) / (1.0 - SWING_EXCHANGE_SHARE), idle_w


def _battery_w(storage: Storage, needed_j: float) -> float:
    """Power with which a battery follows swings within a step [W]: its own, if it holds the charge that they move."""
    return storage.power_w if storage.energy_j >= needed_j else 0.0


def reserve_j(fleet: Fleet, site: int, window: int) -> float:
    """Of a site's battery, kept for the ramps of its largest run [J]."""
    place = fleet.sites[site]
    if place.ramp_w_per_s is None or place.storage is None:
        return 0.0
    runs = [g for g in fleet.groups if g.site == site and g.kind == "training" and g.racks[window] > 0]
    return max((ramp_need(place, g, int(g.racks[window]), window).reserve_j for g in runs), default=0.0)
