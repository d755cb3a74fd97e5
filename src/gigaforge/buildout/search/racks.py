"""Whole blocks of racks near the relaxation's, with everything that shapes the plan as it is there."""

from __future__ import annotations

from typing import Any, Final

import highspy
import numpy as np

from gigaforge.buildout.highs import run_highs
from gigaforge.buildout.search.reduced import SHAPE, Array, Columns
from gigaforge.buildout.solver import SolverOptions, make_highs

__all__ = ["whole_racks"]

_WHOLE: Final = 1e-6
_ROOM: Final = ((3.0, 0.0), (6.0, 1.0))
"""Blocks that racks may move from the relaxation's, and tranches that may wait; tried one after another."""
_EFFORT: Final = 0.05
_NODES: Final = 50


def whole_racks(model: Any, options: SolverOptions, columns: dict[str, Columns], value: Array) -> Array | None:
    """Round racks to whole blocks.

    The relaxation buys in few places and quarters: racks may move by some blocks there and in the quarters beside, and
    stay away elsewhere. What is left is small.

    Parameters
    ----------
    model : linopy.Model
        The programme.
    options : SolverOptions
        Gap and time limit.
    columns : dict
        Columns of the whole numbers by variable, shaped as declared.
    value : array
        Of all columns of the programme, racks divisible.

    Returns
    -------
    array
        Of all columns; None where no whole plan is near.

    """
    highs, matrices = make_highs(model, options, relaxed=False)
    highs.setOptionValue("mip_heuristic_effort", _EFFORT)
    highs.setOptionValue("mip_max_nodes", _NODES)
    low, high = np.asarray(matrices.lb, dtype=float), np.asarray(matrices.ub, dtype=float)
    for room, wait in _ROOM:
        for name in columns.keys() & set(SHAPE):
            mine = columns[name].ravel()
            shaped = np.rint(value[mine])
            least = np.maximum(shaped - (wait if name in ("tranches", "tranche") else 0.0), low[mine])
            highs.changeColsBounds(len(mine), mine, least, shaped)
        for name in ("add", "retire"):
            mine = columns[name]
            near = _beside(value[mine] > _WHOLE)
            least = np.where(near, np.floor(value[mine] + _WHOLE) - room, 0.0)
            most = np.where(near, np.ceil(value[mine] - _WHOLE) + room, 0.0)
            least, most = np.clip(least, low[mine], high[mine]), np.clip(most, low[mine], high[mine])
            highs.changeColsBounds(mine.size, mine.ravel(), least.ravel(), most.ravel())
        run_highs(highs)
        if highs.getInfo().primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible:
            return np.asarray(highs.getSolution().col_value)
    return None


def _beside(used: Any) -> Any:
    """Where something is used, and the quarters before and after; quarters last."""
    out = used.copy()
    out[..., 1:] |= used[..., :-1]
    out[..., :-1] |= used[..., 1:]
    return out
