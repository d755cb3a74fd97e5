"""The training points worth having: the best strategy and precision of every run on every system under every power cap."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gigaforge.codesign.caps import cap_levels, held_w
from gigaforge.codesign.point import OperatingPoint, rack_power_w
from gigaforge.codesign.training_points import SPACE, Searches, gang_of, job_of, may_be_faster, strategy_words
from gigaforge.errors import NoAnswerError
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.training import TrainingResults, evaluate, search
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
    hopeless : dict
        Jobs in a wider precision: whether they are clearly slower than in a narrower one.
    evaluated : int
        Complete evaluations so far.

    """

    gangs: Searches = field(default_factory=dict)
    best: dict[tuple[object, ...], TrainingResults] = field(default_factory=dict)
    hopeless: dict[tuple[object, ...], bool] = field(default_factory=dict)
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
    """The fastest strategy and precision under each cap, in the gang that the configuration's own limit asks for; that limit first.

    Training draws what its limit allows while it computes, so a cap needs no room for bursts, and under one cap the fastest
    strategy is also the one with fewest joules a token but for the idle part of a step.

    Raises
    ------
    NoAnswerError
        There is none, and why: precision or memory.

    """
    known = known or Known()
    before = len(known.gangs)
    try:
        gang = gang_of(transformer, hardware, run, known.gangs, power_cap_w)
    finally:
        new = list(known.gangs.values())[before:]
        known.evaluated += sum(r.evaluated for r in new if isinstance(r, TrainingResults))
    ask = _Question(transformer, hardware, run, gang.racks, known)
    return [
        _point(number, run, hardware, gang.racks, level, *_fastest(ask, (gang.precision, *gang.wider), level))
        for number, level in enumerate(cap_levels(hardware, power_cap_w, caps)[::-1].tolist())
    ]


@dataclass(frozen=True)
class _Question:
    """A run in its gang."""

    transformer: Transformer
    hardware: Hardware
    run: TrainingRun
    racks: int
    known: Known


def _fastest(ask: _Question, precisions: tuple[str, ...], cap_w: float) -> tuple[TrainingResults, str]:
    """The fastest strategy under a cap in any of the precisions, of which the first fits."""
    best, chosen = _best(ask, precisions[0], cap_w), precisions[0]
    for precision in precisions[1:]:
        free = _wider(ask, precisions[0], precision)
        # A cap only slows: what is no faster without one need not be tried under it.
        if free is None or free.step_time_s[0] >= best.step_time_s[0]:
            continue
        other = _best(ask, precision, cap_w)
        if other.step_time_s[0] < best.step_time_s[0]:
            best, chosen = other, precision
    return best, chosen


def _wider(ask: _Question, narrowest: str, precision: str) -> TrainingResults | None:
    """The fastest strategies in a wider precision without a cap; None where they are clearly slower, or none fits."""
    job, known = job_of(ask.hardware, ask.run, ask.racks, precision), ask.known
    key = (ask.hardware.name, ask.run.model, job, narrowest)
    if key not in known.hopeless:
        narrower = _shortlist(ask, narrowest)
        known.evaluated += int(narrower.feasible.sum()) if narrower else 0
        known.hopeless[key] = narrower is not None and not may_be_faster(ask.transformer, ask.hardware, job, narrower)
    found = None if known.hopeless[key] else _shortlist(ask, precision)
    return found if found is not None and found.feasible[0] else None


def _shortlist(ask: _Question, precision: str) -> TrainingResults | None:
    """The fastest strategies of the run without a cap; None where it has no layout."""
    job, known = job_of(ask.hardware, ask.run, ask.racks, precision), ask.known
    key = (ask.hardware.name, ask.run.model, job, "shortlist")
    if key not in known.best:
        try:
            found = search(ask.transformer, ask.hardware, job, space=SPACE, keep=_KEEP)
        except NoAnswerError:
            return None
        known.best[key] = found
        known.evaluated += found.evaluated
    return known.best[key]


def _best(ask: _Question, precision: str, cap_w: float) -> TrainingResults:
    """The fastest strategy of a run under a cap, in a precision in which it fits."""
    transformer, hardware, known = ask.transformer, ask.hardware, ask.known
    job = job_of(hardware, ask.run, ask.racks, precision)
    key = (hardware.name, ask.run.model, job, cap_w)
    if key in known.best:
        return known.best[key]
    shortlist = _shortlist(ask, precision)
    assert shortlist is not None
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
    number: int, run: TrainingRun, hardware: Hardware, racks: int, cap_w: float, best: TrainingResults, precision: str
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
        strategy={**strategy, "precision": precision},
    )
