"""Systems on other terms than cash: what a lease or a vendor's credit costs, quarter by quarter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigaforge.scenario.schema import SystemTerms

__all__ = ["Instalments", "instalments"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Instalments:
    """One dollar's worth of systems on the terms of a scenario, by quarters since delivery.

    Attributes
    ----------
    payment, interest, principal, balance : (quarter,) array
        Paid in the n-th quarter after delivery (the first entry, of the quarter of delivery, is zero), of which
        interest and principal, and what is owed at its end, all per dollar of price. [fraction]

    """

    payment: Array
    interest: Array
    principal: Array
    balance: Array

    def spread(self, delivered_usd: Array, what: str) -> Array:
        """Payments, interest, principal or balance of all that was delivered [USD]. Shape as `delivered_usd`."""
        series = getattr(self, what)[: delivered_usd.shape[-1]]
        out = np.zeros_like(delivered_usd)
        for age, share in enumerate(series):
            out[..., age:] += delivered_usd[..., : delivered_usd.shape[-1] - age] * share
        return out


def instalments(terms: SystemTerms, quarters: int) -> Instalments:
    """Equal quarterly instalments after delivery, and the residual with the last one.

    With quarterly rate ``i``, ``n`` instalments, share ``P`` and residual ``R`` of the price, the instalment is
    ``(P - R (1+i)^-n) i / (1 - (1+i)^-n)``, the annuity that repays P less the residual's present value.

    Parameters
    ----------
    terms : SystemTerms
        Share, rate, term and residual.
    quarters : int
        Length of the arrays returned.

    """
    n = max(1, round(4 * terms.term_years))
    i = terms.rate / 4
    share, residual = terms.share, terms.residual * terms.share
    level = (share - residual * (1 + i) ** -n) * (i / -math.expm1(-n * math.log1p(i)) if i else 1 / n)
    payment, interest, principal, balance = (np.zeros(quarters + n + 1) for _ in range(4))
    balance[0] = share
    for k in range(1, n + 1):
        interest[k] = balance[k - 1] * i
        payment[k] = level + (residual if k == n else 0.0)
        principal[k] = payment[k] - interest[k]
        balance[k] = balance[k - 1] - principal[k]
    balance[n:] = 0.0
    return Instalments(*(a[:quarters] for a in (payment, interest, principal, balance)))
