"""One re-plan in the solver: exchanged numbers, a start from a neighbour's basis, and runs put down one after the other."""

from __future__ import annotations

from typing import Any, Final

import highspy
import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.highs import quiet_highs, run_highs
from gigaforge.buildout.problem import Array
from gigaforge.buildout.risk.template import Numbers, Template
from gigaforge.errors import GigaforgeError

__all__ = ["Basis", "Replan", "packed", "unpacked"]

Basis = Any  # highspy.HighsBasis; see `packed` for what travels between processes

# Devex prices and no perturbation of costs: a neighbour's basis is nearly right, and steepest-edge weights cost more to
# begin with than they save (a third less time over the re-plans of the reference scenario).
_OPTIONS: Final = {
    "output_flag": False,
    "threads": 1,
    "solver": "simplex",
    "random_seed": 0,
    "simplex_dual_edge_weight_strategy": 1,
    "dual_simplex_cost_perturbation_multiplier": 0.0,
}


class Replan:
    """A relaxed programme with the numbers of one moment.

    Always a fresh solver: the answer depends on the arguments alone, not on what a worker did before.

    Parameters
    ----------
    template : Template
        Places of all figures.
    numbers : Numbers
        What is believed or true.
    lower, upper : array
        Bounds of the template's columns.
    basis : Basis, optional
        Of a neighbour.

    """

    def __init__(
        self, template: Template, numbers: Numbers, lower: Array, upper: Array, basis: Basis | None = None
    ) -> None:
        self._highs = quiet_highs()
        for option, setting in _OPTIONS.items():
            self._highs.setOptionValue(option, setting)
        template.pass_to(self._highs, numbers, lower, upper)
        self._warm = basis is not None
        if basis is not None:
            self._highs.setBasis(basis)

    def best(self) -> Array:
        """The best values of all columns, slacks last."""
        run_highs(self._highs)
        status = self._highs.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            if self._warm:  # a poor start can mislead the simplex method; begin afresh
                self._warm = False
                self._highs.clearSolver()
                return self.best()
            raise GigaforgeError(
                f"a re-plan was not solved ({self._highs.modelStatusToString(status)}); please report it"
            )
        self._warm = True
        return np.asarray(self._highs.getSolution().col_value)

    @property
    def objective(self) -> float:
        """Of the last answer [billion USD]."""
        return float(self._highs.getInfo().objective_function_value)

    @property
    def basis(self) -> Basis:
        """Where a neighbour may start."""
        return self._highs.getBasis()

    def fix(self, columns: NDArray[np.int32], values: Array) -> None:
        """Let columns take these values and no others."""
        self._highs.changeColsBounds(len(columns), columns, values, values)


_STATUS: Final = tuple(highspy.HighsBasisStatus(i) for i in range(5))


def packed(basis: Basis | None) -> tuple[Any, Any] | None:
    """A basis as small integers, columns and rows, that can travel."""
    if basis is None:
        return None
    sides = (basis.col_status, basis.row_status)
    columns, rows = (np.array([int(s) for s in side], dtype=np.int8) for side in sides)
    return columns, rows


def unpacked(statuses: tuple[Any, Any] | None) -> Basis | None:
    """The basis that `packed` made small."""
    if statuses is None:
        return None
    basis = highspy.HighsBasis()
    basis.col_status = [_STATUS[i] for i in statuses[0]]
    basis.row_status = [_STATUS[i] for i in statuses[1]]
    basis.valid = True
    return basis
