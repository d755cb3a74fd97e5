"""Random numbers that stay the same when something else changes.

Each use (failures of one group in one window, restarts of one job, ...) has a stream of its own, keyed by names and
not by the order of calls. Two policies compared with the same seed therefore see the same failures: common random
numbers, and a run resumed from its last window continues to the last digit.
"""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["stream"]


def stream(seed: int, *key: str | int) -> np.random.Generator:
    """Generator of one purpose.

    Parameters
    ----------
    seed : int
        The run's seed (not negative).
    *key : str or int
        Purpose, e.g. ``("failures", "abilene", "llama", 3)``.

    """
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *words])))
