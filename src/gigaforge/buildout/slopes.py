"""What a small change adds to a relaxed plan: it is solved again with a little more and a little less.

Prices (duals) are derivatives only where one set of them is right. Where several are, a sum of them over quarters can be far from
what any change does, and one unit more is worth less than the last one. So the programme stays in the solver at its optimum, and each
change is put to it from there: a few steps of the simplex method, often none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import highspy
import numpy as np

from gigaforge.buildout.highs import quiet_highs, run_highs
from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.programme import Programme
from gigaforge.buildout.risk.compiled import Compiled, Stated
from gigaforge.buildout.solver import Relaxation, SolverOptions
from gigaforge.errors import GigaforgeError

__all__ = ["Change", "Slope", "Slopes"]

# As for re-plans of a risk study: a neighbour's basis is nearly right, and what is set up for a long search costs more than it saves.
_WARM: Final = {"simplex_dual_edge_weight_strategy": 1, "dual_simplex_cost_perturbation_multiplier": 0.0}
_MANY: Final = 1e6  # blocks
_ROUNDING: Final = 1e-12


@dataclass(frozen=True)
class Change:
    """What one unit of a change does to the figures of a programme; None for nothing.

    Attributes
    ----------
    rhs : array, shape (row,)
        Added to right-hand sides.
    cost : array, shape (column,)
        Added to the objective's coefficients.
    matrix : sparse array, shape (row, column)
        Added to coefficients.

    """

    rhs: Array | None = None
    cost: Array | None = None
    matrix: Any = None


@dataclass(frozen=True)
class Slope:
    """What a change of a relaxed plan's limits or coefficients does to its value, a unit of it; in the objective's unit.

    Attributes
    ----------
    more : float
        What a unit more adds.
    less : float
        What a unit less costs; infinite where no plan is left.

    """

    more: float
    less: float


class Slopes:
    """A relaxed programme at its optimum, that answers what changes do.

    Parameters
    ----------
    problem : Problem
        What is to be decided.
    programme : Programme
        The problem as stated.
    relaxation : Relaxation
        Its optimum.
    options : SolverOptions
        Seed and time limit of each solution.

    Attributes
    ----------
    base : Compiled
        The programme's figures; `Change` speaks of its rows and columns.
    value : float
        Of the relaxed plan, in the objective's unit.

    Raises
    ------
    GigaforgeError
        A changed programme is not solved within the time limit.

    """

    def __init__(
        self, problem: Problem, programme: Programme, relaxation: Relaxation, options: SolverOptions | None = None
    ) -> None:
        self.problem, self._options = problem, options or SolverOptions()
        stated = Stated(problem, programme)
        self._kept = stated.needed()
        self.base: Compiled = _lifted(stated.on(self._kept))
        self._highs, self._other = self._solver(), self._solver()
        self._highs.passModel(self._as_highs(Change(), 0.0))
        self._basis = highspy.HighsBasis()
        whole = relaxation.basis
        columns, rows = list(whole.col_status), list(whole.row_status)
        self._basis.col_status = [columns[i] for i in self._kept.columns]
        self._basis.row_status = [rows[i] for i in self._kept.rows]
        self._basis.valid = self._basis.alien = True  # HiGHS sees to what a column left out leaves open
        self.value = self._run(self._highs)
        self._basis = self._highs.getBasis()

    def slope(self, change: Change, units: float) -> Slope:
        """What a change does, going so many units to either side; the fewer, the nearer to a derivative."""
        return Slope(self.more(change, units), -self._gain(change, -units) / units)

    def more(self, change: Change, units: float) -> float:
        """What a unit more of a change adds, going so many units."""
        return self._gain(change, units) / units

    def _gain(self, change: Change, units: float) -> float:
        """What so many units add in all; nothing where it is no more than the rounding of two sums."""
        gain = self._value(change, units) - self.value
        return gain if abs(gain) > _ROUNDING * max(abs(self.value), 1.0) else 0.0

    def difference(self, changed: Problem) -> Change:
        """What makes the programme that of another problem, which differs in coefficients alone."""
        other = Stated(changed).on(self._kept)
        return Change(
            other.rhs - self.base.rhs, other.cost - self.base.cost, (other.matrix - self.base.matrix).tocsc()
        )

    def _solver(self) -> Any:
        highs = quiet_highs()
        for option, setting in _WARM.items():
            highs.setOptionValue(option, setting)
        highs.setOptionValue("output_flag", False)
        highs.setOptionValue("threads", 1)
        highs.setOptionValue("solver", "simplex")
        highs.setOptionValue("random_seed", self._options.seed)
        return highs

    def _value(self, change: Change, units: float) -> float:
        """The value with so many units of a change; minus infinity where no plan is left."""
        if change.matrix is not None:
            self._other.passModel(self._as_highs(change, units))
            return self._run(self._other)
        try:
            self._put(change, units)
            return self._run(self._highs)
        finally:
            self._put(change, 0.0)

    def _put(self, change: Change, units: float) -> None:
        """Put right-hand sides and costs to the solver in place."""
        b = self.base
        if change.rhs is not None:
            for row in np.flatnonzero(change.rhs):
                self._highs.changeRowBounds(int(row), *_bounds(b.sense[row], b.rhs[row] + units * change.rhs[row]))
        if change.cost is not None:
            for column in np.flatnonzero(change.cost):
                self._highs.changeColCost(int(column), float(b.cost[column] + units * change.cost[column]))

    def _run(self, highs: Any) -> float:
        highs.setBasis(self._basis)
        # HiGHS counts the time of all solutions together.
        highs.setOptionValue("time_limit", highs.getRunTime() + self._options.time_limit_s)
        run_highs(highs)
        status = highs.getModelStatus()
        if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
            return -np.inf
        if status != highspy.HighsModelStatus.kOptimal:
            raise GigaforgeError(
                f"a small change of the relaxed plan was not solved ({highs.modelStatusToString(status)}) within "
                f"{self._options.time_limit_s:g} s; allow more with --time-limit"
            )
        return float(highs.getInfo().objective_function_value)

    def _as_highs(self, change: Change, units: float) -> Any:
        """The programme with so many units of a change, as HiGHS takes it."""
        b, lp = self.base, highspy.HighsLp()
        matrix = b.matrix if change.matrix is None else (b.matrix + units * change.matrix).tocsc()
        rhs = b.rhs if change.rhs is None else b.rhs + units * change.rhs
        lp.num_row_, lp.num_col_ = matrix.shape
        lp.col_cost_ = b.cost if change.cost is None else b.cost + units * change.cost
        lp.col_lower_, lp.col_upper_ = b.lower, b.upper
        lp.row_lower_, lp.row_upper_ = (
            np.where(b.sense == "<", -highspy.kHighsInf, rhs),
            np.where(b.sense == ">", highspy.kHighsInf, rhs),
        )
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
        lp.sense_ = highspy.ObjSense.kMaximize
        return lp


def _lifted(base: Compiled) -> Compiled:
    """Without the bounds of racks that follow from supply and power: they would move with what they follow from."""
    upper = base.upper.copy()
    for name in ("add", "retire", "online"):
        columns = base.columns[name]
        columns = columns[columns >= 0]
        open_ended = (upper[columns] > 0) & (base.lower[columns] < upper[columns])
        upper[columns] = np.where(open_ended, _MANY, upper[columns])
    return replace(base, upper=upper)


def _bounds(sense: str, rhs: float) -> tuple[float, float]:
    """Least and most of a row."""
    return (
        -highspy.kHighsInf if sense == "<" else float(rhs),
        highspy.kHighsInf if sense == ">" else float(rhs),
    )
