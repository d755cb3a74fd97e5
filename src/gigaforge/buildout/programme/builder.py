"""What all subjects of the programme share: its dimensions, units, variables and rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import linopy
import numpy as np
import pandas as pd
import xarray as xr

from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.spans import Span

__all__ = ["GW", "PETA", "USD", "Builder", "by_system", "lagged", "previous", "together"]

GW, USD, PETA = 1e9, 1e9, 1e15  # one unit of power, money and tokens in the matrix


def previous(variable: Any) -> Any:
    """Value one quarter before; zero before the first."""
    return lagged(variable, 1)


def lagged(variable: Any, quarters: int) -> Any:
    """Value some quarters before; zero before the first."""
    if not isinstance(variable, linopy.Variable):
        return variable.shift(quarter=quarters).fillna(0)
    # The same in one step: half of the rules speak of the quarter before, and linopy would make four expressions for each.
    labels = variable.labels.shift(quarter=quarters, fill_value=-1)
    dims, terms = labels.dims, labels.values[..., None]
    data = {
        "coeffs": ((*dims, "_term"), np.where(terms < 0, np.nan, 1.0)),
        "vars": ((*dims, "_term"), terms),
        "const": (dims, np.zeros(labels.shape)),
    }
    return linopy.LinearExpression(xr.Dataset(data, coords=labels.coords), variable.model)


def together(expressions: Iterable[Any]) -> Any:
    """Sum of expressions, put together once; 0 of none."""
    parts = list(expressions)
    return linopy.merge(parts) if parts else 0


def _frame(problem: Problem) -> dict[str, pd.Index]:
    """The labels of each dimension."""
    return {
        "site": pd.Index(problem.sites, name="site"),
        "system": pd.Index(problem.systems, name="system"),
        "quarter": pd.RangeIndex(len(problem.quarters), name="quarter"),
        "line": pd.Index(problem.lines, name="line"),
        "workload": pd.Index(problem.workloads, name="workload"),
        "run": pd.Index(problem.runs, name="run"),
        "point": pd.RangeIndex(len(problem.points), name="point"),
        "job": pd.RangeIndex(len(problem.training_points), name="job"),
    }


class Builder:
    """Collects the model: each subject adds its variables, rules and flows of money, and reads those of the ones before.

    Attributes
    ----------
    p : Problem
        What is to be decided.
    tight : bool
        Whether variables are bounded by what supply and power allow.
    model : linopy.Model
        Variables, rules and the objective.
    index : dict
        Labels of each dimension.
    block : float
        Racks in a block.
    flows : dict
        Money spent by flow and quarter, in units of USD; negative where it is received.
    penalties : list
        What the search subtracts and nobody pays.

    """

    add: Any  # (site, system, quarter) blocks deployed
    bought: Any  # the same, delivered and paid for: less what comes out of stock
    retire: Any
    online: Any
    added: Any  # so far
    retired: Any
    built: Any  # (site, quarter) facility power paid for [GW]
    deployed: Any  # (quarter,) [GW]
    serve: Any  # (site, point, quarter) blocks
    served: Any = None  # (workload, quarter) [PETA tokens]
    train: Any  # (job, site, quarter) blocks
    chosen: Any  # (run, site, system) whether it is the place
    slip: Any = None  # (late, quarter) whether a run is late
    delivered: Any  # (quarter,) value of systems [USD]
    delivered_so_far: Any = None
    income: Any = None  # (quarter,) [USD]
    spent: Any  # (quarter,) all flows [USD]
    debt: Any = None
    cash: Any
    settlement: Any = 0  # instalments still owed at the end, in today's money
    pairs: list[Span]  # sites that runs may span

    def __init__(self, problem: Problem, *, tight: bool) -> None:
        linopy.options["semantics"] = "v1"
        self.p = problem
        self.tight = tight
        self.model = linopy.Model()
        self.index = _frame(problem)
        self.block = float(problem.scenario.block)
        self.flows: dict[str, Any] = {}
        self.penalties: list[Any] = []

    def data(self, values: Array, *dims: str) -> xr.DataArray:
        """Numbers with the labels of their dimensions."""
        return xr.DataArray(values, coords={d: self.index[d] for d in dims}, dims=dims)

    def variable(self, name: str, *dims: str, **options: Any) -> Any:
        """A variable for every label; not negative unless ``lower`` says so."""
        return self.model.add_variables(coords=[self.index[d] for d in dims], name=name, **{"lower": 0.0, **options})

    def extend(self, dim: str, labels: list[Any]) -> None:
        """A further dimension."""
        self.index[dim] = pd.Index(labels, name=dim)

    def rule(self, statement: str, name: str, condition: Any, **options: Any) -> None:
        """A constraint that carries a statement of the scenario ("" for a law of nature or of book-keeping).

        One for all labels of a dimension names it in braces, as in "sites.{site}.power".
        """
        self.model.add_constraints(condition, name=f"{statement}|{name}", **options)


def by_system(serve: Any, group: xr.DataArray, problem: Problem) -> Any:
    """Sum points or jobs into their systems. Shape (site, system, quarter)."""
    total = (1 * serve).groupby(group).sum()
    return total.reindex(system=problem.systems).fillna(0)
