"""A plan completed from its whole numbers: the best of all else for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import highspy
import numpy as np

from gigaforge.buildout.highs import run_highs
from gigaforge.buildout.search.reduced import Array, whole_columns
from gigaforge.buildout.solver import Solution, SolverOptions, make_highs, relative_gap

__all__ = ["completed", "whole_numbers"]


def whole_numbers(model: Any, found: Solution) -> dict[str, Array]:
    """Whole numbers of a solution by variable, in the shape of `gigaforge.buildout.search.reduced.whole_columns`."""
    return {
        name: np.where(mine >= 0, np.rint(found.values[mine]), 0.0)
        for name, mine in whole_columns(model, model.matrices).items()
    }


def completed(model: Any, whole: dict[str, Array], found: Solution, options: SolverOptions) -> Solution | None:
    """Solve a programme with its whole numbers given.

    Parameters
    ----------
    model : linopy.Model
        The programme.
    whole : dict
        Its whole numbers, from `whole_numbers` of a programme that has the same.
    found : Solution
        Where they come from; its bound holds for this programme too.

    Returns
    -------
    Solution
        With the status, bound and nodes of `found`; None where no plan has these whole numbers.

    """
    highs, matrices = make_highs(model, options, relaxed=True)
    for name, mine in whole_columns(model, matrices).items():
        there = mine >= 0
        highs.changeColsBounds(int(there.sum()), mine[there], whole[name][there], whole[name][there])
    run_highs(highs)
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    worth = float(highs.getInfo().objective_function_value)
    return replace(
        found,
        values=np.asarray(highs.getSolution().col_value),
        labels=np.asarray(matrices.vlabels),
        objective=worth,
        gap=relative_gap(worth, found.bound),
    )
