"""Plans that the report's tests draw: a small solved one, one of the reference's size, and awkward ones."""

from __future__ import annotations

from functools import cache
from typing import Any

import pandas as pd

from gigaforge.buildout.plan import Plan, plan_from
from gigaforge.buildout.problem import problem_from
from gigaforge.buildout.programme import build
from gigaforge.buildout.solver import SolverOptions, solve
from gigaforge.catalog import Catalog, Partner, Site, System
from gigaforge.codesign.operating_points import OperatingPoint
from gigaforge.report.view import PlanView
from gigaforge.scenario import Scenario, parse_scenario
from tests.buildout.small import catalog, figure, points, scenario, scenario_data

SITES = {"abilene": 1.2, "shackelford": 1.9, "dona-ana": 2.2, "milam": 1.3, "lordstown": 0.5, "port-washington": 1.3,
         "saline-michigan": 1.4, "azure-leased": 0.9, "coreweave-leased": 0.6, "abu-dhabi": 1.0, "norway-narvik": 0.3,
         "texas-extension": 1.1}  # fmt: skip
SYSTEMS = {"gb300-nvl72": ("132 kW", "$3.7M", 0.7), "vera-rubin-nvl72-max-q": ("190 kW", "$5.6M", 1.0),
           "vera-rubin-nvl72-max-p": ("230 kW", "$6M", 1.15), "rubin-ultra-nvl576": ("600 kW", "$21M", 5.5),
           "rubin-ultra-nvl144": ("370 kW", "$11M", 3.0), "feynman-nvl1152": ("1000 kW", "$40M", 14.0)}  # fmt: skip
LINES = [("Blackwell Ultra", ["gb300-nvl72"], "2026-Q3", 900), ("Vera Rubin", ["vera-rubin-nvl72-max-q",
         "vera-rubin-nvl72-max-p"], "2026-Q4", 1400), ("Rubin Ultra", ["rubin-ultra-nvl576", "rubin-ultra-nvl144"],
         "2027-Q4", 500), ("Feynman", ["feynman-nvl1152"], "2028-Q4", 260)]  # fmt: skip


@cache
def small() -> Plan:
    return _solved(scenario(), catalog(), points())


def _solved(s: Scenario, c: Catalog, p: list[OperatingPoint], gap: float = 0.005) -> Plan:
    programme = build(problem_from(s, c, p))
    return plan_from(programme, solve(programme.model, SolverOptions(gap=gap, time_limit_s=60)))


