"""What the plan is worth to each party: net present value, return, payback, exposure and multiple."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gigaforge.buildout.cash import Cash, internal_rate_of_return
from gigaforge.buildout.decisions import Decisions
from gigaforge.buildout.flows import OPERATOR
from gigaforge.buildout.instalments import instalments
from gigaforge.buildout.payments import delivered_usd, party_names
from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.shares import stake_of

__all__ = ["ROLES", "Measures", "measures", "parties_of", "parties_table"]

# Role -> flows that belong to it, seen from the party that has the role.
ROLES: dict[str, tuple[str, ...]] = {
    "investor": ("equity_tranche", "equity_upfront", "dividends"),
    "supplier": ("system_purchase", "maintenance", "cost_of_goods"),
    "lender": ("debt_draw", "debt_repayment", "debt_interest", "credit_draw", "credit_repayment", "credit_interest"),
    "lessor": ("system_lease", "system_purchase"),
    "site partner": ("site_lease", "facility_construction"),
    "cloud": ("cloud_capacity", "facility_construction", "system_purchase", "energy"),
}


@dataclass(frozen=True)
class Measures:
    """What a series of flows comes to.

    Attributes
    ----------
    received_usd, paid_usd : float
        Sums over the horizon, without what is left at its end [USD].
    left_usd : float
        Worth of what the party holds at the end of the horizon [USD].
    npv_usd : float
        At the party's own discount rate, flows at mid-quarter, what is left at the end [USD].
    irr : float or None
        Per year; None where the flows never change sign.
    payback : int or None
        First quarter from which cumulative flows stay at or above zero, counted from 0; None where they do not.
    peak_exposure_usd : float
        Deepest that cumulative flows fall, as a positive sum [USD].
    multiple : float or None
        Received and left over paid; None where nothing is paid.

    """

    received_usd: float
    paid_usd: float
    left_usd: float
    npv_usd: float
    irr: float | None
    payback: int | None
    peak_exposure_usd: float
    multiple: float | None


def measures(flows_usd: Array, rate: float, left_usd: float = 0.0, received_usd: float | None = None) -> Measures:
    """Measure quarterly flows.

    Parameters
    ----------
    flows_usd : (quarter,) array
        Received less paid [USD].
    rate : float
        Discount rate per year [fraction].
    left_usd : float
        Worth of what is held at the end [USD].
    received_usd : float
        Gross receipts, where known; default: the sum of the positive flows.

    """
    count = len(flows_usd)
    net = float(flows_usd.sum())
    received = float(np.clip(flows_usd, 0, None).sum()) if received_usd is None else received_usd
    paid = received - net
    discount = (1 + rate) ** (-(np.arange(count) + 0.5) / 4)
    total = np.cumsum(flows_usd)
    below = np.flatnonzero(total < -0.005)
    payback = 0 if not len(below) else (int(below[-1]) + 1 if below[-1] + 1 < count else None)
    return Measures(
        received_usd=received,
        paid_usd=paid,
        left_usd=left_usd,
        npv_usd=float(flows_usd @ discount + left_usd * (1 + rate) ** (-count / 4)),
        irr=internal_rate_of_return(np.append(flows_usd, left_usd)),
        payback=payback,
        peak_exposure_usd=abs(float(total.min(initial=0.0))),
        multiple=(received + left_usd) / paid if paid > 0.005 else None,
    )


def _left(p: Problem, d: Decisions, cash: Cash) -> dict[tuple[str, str], float]:
    """What each party holds at the end of the horizon, by party and role [USD]."""
    f, names, count = p.scenario.finance, party_names(p), len(p.quarters)
    out: dict[tuple[str, str], float] = {(OPERATOR, "operator"): cash.salvage_usd - cash.owed_usd}
    stake = stake_of(p, d)
    if stake is not None:
        out[names["investor"], "investor"] = stake.worth_usd
    if f.debt is not None:
        out[names["lenders"], "lender"] = float(d.debt_usd[-1]) * (1 + f.debt.interest / 4)
    if f.systems is not None:
        role = "lessor" if f.systems.kind == "lease" else "lender"
        balance = instalments(f.systems, count).balance[::-1]
        owed = float(delivered_usd(p, d).sum(axis=0) @ balance) * (1 + f.systems.rate / 4)
        out[names["terms"], role] = out.get((names["terms"], role), 0.0) + owed
    age = count - np.arange(count) - 0.5
    stay, last = (np.clip(1 - age / (4 * y), 0, None) for y in (f.facility_life_years, f.system_life_years))
    power = d.held_w(p).sum(axis=1) * p.pue_peak[:, None]
    for s, partner in enumerate(p.partners):
        if p.tenures[s] == "owned":
            continue
        cloud = p.tenures[s] == "cloud"
        taken = np.maximum.accumulate(power[s]) if cloud else d.built_w[s]
        book = float(np.diff(taken, prepend=0.0) @ stay) * p.partner_facility_usd_per_w[s]
        if cloud:
            book += float(np.einsum("kt,kt,t->", d.bought[s], p.rack_price_usd, last))
        key = (partner, "cloud" if cloud else "site partner")
        out[key] = out.get(key, 0.0) + book
    return out


def _roles(p: Problem) -> list[tuple[str, str]]:
    """Parties with the roles they have in this plan, the operator first."""
    names, s = party_names(p), p.scenario
    out = [(OPERATOR, "operator"), (p.supplier, "supplier")]
    if s.investment:
        out.append((names["investor"], "investor"))
    if s.finance.debt:
        out.append((names["lenders"], "lender"))
    if s.finance.systems:
        out.append((names["terms"], "lessor" if s.finance.systems.kind == "lease" else "lender"))
    pairs = zip(p.partners, p.tenures, strict=True)
    out += [(who, "cloud" if t == "cloud" else "site partner") for who, t in pairs if t != "owned"]
    return list(dict.fromkeys(out))


def parties_of(p: Problem, d: Decisions, cash: Cash) -> list[dict[str, Any]]:
    """Measures of every party in each of its roles, and of all its roles together where it has several.

    The operator's are of the project, before equity, as its net present value is; the others' are of what they pay and
    receive in this plan. What a party pays outside it (a supplier's goods without a stated margin) is not counted.
    """
    rates = {x.name: x.discount_rate for x in p.scenario.parties if x.discount_rate is not None}
    left, roles = _left(p, d, cash), _roles(p)
    rows = []
    for party in dict.fromkeys(who for who, _ in roles):
        mine = [role for who, role in roles if who == party]
        rate = rates.get(party, p.scenario.finance.discount_rate)
        rows += [_row(p, cash, party, role, rate, left.get((party, role), 0.0), mine) for role in mine]
        if len(mine) > 1:
            total = sum(left.get((party, role), 0.0) for role in mine)
            rows.append(_row(p, cash, party, "all", rate, total, mine))
    return [r for r in rows if r["received_usd"] or r["paid_usd"] or r["left_usd"]]


def _row(p: Problem, cash: Cash, party: str, role: str, rate: float, left: float, roles: list[str]) -> dict[str, Any]:
    table = cash.table[cash.table["party"] == party]
    if role == "operator":
        financing = ["opening_cash", "other_funding", "equity_tranche", "equity_upfront", "dividends"]
        table = table[~table["flow"].isin(financing)]
    elif role != "all" and len(roles) > 1:
        table = table[table["flow"].isin(_only(role, roles))]
        # A lessor's purchases are what it pays; a supplier's are what it receives.
        sign = table["amount_usd"] > 0
        table = table[(table["flow"] != "system_purchase") | (sign if role == "supplier" else ~sign)]
    flows = table.groupby("quarter")["amount_usd"].sum().reindex([str(q) for q in p.quarters], fill_value=0.0)
    received = float(table.loc[table["amount_usd"] > 0, "amount_usd"].sum())
    made = measures(flows.to_numpy(dtype=float), rate, left, received)
    payback = None if made.payback is None else str(p.quarters[made.payback])
    cents = {name: round(getattr(made, name), 2) + 0.0 for name in ("received_usd", "paid_usd")}  # no dust of sums
    return {"party": party, "role": role, "discount_rate": rate, **made.__dict__, **cents, "payback": payback}


def _only(role: str, roles: list[str]) -> tuple[str, ...]:
    """Flows of one role of a party that has several."""
    flows = ROLES[role]
    if role == "lessor" and "supplier" in roles:  # it buys from itself: no cash moves
        return ("system_lease",)
    return flows


def parties_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The measures as a table."""
    return pd.DataFrame(rows)
