"""Failure modes, outages and repair: the table ``data/failure_modes.yaml``, each rate with its source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from gigaforge.errors import InputError
from gigaforge.operations.intervals import Array, Mask
from gigaforge.units import parse_quantity

__all__ = ["TIERS", "FailureTable", "Mode", "Outage", "RackClass", "Repair", "default_failures"]

TIERS: Final = ("memory", "local", "remote")
_SCOPES: Final = ("pod", "hall", "site")
_LOST: Final = ("none", "tray", "rack")


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to break, per component in service.

    Attributes
    ----------
    rate : float
        [1/s] per accelerator or per rack (``per``).
    cordon : bool
        Whether the rack leaves service until it is repaired.
    auto : float
        Share healed without hands. [fraction]
    interrupts : float
        Share that stops the job running on it. [fraction]
    lost : str
        Capacity a serving rack loses meanwhile: none, tray or rack.
    tier : int
        Nearest checkpoint tier that survives: index into `TIERS`.
    detect_s, rollback_s : float
        Extra time to notice, and extra work lost because it began earlier. [s]
    planned : bool
        Maintenance, not a failure: each rack in turn at even intervals, whatever its age; no part is used up.

    """

    kind: str
    per: str
    rate: float
    cordon: bool = True
    auto: float = 0.0
    interrupts: float = 1.0
    lost: str = "rack"
    tier: int = 0
    detect_s: float = 0.0
    rollback_s: float = 0.0
    smallest_domain: int = 0
    label: str = ""
    planned: bool = False


@dataclass(frozen=True, slots=True)
class Outage:
    """Many racks at once: everything in one pod, hall or site. ``rate`` is per scope [1/s]."""

    kind: str
    scope: str
    rate: float
    duration_s: float
    tier: int = 2
    label: str = ""


@dataclass(frozen=True, slots=True)
class Repair:
    """How racks come back.

    Attributes
    ----------
    auto_mean_s : float
        Reset or reboot and health check (exponential). [s]
    hands_on_median_s, hands_on_sigma : float
        A technician's work (lognormal). [s], [ln]
    burn_in_s : float
        Test before return to service. [s]
    part_share : float
        Share of repairs by hand that use up a spare part. [fraction]
    part_lead_s : float
        Until the shelf is restocked. [s]
    sticks : float
        Probability that a repair cures a repeat offender. [fraction]

    """

    auto_mean_s: float
    hands_on_median_s: float
    hands_on_sigma: float
    burn_in_s: float
    part_share: float
    part_lead_s: float
    sticks: float = 0.0

    @property
    def hands_on_mean_s(self) -> float:
        """Mean of the lognormal [s]."""
        return float(self.hands_on_median_s * np.exp(0.5 * self.hands_on_sigma**2))


@dataclass(frozen=True, slots=True)
class RackClass:
    """What the failure table needs to know of a rack: a DGX node or an NVL72 rack."""

    name: str
    accelerators: int
    tray: int = 0
    idle_w: float = 0.0

    @property
    def tray_share(self) -> float:
        """Share of the rack that leaves with one tray [fraction]."""
        return min(1.0, (self.tray or self.accelerators) / self.accelerators)


