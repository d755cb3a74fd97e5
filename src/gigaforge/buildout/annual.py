"""What owning the fleet costs a year, and the cost of capital that a published figure implies."""

from __future__ import annotations

import math
from typing import Any

from gigaforge.buildout.decisions import Decisions
from gigaforge.buildout.payments import delivered_usd, operator_flows
from gigaforge.buildout.problem import Problem

__all__ = ["annual_cost", "annual_summary", "capital_recovery", "implied_rate"]

RUNNING = ("energy", "maintenance", "staff", "site_lease", "cloud_capacity", "system_lease", "curtailment_credit")


def capital_recovery(rate: float, years: float) -> float:
    """Level yearly payment that repays one dollar with interest over its life, at the end of each year [1/year].

    ``r / (1 - (1 + r)^-n)``; ``1 / n`` at no interest.
    """
    return rate / -math.expm1(-years * math.log1p(rate)) if rate else 1 / years


def annual_cost(
    system_usd: float,
    facility_usd: float,
    running_usd: float,
    rate: float,
    system_years: float,
    facility_years: float,
) -> float:
    """Yearly cost of owning systems and facility at a cost of capital, and of running them [USD/year]."""
    systems = system_usd * capital_recovery(rate, system_years)
    return systems + facility_usd * capital_recovery(rate, facility_years) + running_usd


def implied_rate(
    system_usd: float,
    facility_usd: float,
    running_usd: float,
    cost_usd: float,
    system_years: float,
    facility_years: float,
) -> float | None:
    """The cost of capital at which owning costs `cost_usd` a year; None where none between 0 and 100 % does."""
    low, high = 0.0, 1.0
    sums = (system_usd, facility_usd, running_usd)
    if (
        not annual_cost(*sums, low, system_years, facility_years)
        <= cost_usd
        <= annual_cost(*sums, high, system_years, facility_years)
    ):
        return None
    while high - low > 1e-10:
        middle = (low + high) / 2
        if annual_cost(*sums, middle, system_years, facility_years) < cost_usd:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def annual_summary(p: Problem, d: Decisions) -> dict[str, Any] | None:
    """Yearly cost of everything that was built, each asset charged over its life; None where nothing is owned."""
    f = p.scenario.finance
    flows = operator_flows(p, d)
    systems = float(delivered_usd(p, d).sum())
    facility = float(flows["facility_construction"].sum())
    if systems + facility <= 0:
        return None
    racks = d.online.sum(axis=(0, 1))
    full = racks >= racks.max() * (1 - 1e-9)  # quarters of the full fleet, warm and cold ones
    running = 4 * sum(
        float(flows[n].sum(axis=0)[full].mean()) * (-1 if n == "curtailment_credit" else 1)
        for n in RUNNING
        if n in flows
    )
    system = systems * capital_recovery(f.discount_rate, f.system_life_years)
    building = facility * capital_recovery(f.discount_rate, f.facility_life_years)
    return {
        "system_capex_usd": systems,
        "facility_capex_usd": facility,
        "system_usd_per_year": system,
        "facility_usd_per_year": building,
        "running_usd_per_year": running,
        "usd_per_year": system + building + running,
        "cost_of_capital": f.discount_rate,
        "system_life_years": f.system_life_years,
        "facility_life_years": f.facility_life_years,
    }
