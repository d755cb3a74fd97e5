"""From IT power to the grid: cooling by weather and load, caps, demand response, storage, swings, cost and carbon."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gigaforge.operations.intervals import Array

__all__ = [
    "Cooling",
    "PowerPolicy",
    "Storage",
    "Swing",
    "dispatch_storage",
    "pace_under_cap",
    "price_factor",
    "pue_of",
    "solar_factor",
    "synchronous_swing",
]


@dataclass(frozen=True, slots=True)
class Cooling:
    """Facility power beyond IT, as shares of IT power at full load; assumptions, scaled to the site's mean PUE.

    Attributes
    ----------
    fixed, proportional : float
        Losses and auxiliaries that do not and do follow the load. [fraction]
    fans : float
        Pumps and fans at ``free_below_c``; colder, they turn slower: by the affinity laws power goes with the cube of
        the flow, and the flow that carries the heat with one over the water's temperature above the air's [1]_. [fraction]
    supply_c : float
        Water to the racks. [°C]
    chiller_per_k : float
        Added per kelvin of wet bulb above ``free_below_c``. [1/K]
    free_below_c : float
        Free cooling carries the whole load below this wet bulb. [°C]

    References
    ----------
    .. [1] ASHRAE Handbook, HVAC Systems and Equipment 2020, chapters 21 and 44 (fan and pump affinity laws).

    """

    fixed: float = 0.02
    proportional: float = 0.03
    chiller_per_k: float = 0.006
    free_below_c: float = 14.0
    fans: float = 0.02
    supply_c: float = 25.0

    def weather(self, wet_bulb_c: Array) -> Array:
        """Share of IT power that fans, pumps and chillers take at full load [fraction]."""
        slack = np.maximum(self.supply_c - np.minimum(wet_bulb_c, self.free_below_c), 1.0)
        flow = (self.supply_c - self.free_below_c) / slack
        return np.asarray(
            self.fans * flow**3 + self.chiller_per_k * np.clip(wet_bulb_c - self.free_below_c, 0.0, None)
        )


def pue_of(
    cooling: Cooling, wet_bulb_c: Array, load: Array, mean_pue: float, typical_wet_bulb_c: Array | None = None
) -> Array:
    """PUE in each bin, its shape from weather and load, its level from the site's mean at full load.

    Parameters
    ----------
    cooling : Cooling
        Shares of IT power.
    wet_bulb_c : (bin,) array
        [°C]
    load : (bin,) array
        IT power over what the site was built for [fraction].
    mean_pue : float
        Mean over a typical year at full load.
    typical_wet_bulb_c : (time,) array, optional
        A typical year; default the bins themselves.

    """
    typical = wet_bulb_c if typical_wet_bulb_c is None else typical_wet_bulb_c
    level = cooling.fixed + cooling.proportional + float(cooling.weather(typical).mean())
    over = cooling.fixed / np.clip(load, 0.05, None) + cooling.proportional + cooling.weather(wet_bulb_c)
    return np.asarray(1.0 + (mean_pue - 1.0) * over / level)


@dataclass(frozen=True, slots=True)
class Storage:
    """A battery at a site. [J], [W], [fraction] there and back."""

    energy_j: float
    power_w: float
    efficiency: float = 0.9


@dataclass(frozen=True, slots=True)
class PowerPolicy:
    """What gives way when power is short.

    Attributes
    ----------
    elasticity : float
        Pace of throttled racks is (power share) to this power: 20 % less power costs about 10 % of pace at 0.5.
    floor : float
        Lowest share of its power at which a rack still works. [fraction]
    response_depth, response_s, responses_per_year : float
        Demand response: share of facility power given back, for how long, how often (hot afternoons first).

    """

    elasticity: float = 0.5
    floor: float = 0.5
    response_depth: float = 0.25
    response_s: float = 3.0 * 3600.0
    responses_per_year: float = 0.0


def pace_under_cap(power_w: Array, cap_w: Array, policy: PowerPolicy) -> tuple[Array, Array]:
    """Throttle to a cap.

    Returns
    -------
    power_w : array
        Not above the cap, unless the floor is [W].
    pace : array
        Of the work behind it [fraction].

    """
    share = np.clip(np.divide(cap_w, power_w, out=np.ones_like(power_w), where=power_w > 0.0), policy.floor, 1.0)
    return power_w * share, share**policy.elasticity


def dispatch_storage(
    demand_w: Array, limit_w: Array, storage: Storage, step_s: float, charge_j: float
) -> tuple[Array, float]:
    """Shave peaks above a limit from a battery and refill below it.

    Returns
    -------
    grid_w : (bin,) array
        What the grid delivers; above the limit only when the battery is empty [W].
    charge_j : float
        Left at the end [J].

    """
    grid = demand_w.copy()
    loss = math.sqrt(storage.efficiency)
    over = demand_w - limit_w
    for i in np.flatnonzero(
        (over > 0.0) | (charge_j < storage.energy_j) | np.cumsum(over > 0.0).astype(bool)
    ).tolist():
        excess = float(over[i])
        if excess > 0.0:
            out = min(excess, storage.power_w, charge_j * loss / step_s)
            charge_j -= out * step_s / loss
            grid[i] -= out
        elif charge_j < storage.energy_j:
            into = min(-excess, storage.power_w, (storage.energy_j - charge_j) / (loss * step_s))
            charge_j += into * step_s * loss
            grid[i] += into
    return grid, charge_j


def price_factor(start_s: float, bins: int, step_s: float, utc_offset_h: float, daily: float) -> Array:
    """Energy price (or carbon) over its mean by hour: lowest at local noon (solar), highest at seven in the evening.

    ``daily`` is the amplitude; the shape (two harmonics) is an assumption and its mean is 1.
    """
    hour = (start_s + (np.arange(bins) + 0.5) * step_s) / 3600.0 + utc_offset_h
    shape = 0.6 * np.cos(2.0 * np.pi * (hour - 20.0) / 24.0) + 0.4 * np.cos(4.0 * np.pi * (hour - 19.0) / 24.0)
    return np.asarray(1.0 + daily * shape)


def solar_factor(start_s: float, bins: int, step_s: float, latitude: float, utc_offset_h: float) -> Array:
    """Clear-sky output of a fixed array over its peak: the sine of the sun's elevation, 0 at night."""
    time = start_s + (np.arange(bins) + 0.5) * step_s
    day = time / 86400.0
    tilt = math.radians(-23.44) * np.cos(2.0 * np.pi * (day + 10.0) / 365.25)
    angle = np.radians(15.0 * ((time / 3600.0 + utc_offset_h) % 24.0 - 12.0))
    where = math.radians(latitude)
    return np.asarray(np.clip(np.sin(where) * np.sin(tilt) + np.cos(where) * np.cos(tilt) * np.cos(angle), 0.0, None))


