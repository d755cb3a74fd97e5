"""What the investor's money buys: shares at the price of their quarter, and what they are worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gigaforge.buildout.decisions import Decisions
from gigaforge.buildout.problem import Array, Problem, step_once

__all__ = ["Stake", "stake_of"]


@dataclass(frozen=True)
class Stake:
    """What the investor's money buys.

    Attributes
    ----------
    paid_usd : (quarter,) array
        Equity paid [USD].
    price : (quarter,) array
        Price of a share over its price before the first payment [ratio].
    held : (quarter,) array or None
        Share of the company by the end of each quarter, other equity counted; None without a valuation [fraction].
    worth_usd : float
        At the end of the horizon; at cost where the scenario gives no valuation [USD].

    """

    paid_usd: Array
    price: Array
    held: Array | None
    worth_usd: float

    @property
    def share(self) -> float | None:
        """Of the company at the end of the horizon [fraction]."""
        return None if self.held is None else float(self.held[-1])


def stake_of(p: Problem, d: Decisions) -> Stake | None:
    """Shares that the investor buys, at the fixed valuation or at the one of each quarter; others buy at the latter."""
    terms = p.scenario.investment
    if terms is None:
        return None
    released = np.concatenate([[0.0], np.cumsum(p.tranche_amounts_usd)])[d.tranches]
    paid = np.diff(released, prepend=0.0) + step_once(terms.upfront, p)
    years = np.arange(len(p.quarters)) / 4
    current = (1 + terms.growth) ** years
    price = current if terms.pricing == "current" else np.ones(len(p.quarters))
    if terms.valuation is None:
        return Stake(paid, price, None, float(paid.sum()))
    mine = np.cumsum(paid / price) / terms.valuation
    others = np.cumsum(step_once(p.scenario.finance.other_funding, p) / current) / terms.valuation
    end = (1 + terms.growth) ** (len(p.quarters) / 4)
    return Stake(paid, price, mine / (1 + mine + others), float(mine[-1]) * terms.valuation * end)
