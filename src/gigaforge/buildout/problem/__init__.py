"""A scenario as arrays: what the build-out programme decides over."""

from __future__ import annotations

from gigaforge.buildout.problem.arrays import Array, Mask, Past, Problem, owners_of, step_once
from gigaforge.buildout.problem.premises import Premises, premises_of
from gigaforge.buildout.problem.statement import problem_from

__all__ = ["Array", "Mask", "Past", "Premises", "Problem", "owners_of", "premises_of", "problem_from", "step_once"]
