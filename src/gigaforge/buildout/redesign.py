"""The loop: design again as the roadmap moves, with what is bought already fixed.

At the start a planner counts on what ships and on the runs that begin within half a year. Each quarter in which a new platform
ships or a further run comes into sight, prices and points are exchanged again; earlier purchases stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from gigaforge.buildout.coordinate import coordinate
from gigaforge.buildout.pricing import Index, restrict
from gigaforge.buildout.problem import Array, Past, Problem
from gigaforge.buildout.programme import USD, build
from gigaforge.buildout.solver import Relaxation, SolverOptions, relax
from gigaforge.errors import NoAnswerError

__all__ = ["Event", "events_of", "redesign"]

_SIGHT: Final = 2
"""Quarters before its start in which a training run becomes part of the plan (assumption: half a year of preparation)."""


@dataclass(frozen=True)
class Event:
    """One re-design.

    Attributes
    ----------
    quarter, what : str
        When, and what is new.
    kept : float
        Value of the plan as it stood, which ignores the news [USD].
    replanned, redesigned : float
        With the news: with the points known before and the fastest on what is new, and with all points [USD].
    points : int
        Points at work after it.

    """

    quarter: str
    what: str
    kept: float
    replanned: float
    redesigned: float
    points: int


def events_of(problem: Problem) -> list[tuple[int, list[str]]]:
    """Quarters in which something becomes known, and what: platforms by their first delivery, runs by their start."""
    found: dict[int, list[str]] = {}
    for line, supply in zip(problem.lines, problem.supply, strict=True):
        if supply.any():
            found.setdefault(int(np.argmax(supply > 0)), []).append(f"{line} ships")
    for r, run in enumerate(problem.runs):
        first = max(int(np.argmax(problem.run_window[r])) - _SIGHT, 0)
        found.setdefault(first, []).append(f"{run} comes into sight")
    return sorted(found.items())


def redesign(
    problem: Problem,
    points: Index,
    jobs: Index,
    *,
    options: SolverOptions | None = None,
    tolerance: float = 1e-3,
    watch: Callable[[str], None] | None = None,
) -> list[Event]:
    """Play the horizon through: at each event know more, fix what is bought, and exchange prices and points again.

    Relaxed plans (racks divisible), so that differences are not the solver's gap.

    Parameters
    ----------
    problem : Problem
        With all candidates.
    points, jobs : array of int
        The fastest points, with which each exchange begins.
    options, tolerance
        Of the relaxed programmes, and gap at which an exchange ends [fraction].
    watch : callable
        Told of each event.

    Returns
    -------
    list of Event
        The first is the plan of the first quarter; an event at which no plan keeps all promises is left out.

    """
    p = problem
    out: list[Event] = []
    standing: Relaxation | None = None
    mine, work = points, jobs
    for t, news in events_of(p):
        what = ", ".join(news)
        if watch:
            watch(f"{p.quarters[t]}: {what}")
        now = _as_known(p, t, standing)
        try:
            before = relax(build(restrict(now, mine, work)).model, options)
            if not before.feasible:
                continue
            exchange = coordinate(now, mine, work, tolerance=tolerance, options=options)
        except NoAnswerError:
            continue
        value = exchange.relaxation.objective * USD
        kept = out[-1].redesigned if out else before.objective * USD
        racks_of = [exchange.relaxation.values[n] for n in ("serve", "train") if n in exchange.relaxation.values]
        used = sum(int((racks.sum(["site", "quarter"]) > 1e-6).sum()) for racks in racks_of)
        out.append(Event(str(p.quarters[t]), what, kept, before.objective * USD, value, used))
        standing = exchange.relaxation
        # What stands may need the caps that it was bought for.
        mine, work = np.union1d(points, exchange.points), np.union1d(jobs, exchange.jobs)
    return out


def _as_known(problem: Problem, t: int, standing: Relaxation | None) -> Problem:
    """The problem as a planner knows it in quarter t, with earlier purchases fixed."""
    p = problem
    later = np.array([bool(s.any()) and int(np.argmax(s > 0)) > t for s in p.supply])
    can = p.can_host & ~later[p.line_of][None, :, None]
    ahead = np.array([int(np.argmax(w)) - _SIGHT > t for w in p.run_window], dtype=bool)
    known = replace(
        p,
        supply=np.where(later[:, None], 0.0, p.supply),
        can_host=can,
        run_tokens=np.where(ahead, 0.0, p.run_tokens) if p.runs else p.run_tokens,
    )
    if standing is None or t == 0:
        return known
    block = float(p.scenario.block)
    added, retired = (_read(standing, name)[..., :t] * block for name in ("add", "retire"))
    return replace(known, past=Past(added, retired, np.zeros_like(added)))


def _read(relaxation: Relaxation, name: str) -> Array:
    values = relaxation.values[name].transpose("site", "system", "quarter").values
    return np.asarray(np.maximum(values, 0.0), dtype=float)
