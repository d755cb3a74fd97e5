"""Search a plan: the tree over its shape, whole racks near its leaves, HiGHS for a gap that is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import linopy
import numpy as np

from gigaforge.buildout.highs import in_background, program_of
from gigaforge.buildout.search.placing import move_runs, place_runs
from gigaforge.buildout.search.racks import whole_racks
from gigaforge.buildout.search.reduced import SHAPE, Array, Columns, Reduced, whole_columns
from gigaforge.buildout.search.tree import Tree
from gigaforge.buildout.solver import Progress, Solution, SolverOptions, relative_gap, solve

__all__ = ["search"]

_NODES: Final = 400
_LEAVES: Final = 8
_RACKS_SHARE: Final = 0.4
"""Of the gap: how far racks at a leaf may stay from their own bound."""


def search(
    model: linopy.Model, options: SolverOptions | None = None, *, progress: Callable[[Progress], None] | None = None
) -> Solution:
    """Find the best whole-number plan from nothing.

    Limits are counted in nodes, so that a plan does not depend on the machine's speed unless its time runs out.

    Parameters
    ----------
    model : linopy.Model
        What `gigaforge.buildout.programme.build` states.
    options : SolverOptions
        Gap and time limit.
    progress : callable
        Called with a `Progress` at every node, then as `gigaforge.buildout.solver.solve` does.

    Returns
    -------
    Solution
        As of `gigaforge.buildout.solver.solve`; its bound holds for every plan.

    Raises
    ------
    GigaforgeError
        Nothing feasible was found before the time limit or the interrupt.

    """
    options, started = options or SolverOptions(), time.perf_counter()
    climb = _Climb(model, options, progress, started)
    in_background(climb.run, climb.asked)
    if climb.values is None:
        if climb.asked.is_set():
            raise KeyboardInterrupt
        return solve(model, options, progress=progress)
    seconds = time.perf_counter() - started
    found = climb.solution(seconds)
    if found.status != "optimal" or found.gap <= options.gap:
        return found
    rest = replace(options, time_limit_s=max(options.time_limit_s - seconds, 1.0))
    further = solve(model, rest, start=climb.values, progress=progress)
    bound = min(found.bound, further.bound)
    return replace(
        further,
        bound=bound,
        gap=relative_gap(further.objective, bound),
        seconds=further.seconds + seconds,
        nodes=further.nodes + found.nodes,
    )


@dataclass
class _Climb:
    """The tree's work on one programme, and the best plan that it found.

    Attributes
    ----------
    values : array
        Of all columns; None without a plan.
    bound : float
        No plan is worth more.
    asked : threading.Event
        Set to end the work as soon as there is a plan.

    """

    model: linopy.Model
    options: SolverOptions
    progress: Callable[[Progress], None] | None
    started: float

    def __post_init__(self) -> None:
        self.values: Array | None = None
        self.worth, self.bound, self.nodes = -np.inf, np.inf, 0
        self.asked = threading.Event()
        self.out_of_time = False
        self.matrices: Any = None

    def run(self) -> None:
        """Go through the leaves of the tree until the gap is closed or racks alone keep it open."""
        lp, self.matrices = program_of(self.model)
        columns = whole_columns(self.model, self.matrices)
        reduced = Reduced(lp, _free_shape(columns, self.matrices), self.options)
        if reduced.empty:
            return
        self.tree = Tree(reduced, columns, self.options.gap)
        if "chosen" in columns:
            self._first(reduced, columns)
        for count, leaf in enumerate(self.tree.leaves(reduced.lower, reduced.upper, _NODES, self._go_on)):
            self._racks(reduced, columns, np.rint(leaf.point.shape))
            lost = relative_gap(self.worth, leaf.bound)
            if count + 1 >= _LEAVES or self.values is None or lost > self.options.gap or not self._go_on():
                break
        self.bound, self.nodes = self.tree.bound, self.tree.opened
        reduced.close()

    def _first(self, reduced: Reduced, columns: dict[str, Columns]) -> None:
        """A first plan, its runs placed before all else: the tree would come to places last."""
        runs = [reduced.where(places) for places in columns["chosen"]]
        tree = Tree(reduced, columns, self.options.gap)
        for leaf in tree.leaves(*place_runs(reduced, runs), _NODES, lambda: True):
            self._racks(reduced, columns, move_runs(reduced, runs, np.rint(leaf.point.shape)))
            return

    def solution(self, seconds: float) -> Solution:
        """What was found, as the solver says it."""
        assert self.values is not None
        gap = relative_gap(self.worth, self.bound)
        status: Any = "optimal"
        if gap > self.options.gap and self.asked.is_set():
            status = "interrupted"
        elif gap > self.options.gap and self.out_of_time:
            status = "time_limit"
        labels = np.asarray(self.matrices.vlabels)
        return Solution(status, self.values, labels, self.worth, self.bound, gap, seconds, self.nodes)

    def _left_s(self) -> float:
        return self.options.time_limit_s - (time.perf_counter() - self.started)

    def _go_on(self) -> bool:
        if self.progress is not None:
            bound, seconds = self.tree.bound, time.perf_counter() - self.started
            self.progress(Progress(seconds, self.worth, bound, relative_gap(self.worth, bound)))
        self.out_of_time = self._left_s() <= 0
        return not self.out_of_time and not (self.asked.is_set() and self.values is not None)

    def _racks(self, reduced: Reduced, columns: dict[str, Columns], shape: Array) -> None:
        """Whole racks near the relaxation's of this shape; kept where they make the best plan so far."""
        reduced.solve(shape, shape)
        near = replace(self.options, gap=_RACKS_SHARE * self.options.gap, time_limit_s=max(self._left_s(), 1.0))
        values = whole_racks(self.model, near, columns, reduced.values())
        if values is None:
            return
        worth = float(np.asarray(self.matrices.c) @ values)
        if worth > self.worth:
            self.values, self.worth = values, worth
            self.tree.worth = worth


def _free_shape(columns: dict[str, Columns], matrices: Any) -> Columns:
    """Columns of the shape's numbers that are not fixed."""
    mine = np.concatenate([columns[n].ravel() for n in SHAPE if n in columns] or [np.zeros(0, dtype=np.int32)])
    mine = mine[mine >= 0]
    return np.asarray(mine[np.asarray(matrices.lb)[mine] != np.asarray(matrices.ub)[mine]])