@dataclass(frozen=True)
class FailureTable:
    """All modes with the rack-level behaviour they share.

    Attributes
    ----------
    infant_excess, infant_s : float
        A new rack fails ``1 + infant_excess * exp(-age / infant_s)`` times as often.
    wear_per_year : float
        Linear growth of the rate with age. [1/year]
    lemon_share, lemon_multiple : float
        Repeat offenders: their share of racks, and how many times as often they fail. The mean rate is kept.
    degraded_rate, degraded_s, degraded_slowdown : float
        Slow links and throttling: per accelerator [1/s], until noticed [s], mean slowdown of the gang, uniform up to
        twice that [fraction]. Set so that a 5,000-accelerator run loses 1.7 % to bad workers, the share found over
        3,079 jobs (https://arxiv.org/abs/2505.05713; the size of those jobs is an assumption).

    """

    modes: tuple[Mode, ...]
    outages: tuple[Outage, ...]
    repair: Repair
    infant_excess: float = 2.0
    infant_s: float = 30.0 * 86400.0
    wear_per_year: float = 0.03
    lemon_share: float = 0.02
    lemon_multiple: float = 20.0
    degraded_rate: float = 0.48 / (365.25 * 86400.0)
    degraded_s: float = 2.0 * 3600.0
    degraded_slowdown: float = 0.04

    def kinds(self) -> list[Mode | Outage]:
        """Modes, then outages: the order of the numbers in `Events.mode`."""
        return [*self.modes, *self.outages]

    def scaled(self, factor: float) -> FailureTable:
        """All mode rates times a factor: a published node rate over this table's, for example."""
        return replace(self, modes=tuple(replace(m, rate=m.rate * factor) for m in self.modes))

    def only(self, *kinds: str) -> FailureTable:
        """Keep some modes and no outages."""
        return replace(self, modes=tuple(m for m in self.modes if m.kind in kinds), outages=())

    def plain(self) -> FailureTable:
        """Exponential failures of like racks: no infancy, wear, lemons, degradations or outages."""
        return replace(
            self,
            outages=(),
            infant_excess=0.0,
            wear_per_year=0.0,
            lemon_share=0.0,
            lemon_multiple=1.0,
            degraded_rate=0.0,
        )

    def rates(self, rack: RackClass) -> Array:
        """Rate of each mode for one rack, shape (mode,) [1/s]."""
        return np.array(
            [
                0.0
                if rack.accelerators < m.smallest_domain
                else m.rate * (rack.accelerators if m.per == "accelerator" else 1)
                for m in self.modes
            ]
        )

    @property
    def planned(self) -> Mask:
        """Which of `kinds` are maintenance, shape (kind,)."""
        return np.array([getattr(k, "planned", False) for k in self.kinds()], dtype=np.bool_)

    def interrupt_rate(self, rack: RackClass) -> float:
        """Failures of one rack that stop a job, outages apart [1/s]."""
        return float(self.rates(rack) @ np.array([m.interrupts for m in self.modes]))

    def mean_down_s(self, rack: RackClass, *, weighted: bool = False) -> float:
        """Mean time down per rack and second (an M/G/infinity load), waits for people and parts apart.

        ``weighted``: count only the share of the rack that leaves service.
        """
        repair = self.repair
        by_hand = repair.hands_on_mean_s + repair.burn_in_s
        times = np.array(
            [m.auto * repair.auto_mean_s + (1 - m.auto) * by_hand if m.cordon else 0.0 for m in self.modes]
        )
        share = np.array([lost_share(m, rack) if weighted else 1.0 for m in self.modes])
        return float(self.rates(rack) @ (times * share))


def lost_share(mode: Mode, rack: RackClass) -> float:
    """Share of a serving rack that leaves service [fraction]."""
    return {"none": 0.0, "tray": rack.tray_share, "rack": 1.0}[mode.lost]


@cache
def default_failures() -> FailureTable:
    """The shipped table."""
    path = Path(__file__).parent / "data" / "failure_modes.yaml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    repair = data["repair"]
    return FailureTable(
        modes=tuple(_mode(entry) for entry in data["modes"]),
        outages=tuple(_outage(entry) for entry in data["outages"]),
        repair=Repair(
            auto_mean_s=_seconds(repair["auto_mean"]),
            hands_on_median_s=_seconds(repair["hands_on_median"]),
            hands_on_sigma=float(repair["hands_on_sigma"]),
            burn_in_s=_seconds(repair["burn_in"]),
            part_share=float(repair["part_share"]),
            part_lead_s=_seconds(repair["part_lead"]),
        ),
    )


def _seconds(text: str) -> float:
    return parse_quantity(text, "duration")


def _mode(entry: dict[str, Any]) -> Mode:
    if entry["lost"] not in _LOST or entry["per"] not in ("accelerator", "rack"):
        raise InputError(f"lost {entry['lost']!r}, per {entry['per']!r}", f"failure_modes.yaml: {entry['kind']}")
    return Mode(
        kind=entry["kind"],
        per=entry["per"],
        rate=parse_quantity(entry["rate"], "frequency"),
        cordon=entry["cordon"],
        auto=float(entry["auto"]),
        interrupts=float(entry.get("interrupts", 1.0)),
        lost=entry["lost"],
        tier=TIERS.index(entry["tier"]),
        detect_s=_seconds(entry.get("detect", "0 s")),
        rollback_s=_seconds(entry.get("rollback", "0 s")),
        smallest_domain=int(entry.get("smallest_domain", 0)),
        planned=bool(entry.get("planned", False)),
        label=entry["label"],
    )


def _outage(entry: dict[str, Any]) -> Outage:
    return Outage(
        kind=entry["kind"],
        scope=_SCOPES[_SCOPES.index(entry["scope"])],
        rate=parse_quantity(entry["rate"], "frequency"),
        duration_s=_seconds(entry["duration"]),
        tier=TIERS.index(entry["tier"]),
        label=entry["label"],
    )
