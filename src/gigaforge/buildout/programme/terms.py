"""Terms of payment inside the programme: deposits, leases and credit, tax on the running maximum of profit."""

from __future__ import annotations

from typing import Any

import numpy as np

from gigaforge.buildout.instalments import instalments
from gigaforge.buildout.programme.builder import USD, Builder, lagged, together
from gigaforge.buildout.tax import depreciation_shares

__all__ = ["delivered_so_far", "profit_tax", "system_payments"]


def system_payments(b: Builder) -> None:
    """Deposits ahead, the rest on delivery, or instalments after it."""
    p, f = b.p, b.p.scenario.finance
    value, count = 1 * b.delivered, len(p.quarters)
    leased = f.systems.share if f.systems is not None and f.systems.kind == "lease" else 0.0
    ahead = value.shift(quarter=-1).fillna(0) * f.deposit
    first = b.data(np.eye(1, count)[0], "quarter") * f.deposit
    if leased < 1:
        b.flows["system_purchase"] = (value * (1 - f.deposit) + ahead + value * first) * (1 - leased)
    if f.systems is None:
        return
    terms = instalments(f.systems, count)
    paid: Any = together(lagged(b.delivered, k) * float(x) for k, x in enumerate(terms.payment) if x)
    if f.systems.kind == "credit":
        paid = paid - value * f.systems.share
    b.flows["system_terms"] = paid
    owed = terms.balance[::-1] * (1 + f.systems.rate / 4) * p.discount_end
    b.settlement = (b.delivered * b.data(owed, "quarter")).sum()


def delivered_so_far(b: Builder) -> Any:
    """Value of systems delivered up to each quarter."""
    if b.delivered_so_far is None:
        b.delivered_so_far = b.variable("delivered so far", "quarter")
        total = b.delivered_so_far
        b.rule("", "delivered so far", total == lagged(total, 1) + b.delivered)
    return b.delivered_so_far


def profit_tax(b: Builder) -> None:
    """Tax on the running maximum of cumulative profit; losses carry forward."""
    p, f, tax = b.p, b.p.scenario.finance, b.p.scenario.finance.tax
    if tax is None:
        return
    leased = f.systems.share if f.systems is not None and f.systems.kind == "lease" else 0.0
    capital = ("system_purchase", "facility_construction", "system_terms")
    profit: Any = -1 * together(v for k, v in b.flows.items() if k not in capital)
    if b.income is not None:
        profit = profit + b.income
    count = len(p.quarters)
    for k, share in enumerate(depreciation_shares(tax.system_years, count)):
        if share and leased < 1:
            profit = profit - lagged(b.delivered, k) * float(share * (1 - leased))
    built = b.flows["facility_construction"]
    if p.facility_usd_per_w.any():
        construction = b.variable("construction", "quarter")
        b.rule("", "construction", construction == built)
        for k, share in enumerate(depreciation_shares(tax.facility_years, count)):
            if share:
                profit = profit - lagged(construction, k) * float(share)
    if b.debt is not None and f.debt is not None:
        profit = profit - lagged(b.debt, 1) * (f.debt.interest / 4)
    if f.systems is not None:
        terms = instalments(f.systems, count)
        cost = terms.payment if leased else terms.interest
        profit = profit - together(lagged(b.delivered, k) * float(x) for k, x in enumerate(cost) if x)
    total = b.variable("profit so far", "quarter", lower=-np.inf)
    b.rule("", "profit so far", total == lagged(total, 1) + profit)
    base = b.variable("taxed", "quarter")
    b.rule("", "taxed stays", base >= lagged(base, 1))
    b.rule("", "taxed", base >= total - tax.losses / USD)
    b.flows["tax"] = (base - lagged(base, 1)) * tax.rate
