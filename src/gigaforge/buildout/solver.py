"""Solve a programme with HiGHS: progress while it works, the best plan so far when it is stopped."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import highspy
import linopy
import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.labels import labels_by_rule
from gigaforge.errors import GigaforgeError

__all__ = [
    "Progress",
    "Relaxation",
    "Solution",
    "SolverOptions",
    "in_background",
    "make_highs",
    "program_of",
    "quiet_highs",
    "relative_gap",
    "relax",
    "run_highs",
    "solve",
]

Array = NDArray[np.float64]
Status = Literal["optimal", "time_limit", "interrupted", "infeasible"]
_POLL_S = 0.05
_COARSE_GAP = 0.005
_HEURISTIC_EFFORT = 0.4  # of the search; at HiGHS's own 0.05 the reference plan stayed at a gap of 0.53 % for 120 CPU-s, at 0.4 it closes in 35
_BANNER = threading.Lock()


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


def program_of(model: linopy.Model) -> tuple[Any, Any]:
    """The matrix as HiGHS takes it, without whole numbers, and as linopy has it."""
    matrices: Any = model.matrices
    lp = highspy.HighsLp()
    a = matrices.A.tocsc()
    lp.num_col_, lp.num_row_ = a.shape[1], a.shape[0]
    lp.col_cost_ = np.asarray(matrices.c, dtype=float)
    lp.col_lower_, lp.col_upper_ = np.asarray(matrices.lb, float), np.asarray(matrices.ub, float)
    rhs, sense = np.asarray(matrices.b, float), np.asarray(matrices.sense)
    infinity = highspy.kHighsInf
    lp.row_lower_ = np.where(sense == "<", -infinity, rhs)
    lp.row_upper_ = np.where(sense == ">", infinity, rhs)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = a.indptr, a.indices, a.data
    lp.sense_ = highspy.ObjSense.kMaximize if model.objective.sense == "max" else highspy.ObjSense.kMinimize
    return lp, matrices


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


def quiet_highs() -> Any:
    """Make a HiGHS object; its constructor prints a banner on the first call, which would spoil ``--json``."""
    with _BANNER:  # a descriptor belongs to all threads
        return _silently()


def _silently() -> Any:
    sys.stdout.flush()
    saved = os.dup(1)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 (a descriptor, not a path)
            os.dup2(nowhere.fileno(), 1)
            return highspy.Highs()  # type: ignore[no-untyped-call]
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def run_highs(highs: Any) -> None:
    """Run HiGHS in this thread, after whatever ran in it before.

    HiGHS keeps one scheduler for each thread of the caller, and answers nothing at all where the next run asks for another number
    of threads than it was begun with.
    """
    highs.resetGlobalScheduler(True)
    highs.run()


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


def in_background(work: Callable[[], None], asked: threading.Event, given_up: threading.Event | None = None) -> None:
    """Work in a thread of its own until it ends; Ctrl-C sets `asked`, a second one `given_up` and gives up.

    Python delivers signals between byte codes of the main thread only, so the main thread waits in small steps.
    """
    given_up, done, failed = given_up or threading.Event(), threading.Event(), []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (raised again where the work was asked for)
            failed.append(error)
        finally:
            done.set()

    threading.Thread(target=guarded, daemon=True).start()
    # Not Thread.join: in Python 3.11 an interrupted join takes the thread for ended.
    while not done.is_set():
        try:
            done.wait(_POLL_S)
        except KeyboardInterrupt:
            if given_up.is_set():
                raise
            (given_up if asked.is_set() else asked).set()
    if given_up.is_set():
        raise KeyboardInterrupt
    if failed:
        raise failed[0]
