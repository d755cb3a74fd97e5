"""Money: what every decision costs and brings, by flow and quarter."""

from __future__ import annotations

from typing import Any

import numpy as np

from gigaforge.buildout.programme.builder import GW, PETA, USD, Builder, previous
from gigaforge.buildout.programme.terms import system_payments
from gigaforge.quarters import SECONDS_PER_QUARTER

__all__ = ["money"]


def money(b: Builder) -> None:
    """Systems, sites, energy, upkeep and people; revenue."""
    p, o = b.p, b.p.scenario.operations
    owned = b.data(np.array([t != "cloud" for t in p.tenures], dtype=float), "site")
    price = b.data(p.rack_price_usd * b.block / USD, "system", "quarter")
    b.delivered = b.variable("delivered", "quarter")
    b.rule("", "delivered", b.delivered == (b.bought * price * owned).sum(["site", "system"]))
    system_payments(b)
    cost = b.data(p.facility_usd_per_w * GW / USD, "site")
    b.flows["facility_construction"] = ((b.built - previous(b.built)) * cost).sum("site")
    lease = b.data(p.lease_usd_per_w * GW / USD, "site")
    b.flows["site_lease"] = (b.built * lease).sum("site")
    rent = b.data(p.cloud_usd_per_rack * b.block / USD, "site", "system", "quarter")
    b.flows["cloud_capacity"] = (b.online * rent).sum(["site", "system"])
    b.flows["energy"] = _energy(b)
    kept = b.online * owned * b.data(p.rack_price_usd[:, 0] * b.block / USD * o.maintenance / 4, "system")
    b.flows["maintenance"] = kept.sum(["site", "system"])
    staff = b.data(np.array([t != "cloud" for t in p.tenures]) * o.staff * SECONDS_PER_QUARTER * GW / USD, "site")
    b.flows["staff"] = (b.built * staff).sum("site")
    if p.curtailment_usd_per_w.any():
        credit = b.data(p.curtailment_usd_per_w * GW / USD, "site", "quarter")
        b.flows["curtailment_credit"] = (b.built * credit).sum("site") * -1.0
    income: Any = None
    if b.served is not None:
        per_unit = b.data(p.token_usd * PETA / USD, "workload", "quarter")
        income = (b.served * per_unit).sum("workload")
    b.income = income


def _energy(b: Builder) -> Any:
    """Cost of energy: idle power of all racks, and what work adds to it, at the PUE of the quarter."""
    p = b.p
    price = p.energy_usd_per_j * p.pue_quarter * SECONDS_PER_QUARTER * b.block / USD  # (S, T)
    idle = b.data(np.einsum("st,k->skt", price, p.rack_idle_w), "site", "system", "quarter")
    total = (b.online * idle).sum(["site", "system"])
    if p.workloads:
        extra = (p.point_power_w - p.rack_idle_w[p.point_system]) * p.serving_price_factor[:, p.point_workload]
        cost = b.data(np.einsum("st,sp->spt", price, extra), "site", "point", "quarter")
        total = total + (b.serve * cost).sum(["site", "point"])
    if p.runs:
        extra = p.train_power_w - p.rack_idle_w[p.train_system]
        each = b.data(np.einsum("st,j->jst", price, extra), "job", "site", "quarter")
        total = total + (b.train * each).sum(["job", "site"])
    return total
