"""Step functions over time, exact: how many intervals cover an instant, and their integrals over a grid.

Everything that goes down and comes up again (racks, jobs, outages) is a pair of arrays ``start, end`` [s]. A count
over time is a difference of two counting functions, its integral a difference of two ramps, so a grid of bins costs
one search per edge and no loop.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "IntArray", "Mask", "above", "bin_integrals", "bin_mean", "count_at", "integral_to", "union"]

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def _ramp(points: Array, at: Array, weights: Array | None) -> Array:
    """Sum over the (sorted) points of ``weight * max(at - point, 0)``."""
    index = np.searchsorted(points, at)
    if weights is None:
        moment = np.concatenate(([0.0], np.cumsum(points)))
        return at * index - moment[index]
    mass = np.concatenate(([0.0], np.cumsum(weights)))
    moment = np.concatenate(([0.0], np.cumsum(weights * points)))
    return at * mass[index] - moment[index]


def _sorted(points: Array, weights: Array | None) -> tuple[Array, Array | None]:
    if weights is None:
        return np.sort(points), None
    order = np.argsort(points, kind="stable")
    return points[order], weights[order]


def integral_to(at: Array, start: Array, end: Array, weights: Array | None = None) -> Array:
    """Time covered up to each instant, intervals counted as often as they overlap.

    Parameters
    ----------
    at : (point,) array
        [s]
    start, end : (interval,) array
        [s] ``start <= end``.
    weights : (interval,) array, optional
        What an interval counts for (default 1).

    Returns
    -------
    (point,) array
        ``sum(weight * overlap of [start, end) with (-inf, at])`` [s].

    """
    return _ramp(*_pair(start, weights, at)) - _ramp(*_pair(end, weights, at))


def _pair(points: Array, weights: Array | None, at: Array) -> tuple[Array, Array, Array | None]:
    ordered, w = _sorted(points, weights)
    return ordered, at, w


def bin_integrals(edges: Array, start: Array, end: Array, weights: Array | None = None) -> Array:
    """Covered time in each bin of a grid [s]; shape (edges - 1,)."""
    if start.size == 0:
        return np.zeros(edges.size - 1)
    return np.diff(integral_to(edges, start, end, weights))


def bin_mean(edges: Array, start: Array, end: Array, weights: Array | None = None) -> Array:
    """Mean number of intervals that cover each bin; shape (edges - 1,)."""
    return bin_integrals(edges, start, end, weights) / np.diff(edges)


def count_at(at: Array, start: Array, end: Array) -> IntArray:
    """Intervals with ``start < at < end`` or ``start < at == end``: those open just before each instant."""
    opened = np.searchsorted(np.sort(start), at, side="left")
    closed = np.searchsorted(np.sort(end), at, side="left")
    return np.asarray(opened - closed, dtype=np.int64)


def above(start: Array, end: Array, limit: int) -> tuple[Array, Array]:
    """Maximal intervals in which more than ``limit`` of the given ones are open.

    A return and a failure at the same instant leave no gap: ends count before starts, and an interval of no
    length is dropped.
    """
    if start.size <= limit:
        return np.empty(0), np.empty(0)
    opens, closes = np.sort(start), np.sort(end)
    count = np.arange(1, start.size + 1)
    risen = count - np.searchsorted(closes, opens, side="right")
    fallen = np.searchsorted(opens, closes, side="left") - count
    begin, finish = opens[risen == limit + 1], closes[fallen == limit]
    keep = finish > begin
    return _joined(begin[keep], finish[keep])


def _joined(begin: Array, finish: Array) -> tuple[Array, Array]:
    """Join intervals that touch."""
    if begin.size < 2:
        return begin, finish
    apart = begin[1:] > finish[:-1]
    return begin[np.concatenate(([True], apart))], finish[np.concatenate((apart, [True]))]


def union(start: Array, end: Array) -> tuple[Array, Array]:
    """Disjoint sorted intervals that cover the same instants."""
    return above(start, end, 0)
