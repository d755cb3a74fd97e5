"""Plan and search solved together: prices go to the search, points that improve the plan come back (column generation)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from gigaforge.buildout.conflict import explain_conflict
from gigaforge.buildout.pricing import Index, missed_value, point_prices, reduced_costs, restrict
from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.programme import build, most_online
from gigaforge.buildout.solver import Relaxation, SolverOptions, relax
from gigaforge.errors import NoAnswerError

__all__ = ["Coordination", "Round", "coordinate"]

_AT_ONCE: Final = 48
"""Points taken in one round: the best for most racks first."""
_ROUNDS: Final = 40


@dataclass(frozen=True)
class Round:
    """One exchange of prices for points.

    Attributes
    ----------
    points : int
        That the plan could choose among.
    added : int
        That the search returned for the next round.
    value, bound : float
        Of the relaxed plan with these points, and at most with all candidates; in the objective's unit.
    gap : float
        Relative distance between them [fraction].
    seconds : float
        [s]

    """

    points: int
    added: int
    value: float
    bound: float
    gap: float
    seconds: float


@dataclass(frozen=True)
class Coordination:
    """Where the exchange ended.

    Attributes
    ----------
    points, jobs : array of int
        Serving and training points of the whole problem that the plan may choose among.
    problem : Problem
        The whole problem with these points only.
    relaxation : Relaxation
        Its relaxed plan and prices.
    rounds : list of Round
    bound : float
        No relaxed plan with any candidates is worth more; in the objective's unit.

    """

    points: Index
    jobs: Index
    problem: Problem
    relaxation: Relaxation
    rounds: list[Round]
    bound: float


def coordinate(
    problem: Problem,
    points: Index,
    jobs: Index,
    *,
    tolerance: float = 1e-4,
    options: SolverOptions | None = None,
    watch: Callable[[Round], None] | None = None,
) -> Coordination:
    """Exchange prices and points until no candidate improves the relaxed plan.

    Parameters
    ----------
    problem : Problem
        With all candidates.
    points, jobs : array of int
        Serving and training points to begin with.
    tolerance : float
        Relative gap to the bound at which to stop [fraction].
    options : SolverOptions
        Of the relaxed programmes.
    watch : callable
        Told of each round.

    Raises
    ------
    NoAnswerError
        No plan satisfies the scenario even in part.

    """
    rounds: list[Round] = []
    bound = np.inf
    while True:
        started = time.perf_counter()
        mine = restrict(problem, points, jobs)
        relaxation = relax(build(mine).model, options)
        if not relaxation.feasible:
            reasons = explain_conflict(mine)
            raise NoAnswerError("no plan satisfies this scenario; these statements cannot hold together:", reasons)
        serve, train = reduced_costs(problem, point_prices(mine, relaxation))
        serve[:, points], train[jobs] = -np.inf, -np.inf  # what the plan has already
        bound = min(bound, relaxation.objective + missed_value(problem, serve, train))
        gap = (bound - relaxation.objective) / max(abs(relaxation.objective), 1e-9)
        done = gap <= tolerance or len(rounds) + 1 == _ROUNDS
        more, further = _improving(problem, serve, train) if not done else (points[:0], jobs[:0])
        rounds.append(
            Round(
                points=len(points) + len(jobs),
                added=len(more) + len(further),
                value=relaxation.objective,
                bound=bound,
                gap=gap,
                seconds=time.perf_counter() - started,
            )
        )
        if watch:
            watch(rounds[-1])
        if not rounds[-1].added:
            return Coordination(points, jobs, mine, relaxation, rounds, bound)
        points, jobs = np.union1d(points, more), np.union1d(jobs, further)


def _improving(problem: Problem, serve: Array, train: Array) -> tuple[Index, Index]:
    """Candidates that are the best on some system at some site in some quarter, and would improve the plan there."""
    p, racks = problem, most_online(problem)
    worth = np.zeros(len(p.points))
    for k in range(len(p.systems)):
        for w in range(len(p.workloads)):
            mine = np.flatnonzero((p.point_system == k) & (p.point_workload == w))
            if mine.size:
                _credit(worth, mine, serve[:, mine].transpose(1, 0, 2), racks[:, k])
    gain = np.zeros(len(p.training_points))
    for k in range(len(p.systems)):
        for r in range(len(p.runs)):
            mine = np.flatnonzero((p.train_system == k) & (p.train_run == r))
            if mine.size:
                _credit(gain, mine, train[mine], racks[:, k])
    points, jobs = np.flatnonzero(worth > 1e-9), np.flatnonzero(gain > 1e-9)
    return points[np.argsort(-worth[points], kind="stable")[:_AT_ONCE]], jobs


def _credit(total: Array, mine: Index, value: Array, racks: Array) -> None:
    """Add to the best point of each site and quarter what it would gain there; value has shape (points, S, T)."""
    best = value.argmax(axis=0)
    gain = np.maximum(value.max(axis=0), 0.0) * racks
    np.add.at(total, mine[best], np.where(np.isfinite(gain), gain, 0.0))
