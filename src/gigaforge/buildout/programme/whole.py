"""The whole programme, one subject after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import linopy

from gigaforge.buildout.problem import Problem
from gigaforge.buildout.programme.builder import Builder
from gigaforge.buildout.programme.commitment import commitment
from gigaforge.buildout.programme.financing import financing
from gigaforge.buildout.programme.installation import installation
from gigaforge.buildout.programme.money import money
from gigaforge.buildout.programme.objective import objective
from gigaforge.buildout.programme.power import capacity, power
from gigaforge.buildout.programme.serving import serving
from gigaforge.buildout.programme.training import training

__all__ = ["Programme", "build"]

_PARTS: Final = (installation, commitment, serving, training, power, capacity, money, financing)


@dataclass(frozen=True)
class Programme:
    """The model and the expressions that a plan is read from."""

    problem: Problem
    model: linopy.Model
    flows: dict[str, Any]
    net_present_value: Any


def build(problem: Problem, *, tight: bool = True) -> Programme:
    """State the whole programme; `gigaforge.buildout.solver.solve` finds its optimum.

    Parameters
    ----------
    problem : Problem
        What is to be decided.
    tight : bool
        Bound variables by what supply and power allow. Without, every limit is a named constraint alone, so that a
        conflict can be traced to statements of the scenario.

    """
    b = Builder(problem, tight=tight)
    for part in _PARTS:
        part(b)
    value = objective(b)
    flows = dict(b.flows)
    if b.income is not None:
        flows["revenue"] = b.income
    return Programme(problem, b.model, flows, value)
