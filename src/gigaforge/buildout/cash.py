"""Whose money moves when: every payment of a plan as a table, and what the plan is worth to its operator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gigaforge.buildout.decisions import Decisions
from gigaforge.buildout.flows import FLOWS
from gigaforge.buildout.instalments import instalments
from gigaforge.buildout.payments import (
    delivered_usd,
    operator_flows,
    operator_stream,
    partner_streams,
    payments_table,
)
from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.tax import depreciation, tax_due

__all__ = ["Cash", "cash_table", "flows_usd", "internal_rate_of_return", "salvage_usd"]


@dataclass(frozen=True)
class Cash:
    """The cash-flow table and its sums for the operator."""

    table: pd.DataFrame
    balance_usd: Array  # (T,)
    project_usd: Array  # (T + 1,) before financing; the last is the salvage value
    net_present_value_usd: float
    capex_usd: float
    opex_usd: float
    revenue_usd: float
    salvage_usd: float
    owed_usd: float  # debt and instalments still to pay at the end of the horizon


def flows_usd(p: Problem, d: Decisions) -> dict[str, Array]:
    """Every flow of the operator by site or item and quarter, positive, to the cent [USD]. Shape (item, T)."""
    flows = {name: np.round(amount, 2) for name, amount in operator_flows(p, d).items()}
    received = _interest_received(p, flows)
    if received is not None:
        flows["interest_received"] = received
    if p.scenario.finance.tax is not None:
        if received is not None:  # tax lowers the cash that earns interest, so both are found quarter by quarter
            flows["interest_received"], flows["tax"] = _taxed_interest(p, d, flows)
        else:
            flows["tax"] = np.round(_tax(p, d, flows), 2)
    return flows


def _net(flows: dict[str, Array]) -> Array:
    """What the operator receives less what it pays in each quarter [USD]. Shape (T,)."""
    return np.asarray(sum(FLOWS[name][1] * amount.sum(axis=0) for name, amount in flows.items()))


def _interest_received(p: Problem, flows: dict[str, Array]) -> Array | None:
    """Interest on last quarter's balance, itself included [USD]. Shape (1, T)."""
    rate = p.scenario.finance.interest_on_cash / 4
    if not rate:
        return None
    net, cash, out = _net({k: v for k, v in flows.items() if k != "interest_received"}), 0.0, []
    for amount in net:
        out.append(round(max(cash, 0.0) * rate, 2))
        cash += amount + out[-1]
    return np.array([out])


def _tax(p: Problem, d: Decisions, flows: dict[str, Array]) -> Array:
    """Tax of each quarter on profit: income less running costs, interest and depreciation [USD]. Shape (1, T)."""
    f, tax = p.scenario.finance, p.scenario.finance.tax
    assert tax is not None
    earned = {n: a for n, a in flows.items() if FLOWS[n][2] in ("revenue", "opex") and n != "tax"}
    paid = {n: a for n, a in flows.items() if n in ("debt_interest", "credit_interest")}
    leased = f.systems.share if f.systems is not None and f.systems.kind == "lease" else 0.0
    written_off = depreciation(delivered_usd(p, d).sum(axis=0) * (1 - leased), tax.system_years)
    written_off = written_off + depreciation(flows["facility_construction"].sum(axis=0), tax.facility_years)
    return tax_due(_net(earned) + _net(paid) - written_off, tax.rate, tax.losses)[None, :]


def _taxed_interest(p: Problem, d: Decisions, flows: dict[str, Array]) -> tuple[Array, Array]:
    """Interest on cash and tax where each depends on the other: exact after as many rounds as there are quarters."""
    for _ in range(len(p.quarters) + 1):
        flows = flows | {"tax": np.round(_tax(p, d, flows), 2)}
        interest = _interest_received(p, flows)
        assert interest is not None
        if np.array_equal(interest, flows["interest_received"]):
            break
        flows = flows | {"interest_received": interest}
    return flows["interest_received"], flows["tax"]


def cash_table(p: Problem, d: Decisions) -> Cash:
    """All payments as rows that cancel between two parties, and what they come to for the operator."""
    flows = flows_usd(p, d)
    table = payments_table(p, [*(operator_stream(p, n, a) for n, a in flows.items()), *partner_streams(p, d)])
    total = {kind: np.zeros(len(p.quarters)) for kind in ("financing", "debt", "revenue", "capex", "opex")}
    for flow, amounts in flows.items():
        _, sign, kind = FLOWS[flow]
        total[kind] = total[kind] + sign * amounts.sum(axis=0)
    salvage, owed = salvage_usd(p, d), owed_usd(p, d)
    project = total["revenue"] + total["capex"] + total["opex"]
    worth = float(((project + total["debt"]) * p.discount).sum() + (salvage - owed) * p.discount_end)
    return Cash(
        table=table,
        balance_usd=np.cumsum(project + total["debt"] + total["financing"]),
        project_usd=np.append(project, salvage - _lease_owed(p, d)),
        net_present_value_usd=worth,
        capex_usd=float(-total["capex"].sum()),
        opex_usd=float(-total["opex"].sum()),
        revenue_usd=float(total["revenue"].sum()),
        salvage_usd=salvage,
        owed_usd=owed,
    )


def owed_usd(p: Problem, d: Decisions) -> float:
    """Debt and instalments outstanding at the end of the horizon, with their last quarter's interest [USD]."""
    f = p.scenario.finance
    debt = float(d.debt_usd[-1]) * (1 + (f.debt.interest / 4 if f.debt else 0.0))
    return debt + _terms_owed(p, d)


def _terms_owed(p: Problem, d: Decisions) -> float:
    terms = p.scenario.finance.systems
    if terms is None:
        return 0.0
    count = len(p.quarters)
    balance = instalments(terms, count).balance[::-1]
    return float(delivered_usd(p, d).sum(axis=0) @ balance) * (1 + terms.rate / 4)


def _lease_owed(p: Problem, d: Decisions) -> float:
    terms = p.scenario.finance.systems
    return _terms_owed(p, d) if terms is not None and terms.kind == "lease" else 0.0


def salvage_usd(p: Problem, d: Decisions) -> float:
    """Straight-line book value of systems and buildings at the end of the horizon [USD]."""
    f = p.scenario.finance
    age = len(p.quarters) - np.arange(len(p.quarters)) - 0.5
    left = np.clip(1 - age / (4 * f.system_life_years), 0, None)
    stay = np.clip(1 - age / (4 * f.facility_life_years), 0, None)
    grown = np.diff(d.built_w, axis=1, prepend=0.0)
    return float(delivered_usd(p, d).sum(axis=0) @ left + np.einsum("st,s,t->", grown, p.facility_usd_per_w, stay))


def internal_rate_of_return(quarterly_usd: Array) -> float | None:
    """Annual rate at which the flows are worth nothing, None where there is none [fraction]."""
    import pyxirr  # noqa: PLC0415

    if not (quarterly_usd.max(initial=0.0) > 0 > quarterly_usd.min(initial=0.0)):
        return None
    rate = pyxirr.irr(quarterly_usd.tolist())
    # A root at minus all of the money, or at a thousandfold in a quarter, is no return that anybody means.
    return None if rate is None or not -0.99 < rate < 1e3 else float((1 + rate) ** 4 - 1)