@cache
def large() -> Plan:
    """The reference plan's size: 26 quarters, 12 sites, 6 systems, 10 tranches, 4 runs, 3 workloads."""
    base = catalog()
    systems = {
        name: System.model_validate(
            {"name": name, "label": name, "accelerator": "chip", "accelerators": 72, "nvlink_domain": 72,
             "status": "announced", "power": figure(power), "overhead_power": figure("9 kW"), "price": figure(price),
             "network_price": figure("$0.5M")}
        )
        for name, (power, price, _) in SYSTEMS.items()
    }  # fmt: skip
    partners = dict(base.partners)
    sites = {}
    for i, (name, gw) in enumerate(SITES.items()):
        tenure = ("owned", "leased", "cloud")[i % 3] if "leased" not in name else "cloud"
        cost = {"owned": {"facility_cost": figure("$11M/MW")}, "leased": {"lease_price": figure("$135/kW-month")},
                "cloud": {"cloud_price_multiple": figure(1.4)}}[tenure]  # fmt: skip
        partner = ("oracle", "crusoe", "softbank", "microsoft")[i % 4]
        partners[partner] = Partner.model_validate({"name": partner, "label": partner.title(), "role": "developer"})
        start = f"{2026 + (i + 2) // 4}-Q{(i + 2) % 4 + 1}"
        later = f"{2028 + (i + 2) // 4}-Q{(i + 2) % 4 + 1}"
        sites[name] = Site.model_validate(
            {"name": name, "label": name.title(), "pue_mean": figure(1.15), "pue_peak": figure(1.25),
             "energy_price": figure("$60/MWh"), "tenure": tenure, "partner": partner, **cost,
             "energised": [{"quarter": start, "power": figure(f"{gw * 300:.0f} MW")},
                           {"quarter": later, "power": figure(f"{gw * 1000:.0f} MW")}]}
        )  # fmt: skip
    c = Catalog(base.accelerators, systems, {}, base.models, sites, partners, {})
    runs = [(f"frontier-{n}", a, b, t) for n, a, b, t in (("2026", "2026-Q4", "2027-Q3", 30),
            ("2028", "2028-Q1", "2028-Q4", 90), ("2029", "2029-Q2", "2030-Q1", 200), ("2031", "2030-Q4", "2031-Q4", 500))]  # fmt: skip
    works = ["assistant", "agents", "batch-api"]
    serving = scenario_data()["serving"][0]
    data = scenario_data(
        name="alliance-10gw", title="The 10 GW alliance, as announced", horizon={"first": "2026-Q3", "last": "2032-Q4"},
        commitment={"power": "10 GW", "milestones": [{"power": "1 GW", "by": "2026-Q4"}, {"power": "4 GW", "by": "2028-Q4"},
                    {"power": "10 GW", "by": "2031-Q4"}], "late_penalty": "$20/kW-month"},
        investment={"ceiling": "$100B", "per": "1 GW"},
        platforms=[{"name": n, "systems": s, "ships": q, "supply": k} for n, s, q, k in LINES],
        sites=[{"site": s} for s in sites],
        training=[{"name": n, "model": "chat", "tokens": f"{t}T tokens", "start": a, "end": b} for n, a, b, t in runs],
        serving=[{**serving, "name": w, "weekly_users": {"2026-Q3": f"{700 // (i + 1)}M", "2032-Q4": f"{3 / (i + 1):.1f}B"},
                  "output_tokens": {"2026-Q3": "800 tokens", "2032-Q4": "30000 tokens"}} for i, w in enumerate(works)],
        finance={"discount_rate": "10 %", "opening_cash": "$25B", "debt": {"limit": "$40B", "interest": "8 %"},
                 "other_funding": {"2026-Q3": "$10B", "2027-Q3": "$15B"}},
    )  # fmt: skip
    ops = []
    for name, (power, _, speed) in SYSTEMS.items():
        draw = float(power.split()[0]) * 1e3
        ops += [OperatingPoint(f"{w}/{name}/0", w, "serving", name, "chat", "TP8", 60e3 * speed, draw, ttft_s=1.0,
                               tpot_s=0.02) for w in works]  # fmt: skip
        ops += [OperatingPoint(f"{r[0]}/{name}/0", r[0], "training", name, "chat", "TP8 PP4", 9e3 * speed, draw,
                               max_racks=6000, mfu=0.4) for r in runs]  # fmt: skip
    return _solved(parse_scenario(data), c, ops, gap=0.03)


