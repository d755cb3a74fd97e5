"""Noise with a memory: what weather and traffic share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded

__all__ = ["remembered"]


def remembered(kicks: NDArray[np.float64], memory: float) -> NDArray[np.float64]:
    """First-order autoregression: each value is its kick and ``memory`` (0 to 1) of the value before. Shape of ``kicks``.

    Solved as the two-diagonal system it is, in one pass.
    """
    bands = np.vstack([np.ones_like(kicks), np.full_like(kicks, -memory)])
    return np.asarray(solve_banded((1, 0), bands, kicks, check_finite=False))
