"""Cheap expectations for planners: availability, goodput, spares and intervals without simulating.

Everything is exact for exponential failures of like racks except where a line says so; the simulator is the judge,
and `gigaforge.operations.feedback` hands its answers back under the same names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammainc, gammaincc

from gigaforge.operations.checkpoint import best_interval_s, kept_share
from gigaforge.operations.modes import FailureTable, RackClass, default_failures
from gigaforge.operations.policy import TrainingPolicy
from gigaforge.operations.queueing import spares_needed

__all__ = ["GoodputEstimate", "best_policy", "best_spares", "expected_availability", "expected_goodput", "mttf_s"]


@dataclass(frozen=True, slots=True)
class GoodputEstimate:
    """Expected share of a run's allocated rack time that is productive, and the factors whose product it is.

    ``goodput = working * running * kept * complete * pace``: racks that are not spares; no recovery under way; work
    not rolled back or spent saving; gang or replicas complete; no slow member.
    """

    goodput: float
    working: float
    running: float
    kept: float
    complete: float
    pace: float
    interval_s: float
    spares: int
    mttf_s: float
    mode: str


def _table(table: FailureTable | None) -> FailureTable:
    return default_failures() if table is None else table


def expected_availability(
    accelerators: int, *, tray: int = 0, table: FailureTable | None = None, weighted: bool = False
) -> float:
    """Share of time that a rack is in service: MTBF / (MTBF + MTTR) over all modes and outages [fraction].

    Parameters
    ----------
    accelerators : int
        Of one rack.
    tray : int
        Accelerators that leave with one tray (default the whole rack).
    table : FailureTable, optional
        Default the shipped one.
    weighted : bool
        Count only the part of the rack that is lost to serving: its expected capacity.

    Notes
    -----
    Waits for technicians and parts are not in it; a site that is short of either does worse.

    """
    rates = _table(table)
    rack = RackClass("rack", accelerators, tray)
    load = rates.mean_down_s(rack, weighted=weighted) + sum(o.rate * o.duration_s for o in rates.outages)
    return 1.0 / (1.0 + load)


def mttf_s(accelerators: int, table: FailureTable | None = None, domain: int = 8) -> float:
    """Mean time between interruptions of a job on so many accelerators [s], outages apart."""
    rack = RackClass("rack", domain)
    rate = _table(table).interrupt_rate(rack) * accelerators / domain
    return 1.0 / rate if rate > 0.0 else math.inf


def _excess(mean: float, spares: int) -> float:
    """Expected number beyond the spares of a Poisson number down."""
    if mean <= 0.0:
        return 0.0
    at_least, more = gammainc(spares, mean), gammainc(spares + 1, mean)
    return float(mean * at_least - spares * more)


def _domains(table: FailureTable, racks: int, pod: int, hall: int) -> list[tuple[float, float, float]]:
    """(rate, duration, share of the gang) of outages that a gang meets."""
    size = {"pod": pod, "hall": hall, "site": max(racks, 1)}
    return [
        (o.rate * -(-racks // size[o.scope]), o.duration_s, min(1.0, size[o.scope] / max(racks, 1)))
        for o in table.outages
    ]


def _pace(table: FailureTable, accelerators: int) -> float:
    """Expected pace with the worst of a Poisson number of slow members, uniform up to twice the mean."""
    present = table.degraded_rate * table.degraded_s * accelerators
    if present <= 0.0:
        return 1.0
    worst = 2.0 * table.degraded_slowdown * (1.0 + math.expm1(-present) / present)
    return 1.0 / (1.0 + worst)


def expected_goodput(
    accelerators: int,
    racks: int,
    *,
    policy: TrainingPolicy | None = None,
    table: FailureTable | None = None,
    tray: int = 0,
    pod_racks: int = 8,
    hall_racks: int = 128,
) -> GoodputEstimate:
    """Expected goodput of one gang-scheduled run.

    Parameters
    ----------
    accelerators : int
        Of one rack.
    racks : int
        Allocated to the run, spares included.
    policy : TrainingPolicy, optional
        Default: `best_policy` with one rack a replica.
    table : FailureTable, optional
        Default the shipped one.
    tray : int
        Accelerators that leave with one tray.
    pod_racks, hall_racks : int
        Racks that an outage of a pod or a hall takes.

    Notes
    -----
    Approximate in: outages weighted by their duration, the deeper rollbacks' mean, independence of the factors.

    """
    rates = _table(table)
    if policy is None:
        policy = best_policy(accelerators, racks, table=rates)
    rack = RackClass("rack", accelerators, tray)
    down = rates.mean_down_s(rack) * racks
    spares = _spares(policy, rack, racks, rates)
    active = racks - spares
    replicas = max(1, active // max(policy.replica_racks, 1))
    hit = rates.interrupt_rate(rack) * active
    outages = _domains(rates, racks, pod_racks, hall_racks)
    full = policy.stall_s if policy.stall_s is not None else _mean_stall_s(policy, rates, rack)
    back = 1.0 if policy.mode == "synchronous" else policy.fallback
    stall = back * full + (1.0 - back) * policy.hiccup_s + policy.ramp_s
    running = math.exp(-hit * stall - policy.planned_per_s * (policy.planned_s + policy.ramp_s))
    plan = policy.checkpoint
    interval = plan.interval_s or best_interval_s(hit * back, plan.blocking_s, plan.shortest_s, 6 * 3600.0)
    kept = kept_share(hit * back, interval, plan.blocking_s, plan.tiers[0].durable_after_s)
    kept *= 1.0 - min(0.9, _deep_loss(rates, rack, active, interval, policy, outages))
    if policy.mode == "synchronous":
        complete = float(gammaincc(spares + 1, down)) if down > 0 else 1.0
        complete *= math.exp(-sum(rate * duration for rate, duration, share in outages if share * racks > spares))
    else:
        away = hit * (1.0 - back) * full if policy.mode == "fault_tolerant" else 0.0
        lost = sum(rate * duration * share for rate, duration, share in outages)
        complete = max(0.0, 1.0 - (away + _excess(down, spares)) / replicas) * math.exp(-lost)
    pace = _pace(rates, accelerators * active)
    working = active / racks if racks else 1.0
    goodput = working * running * kept * complete * pace
    return GoodputEstimate(
        goodput, working, running, kept, complete, pace, interval, spares, 1.0 / hit if hit else math.inf, policy.mode
    )


def _spares(policy: TrainingPolicy, rack: RackClass, racks: int, table: FailureTable) -> int:
    down = table.mean_down_s(rack) * racks
    if policy.spares is not None:
        return min(policy.spares, max(racks - 1, 0))
    spares = min(spares_needed(down, policy.spare_cover), racks // 2)
    if policy.mode != "synchronous":
        spares = min(spares, round(down))
    replica = max(policy.replica_racks, 1)
    return spares + ((racks - spares) % replica if racks > replica else 0)


def _mean_stall_s(policy: TrainingPolicy, table: FailureTable, rack: RackClass) -> float:
    """Mean over the modes of one restart [s]."""
    rates = table.rates(rack) * np.array([m.interrupts for m in table.modes])
    tiers, stages = policy.checkpoint.tiers, policy.restart
    each = [
        m.detect_s + (stages.swap_s if m.cordon else 0.0) + tiers[min(m.tier, len(tiers) - 1)].load_s
        for m in table.modes
    ]
    common = stages.detect_s + stages.attended_share * stages.attended_s + stages.init_s + stages.warmup_s
    total = float(rates.sum())
    return common + (float(rates @ np.array(each)) / total if total > 0.0 else 0.0)


def _deep_loss(table: FailureTable, rack: RackClass, active: int, interval_s: float, policy: TrainingPolicy,
               outages: list[tuple[float, float, float]]) -> float:  # fmt: skip
    """Share of time lost to rollbacks beyond the nearest tier."""
    tiers = policy.checkpoint.tiers
    rates = table.rates(rack) * np.array([m.interrupts for m in table.modes]) * active
    loss = 0.0
    for mode, rate in zip(table.modes, rates.tolist(), strict=True):
        every = tiers[min(mode.tier, len(tiers) - 1)].every
        loss += rate * (mode.rollback_s + 0.5 * (every - 1) * interval_s * (mode.tier > 0 or mode.rollback_s > 0))
    far = tiers[-1].every
    return loss + sum(rate for rate, *_ in outages) * 0.5 * (far - 1) * interval_s


def best_policy(accelerators: int, racks: int, *, replica_racks: int = 1, table: FailureTable | None = None,
                base: TrainingPolicy | None = None) -> TrainingPolicy:  # fmt: skip
    """The mode with the highest expected goodput among those that the run allows (one replica: synchronous)."""
    start = base or TrainingPolicy()
    options = [replace(start, mode="synchronous")]
    if racks >= 2 * replica_racks:
        options += [replace(start, mode=mode, replica_racks=replica_racks) for mode in ("elastic", "fault_tolerant")]
    return max(options, key=lambda p: expected_goodput(accelerators, racks, policy=p, table=table).goodput)


def best_spares(
    accelerators: int, racks: int, policy: TrainingPolicy, *, table: FailureTable | None = None, tray: int = 0
) -> int:
    """Hot spares within the allocation that give the highest expected goodput; what is left makes whole replicas."""
    rates = _table(table)
    mean = rates.mean_down_s(RackClass("rack", accelerators, tray)) * racks
    most = min(racks // 2, math.ceil(3.0 * mean + 6.0 * math.sqrt(mean) + 4.0))
    steps = sorted({round(x) for x in np.linspace(0, most, min(most + 1, 48))})
    replica = max(policy.replica_racks, 1)
    if policy.mode != "synchronous" and replica > 1 and racks > replica:
        first = racks % replica
        steps = list(range(first, max(most, first) + replica, replica))[:48]

    def value(spares: int) -> float:
        return expected_goodput(
            accelerators, racks, policy=replace(policy, spares=spares), table=rates, tray=tray
        ).goodput

    return int(max(steps, key=lambda n: (value(n), -n)))
