"""Draws that cover the cube evenly and go together as stated: scrambled Sobol points through a Gaussian copula."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special
from scipy.stats import qmc

from gigaforge.buildout.problem import Array
from gigaforge.errors import InputError

__all__ = ["correlation_root", "uniforms"]


def uniforms(count: int, root: Array, seed: int) -> Array:
    """Correlated uniforms: scrambled Sobol points (Owen 1998) with a Gaussian copula. Shape (count, D).

    Point i does not depend on how many are drawn, so a study can grow.

    Parameters
    ----------
    count : int
        Points.
    root : array
        From `correlation_root`. Shape (D, D).
    seed : int
        Of the scrambling.

    """
    points = qmc.Sobol(len(root), scramble=True, rng=np.random.default_rng(seed)).random_base2(
        max(int(np.ceil(np.log2(max(count, 1)))), 0)
    )[:count]
    scores = special.ndtri(np.clip(points, 1e-12, 1 - 1e-12))
    return np.asarray(special.ndtr(scores @ root.T))


def correlation_root(names: Sequence[str], pairs: dict[tuple[int, int], float], where: str = "risk") -> Array:
    """Lower Cholesky root of the correlation matrix. Shape (D, D).

    Raises
    ------
    InputError
        No such correlations can be (the matrix is not positive definite): names the pair to blame, the stated one whose
        weakening makes the rest possible.

    """
    matrix = np.eye(len(names))
    for (i, j), value in pairs.items():
        matrix[i, j] = matrix[j, i] = value
    try:
        return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
    except np.linalg.LinAlgError:
        pass

    def least(without: tuple[int, int]) -> float:
        tried = matrix.copy()
        tried[without] = tried[without[::-1]] = 0.0
        return float(np.linalg.eigvalsh(tried)[0])

    worst = max(pairs, key=least)
    i, j = worst
    others = [
        f"{names[a]} with {names[b]} {value:g}"
        for (a, b), value in pairs.items()
        if (a, b) != worst and {a, b} & {i, j}
    ][:3]
    rest = f" beside {', '.join(others)}" if others else ""
    raise InputError(
        f"these correlations cannot hold together (the matrix is not positive definite): {names[i]} with {names[j]} "
        f"{pairs[worst]:g}{rest}; bring it nearer to what the others imply, or closer to 0",
        f"{where}: risk.correlations",
    )
