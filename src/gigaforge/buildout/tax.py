"""Tax on profit, with losses carried forward; depreciation in straight lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["depreciation", "depreciation_shares", "tax_due"]

Array = NDArray[np.float64]


def depreciation(spent_usd: Array, years: float) -> Array:
    """Straight-line depreciation, half a quarter's worth in the quarter of spending [USD]. Shape as `spent_usd`."""
    out = np.zeros_like(spent_usd)
    count = spent_usd.shape[-1]
    for age, share in enumerate(depreciation_shares(years, count)):
        out[..., age:] += spent_usd[..., : count - age] * share
    return out


def depreciation_shares(years: float, quarters: int) -> Array:
    """Share of a sum written off in each quarter since it was spent; they add up to one in time. Shape (quarters,)."""
    edges = np.clip((np.arange(quarters + 1) - 0.5) / (4 * years), 0.0, 1.0)
    return np.asarray(np.diff(edges))


def tax_due(profit_usd: Array, rate: float, losses_usd: float = 0.0) -> Array:
    """Tax of each quarter on what cumulative profit exceeds its highest level before [USD]. Shape as `profit_usd`.

    A loss is carried forward without limit, so the base to date is the running maximum of cumulative profit less the
    losses brought in: ``B(t) = max(0, C(1), ..., C(t))``, tax ``rate (B(t) - B(t-1))``.
    """
    base = np.maximum(np.maximum.accumulate(np.cumsum(profit_usd) - losses_usd), 0.0)
    return np.asarray(rate * np.diff(base, prepend=0.0))
