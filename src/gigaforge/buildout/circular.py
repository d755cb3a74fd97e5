"""The circle that the announcement is known for: how much of the investor's money comes back as purchases, and when."""

from __future__ import annotations

from typing import Any

import numpy as np

from gigaforge.buildout.cash import Cash
from gigaforge.buildout.decisions import Decisions
from gigaforge.buildout.flows import OPERATOR
from gigaforge.buildout.payments import party_names
from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.shares import stake_of

__all__ = ["circularity", "traced"]

RETURNING = ("system_purchase", "maintenance", "system_lease", "credit_repayment", "credit_interest")


def traced(paid_in_usd: Array, opening_usd: Array, other_in_usd: Array, out_usd: Array, back_usd: Array) -> Array:
    """What of each payment in has gone back to its payer by each quarter, if all cash in the purse mixes.

    In a quarter the purse holds what was left, and what comes in; every dollar in it is as likely as any other to be
    among those that go out, and of what goes out the share `back_usd` goes to the payer.

    Parameters
    ----------
    paid_in_usd : (payment, quarter) array
        The payments that are followed [USD].
    opening_usd : (quarter,) array
        Purse at the beginning of each quarter [USD].
    other_in_usd, out_usd, back_usd : (quarter,) array
        Other money in; money out; of which to the payer [USD].

    Returns
    -------
    (payment, quarter) array
        Cumulative dollars returned.

    """
    left = np.zeros(len(paid_in_usd))
    returned = np.zeros_like(paid_in_usd)
    for t in range(paid_in_usd.shape[1]):
        left = left + paid_in_usd[:, t]
        purse = opening_usd[t] + other_in_usd[t] + paid_in_usd[:, t].sum()
        spent = min(max(out_usd[t] / purse, 0.0), 1.0) if purse > 0 else 0.0
        back = back_usd[t] / out_usd[t] if out_usd[t] > 0 else 0.0
        returned[:, t] = left * spent * back
        left = left * (1 - spent)
    return np.cumsum(returned, axis=1)


def circularity(p: Problem, d: Decisions, cash: Cash) -> dict[str, Any] | None:
    """Investment against what comes back to the investor, in total and by tranche.

    Returns
    -------
    dict
        ``investor, invested_usd, purchases_usd`` (of the operator, and ``through_partners_usd`` of clouds and lessors),
        ``per_dollar`` (all purchases over all invested), ``returned_usd`` (of the invested dollars, as `traced`),
        ``tranches``: by payment its quarter, amount, purchases from this payment to the next, dollars returned, their
        share, and the quarter by which half of them are back. None without an investment, or where the investor sells
        nothing.

    """
    stake = stake_of(p, d)
    if stake is None or not stake.paid_usd.any():
        return None
    investor = party_names(p)["investor"]
    quarters = [str(q) for q in p.quarters]
    table = cash.table
    sales = table[(table["party"] == investor) & table["flow"].isin(RETURNING) & (table["amount_usd"] > 0)]
    if sales.empty:
        return None

    def by_quarter(rows: Any) -> Array:
        return np.asarray(rows.groupby("quarter")["amount_usd"].sum().reindex(quarters, fill_value=0.0), dtype=float)

    direct = by_quarter(sales[sales["counterparty"] == OPERATOR])
    through = by_quarter(sales[sales["counterparty"] != OPERATOR])
    mine = table[table["party"] == OPERATOR]
    came, went = by_quarter(mine[mine["amount_usd"] > 0]), -by_quarter(mine[mine["amount_usd"] < 0])
    when = np.flatnonzero(stake.paid_usd)
    paid = np.zeros((len(when), len(quarters)))
    paid[np.arange(len(when)), when] = stake.paid_usd[when]
    opening = np.concatenate([[0.0], cash.balance_usd[:-1]])
    back = traced(paid, np.maximum(opening, 0.0), came - stake.paid_usd, went, direct)
    rows = []
    for i, t in enumerate(when):
        until = when[i + 1] if i + 1 < len(when) else len(quarters)
        half = np.flatnonzero(back[i] >= 0.5 * back[i, -1])
        rows.append(
            {
                "quarter": quarters[t],
                "amount_usd": float(paid[i, t]),
                "purchases_until_next_usd": float((direct + through)[t:until].sum()),
                "returned_usd": float(back[i, -1]),
                "returned_share": float(back[i, -1] / paid[i, t]),
                "half_back_by": quarters[int(half[0])] if len(half) and back[i, -1] > 0 else None,
            }
        )
    invested = float(stake.paid_usd.sum())
    return {
        "investor": investor,
        "invested_usd": invested,
        "purchases_usd": float(direct.sum()),
        "through_partners_usd": float(through.sum()),
        "per_dollar": float((direct.sum() + through.sum()) / invested),
        "returned_usd": float(back[:, -1].sum()),
        "returned_share": float(back[:, -1].sum() / invested),
        "stake": stake.share,
        "stake_worth_usd": stake.worth_usd,
        "tranches": rows,
    }
