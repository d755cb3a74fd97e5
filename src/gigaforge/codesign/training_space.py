"""The training points worth having: the best strategy of every run on every system under every power cap."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gigaforge.codesign.caps import cap_levels, held_w
from gigaforge.codesign.point import OperatingPoint, rack_power_w
from gigaforge.codesign.training_points import SPACE, Searches, gang_of, job_of, strategy_words
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.training import TrainingJob, TrainingResults, evaluate, search
from gigaforge.perf.transformer import Transformer
from gigaforge.scenario.schema import TrainingRun

__all__ = ["Known", "training_space"]

_KEEP = 2000


@dataclass
class Known:
    """Searches already made: runs of one model ask many of the same questions.

    Attributes
    ----------
    gangs : dict
        Searches for the size of a gang.
    best : dict
        Best strategy of a job under a cap.
    evaluated : int
        Complete evaluations so far.

    """

    gangs: Searches = field(default_factory=dict)
    best: dict[tuple[object, ...], TrainingResults] = field(default_factory=dict)
    evaluated: int = 0


def training_space(
    transformer: Transformer,
    hardware: Hardware,
    run: TrainingRun,
    power_cap_w: float | None = None,
    *,
    caps: int = 8,
    known: Known | None = None,
) -> list[OperatingPoint]:
    """The fastest strategy under each cap, in the gang that the configuration's own limit asks for; that limit first.

    Training draws what its limit allows while it computes, so a cap needs no room for bursts, and under one cap the fastest
    strategy is also the one with fewest joules a token but for the idle part of a step.

    Raises
    ------
    InputError
        The chip lacks the precision.

    """
    known = known or Known()
    before = len(known.gangs)
    found = gang_of(transformer, hardware, run, known.gangs, power_cap_w)
    known.evaluated += sum(r.evaluated for r in list(known.gangs.values())[before:] if r is not None)
    if found is None:
        return []
    racks, _ = found
    job = job_of(hardware, run, racks)
    out = []
    for number, level in enumerate(cap_levels(hardware, power_cap_w, caps)[::-1]):
        best = _best(transformer, hardware, job, float(level), known, (hardware.name, run.model, job, float(level)))
        out.append(_point(number, run, hardware, racks, float(level), best))
    return out


def _best(
    transformer: Transformer,
    hardware: Hardware,
    job: TrainingJob,
    cap_w: float,
    known: Known,
    key: tuple[object, ...],
) -> TrainingResults:
    """The fastest strategy of a job under a cap."""
    if key in known.best:
        return known.best[key]
    shortlist_key = (*key[:-1], "shortlist")
    if shortlist_key not in known.best:
        known.best[shortlist_key] = search(transformer, hardware, job, space=SPACE, keep=_KEEP)
        known.evaluated += known.best[shortlist_key].evaluated
    shortlist = known.best[shortlist_key]
    fitting = shortlist.strategies.take(np.flatnonzero(shortlist.feasible))
    best = evaluate(transformer, hardware, job, fitting, power_cap_w=cap_w)
    known.evaluated += best.evaluated
    # What is not on the list is slower than its last entry even without a cap, so a capped one that is no slower than that
    # is the best of all; otherwise search again under the cap.
    complete = shortlist.evaluated <= _KEEP or not shortlist.feasible.all()
    if not complete and best.step_time_s[0] > shortlist.step_time_s[-1]:
        best = search(transformer, hardware, job, space=SPACE, keep=1, power_cap_w=cap_w)
        known.evaluated += best.evaluated
    known.best[key] = best
    return best


def _point(
    number: int, run: TrainingRun, hardware: Hardware, racks: int, cap_w: float, best: TrainingResults
) -> OperatingPoint:
    strategy = best.strategies.row(0)
    return OperatingPoint(
        id=f"{run.name}/{hardware.name}/{number}",
        workload=run.name,
        kind="training",
        system=hardware.name,
        model=run.model,
        layout=f"{strategy_words(strategy)}, cap {cap_w:,.0f} W",
        tokens_per_s_per_rack=float(best.tokens_per_s_per_gpu[0]) * hardware.accelerators,
        it_power_w_per_rack=rack_power_w(hardware, float(best.power_w[0])),
        racks_per_unit=racks,
        max_racks=racks * run.compute_multiple,
        mfu=float(best.mfu[0]),
        step_s=float(best.step_time_s[0]),
        low=1 / best.high,
        high=1 / best.low,
        cap_w=cap_w,
        held_w_per_rack=held_w(hardware, cap_w),
        strategy={**strategy, "precision": run.precision},
    )
