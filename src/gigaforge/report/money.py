"""What a million tokens costs the operator, from the cash table alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gigaforge.report.view import PlanView
from gigaforge.scenario.schema import Finance

__all__ = ["capital_charge_usd", "lives_and_rate", "token_costs"]


def lives_and_rate(plan: PlanView) -> tuple[float, float, float]:
    """System life [years], facility life [years], yearly rate [fraction]: the plan's, else a scenario's defaults."""
    stated, fields = plan.finance, Finance.model_fields
    system = stated.get("system_life_years") or fields["system_life_years"].default
    facility = stated.get("facility_life_years") or fields["facility_life_years"].default
    return float(system), float(facility), float(stated.get("discount_rate") or 0.0)


def capital_charge_usd(spent_usd: NDArray[np.float64], life_years: float, rate: float) -> NDArray[np.float64]:
    """Level charge per quarter that repays what was spent over its life [USD]. Shape (quarter,).

    The annuity ``spent * r / (1 - (1 + r)^-n)`` with quarterly rate ``r = (1 + rate)^(1/4) - 1`` and
    ``n = 4 * life`` quarters, from the quarter of spending on; without a rate, straight-line depreciation.
    """
    n = max(1, round(4 * life_years))
    r = (1 + rate) ** 0.25 - 1
    factor = r / (1 - (1 + r) ** -n) if r > 0 else 1.0 / n
    started = np.cumsum(spent_usd)
    ended = np.concatenate([np.zeros(n), started])[: len(started)]
    return np.asarray((started - ended) * factor)


def token_costs(plan: PlanView) -> pd.DataFrame:
    """Cost and price of a million output tokens by quarter, quarters without tokens left out.

    Columns: quarter, running, capital, cost, price [USD per million output tokens].
    """
    flows = plan.operator_cash.pivot_table(index="quarter", columns="flow", values="amount_usd", aggfunc="sum")
    flows = flows.reindex(plan.quarters).fillna(0.0)

    def spent(name: str) -> NDArray[np.float64]:
        return -flows[name].to_numpy(dtype=float) if name in flows else np.zeros(len(plan.quarters))

    system, facility, rate = lives_and_rate(plan)
    capital = capital_charge_usd(spent("system_purchase"), system, rate)
    capital = capital + capital_charge_usd(spent("facility_construction"), facility, rate)
    running = -plan.cash_by_kind()["opex"].to_numpy(dtype=float)
    sold = plan.demand.assign(usd=plan.demand["tokens_served"] * plan.demand["usd_per_token"])
    sums = sold.groupby("quarter")[["tokens_served", "usd"]].sum().reindex(plan.quarters).fillna(0.0)
    tokens = sums["tokens_served"].to_numpy(dtype=float) / 1e6
    with np.errstate(divide="ignore", invalid="ignore"):
        frame = pd.DataFrame(
            {
                "quarter": plan.quarters,
                "running": running / tokens,
                "capital": capital / tokens,
                "cost": (running + capital) / tokens,
                "price": sums["usd"].to_numpy(dtype=float) / tokens,
            }
        )
    return frame[tokens > 0].reset_index(drop=True)
