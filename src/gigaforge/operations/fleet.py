"""A fleet as the simulator sees it: sites, groups of like racks with one job each, serving workloads, in SI units.

Time runs in windows of one quarter, so counts of racks, limits and demand change at quarters; everything inside a
window is exact in time or on the 5-minute grid.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np

from gigaforge.errors import InputError
from gigaforge.operations.failures import Cohort
from gigaforge.operations.gang import GangShape
from gigaforge.operations.intervals import Array, IntArray
from gigaforge.operations.modes import FailureTable, RackClass, default_failures
from gigaforge.operations.policy import TrainingPolicy
from gigaforge.operations.power import Cooling, PowerPolicy, Storage
from gigaforge.operations.queueing import spares_needed
from gigaforge.operations.research import ResearchPolicy
from gigaforge.operations.serving import ServingPolicy
from gigaforge.operations.traffic import DemandShape
from gigaforge.operations.weather import Climate
from gigaforge.quarters import SECONDS_PER_QUARTER, Quarter

__all__ = [
    "STEP_S",
    "Fleet",
    "Group",
    "ServingWorkload",
    "Site",
    "gang_shape",
    "hall_shares",
    "last_window_s",
    "part_of",
]

STEP_S: Final = 300.0
_EPOCH: Final = Quarter.parse("2000-Q1")  # of the clock that all windows share; a Saturday
_SATURDAY_S: Final = 5 * 86400.0
GroupKind = Literal["training", "serving", "research"]


@dataclass(frozen=True)
class Site:
    """A campus.

    Attributes
    ----------
    limit_w, pue_mean : (window,) arrays
        Facility power energised [W]; mean PUE at full load.
    built_w : (window,) array
        IT power that cooling was built for [W].
    price_usd_per_j, carbon_g_per_j : float
        Means [USD/J], [g/J]; ``price_daily`` and ``carbon_daily`` are the amplitudes of the day's course [fraction].
    technicians, parts : (window,) arrays of int, or None
        People on shift at once and spare parts on the shelf, from 1; None for no limit.
    pod_racks, hall_racks : int
        Racks that share a scale-out pod, and a hall's feeds and loop.
    solar_w, firm_w : float
        On-site generation: peak of the sun's, and constant. [W]
    feeder_w : float or None
        Facility power that one hall's feeders carry [W]; None for no limit.
    ramp_w_per_s, swing_limit_w : float or None
        What the grid accepts: change of power [W/s], and swing within a training step [W]; None for no limit.
    share_spares : bool
        Runs on like racks lend each other hot spares.

    """

    name: str
    limit_w: Array
    pue_mean: Array
    built_w: Array
    climate: Climate
    latitude: float = 38.0
    price_usd_per_j: float = 50.0 / 3.6e9
    price_daily: float = 0.0
    carbon_g_per_j: float = 390.0 / 3.6e6
    carbon_daily: float = 0.0
    technicians: IntArray | None = None
    parts: IntArray | None = None
    pod_racks: int = 8
    hall_racks: int = 128
    cooling: Cooling = field(default_factory=Cooling)
    power: PowerPolicy = field(default_factory=PowerPolicy)
    storage: Storage | None = None
    solar_w: float = 0.0
    firm_w: float = 0.0
    feeder_w: float | None = None
    ramp_w_per_s: float | None = None
    swing_limit_w: float | None = None
    share_spares: bool = True


@dataclass(frozen=True)
class Group:
    """Like racks at one site with one workload.

    Attributes
    ----------
    racks : (window,) array of int
        Allocated, hot spares included.
    tokens_per_s : (window,) array
        Of one rack at full use.
    full_w, idle_w : (window,) arrays
        IT power of one rack at work and idle [W].
    cohorts : tuple of lists
        Racks by date of delivery, for each window.
    policies : tuple of TrainingPolicy
        One for each window (training; empty elsewhere): a run that grows changes its way.
    use, jobs : float, ResearchPolicy
        Share of racks that submitted jobs would keep busy, and these jobs (research). [fraction]
    ttft_s, tpot_s : (window,) arrays or None
        Mean latency of the operating point at full batch (serving); None or NaN where unknown. [s]
    step_s : (window,) array or None
        A training step of the operating point; None or 0 where unknown. [s]
    first_rack : int or None
        Number of the first rack at its site; None: after the racks of the groups before it.

    """

    name: str
    site: int
    rack: RackClass
    kind: GroupKind
    workload: str
    racks: IntArray
    tokens_per_s: Array
    full_w: Array
    idle_w: Array
    cohorts: tuple[list[Cohort], ...]
    policies: tuple[TrainingPolicy, ...] = ()
    use: float = 0.9
    ttft_s: Array | None = None
    tpot_s: Array | None = None
    jobs: ResearchPolicy = field(default_factory=ResearchPolicy)
    step_s: Array | None = None
    first_rack: int | None = None

    def latency_s(self, window: int) -> tuple[float, float]:
        """Mean time to first token and per token at full batch; NaN where unknown [s]."""
        first = math.nan if self.ttft_s is None else float(self.ttft_s[window])
        return first, math.nan if self.tpot_s is None else float(self.tpot_s[window])


@dataclass(frozen=True)
class ServingWorkload:
    """Demand that several groups serve together, and what a plan counts on serving; means by window [token/s]."""

    name: str
    demand: Array
    shape: DemandShape = field(default_factory=DemandShape)
    policy: ServingPolicy = field(default_factory=ServingPolicy)
    planned: Array | None = None


@dataclass(frozen=True)
class Fleet:
    """Everything one simulation needs; ``last_s`` is the length of the last window where it is not a whole one [s]."""

    name: str
    start: Quarter
    sites: tuple[Site, ...]
    groups: tuple[Group, ...]
    serving: tuple[ServingWorkload, ...] = ()
    table: FailureTable = field(default_factory=default_failures)
    window_s: float = SECONDS_PER_QUARTER
    step_s: float = STEP_S
    last_s: float | None = None

    def __post_init__(self) -> None:
        """Check what would otherwise fail far away."""
        if not self.groups or not self.sites:
            raise InputError("a fleet needs at least one site with racks", self.name)
        if abs(self.window_s / self.step_s - round(self.window_s / self.step_s)) > 1e-9:
            raise InputError(
                f"a window of {self.window_s:g} s is not a whole number of {self.step_s:g} s steps", self.name
            )
        last = self.length_s(self.windows - 1)
        if not 0.0 < last <= self.window_s or abs(last / self.step_s - round(last / self.step_s)) > 1e-9:
            raise InputError(
                f"a last window of {last:g} s is not a whole number of {self.step_s:g} s steps", self.name
            )
        counts = np.array([g.racks for g in self.groups])
        if (counts < 0).any():
            raise InputError("racks below zero", self.name)
        for group in self.groups:
            _check_replicas(group)
        for site in self.sites:
            for what, numbers in (("technicians", site.technicians), ("parts", site.parts)):
                if numbers is not None and (numbers < 1).any():
                    raise InputError(f"{numbers.min()} {what}; at least 1 is needed to repair anything", site.name)

    @property
    def windows(self) -> int:
        """How many."""
        return int(self.groups[0].racks.size)

    def length_s(self, window: int) -> float:
        """Of one window: all alike but the last, which a horizon between quarters cuts short [s]."""
        last = window == self.windows - 1 and self.last_s is not None
        return self.last_s if last and self.last_s is not None else self.window_s

    def key(self, window: int) -> int:
        """Name of a window's random numbers: its quarter, whatever quarter the simulation begins with."""
        return self.start.index + window

    def since_s(self, window: int) -> float:
        """Start of a window since the beginning of 2000, UTC, all quarters alike [s]."""
        return (self.start - _EPOCH) * SECONDS_PER_QUARTER + window * self.window_s

    def since_monday_s(self, window: int) -> float:
        """Start of a window since a Monday 00:00 UTC [s]."""
        return self.since_s(window) + _SATURDAY_S

    def offsets(self) -> IntArray:
        """First rack number of each group at its site, shape (group,)."""
        used = dict.fromkeys(range(len(self.sites)), 0)
        out = []
        for group in self.groups:
            first = used[group.site] if group.first_rack is None else group.first_rack
            out.append(first)
            used[group.site] = first + int(group.racks.max(initial=0))
        return np.array(out, dtype=np.int64)


