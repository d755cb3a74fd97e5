"""A first plan for the solver: the few whole numbers that shape a plan chosen on the relaxation, then whole racks.

Where runs are trained and when tranches are released are few questions with far-reaching answers; a solver that meets
them among thousands of racks takes long to answer any. Fixing one after another on the relaxation and solving again
each time, from the optimum before, answers them in seconds: a number in order of time is tried rounded down and up, and
the side that leaves the plan worth more is kept. Racks then round well: most of the relaxation's are whole already, and
the rest move by a block.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

import highspy
import linopy
import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.solver import Relaxation, SolverOptions, make_highs

__all__ = ["first_plan"]

_SHARE: Final = 0.2
"""Of the time limit that a first plan may take."""
_ROOM: Final = ((0.0, 0.0), (2.0, 1.0))
"""Blocks that racks may move from the relaxation's, and tranches that may wait; tried one after another."""
_WHOLE: Final = 1e-6
Columns = NDArray[np.int32]
Array = NDArray[np.float64]


def first_plan(
    model: linopy.Model, options: SolverOptions, relaxation: Relaxation | None = None
) -> tuple[Columns, Array] | None:
    """All columns of a good plan to start from, and their values; None where the way down led nowhere.

    Parameters
    ----------
    model : linopy.Model
        From `gigaforge.buildout.programme.build`.
    options : SolverOptions
        Of the search that follows.
    relaxation : Relaxation
        Of the same model, if it is solved already: the way down begins at its optimum.

    """
    started = time.perf_counter()
    highs, matrices = make_highs(model, options, relaxed=True)
    if relaxation is not None and relaxation.basis is not None:
        highs.setBasis(relaxation.basis)
    columns = _columns(model, matrices)
    shaped = _shape(highs, columns)
    highs.resetGlobalScheduler(True)  # the next search may ask for another number of threads
    if not shaped:
        return None
    left_s = _SHARE * options.time_limit_s - (time.perf_counter() - started)
    value = np.asarray(highs.getSolution().col_value)
    found = _whole_racks(
        model, replace(options, gap=0.2 * options.gap, time_limit_s=max(left_s, 1.0)), columns, value
    )
    return None if found is None else (np.arange(len(found), dtype=np.int32), found)


def _columns(model: linopy.Model, matrices: Any) -> dict[str, Any]:
    """Columns of the whole numbers, shaped as declared: runs and quarters first."""
    labels = np.asarray(matrices.vlabels)
    position = np.full(int(labels.max()) + 1, -1, dtype=np.int32)
    position[labels] = np.arange(len(labels), dtype=np.int32)
    first = {"chosen": "run", "slip": "quarter", "tranches": "quarter", "tranche": "quarter"}
    out = {}
    for name in ("add", "retire", *first):
        if name in model.variables:
            array = model.variables[name].labels
            array = array.transpose(first[name], ...) if name in first else array
            out[name] = position[array.values]
    return out


def _shape(highs: Any, columns: dict[str, Any]) -> bool:
    """Fix places of runs, what is late, then tranches in order of time; False where that leads nowhere."""
    if not _solved(highs):
        return False
    if "chosen" in columns and not _place(highs, columns["chosen"].reshape(len(columns["chosen"]), -1)):
        return False
    for name in ("slip", "tranches", "tranche"):
        if name in columns and not _in_order(highs, columns[name].reshape(len(columns[name]), -1)):
            return False
    return True


def _solved(highs: Any) -> bool:
    highs.run()
    return bool(highs.getModelStatus() == highspy.HighsModelStatus.kOptimal)


def _fix(highs: Any, columns: Columns, values: Array) -> None:
    highs.changeColsBounds(len(columns), columns, values, values)


def _values(highs: Any) -> Array:
    return np.asarray(highs.getSolution().col_value)


def _place(highs: Any, places: Columns) -> bool:
    """Fix every run's place, the surest first."""
    left = list(range(len(places)))
    while left:
        value = _values(highs)[places]
        run = max(left, key=lambda r: float(value[r].max()))
        _fix(highs, places[run], (np.arange(places.shape[1]) == value[run].argmax()).astype(float))
        left.remove(run)
        if value[run].max() < 1 - _WHOLE and not _solved(highs):
            return False
    return _solved(highs)


def _in_order(highs: Any, columns: Columns) -> bool:
    """Round what is broken in the first quarter that has any to the better side, and so on to the end."""
    while True:
        value = _values(highs)[columns]
        broken = np.flatnonzero((np.abs(value - np.rint(value)) > _WHOLE).any(axis=1))
        first = int(broken[0]) if len(broken) else len(columns)
        _fix(highs, columns[:first].ravel(), np.rint(value[:first]).ravel() + 0.0)
        if not len(broken):
            return _solved(highs)
        if not _better_side(highs, columns[first], value[first]):
            return False


def _better_side(highs: Any, columns: Columns, value: Array) -> bool:
    """Fix numbers rounded down or up, whichever leaves the plan worth more; False where neither can be."""
    worth = {}
    sides = {"down": np.floor(value + _WHOLE), "up": np.ceil(value - _WHOLE)}
    for side, rounded in sides.items():
        _fix(highs, columns, rounded + 0.0)
        if _solved(highs):
            worth[side] = float(highs.getInfo().objective_function_value)
    if not worth:
        return False
    best = max(worth, key=lambda side: worth[side])
    if best == "up":
        return True
    _fix(highs, columns, sides[best] + 0.0)
    return _solved(highs)


def _whole_racks(model: linopy.Model, options: SolverOptions, columns: dict[str, Any], value: Array) -> Array | None:
    """Whole blocks near the relaxation's with everything that shapes the plan as it is there."""
    highs, matrices = make_highs(model, options, relaxed=False)
    low, high = np.asarray(matrices.lb, dtype=float), np.asarray(matrices.ub, dtype=float)
    racks = np.concatenate([columns[name].ravel() for name in ("add", "retire")])
    for room, wait in _ROOM:
        for name in columns.keys() - {"add", "retire"}:
            mine = columns[name].ravel()
            shaped = np.rint(value[mine])
            least = np.maximum(shaped - (wait if name in ("tranches", "tranche") else 0.0), low[mine])
            highs.changeColsBounds(len(mine), mine, least, shaped)
        least = np.maximum(low[racks], np.floor(value[racks] + _WHOLE) - room)
        most = np.minimum(high[racks], np.ceil(value[racks] - _WHOLE) + room)
        highs.changeColsBounds(len(racks), racks, np.minimum(least, most), most)
        highs.run()
        if highs.getInfo().primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible:
            found = _values(highs)
            highs.resetGlobalScheduler(True)
            return found
    highs.resetGlobalScheduler(True)
    return None
