"""The one type of the performance floor: a number, or an array of them that broadcasts."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Array"]

Array: TypeAlias = float | npt.NDArray[np.float64]
