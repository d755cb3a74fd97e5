"""Financing: tranches, debt, tax and a purse that is never empty."""

from __future__ import annotations

from typing import Any

import numpy as np

from gigaforge.buildout.problem import Array, step_once
from gigaforge.buildout.programme.builder import USD, Builder, lagged, previous, together
from gigaforge.buildout.programme.terms import profit_tax
from gigaforge.buildout.programme.tranches import state_tranches
from gigaforge.scenario import step

__all__ = ["financing"]


def financing(b: Builder) -> None:
    """Tranches, debt, tax and a purse that is never negative."""
    p, f, investment = b.p, b.p.scenario.finance, b.p.scenario.investment
    if f.debt is not None:
        limit = b.data(step(f.debt.limit, p.quarters) / USD, "quarter")
        b.debt = b.variable("debt", "quarter", upper=limit)
    b.cash = b.variable("cash", "quarter")
    if f.interest_on_cash:
        b.flows["interest_received"] = lagged(b.cash, 1) * (-f.interest_on_cash / 4)
    profit_tax(b)
    b.spent = together(b.flows.values())
    fixed = _funding(
        f.opening_cash, step_once(f.other_funding, p), step_once(investment.upfront, p) if investment else 0
    ) - step(f.dividends, p.quarters)
    balance: Any = -1 * b.spent if b.income is None else b.income - b.spent
    released = state_tranches(b)
    if released is not None:
        balance = balance + released - lagged(released, 1)
        if investment and investment.carry:
            worth = investment.carry / 4 * p.discount
            b.penalties.append((released * b.data(-worth, "quarter")).sum())
    if b.debt is not None and f.debt is not None:
        interest = previous(b.debt) * (f.debt.interest / 4)
        balance = balance + b.debt - previous(b.debt) - interest
    b.rule("finance", "cash", b.cash == previous(b.cash) + balance + b.data(fixed / USD, "quarter"))


def _funding(opening: float, *payments: Any) -> Array:
    total = sum(payments)
    out = np.asarray(total, dtype=float).copy()
    out[0] += opening
    return out
