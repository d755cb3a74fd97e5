"""All figures of a plan, in the order in which a reader asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from gigaforge.report.money import lives_and_rate, token_costs
from gigaforge.report.money_figures import KINDS, operator_cash, token_cost
from gigaforge.report.power_figures import deployment_by_platform, deployment_by_site, site_power, tranche_timeline
from gigaforge.report.site_map import place_frame, site_map
from gigaforge.report.story import takeaways
from gigaforge.report.view import PlanView
from gigaforge.report.work_figures import (
    DAY_TERA,
    served_share,
    shadow_heatmap,
    tokens_against_demand,
    training_gantt,
)

__all__ = ["Figure", "plan_figures"]


@dataclass(frozen=True)
class Figure:
    """A chart with its words.

    Attributes
    ----------
    name : str
        Short and stable: an address inside the page.
    title, takeaway, note : str
        Heading; what the data say in one line; how to read it or how it was computed.
    chart : altair chart
        Shows by itself in a notebook.
    numbers : pandas.DataFrame
        The same data for those who want digits, already in the chart's units.

    """

    name: str
    title: str
    takeaway: str
    chart: Any
    numbers: pd.DataFrame
    note: str = ""

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> Any:
        """Show the chart in a notebook."""
        return self.chart._repr_mimebundle_(*args, **kwargs)


def plan_figures(plan: PlanView) -> dict[str, Figure]:
    """Every figure that the plan has data for, by name."""
    lines = takeaways(plan)
    made = [*_power(plan), *_money(plan), *_work(plan), *_scarcity(plan)]
    out = {}
    for name, title, chart, numbers, note in made:
        if chart is not None:
            out[name] = Figure(name, title, lines.get(name, ""), chart, numbers, note)
    return out


_Made = tuple[str, str, Any, pd.DataFrame, str]


def _power(plan: PlanView) -> list[_Made]:
    unit = plan.power_unit
    site = plan.deployed_by("site").map(unit.down).rename(columns=plan.label)
    system = plan.deployed_by("system").map(unit.down).rename(columns=plan.label)
    sites = plan.table("sites", "quarter", "site", "energised_w", "facility_power_w")
    limits = sites.pivot_table(index="quarter", columns="site", values="energised_w").map(unit.down)
    limits = limits.reindex(index=plan.quarters, columns=[s for s in plan.sites if s in limits]).rename(
        columns=plan.label
    )
    counted = (
        f"Deployed: accepted nameplate {plan.basis} power, to date, whatever is retired later. Diamonds mark milestones "
        "that are met, triangles those that are missed."
    )
    where = place_frame(plan).drop(columns="site").set_index("label")
    where.columns = pd.Index(["Longitude [°]", "Latitude [°]", f"Energised [{unit.name}]", f"Deployed [{unit.name}]"])
    deployed = pd.DataFrame(
        {f"Deployed [{unit.name}]": [unit.down(float(w)) for w in plan.series("deployed_w")]}, index=plan.quarters
    )
    return [
        ("deployment-by-site", "Deployed power by site", deployment_by_site(plan), site, counted),
        ("deployment-by-platform", "Deployed power by platform", deployment_by_platform(plan), system, ""),
        ("site-power", "Power at each site against its limit", site_power(plan), limits,
         (f"Bars: facility power in use at peak [{unit.name}]. Line: power energised. Each site has its own scale. "
         "The numbers are the limits.")),
        ("site-map", f"The sites in {plan.quarters[-1]}", site_map(plan), where,
         "Rings: facility power energised. Discs: power deployed. Areas are to scale."),
        ("tranches", "Equity released as power is deployed", tranche_timeline(plan), deployed,
         "A dot sits at its threshold, in the quarter that reaches it."),
    ]  # fmt: skip


def _money(plan: PlanView) -> list[_Made]:
    cash = (plan.cash_by_kind() / 1e9).rename(columns={k: f"{w} [$B]" for k, (w, _) in KINDS.items()})
    cash["Cash left [$B]"] = plan.balance_usd / 1e9
    costs = token_costs(plan).set_index("quarter")
    names = {"running": "Running", "capital": "Capital charge", "cost": "Full cost", "price": "Revenue"}
    costs = costs.rename(columns={k: f"{v} [$ per M tokens]" for k, v in names.items()})
    system, facility, rate = lives_and_rate(plan)
    charge = f"as a level payment at {rate * 100:g} % a year" if rate else "by straight-line depreciation"
    formula = (
        "Full cost = (running costs + capital charge) / output tokens served, in each quarter, with training and idle "
        f"racks included. The capital charge repays systems over {system:g} years and owned buildings over {facility:g} "
        f"years, {charge}."
    )
    return [
        ("cash", "The operator's cash", operator_cash(plan), cash,
         ("Bars above zero are money in, below zero money out; debt is net of repayment and interest. Salvage at the end of the horizon is in the net present "
         "value, not here.")),
        ("token-cost", "Cost of a million output tokens", token_cost(plan), costs, formula),
    ]  # fmt: skip


def _work(plan: PlanView) -> list[_Made]:
    demand = plan.demand.assign(
        served=plan.demand["tokens_served"] / DAY_TERA,
        wanted=plan.demand["tokens_demanded"] / DAY_TERA,
        workload=[plan.label(w) for w in plan.demand["workload"]],
    )
    wide = demand.pivot_table(index="quarter", columns="workload", values=["served", "wanted"])
    words = {"served": "served", "wanted": "demanded"}
    wide.columns = pd.Index(
        [f"{pair[1]}, {words[pair[0]]} [T a day]" for pair in wide.columns.tolist()], dtype=object
    )
    wide = wide.reindex(plan.quarters)
    wanted = demand.assign(share=100 * demand["served"] / demand["wanted"].where(demand["wanted"] > 0))
    share = wanted.pivot_table(index="quarter", columns="workload", values="share").reindex(plan.quarters)
    share.columns = pd.Index([f"{c} [%]" for c in share.columns], dtype=object)
    runs = pd.DataFrame(
        [
            {"run": plan.label(r["name"]), "first": r["start"], "last": r["end"], "racks": r["racks"]}
            for r in plan.summary.get("training_runs") or []
        ],
        columns=["run", "first", "last", "racks"],
    ).set_index("run")
    return [
        ("tokens", "Tokens served against demand", tokens_against_demand(plan), wide,
         "Solid with dots: served. Dashed: demanded. Where they differ, demand goes unserved."),
        ("served-share", "Share of demand served", served_share(plan), share, ""),
        ("training", "Training runs", training_gantt(plan), runs, ""),
    ]  # fmt: skip


_GAINS = ": what the objective gains from one more in that quarter"
_POWER = (
    "Energised facility power: what the objective gains from one more MW by its coming in that quarter and not in the next; the sum "
    "from a quarter on is what a MW from then on adds"
)
_SCARCE = [
    ("power", "Value of one more megawatt", "$M per MW", 1e6, _POWER),
    ("supply", "Value of one more rack", "$M per rack", 1e6, f"Systems that the supplier can deliver{_GAINS}"),
    ("cash", "Value of one more dollar", "$ per $", 1.0, f"Cash, beyond the dollar itself{_GAINS}"),
    ("demand", "Value of more demand", "$ per M output tokens", 1e-6, f"Tokens that customers ask for{_GAINS}"),
]


def _scarcity(plan: PlanView) -> list[_Made]:
    out: list[_Made] = []
    for kind, title, unit, scale, what in _SCARCE:
        frame = (plan.shadow(kind) / scale).rename(columns=plan.label)
        chart = shadow_heatmap(plan, kind, title, unit, scale)
        note = f"{what}; {unit}, darker is more."
        out.append((f"shadow-{kind}", title, chart, frame, note))
    return out
