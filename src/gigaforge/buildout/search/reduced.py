"""A programme as HiGHS's presolve leaves it, relaxed but for bounds on the few numbers that shape a plan.

Re-solving after a changed bound takes some hundreds of steps of the dual simplex. On the programme as stated each step
costs several times what it costs on what presolve leaves, and HiGHS presolves anew whenever it starts from nothing; so
presolve runs once, and all re-solves happen behind it, each from the basis of the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import highspy
import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.highs import quiet_highs, run_highs
from gigaforge.buildout.labels import Index, looked_up, positions
from gigaforge.buildout.solver import SolverOptions

__all__ = ["SHAPE", "Array", "Columns", "Point", "Reduced", "whole_columns"]

SHAPE: Final = ("tranches", "tranche", "slip", "chosen", "spanned")
"""Whole numbers that shape a plan, in the order in which they are settled; all others are blocks of racks."""
_PERTURBATION: Final = 0.1
"""Of HiGHS's own: from a good basis, costs need little shaking to leave a degenerate corner."""
Array = NDArray[np.float64]
Columns = Index


@dataclass(frozen=True)
class Point:
    """An optimum of the relaxation within bounds.

    Attributes
    ----------
    bound : float
        No plan within these bounds is worth more; minus infinity where there is none.
    shape : (N,) array
        Values of the shape's numbers; empty where the bound was enough to stop at.
    basis : highspy.HighsBasis
        To start the next one from.

    """

    bound: float
    shape: Array
    basis: Any


class Reduced:
    """The relaxation behind presolve.

    Attributes
    ----------
    empty : bool
        Nothing is left to search: infeasible, or all of the shape is settled.
    lower, upper : (N,) array
        Bounds of the shape's numbers that presolve left.
    source : (N,) array
        Their columns in the programme.

    """

    def __init__(self, lp: Any, shape: Columns, options: SolverOptions) -> None:
        """Presolve a programme in which only the columns `shape` are whole.

        Parameters
        ----------
        lp : highspy.HighsLp
            The programme, without whole numbers; maximised.
        shape : array
            Columns that are whole.
        options : SolverOptions
            The seed; re-solving takes one thread.

        """
        whole, free = highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous
        kind = np.zeros(lp.num_col_, dtype=bool)
        kind[shape] = True
        lp.integrality_ = [whole if k else free for k in kind]
        lp.col_names_ = [f"c{i}" for i in range(lp.num_col_)]  # presolve keeps names, and so tells what is left
        self._presolved = _quiet(options)
        self._presolved.passModel(lp)
        self._presolved.presolve()
        nothing = self._presolved.getModelPresolveStatus() == highspy.HighsPresolveStatus.kInfeasible
        left = self._presolved.getPresolvedLp()
        self.empty = nothing or left.num_col_ == 0 or not len(left.integrality_)
        if self.empty:
            return
        mine = [i for i, k in enumerate(left.integrality_) if k == whole]
        self._columns = np.array(mine, dtype=np.int32)
        self.source = np.array([int(left.col_names_[i][1:]) for i in mine], dtype=np.int32)
        self.lower = np.asarray(left.col_lower_)[self._columns]
        self.upper = np.asarray(left.col_upper_)[self._columns]
        left.integrality_ = []
        if left.sense_ == highspy.ObjSense.kMaximize:
            left.sense_, left.offset_ = highspy.ObjSense.kMinimize, -left.offset_
            left.col_cost_ = -np.asarray(left.col_cost_)
        self._highs = _quiet(options)
        self._highs.setOptionValue("presolve", "off")
        self._highs.setOptionValue("dual_simplex_cost_perturbation_multiplier", _PERTURBATION)
        self._highs.passModel(left)
        self.solves = 0

    def where(self, columns: Columns) -> Columns:
        """Positions in the shape of columns of the programme, of those that presolve left."""
        at = {int(c): i for i, c in enumerate(self.source)}
        return np.array([at[int(c)] for c in columns.ravel() if int(c) in at], dtype=np.int32)

    def solve(self, lower: Array, upper: Array, *, basis: Any = None, enough: float = -np.inf) -> Point:
        """Solve within bounds of the shape.

        Parameters
        ----------
        lower, upper : (N,) array
            Bounds of the shape's numbers.
        basis : highspy.HighsBasis
            To start from; the one before where None.
        enough : float
            Stop as soon as no plan within these bounds can be worth more than this.

        """
        highs = self._highs
        highs.changeColsBounds(len(self._columns), self._columns, lower, upper)
        highs.setOptionValue("objective_bound", -enough if np.isfinite(enough) else highspy.kHighsInf)
        if basis is not None:
            highs.setBasis(basis)
        run_highs(highs)
        self.solves += 1
        status, nothing = highs.getModelStatus(), np.zeros(0)
        if status == highspy.HighsModelStatus.kOptimal:
            bound = -float(highs.getInfo().objective_function_value)
            return Point(bound, np.asarray(highs.getSolution().col_value)[self._columns], highs.getBasis())
        if status == highspy.HighsModelStatus.kObjectiveBound:
            return Point(enough, nothing, highs.getBasis())
        if status == highspy.HighsModelStatus.kInfeasible:
            return Point(-np.inf, nothing, None)
        # No answer is no bound: whoever asked keeps the bound known before.
        highs.clearSolver()
        return Point(np.inf, nothing, None)

    def values(self) -> Array:
        """Values of all columns of the programme at the last optimum."""
        solution = highspy.HighsSolution()
        solution.col_value, solution.value_valid = list(self._highs.getSolution().col_value), True
        self._presolved.postsolve(solution)
        return np.asarray(self._presolved.getSolution().col_value)

    def close(self) -> None:
        """End HiGHS's threads of this one."""
        self._presolved.resetGlobalScheduler(True)


def _quiet(options: SolverOptions) -> Any:
    highs = quiet_highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    highs.setOptionValue("random_seed", options.seed)
    return highs


def whole_columns(model: Any, matrices: Any) -> dict[str, Columns]:
    """Columns of all whole numbers by variable, runs and quarters first."""
    position = positions(np.asarray(matrices.vlabels))
    first = {"chosen": "run", "spanned": "pair", "slip": "quarter", "tranches": "quarter", "tranche": "quarter"}
    out = {}
    for name in (*SHAPE, "add", "retire"):
        if name in model.variables:
            array = model.variables[name].labels
            array = array.transpose(first[name], ...) if name in first else array
            out[name] = looked_up(position, array.values)
    return out