@dataclass(frozen=True, slots=True)
class Swing:
    """Power of a synchronous gang between the phases of a step. [W], [s], [J]

    ``needed_j``: storage per accelerator that flattens it to the mean.
    """

    high_w: float
    low_w: float
    mean_w: float
    after_storage_w: float
    peak_cut: float
    needed_j: float


def synchronous_swing(accelerators: float, compute_w: float, exchange_w: float, step_s: float, exchange_share: float,
                      storage_j: float = 65.0) -> Swing:  # fmt: skip
    """Swing of a lockstep gang: all compute near full power, then all exchange near idle [1]_.

    Parameters
    ----------
    accelerators : float
        In the gang.
    compute_w, exchange_w : float
        Power of one in each phase [W].
    step_s, exchange_share : float
        Step, and the exposed exchange's share of it.
    storage_j : float
        In the power supplies, per accelerator (GB300: about 65 J [2]_).

    References
    ----------
    .. [1] Power Stabilization for AI Training Datacenters, 2025, https://arxiv.org/abs/2508.14318
    .. [2] https://developer.nvidia.com/blog/how-new-gb300-nvl72-features-provide-steady-power-for-ai/

    """
    mean = compute_w * (1.0 - exchange_share) + exchange_w * exchange_share
    # the charge that moves from one phase to the other in a step
    needed = (compute_w - mean) * (1.0 - exchange_share) * step_s
    flattened = min(1.0, storage_j / needed) if needed > 0.0 else 1.0
    high = compute_w - flattened * (compute_w - mean)
    low = exchange_w + flattened * (mean - exchange_w)
    return Swing(
        high_w=accelerators * compute_w,
        low_w=accelerators * exchange_w,
        mean_w=accelerators * mean,
        after_storage_w=accelerators * (high - low),
        peak_cut=1.0 - high / compute_w,
        needed_j=needed,
    )
