"""Solve a programme with HiGHS: progress while it works, the best plan so far when it is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import highspy
import linopy
import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.highs import in_background, program_of, quiet_highs
from gigaforge.buildout.labels import labels_by_rule
from gigaforge.errors import GigaforgeError

__all__ = [
    "Progress",
    "Relaxation",
    "Solution",
    "SolverOptions",
    "make_highs",
    "relative_gap",
    "relax",
    "solve",
]

Array = NDArray[np.float64]
Status = Literal["optimal", "time_limit", "interrupted", "infeasible"]
_COARSE_GAP = 0.005
_HEURISTIC_EFFORT = 0.4  # of the search; at HiGHS's own 0.05 the reference plan stayed at a gap of 0.53 % for 120 CPU-s, at 0.4 it closes in 35


@dataclass(frozen=True)
class SolverOptions:
    """How long and how exactly to search.

    Attributes
    ----------
    gap : float
        Relative distance to the bound at which to stop [fraction].
    time_limit_s : float
        [s]
    threads : int
        0 leaves it to HiGHS.
    seed : int
        HiGHS's random seed, so that a plan repeats.

    """

    gap: float = 0.005
    time_limit_s: float = 300.0
    threads: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Progress:
    """What the solver has so far."""

    seconds: float
    best: float
    bound: float
    gap: float


@dataclass(frozen=True)
class Solution:
    """Values by linopy variable label, and how good they are.

    Attributes
    ----------
    values : array
        One value per column; `labels` names the linopy variable labels of the columns.
    objective, bound : float
        In the programme's own units; maximised.
    gap : float
        Relative distance between them [fraction].

    """

    status: Status
    values: Array
    labels: NDArray[np.int64]
    objective: float
    bound: float
    gap: float
    seconds: float
    nodes: int


@dataclass(frozen=True)
class Relaxation:
    """The programme without whole numbers: its optimum bounds any plan, its duals are shadow prices.

    Attributes
    ----------
    duals : dict
        Constraint name to array of duals, shaped like the constraint: what one more unit of its right-hand side is
        worth in the objective's unit (programme units).
    values, reduced : dict
        Variable name to values, and to reduced costs: what one more unit forced in would add to the objective.
    ranges : dict
        Constraint name to the least and the most right-hand side at which the dual holds, others unchanged.
    basis : highspy.HighsBasis
        Of the optimum, for whoever solves a like programme next.

    """

    feasible: bool
    objective: float
    seconds: float
    duals: dict[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    reduced: dict[str, Any] = field(default_factory=dict)
    ranges: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    basis: Any = None


def make_highs(model: linopy.Model, options: SolverOptions, *, relaxed: bool) -> tuple[Any, Any]:
    """Pass the matrix to HiGHS without its banner."""
    lp, matrices = program_of(model)
    if not relaxed:
        # What is fixed need not be whole: racks of the past may be no whole blocks.
        choice = (np.asarray(matrices.vtypes) != "C") & (np.asarray(matrices.lb) != np.asarray(matrices.ub))
        whole, free = highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous
        lp.integrality_ = [whole if chosen else free for chosen in choice]
    highs = quiet_highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("mip_rel_gap", options.gap)
    highs.setOptionValue("time_limit", options.time_limit_s)
    highs.setOptionValue("random_seed", options.seed)
    highs.setOptionValue("mip_heuristic_effort", _HEURISTIC_EFFORT)
    if options.threads:
        highs.setOptionValue("threads", options.threads)
    highs.passModel(lp)
    return highs, matrices


def relax(model: linopy.Model, options: SolverOptions | None = None, *, ranging: bool = False) -> Relaxation:
    """Solve without whole numbers and return the duals by constraint, on request with the range that each holds in."""
    options = options or SolverOptions()
    started = time.perf_counter()
    highs, matrices = make_highs(model, options, relaxed=True)
    if _run(highs):
        raise KeyboardInterrupt
    status = highs.getModelStatus()
    seconds = time.perf_counter() - started
    if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
        return Relaxation(False, float("nan"), seconds, {})
    if status != highspy.HighsModelStatus.kOptimal:
        raise GigaforgeError(
            f"the relaxed programme was not solved ({highs.modelStatusToString(status)}) within "
            f"{options.time_limit_s:g} s; allow more with --time-limit"
        )
    duals = _by_constraint(model, matrices, np.asarray(highs.getSolution().row_dual))
    ranges = {}
    if ranging:
        found = highs.getRanging()[1]
        low, high = (
            _by_constraint(model, matrices, np.asarray(b.value_)) for b in (found.row_bound_dn, found.row_bound_up)
        )
        ranges = {name: (low[name], high[name]) for name in low}
    vlabels = np.asarray(matrices.vlabels)
    values, reduced = (
        _by_variable(model, vlabels, np.asarray(column))
        for column in (highs.getSolution().col_value, highs.getSolution().col_dual)
    )
    return Relaxation(
        True,
        float(highs.getInfo().objective_function_value),
        seconds,
        duals,
        values,
        reduced,
        ranges,
        highs.getBasis(),
    )


def _by_constraint(model: linopy.Model, matrices: Any, row: Array) -> dict[str, Any]:
    """A number per row as arrays shaped like the constraints."""
    by_label = np.full(int(np.max(matrices.clabels)) + 1, 0.0)
    by_label[np.asarray(matrices.clabels)] = row
    out = {}
    for name, labels in labels_by_rule(model).items():
        out[name] = labels.copy(data=np.where(labels.values >= 0, by_label[labels.values], 0.0))
    return out


def _by_variable(model: linopy.Model, labels: NDArray[np.int64], column: Array) -> dict[str, Any]:
    """A column of the solution as arrays shaped like the variables."""
    by_label = np.zeros(int(labels.max()) + 1)
    by_label[labels] = column
    out = {}
    for name in model.variables:
        mine = model.variables[name].labels
        out[name] = mine.copy(data=np.where(mine.values >= 0, by_label[mine.values], 0.0))
    return out


def solve(
    model: linopy.Model,
    options: SolverOptions | None = None,
    *,
    start: Array | tuple[NDArray[np.int32], Array] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Solution:
    """Find the best whole-number plan.

    Parameters
    ----------
    model : linopy.Model
        What `gigaforge.buildout.programme.build` states.
    options : SolverOptions
        Gap and time limit.
    start : array, or (columns, values)
        Values of all columns to start from, or of some (e.g. a standing plan's decisions).
    progress : callable
        Called with a `Progress` a few times a second.

    Returns
    -------
    Solution
        The best found when it ended, was stopped by Ctrl-C or ran out of time; ``status`` says which. HiGHS may
        say "time limit" with nothing found: then the values are empty and the status is "infeasible" only where
        that was proved.

    Raises
    ------
    GigaforgeError
        Nothing feasible was found before the time limit or the interrupt.

    """
    options = options or SolverOptions()
    if start is None and options.gap < _COARSE_GAP:
        # A coarse plan first: it is found in seconds, and there is something to keep when the search is stopped.
        coarse = solve(model, replace(options, gap=_COARSE_GAP), progress=progress)
        if coarse.status != "optimal" or coarse.gap <= options.gap:
            return coarse
        start = coarse.values
    highs, matrices = make_highs(model, options, relaxed=False)
    if start is not None:
        if isinstance(start, tuple):
            highs.setSolution(len(start[0]), *start)
        else:
            guess = highspy.HighsSolution()
            guess.col_value = list(start)
            highs.setSolution(guess)
    started = time.perf_counter()
    if progress is not None:
        _report(highs, progress, started)
    stopped = _run(highs)
    seconds = time.perf_counter() - started
    status = highs.getModelStatus()
    labels = np.asarray(matrices.vlabels)
    if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
        return Solution("infeasible", np.zeros(0), labels, np.nan, np.nan, np.nan, seconds, 0)
    info = highs.getInfo()
    values = np.asarray(highs.getSolution().col_value)
    # Trap: HiGHS answers "time limit" with an all-zero vector when it found nothing; trust only its own flag.
    found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    if not found or not np.isfinite(values).all() or not np.isfinite(info.objective_function_value):
        why = "it was interrupted" if stopped else f"{options.time_limit_s:g} s were over"
        raise GigaforgeError(f"no feasible plan was found before {why}; allow more time with --time-limit")
    kind: Status = "optimal"
    if status != highspy.HighsModelStatus.kOptimal:
        kind = "interrupted" if stopped else "time_limit"
    objective, bound = float(info.objective_function_value), float(info.mip_dual_bound)
    gap = relative_gap(objective, bound)
    return Solution(kind, values, labels, objective, bound, gap, seconds, int(info.mip_node_count))


def relative_gap(objective: float, bound: float) -> float:
    """Distance of a plan's worth to the bound [fraction]; infinite without a plan."""
    return abs(bound - objective) / max(abs(objective), 1e-9) if np.isfinite(objective) else np.inf


def _report(highs: Any, progress: Callable[[Progress], None], started: float) -> None:
    last = [0.0]

    def show(event: Any) -> None:
        now = time.perf_counter() - started
        if now - last[0] > 0.2:
            last[0] = now
            data = event.data_out
            progress(Progress(now, data.mip_primal_bound, data.mip_dual_bound, data.mip_gap))

    highs.cbMipInterrupt.subscribe(show)


def _run(highs: Any) -> bool:
    """Run HiGHS; True where Ctrl-C stopped it. A second Ctrl-C gives up at once.

    A search that has no plan yet goes on to its first one, so that there is something to keep.
    """
    asked, given_up = threading.Event(), threading.Event()

    def stop(event: Any) -> None:
        if asked.is_set():
            event.interrupt()

    def stop_with_a_plan(event: Any) -> None:
        has_plan = abs(event.data_out.mip_primal_bound) < highspy.kHighsInf
        if given_up.is_set() or (asked.is_set() and has_plan):
            event.interrupt()

    def work() -> None:
        highs.run()
        highs.resetGlobalScheduler(True)  # HiGHS's own threads end with this one

    highs.cbMipInterrupt.subscribe(stop_with_a_plan)
    if not highs.getLp().integrality_:
        highs.cbSimplexInterrupt.subscribe(stop)
        highs.cbIpmInterrupt.subscribe(stop)
    in_background(work, asked, given_up)
    return asked.is_set()