def _check_replicas(group: Group) -> None:
    for racks, policy in zip(group.racks.tolist(), group.policies, strict=False):
        if 0 < racks < policy.replica_racks:
            raise InputError(f"a replica of {policy.replica_racks:,} racks, and the run has {racks:,}; "
                             f"replica_racks of at most {racks:,} is expected", group.name)  # fmt: skip


def part_of(fleet: Fleet, first: int, windows: int, last_s: float | None = None) -> Fleet:
    """Some windows of a fleet, with what works in them: each is the same window of the whole fleet.

    Parameters
    ----------
    fleet : Fleet
        The whole.
    first, windows : int
        First window, and how many.
    last_s : float, optional
        Length of the last one where it is not a whole one [s].

    """
    some = slice(first, first + windows)
    numbers = fleet.offsets().tolist()
    alive = [(n, g) for n, g in zip(numbers, fleet.groups, strict=True) if g.racks[some].any()]
    used = sorted({g.site for _, g in alive})
    groups = tuple(
        replace(
            g, site=used.index(g.site), first_rack=number, racks=g.racks[some], tokens_per_s=g.tokens_per_s[some],
            full_w=g.full_w[some], idle_w=g.idle_w[some], policies=g.policies[some], ttft_s=_cut(g.ttft_s, some),
            tpot_s=_cut(g.tpot_s, some), step_s=_cut(g.step_s, some),
            cohorts=tuple([replace(c, born_s=c.born_s - first * fleet.window_s) for c in each] for each in g.cohorts[some]),
        )
        for number, g in alive
    )  # fmt: skip
    sites = tuple(
        replace(s, limit_w=s.limit_w[some], pue_mean=s.pue_mean[some], built_w=s.built_w[some],
                technicians=_cut(s.technicians, some), parts=_cut(s.parts, some))
        for s in (fleet.sites[i] for i in used)
    )  # fmt: skip
    names = {g.workload for g in groups if g.kind == "serving"}
    serving = tuple(
        replace(w, demand=w.demand[some], planned=_cut(w.planned, some)) for w in fleet.serving if w.name in names
    )
    return replace(fleet, start=fleet.start + first, sites=sites, groups=groups, serving=serving, last_s=last_s)


