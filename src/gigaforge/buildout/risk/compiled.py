"""A programme as a bare linear programme: its columns that matter, its rows that can bind, where each variable is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.labels import Index, labels_by_rule, looked_up, positions
from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.programme import Programme, build

__all__ = ["Compiled", "Kept", "Reshaped", "Stated", "compiled"]


@dataclass(frozen=True)
class Kept:
    """Columns and rows of a programme that matter, by position, and how many it has of each."""

    columns: Any
    rows: Any
    size: tuple[int, int]

    def with_those_of(self, other: Kept) -> Kept:
        """What matters in either; `Reshaped` where the two are not of one form."""
        if self.size != other.size:
            raise Reshaped
        return Kept(np.union1d(self.columns, other.columns), np.union1d(self.rows, other.rows), self.size)


class Reshaped(Exception):  # noqa: N818 (no failure by itself: its catcher knows what was varied)
    """A programme has other columns or rows than the one it should be laid over."""


@dataclass(frozen=True)
class Compiled:
    """Figures of one programme.

    Attributes
    ----------
    matrix : scipy.sparse.csc_array
        Rows by columns.
    cost, value : array
        By column: the objective, and the operator's net present value alone.
    rhs, sense : array
        By row.
    lower, upper : array
        By column.
    keep : Kept
        Which of the programme's were kept.
    columns, constraints : dict
        Name to positions, shaped as declared; -1 where left out.

    """

    matrix: Any
    cost: Array
    value: Array
    rhs: Array
    sense: NDArray[np.str_]
    lower: Array
    upper: Array
    keep: Kept
    columns: dict[str, Index]
    constraints: dict[str, Index]

    def equals(self, other: Compiled) -> bool:
        """Whether two programmes on the same columns and rows have the same figures."""
        pairs = [(getattr(self, n), getattr(other, n)) for n in ("cost", "value", "rhs", "lower", "upper")]
        return all(np.array_equal(a, b) for a, b in pairs) and abs(self.matrix - other.matrix).sum() == 0


class Stated:
    """The relaxed programme of a problem, all of it.

    Parameters
    ----------
    problem : Problem
        What is to be decided.
    programme : Programme, optional
        As stated already; default with every limit as a rule of its own.

    """

    def __init__(self, problem: Problem, programme: Programme | None = None) -> None:
        self._programme = programme or build(problem, tight=False)
        self._m: Any = self._programme.model.matrices

    def needed(self) -> Kept:
        """Columns that can be anything but zero, and rows that can bind one of them."""
        return _needed(self._programme, self._m)

    def on(self, kept: Kept) -> Compiled:
        """Its figures on these columns and rows.

        Raises
        ------
        Reshaped
            It has not the columns and rows that `kept` speaks of.

        """
        m, model = self._m, self._programme.model
        if kept.size != m.A.shape:
            raise Reshaped
        columns, rows = kept.columns, kept.rows
        a = m.A.tocsr()[rows].tocsc()[:, columns]
        a.sum_duplicates()
        a.sort_indices()
        vlabels, clabels = np.asarray(m.vlabels)[columns], np.asarray(m.clabels)[rows]
        column_of = positions(vlabels, max(int(model.variables[n].labels.values.max()) for n in model.variables))
        row_of = positions(clabels, max(int(model.constraints[n].labels.values.max()) for n in model.constraints))
        worth = self._programme.net_present_value
        labels, amounts = worth.vars.values.ravel(), worth.coeffs.values.ravel()
        known = (labels >= 0) & (column_of[labels] >= 0)
        value = np.bincount(column_of[labels[known]], amounts[known], len(columns))
        return Compiled(
            a,
            np.asarray(m.c, float)[columns],
            np.asarray(value, dtype=float),
            np.asarray(m.b, float)[rows],
            np.asarray(m.sense)[rows],
            np.asarray(m.lb, float)[columns],
            np.asarray(m.ub, float)[columns],
            kept,
            {str(n): looked_up(column_of, model.variables[n].labels.values) for n in model.variables},
            {n: looked_up(row_of, labels.values) for n, labels in labels_by_rule(model).items()},
        )


def compiled(problem: Problem, keep: Kept | None = None) -> Compiled:
    """State the relaxed programme of a problem; with `keep`, on the same columns and rows as another's."""
    stated = Stated(problem)
    return stated.on(keep or stated.needed())


def _needed(programme: Programme, m: Any) -> Kept:
    """Columns that can be anything but zero, and rows that can bind one of them."""
    keep = (np.asarray(m.ub) > 0) | (np.asarray(m.lb) != 0)
    if programme.problem.points:
        position = positions(np.asarray(m.vlabels))
        unwanted = programme.model.variables["serve"].labels.values[:, ~worth_having(programme.problem)]
        keep[position[unwanted.ravel()]] = False
    a = m.A.tocsc()[:, keep].tocsr()
    rhs, sense = np.asarray(m.b), np.asarray(m.sense)
    most, least = a.max(axis=1).toarray().ravel(), a.min(axis=1).toarray().ravel()
    positive = bool((np.asarray(m.lb)[keep] >= 0).all())
    idle = ((sense == "<") & (most <= 0) & (rhs >= 0)) | ((sense == ">") & (least >= 0) & (rhs <= 0))
    filled: Any = np.diff(a.indptr) > 0
    return Kept(np.flatnonzero(keep), np.flatnonzero(filled & ~(idle & positive)), m.A.shape)


def worth_having(p: Problem) -> NDArray[np.bool_]:
    """Serving points that some price of power would make best in a quarter: the others are left out. Shape (P, T).

    Only points for which a site holds the same power are compared.
    """
    out = np.zeros(p.point_tokens.shape, dtype=bool)
    held = np.round(p.point_held_w, 3)
    for w in range(len(p.workloads)):
        for k, watts in sorted({(int(k), float(h)) for k, h in zip(p.point_system, held, strict=True)}):
            mine = np.flatnonzero((p.point_workload == w) & (p.point_system == k) & (held == watts))
            mine = mine[np.argsort(p.point_power_w[mine], kind="stable")]
            for t in range(len(p.quarters)):
                hull: list[tuple[float, float, int]] = [(float(p.rack_idle_w[k]), 0.0, -1)]
                for i in mine:
                    x, y = float(p.point_power_w[i]), float(p.point_tokens[i, t])
                    while len(hull) > 1 and _below(hull[-2], hull[-1], x, y):
                        hull.pop()
                    if y > hull[-1][1]:
                        hull.append((x, y, int(i)))
                out[[i for _, _, i in hull[1:]], t] = True
    return out


def _below(a: tuple[float, float, int], b: tuple[float, float, int], x: float, y: float) -> bool:
    """Whether b lies on or under the line from a to (x, y)."""
    return (y - b[1]) * (b[0] - a[0]) >= (b[1] - a[1]) * (x - b[0])
