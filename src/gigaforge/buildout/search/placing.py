"""Places for training runs, one after another, for a first plan.

A run is trained at one place out of many, and the relaxation spreads it over several. The surest run is settled first, at the
best of its likeliest places with all others still free.
"""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np

from gigaforge.buildout.search.reduced import Array, Columns, Point, Reduced

__all__ = ["move_runs", "place_runs"]

_LIKELY: Final = 3
_SWEEPS: Final = 4
_WHOLE: Final = 1e-6


def place_runs(reduced: Reduced, runs: list[Columns]) -> tuple[Array, Array]:
    """Bounds of the shape with a place for every run.

    Parameters
    ----------
    reduced : Reduced
        The relaxation.
    runs : list of array
        Each run's places, as positions in the shape.

    Returns
    -------
    lower, upper : (N,) array
        Of the shape.

    """
    lower, upper = reduced.lower.copy(), reduced.upper.copy()
    point, left = reduced.solve(lower, upper), [mine for mine in runs if mine.size]
    while left and point.shape.size:
        surest = max(range(len(left)), key=lambda r: float(point.shape[left[r]].max()))
        mine = left.pop(surest)
        value = point.shape[mine]
        likely = [int(c) for c in mine[np.argsort(-value, kind="stable")][:_LIKELY] if point.shape[c] > _WHOLE]
        if not likely:  # it spans two sites, which the tree settles
            continue
        if point.shape[likely[0]] > 1 - _WHOLE:
            lower[likely[0]] = 1.0
            continue
        tried = [(_placed(reduced, lower, upper, place, point), place) for place in likely]
        best, place = max(tried, key=lambda pair: pair[0].bound)
        if best.shape.size:
            lower[place], point = 1.0, best
    return lower, upper


def move_runs(reduced: Reduced, runs: list[Columns], shape: Array) -> Array:
    """Move one run after another to a place worth more, all else of a plan's shape as it is, until none moves.

    Parameters
    ----------
    reduced : Reduced
        The relaxation.
    runs : list of array
        Each run's places, as positions in the shape.
    shape : (N,) array
        Of the plan, whole.

    """
    best, still = reduced.solve(shape, shape), 0
    for mine in itertools.islice(itertools.cycle(runs), _SWEEPS * len(runs)):
        if still == len(runs):
            break
        still += 1
        for place in _likelier(reduced, mine, shape, best):
            moved = shape.copy()
            moved[mine] = 0.0
            moved[place] = 1.0
            point = reduced.solve(moved, moved, basis=best.basis, enough=best.bound)
            if point.shape.size and point.bound > best.bound + _WHOLE:
                shape, best, still = moved, point, 0
    return shape


def _likelier(reduced: Reduced, mine: Columns, shape: Array, best: Point) -> list[int]:
    """Other places that the relaxation puts some of a run at, all else as it is."""
    if shape[mine].sum() < 1 - _WHOLE:
        return []
    lower, upper = shape.copy(), shape.copy()
    lower[mine], upper[mine] = 0.0, reduced.upper[mine]
    point = reduced.solve(lower, upper, basis=best.basis)
    if not point.shape.size or point.bound < best.bound + _WHOLE:
        return []
    value = np.where(shape[mine] > _WHOLE, 0.0, point.shape[mine])
    return [int(c) for c, v in sorted(zip(mine, value, strict=True), key=lambda p: -p[1])[:_LIKELY] if v > _WHOLE]


def _placed(reduced: Reduced, lower: Array, upper: Array, place: int, before: Point) -> Point:
    lower = lower.copy()
    lower[place] = 1.0
    return reduced.solve(lower, upper, basis=before.basis)