def _cut(values: Any, some: slice) -> Any:
    return None if values is None else values[some]


def hall_shares(fleet: Fleet, site: int, window: int) -> dict[tuple[tuple[int, float], ...], int]:
    """Halls of a site by what stands in them: (group, share of its racks in the hall), and how many halls are alike.

    Racks fill the halls group by group, as outages count them.
    """
    size, halls, first = fleet.sites[site].hall_racks, {}, 0  # type: int, dict[int, list[tuple[int, float]]], int
    for g, group in enumerate(fleet.groups):
        count = int(group.racks[window])
        if group.site != site or count == 0:
            continue
        for hall in range(first // size, (first + count - 1) // size + 1):
            inside = min(first + count, (hall + 1) * size) - max(first, hall * size)
            halls.setdefault(hall, []).append((g, inside / count))
        first += count
    return dict(Counter(tuple(parts) for parts in halls.values()))


def last_window_s(years: float | None, windows: int) -> float | None:
    """Length of the last window where a horizon ends within it, in whole steps; None for a whole one [s]."""
    if years is None:
        return None
    left = years * 4.0 * SECONDS_PER_QUARTER - (windows - 1) * SECONDS_PER_QUARTER
    steps = max(1, round(left / STEP_S))
    return None if steps * STEP_S >= SECONDS_PER_QUARTER else steps * STEP_S


def gang_shape(group: Group, window: int, table: FailureTable) -> GangShape:
    """Spares of a run in a window: given, or the fewest that cover the policy's share of time."""
    policy, racks = group.policies[window], int(group.racks[window])
    if policy.spares is not None:
        if policy.spares >= racks > 0:
            raise InputError(f"{policy.spares} spares of {racks} racks leave none to work", group.name)
        if policy.mode != "synchronous" and racks > 0 and racks - policy.spares < policy.replica_racks:
            raise InputError(f"{policy.spares} spares of {racks} racks leave {racks - policy.spares}, less than one replica of "
                             f"{policy.replica_racks}", group.name)  # fmt: skip
        return GangShape(racks, policy.spares if racks else 0, policy.replica_racks)
    spares = min(spares_needed(table.mean_down_s(group.rack) * racks, policy.spare_cover), racks // 2)
    if policy.mode != "synchronous":
        # Missing replicas only shrink the run: covering the mean is enough.
        spares = min(spares, round(table.mean_down_s(group.rack) * racks))
    replica = max(policy.replica_racks, 1)
    spares += (racks - spares) % replica if racks > replica else 0
    return GangShape(racks, spares, replica)
