"""Folds for honest cross-validation: what is alike is left out together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["group_folds", "merge_alike"]


def merge_alike(groups: Sequence[Hashable], signatures: Sequence[Hashable]) -> npt.NDArray[np.int64]:
    """Number the groups, with those merged that share a signature (rows alike in all that is printed).

    >>> merge_alike(["a", "b", "c"], ["x", "y", "x"]).tolist()
    [0, 1, 0]
    """
    parent: dict[Hashable, Hashable] = {}

    def root(x: Hashable) -> Hashable:
        while parent.setdefault(x, x) != x:
            x = parent[x]
        return x

    for group, signature in zip(groups, signatures, strict=True):
        a, b = root(("group", group)), root(("signature", signature))
        if a != b:
            parent[b] = a
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(root(("group", g)), len(numbers)) for g in groups])


def group_folds(group: npt.NDArray[np.int64], count: int, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Fold of each row: whole groups, largest first into the lightest fold, so that folds weigh alike."""
    size = np.bincount(group, weights=weights)
    load = np.zeros(count)
    fold_of = np.zeros(len(size), dtype=np.int64)
    for g in np.argsort(-size, kind="stable"):
        fold_of[g] = int(np.argmin(load))
        load[fold_of[g]] += max(float(size[g]), 1e-6)
    folds: npt.NDArray[np.int64] = fold_of[group]
    return folds
