"""From racks that go down to what a gang feels: interruptions, incomplete gangs, missing replicas, slow members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from gigaforge.operations.failures import countable
from gigaforge.operations.intervals import Array, IntArray, count_at, union
from gigaforge.operations.modes import FailureTable, Mode, Outage, RackClass
from gigaforge.operations.policy import RestartStages, TrainingPolicy
from gigaforge.operations.training import Interruptions, Shares

__all__ = [
    "STOPS",
    "GangShape",
    "Struck",
    "draw_stalls",
    "incomplete",
    "interruptions",
    "missing_replicas",
    "replicas_touched",
    "slow_members",
]


Outages = tuple[Array, Array, IntArray]  # down times of racks that outages took, and which outage [s]
_ALWAYS: Final = 12.0
STOPS: Final = ("planned", "resized", "short_of_racks")  # stops that are no failure: kinds -1, -2, -3


@dataclass(frozen=True, slots=True)
class GangShape:
    """Racks of one run in one window: ``racks`` allocated, of which ``spares`` are hot spares."""

    racks: int
    spares: int
    replica_racks: int

    @property
    def active(self) -> int:
        """Racks that compute."""
        return self.racks - self.spares

    @property
    def replicas(self) -> int:
        """Data-parallel replicas."""
        return max(1, self.active // max(self.replica_racks, 1))


@dataclass(frozen=True)
class Struck:
    """What struck the gang, each (interruption,).

    ``restart_s``: until the struck replica is back, whatever the rest does [s]; ``kind``: number in
    `FailureTable.kinds`, or below zero one of `STOPS`; ``racks``: how many at once.
    """

    restart_s: Array
    kind: IntArray
    racks: IntArray


def draw_stalls(rng: np.random.Generator, count: int, stages: RestartStages) -> tuple[Array, Array]:
    """Random part of each restart: detection, and a person where one is needed [s]."""
    detect = rng.exponential(stages.detect_s, count)
    person = rng.random(count) < stages.attended_share
    spread = stages.tail_sigma
    minutes = stages.attended_s * np.exp(spread * rng.standard_normal(count) - 0.5 * spread**2)
    return detect, np.where(person, minutes, 0.0)


def interruptions(
    rng: np.random.Generator,
    length_s: float,
    failures: tuple[Array, IntArray, Array],
    down: tuple[Array, Array],
    shape: GangShape,
    table: FailureTable,
    policy: TrainingPolicy,
    forced_s: Array,
    blocked_s: Array,
) -> tuple[Interruptions, Struck]:
    """Which failures stop the gang, and for how long.

    Racks are alike, so a failure strikes an active one with probability active / up.

    Parameters
    ----------
    rng : Generator
        For the restart stages.
    length_s : float
        Window [s].
    failures : (time, mode, dice)
        Real failures of the group, sorted.
    down : (start, end)
        Down times of its racks, those carried in too.
    shape : GangShape
        Racks and spares.
    table : FailureTable
        What each mode does to a job.
    policy : TrainingPolicy
        Restart stages and mode.
    forced_s : array
        Planned stops at given times (a change of size) [s].
    blocked_s : array
        When the gang becomes incomplete; a drained rack that leaves it so stops it as planned [s].

    Returns
    -------
    hits : Interruptions
    struck : Struck

    """
    time, mode, dice = failures
    kinds = table.kinds()
    share = np.array([getattr(k, "interrupts", 1.0) for k in kinds])[mode]
    cordon = np.array([getattr(k, "cordon", True) for k in kinds], dtype=np.bool_)[mode]
    up = np.maximum(shape.racks - count_at(time, *down), 1)
    chance = np.where(cordon, np.minimum(shape.active / up, 1.0), 1.0) * share
    struck, racks = _at_once(np.flatnonzero(dice < chance), time, mode, len(table.modes))
    drained = blocked_s[(blocked_s >= 0.0) & (blocked_s < length_s) & ~np.isin(blocked_s, time[struck])]
    planned = rng.random(rng.poisson(policy.planned_per_s * length_s)) * length_s
    why = np.repeat([-1, -2, -3], [planned.size, forced_s.size, drained.size])
    planned = np.concatenate((planned, forced_s, drained))
    times = np.concatenate((time[struck], planned))
    order = np.argsort(times, kind="stable")
    kind = np.concatenate((mode[struck], why)).astype(np.int64)[order]
    hits, restart = _stalls(rng, times[order], np.maximum(kind, -1), kinds, policy)
    return hits, Struck(restart, kind, np.concatenate((racks, np.zeros(planned.size, dtype=np.int64)))[order])


def _at_once(struck: IntArray, time: Array, mode: IntArray, modes: int) -> tuple[IntArray, IntArray]:
    """An outage stops a gang once, however many of its racks it takes: the first of them, and how many."""
    if struck.size == 0:
        return struck, struck
    again = (
        (mode[struck[1:]] >= modes)
        & (mode[struck[1:]] == mode[struck[:-1]])
        & (time[struck[1:]] == time[struck[:-1]])
    )
    first = np.flatnonzero(np.concatenate(([True], ~again)))
    return struck[first], np.diff(np.append(first, struck.size))


def _stalls(rng: np.random.Generator, times: Array, kind: IntArray, kinds: list[Mode | Outage],
            policy: TrainingPolicy) -> tuple[Interruptions, Array]:  # fmt: skip
    count, stages = times.size, policy.restart
    detect, person = draw_stalls(rng, count, stages)
    tiers = policy.checkpoint.tiers
    tier = np.minimum(np.array([getattr(k, "tier", 0) for k in kinds] + [0])[kind], len(tiers) - 1)
    load = np.array([t.load_s for t in tiers])[tier]
    notice = np.array([getattr(k, "detect_s", 0.0) for k in kinds] + [0.0])[kind]
    swap = np.where(
        np.array([getattr(k, "cordon", True) for k in kinds] + [False], dtype=np.bool_)[kind], stages.swap_s, 0.0
    )
    full = notice + detect + person + swap + stages.init_s + stages.warmup_s + load
    if policy.stall_s is not None:
        full = np.full(count, policy.stall_s)
    plan = kind < 0
    full = np.where(plan, policy.planned_s, full)
    back = np.array([getattr(k, "rollback_s", 0.0) for k in kinds] + [0.0])[kind]
    # a fault that began earlier, or one that took the near snapshots, rolls back in every mode
    whole = np.ones(count, dtype=np.bool_) if policy.mode == "synchronous" else rng.random(count) < policy.fallback
    whole |= (back > 0.0) & ~plan
    stall = np.where(whole | plan, full, policy.hiccup_s)
    # in a short stop power falls no further than the grid lets it, so no further must it climb
    stall = stall + policy.ramp_s + np.minimum(policy.grid_ramp_s, 0.5 * stall)
    hits = Interruptions(times, stall, whole & ~plan, tier.astype(np.int64), back)
    return hits, np.where(plan, 0.0, full)


def incomplete(lacks: Shares, policy: TrainingPolicy) -> tuple[Array, Array]:
    """Times in which a synchronous gang lacks racks; the other modes go on smaller."""
    if policy.mode != "synchronous":
        return np.empty(0), np.empty(0)
    return union(lacks[0], lacks[1])


def replicas_touched(racks: Array, replica_racks: int, blocks: Array) -> Array:
    """Expected number of replicas that racks out of service lie in.

    ``blocks`` runs of neighbouring racks (an outage takes neighbours) whose first rack may be any of its replica: each
    touches ``1 + (racks - 1) / replica_racks`` on average, which for single racks is one each.

    Parameters
    ----------
    racks : (piece,) array
        Racks out of service, in all blocks together.
    replica_racks : int
        Racks of one data-parallel replica, placed side by side.
    blocks : (piece,) array
        Runs of neighbours, at most one a rack.

    """
    return np.asarray(blocks + (racks - blocks) / replica_racks, dtype=np.float64)


def _scattered(lacking: Array, at: Array, replica_racks: int, outages: Outages | None) -> Array:
    """Replicas that ``lacking`` racks keep from working, at each instant."""
    if outages is None or outages[0].size == 0 or replica_racks == 1:
        return lacking
    start, end, which = outages
    near = np.minimum(_open_now(at, start, end), lacking)
    first, last = np.full(int(which.max()) + 1, np.inf), np.zeros(int(which.max()) + 1)
    np.minimum.at(first, which, start)
    np.maximum.at(last, which, end)
    blocks = _open_now(at, first, last)
    return lacking - near + replicas_touched(near, replica_racks, np.minimum(blocks, near))


def _open_now(at: Array, start: Array, end: Array) -> Array:
    """Intervals that hold just after each instant."""
    opened = np.searchsorted(np.sort(start), at, side="right")
    return np.asarray(opened - np.searchsorted(np.sort(end), at, side="right"), dtype=np.float64)


def missing_replicas(length_s: float, hits: Interruptions, struck: Struck, lacks: Shares, shape: GangShape,
                     policy: TrainingPolicy, outages: Outages | None = None) -> Shares | None:  # fmt: skip
    """Share of the gang that is away while the rest goes on, as disjoint pieces.

    A fault-tolerant run keeps its racks where they are, so one missing rack costs its replica. Spares fill the places
    of single failures first, so what is still lacking lies among the neighbours that an outage took, while there are
    such. An elastic run puts whole replicas together again from the racks that are left.

    ``lacks``: start, end and number of racks beyond the spares, disjoint pieces too; ``outages``: down times of the
    run's racks that an outage took.
    """
    if policy.mode == "synchronous":
        return None
    start, end, racks_gone = lacks
    group = max(policy.replica_racks, 1)
    away, count = (np.empty(0), np.empty(0)), np.empty(0)
    if policy.mode == "fault_tolerant":
        alone = ~hits.rolls_back & (struck.restart_s > 0.0)
        away = (hits.time_s[alone], hits.time_s[alone] + struck.restart_s[alone])
        count = replicas_touched(struck.racks[alone].astype(np.float64), group, np.ones(int(alone.sum())))
    times = np.concatenate((start, end, *away))
    racks = np.concatenate((racks_gone, -racks_gone, np.zeros(2 * count.size)))
    restarting = np.concatenate((np.zeros(2 * start.size), count, -count))
    times = np.clip(times, 0.0, length_s)
    order = np.argsort(times, kind="stable")
    lacking = np.maximum(np.cumsum(racks[order]), 0.0)
    begin, finish = times[order], np.append(times[order][1:], length_s)
    if policy.mode == "elastic":
        gone = np.ceil(lacking / group)
    else:
        gone = _scattered(lacking, times[order], group, outages) + np.cumsum(restarting[order])
    share = np.clip(gone / shape.replicas, 0.0, 1.0)
    keep = (share > 0.0) & (finish > begin)
    return begin[keep], finish[keep], share[keep]


def slow_members(rng: np.random.Generator, length_s: float, rack: RackClass, active: int, table: FailureTable,
                 levels: int = 4) -> Shares | None:  # fmt: skip
    """Pace lost to slow links and throttling: the gang runs at the pace of its slowest member.

    Slowdowns are uniform up to twice the table's mean, here on a few levels of equal probability; the worst one
    present is a sum of steps, one for each level reached. A level that some member reaches all but one second in
    200,000 (`_ALWAYS` present on average) is taken as always reached.
    """
    rate = table.degraded_rate * rack.accelerators * active
    if rate <= 0.0:
        return None
    middle = 2.0 * table.degraded_slowdown * (np.arange(levels) + 0.5) / levels
    loss = np.diff(middle / (1.0 + middle), prepend=0.0)
    begin, finish = np.empty(0), np.empty(0)
    pieces = []
    for level in reversed(range(levels)):
        if rate * table.degraded_s * (levels - level) / levels > _ALWAYS:
            pieces.append((np.zeros(1), np.full(1, length_s), loss[level]))
            continue
        countable(rate * length_s / levels, "degradations", rack.name)
        count = int(rng.poisson(rate * length_s / levels))
        start = rng.random(count) * length_s
        begin = np.concatenate((begin, start))
        finish = np.concatenate((finish, np.minimum(start + rng.exponential(table.degraded_s, count), length_s)))
        pieces.append((*union(begin, finish), loss[level]))
    starts = np.concatenate([p[0] for p in pieces])
    ends = np.concatenate([p[1] for p in pieces])
    return starts, ends, np.concatenate([np.full(p[0].size, p[2]) for p in pieces])