def with_extras(plan: Plan) -> PlanView:
    """A plan whose summary holds everything the report can show."""
    s, count = dict(plan.summary), len(plan.summary["quarters"])
    deployed = dict(zip(s["quarters"], s["deployed_w"], strict=True))
    marks = [(m.by, m.power) for m in plan.problem.scenario.commitment.milestones]
    s["milestones"] = [
        {"by": str(q), "power_w": w, "deployed_w": deployed[str(q)], "shortfall_w": max(0.0, w - deployed[str(q)]),
         "cost_usd": 60.0 * max(0.0, w - deployed[str(q)]) / 1e3,
         "why": "supply of Vera Rubin and energised power at Abilene" if deployed[str(q)] < w else ""}
        for q, w in marks
    ]  # fmt: skip
    s["commitment"] = {"power_w": plan.problem.scenario.commitment.power, "basis": "facility"}
    s["finance"] = {"discount_rate": 0.1, "system_life_years": 5.0, "facility_life_years": 15.0}
    s["explanations"] = [
        "Power binds at Abilene and Milam until 2028-Q1: one more megawatt there is worth $1.9M a quarter.",
        "The first gigawatt is late by three quarters: 1 GW by 2026-Q4 needs 4,211 racks of Vera Rubin NVL72; supply gives 1,400.",
    ]
    sites, lines = plan.problem.sites, plan.problem.lines
    s["shadow_prices"] = {
        "power": {x: [max(0.0, 2.4e6 - 1.1e5 * t - 2e5 * i) for t in range(count)] for i, x in enumerate(sites)},
        "supply": {x: [max(0.0, 3e6 - 9e5 * i - 2.5e5 * abs(t - 5 * i - 2)) for t in range(count)]
                   for i, x in enumerate(lines)},
        "cash": [max(0.0, 0.4 - 0.05 * t) for t in range(count)],
        "demand": {w: [4e-6 * 0.9**t for t in range(count)] for w in plan.problem.workloads},
    }  # fmt: skip
    url = "https://example.org/report"
    s["assumptions"] = [
        {
            "path": "finance.discount_rate",
            "value": "10 %",
            "reason": "cost of capital of a private operator",
            "url": None,
        },
        {
            "path": "serving.assistant.peak_to_mean",
            "value": 1.7,
            "reason": "hourly shape of a public trace",
            "url": url,
        },
    ] * 8
    s["sources"] = [
        {"key": f"source-{i}", "title": f"Announcement number {i} of a partnership to deploy gigawatts of systems",
         "url": url, "used_for": "commitment, tranches"} for i in range(9)
    ]  # fmt: skip
    s["checks"] = {"passed": 14, "failed": []}
    s["cross_checks"] = [
        {"what": "Capital cost per gigawatt", "value": 41e9, "published_low": 23e9, "published_high": 60e9, "unit": "USD",
         "source": url, "inside": True, "note": "systems, network and buildings"},
        {"what": "Accelerators at the end", "value": 3.1e6, "published_low": 4e6, "published_high": 5e6, "unit": "GPUs",
         "source": url, "inside": False, "note": "190-230 kW a rack of 72 packages gives 2.6-3.3 million for 10 GW"},
        {"what": "Messages a week at the start", "value": 18.2e9, "published_low": 18e9, "published_high": 18e9,
         "unit": "messages", "source": url, "inside": True, "note": ""},
    ]  # fmt: skip
    s["fleet_check"] = {"goodput": 0.91, "availability": 0.968, "pue": 1.17}
    s["warnings"] = ["Operating points are estimates that are not calibrated yet."]
    s["options"] = {"gap": 0.005, "time_limit_s": 60}
    s["inputs"] = {"scenarios/alliance-10gw.yaml": "9f" * 32}
    s["versions"] = {"gigaforge": "0.1.0", "highspy": "1.16.0"}
    return PlanView(s, plan.tables)


def empty() -> PlanView:
    """Nothing is deployed, served, trained, paid or released."""
    quarters = ["2026-Q3", "2026-Q4", "2027-Q1"]
    zeros = [0.0] * len(quarters)
    summary: dict[str, Any] = {
        "name": "nothing", "title": "Nothing pays", "status": "optimal", "objective": "npv", "objective_value": 0.0,
        "mip_gap": 0.0, "bound": 0.0, "solve_s": 0.01, "quarters": quarters, "it_power_w": zeros,
        "facility_power_w": zeros, "deployed_w": zeros, "accelerators": zeros, "tokens_served": zeros,
        "tokens_demanded": zeros, "tranches": [], "training_runs": [], "npv_usd": 0.0, "irr": None, "capex_usd": 0.0,
        "opex_usd": 0.0, "revenue_usd": 0.0, "salvage_usd": 0.0, "cash_usd": zeros, "shadow_prices": {},
    }  # fmt: skip
    return PlanView(summary, {name: table.iloc[:0] for name, table in small().tables.items()})


def many_tranches(count: int = 10_000) -> PlanView:
    """The small plan with very many tranches, two of three released, in its first two quarters."""
    plan = small()
    quarters = plan.summary["quarters"]
    rows = [
        {"index": n, "threshold_w": n * 1e5, "amount_usd": 1e6, "why": "" if n <= count * 2 // 3 else "power",
         "released": quarters[min(3 * n // count, 1)] if n <= count * 2 // 3 else None}
        for n in range(1, count + 1)
    ]  # fmt: skip
    return PlanView(plan.summary | {"tranches": rows}, plan.tables)


def one_quarter() -> PlanView:
    """The first quarter of the small plan alone, without investment or training."""
    plan = small()
    s = {k: v[:1] if isinstance(v, list) and len(v) == len(plan.summary["quarters"]) else v
         for k, v in plan.summary.items()}  # fmt: skip
    s |= {"tranches": [], "training_runs": []}
    keep = s["quarters"][0]
    tables = {n: t[t["quarter"] == keep] if "quarter" in t else t for n, t in plan.tables.items()}
    return PlanView(s, tables | {"tranches": pd.DataFrame(columns=plan.tables["tranches"].columns)})
