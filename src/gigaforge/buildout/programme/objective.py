"""What a plan is worth: net present value to the operator, or one of its alternatives."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from gigaforge.buildout.programme.builder import GW, PETA, USD, Builder, previous, together

__all__ = ["objective"]


_DEAR: Final = 10.0  # under the objective "cost", a broken promise counts this many times


def objective(b: Builder) -> Any:
    """Net present value to the operator, or one of its alternatives."""
    p, f = b.p, b.p.scenario.finance
    discount = b.data(p.discount, "quarter")
    cost = (b.spent * discount).sum() - _salvage(b) + b.settlement
    income: Any = 0 if b.income is None else (b.income * discount).sum()
    if b.debt is not None and f.debt is not None:
        last = len(p.quarters) - 1
        service = previous(b.debt) * (1 + f.debt.interest / 4) - b.debt
        cost = cost + (service * discount).sum()
        cost = cost + b.debt.isel(quarter=last) * (p.discount_end * (1 + f.debt.interest / 4))
    penalty: Any = together(b.penalties)
    value = income - cost
    kind = p.scenario.objective
    worth = value - penalty
    if kind == "cost":
        # Least cost of what is promised: missing it must never be the cheap way out.
        worth = -1 * cost - _DEAR * penalty
        if b.served is not None:
            worth = worth + _lost_revenue_avoided(b) * _DEAR
    elif kind == "tokens" and b.served is not None:
        worth = b.served.sum() + value * 1e-3
    elif kind == "earliest":
        reach = b.variable("towards", "quarter", upper=p.scenario.commitment.power / GW)
        b.rule("", "towards", reach - b.deployed <= 0)
        worth = reach.sum() * 100.0 + value * 1e-3
    b.model.add_objective(worth, sense="max")
    return value


def _lost_revenue_avoided(b: Builder) -> Any:
    """Revenue of what is served, discounted: what leaving it unserved would lose."""
    per_unit = b.data(b.p.token_usd * b.p.discount[None, :] * PETA / USD, "workload", "quarter")
    return ((1 * b.served) * per_unit).sum()


def _salvage(b: Builder) -> Any:
    """Book value, straight line, of systems and buildings at the end of the horizon, discounted from there."""
    p, f = b.p, b.p.scenario.finance
    age = len(p.quarters) - np.arange(len(p.quarters)) - 0.5
    left = np.clip(1 - age / (4 * f.system_life_years), 0, None)
    own = np.array([t != "cloud" for t in p.tenures], dtype=float)
    book = own[:, None, None] * p.rack_price_usd[None] * left * b.block / USD * p.discount_end
    total = (b.bought * b.data(book, "site", "system", "quarter")).sum()
    stay = np.clip(1 - age / (4 * f.facility_life_years), 0, None)
    worth = b.data(np.outer(p.facility_usd_per_w, stay) * GW / USD * p.discount_end, "site", "quarter")
    return total + ((b.built - previous(b.built)) * worth).sum()
