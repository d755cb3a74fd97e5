"""A first plan for the solver: places of training runs chosen one after another on the relaxation, then whole racks.

Where runs can go is what makes a plan hard: few yes-or-no questions with far-reaching answers. Fixing the surest first and
solving again each time answers them in a second; what remains are racks and tranches, which round well.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

import highspy
import linopy
import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.solver import SolverOptions, make_highs

__all__ = ["first_plan"]

_SHARE: Final = 0.3
"""Of the time limit that a first plan may take."""


def first_plan(model: linopy.Model, options: SolverOptions) -> tuple[NDArray[np.int32], NDArray[np.float64]] | None:
    """All columns of a good plan to start from, and their values; None where there is nothing to place or no luck.

    Parameters
    ----------
    model : linopy.Model
        From `gigaforge.buildout.programme.build`, with the whole numbers "chosen" of dimensions run, site, system.
    options : SolverOptions
        Of the search that follows.

    """
    if "chosen" not in model.variables:
        return None
    started = time.perf_counter()
    highs, matrices = make_highs(model, options, relaxed=True)
    labels = np.asarray(matrices.vlabels)
    position = np.full(int(labels.max()) + 1, -1)
    position[labels] = np.arange(len(labels))
    chosen = position[model.variables["chosen"].labels.transpose("run", "site", "system").values]
    places = chosen.reshape(len(chosen), -1)
    placed = _dive(highs, places)
    highs.resetGlobalScheduler(True)
    if not placed:
        return None
    left_s = _SHARE * options.time_limit_s - (time.perf_counter() - started)
    whole, _ = make_highs(
        model, replace(options, gap=0.5 * options.gap, time_limit_s=max(left_s, 1.0)), relaxed=False
    )
    value = np.asarray(highs.getSolution().col_value)
    for column in places.ravel():
        whole.changeColBounds(int(column), float(np.rint(value[column])), float(np.rint(value[column])))
    whole.run()
    whole.resetGlobalScheduler(True)  # the next search may ask for another number of threads
    found = whole.getInfo().primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    value = np.asarray(whole.getSolution().col_value)
    return (np.arange(len(value), dtype=np.int32), value) if found else None


def _dive(highs: Any, places: NDArray[np.int_]) -> bool:
    """Fix every run's place, the surest first; False where that leads nowhere."""
    left = list(range(len(places)))
    highs.run()
    while left:
        if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return False
        value = np.asarray(highs.getSolution().col_value)[places]
        run = max(left, key=lambda r: float(value[r].max()))
        best = int(value[run].argmax())
        for n, column in enumerate(places[run]):
            highs.changeColBounds(int(column), float(n == best), float(n == best))
        left.remove(run)
        highs.run()
    return bool(highs.getModelStatus() == highspy.HighsModelStatus.kOptimal)
