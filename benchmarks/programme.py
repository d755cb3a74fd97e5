"""The build-out programme at size: 40 quarters x 20 sites x 8 platforms, whole blocks, cash and ten tranches, to 0.5 %.

CPU seconds (all threads) are the figures to trust on a shared machine. For comparison: a like model with six platforms,
stated by hand for HiGHS, took 7.4 CPU-s with capital slack and 45-61 with capital binding, to a gap of 0.1 %.
Measured here in November 2026 on two idle cores: 6.5 CPU-s with capital slack and 16.8 with capital binding, to 0.46 and 0.50 %;
stating the model takes 0.8 of them.
Capital binds where a further dollar adds value, in many quarters, and the plan is worth less for want of it; both are printed.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from gigaforge.buildout.problem import Problem, problem_from
from gigaforge.buildout.programme import build
from gigaforge.buildout.search import search
from gigaforge.buildout.solver import SolverOptions, relax
from gigaforge.catalog import Accelerator, Catalog, Partner, Site, System
from gigaforge.catalog import Model as CatalogModel
from gigaforge.codesign.point import OperatingPoint
from gigaforge.scenario import parse_scenario

SITES, PLATFORMS = 20, 8
FIRST, LAST = "2026-Q1", "2035-Q4"


def figure(value: Any) -> dict[str, Any]:
    return {"value": value, "assumption": "benchmark"}


def catalog(rng: np.random.Generator) -> Catalog:
    chip = Accelerator.model_validate(
        {"name": "chip", "label": "Chip", "vendor": "NVIDIA", "generation": "x", "status": "shipping",
         "power": figure("1.8 kW"), "idle_power": figure("300 W")}
    )  # fmt: skip
    systems, sites = {}, {}
    for k in range(PLATFORMS):
        power = 120 * 1.25**k
        systems[f"system-{k}"] = System.model_validate(
            {"name": f"system-{k}", "label": f"System {k}", "accelerator": "chip", "accelerators": 72,
             "nvlink_domain": 72, "status": "shipping", "power": figure(f"{power:.0f} kW"),
             "price": figure(f"${power * 0.034:.2f}M")}
        )  # fmt: skip
    for s in range(SITES):
        tenure = ("owned", "leased", "leased", "cloud")[s % 4]
        start, full = rng.integers(0, 12), rng.uniform(0.3, 1.4)
        ramp = [
            {"quarter": f"{2026 + (start + 3 * i) // 4}-Q{(start + 3 * i) % 4 + 1}", "power": figure(f"{full * (i + 1) / 4:.3f} GW")}
            for i in range(4)
        ]  # fmt: skip
        price = {"owned": {"facility_cost": figure("$12M/MW")}, "leased": {"lease_price": figure("$130/kW-month")},
                 "cloud": {"cloud_price_multiple": figure(1.4)}}[tenure]  # fmt: skip
        sites[f"site-{s}"] = Site.model_validate(
            {"name": f"site-{s}", "label": f"Site {s}", "tenure": tenure, "partner": "partner", "energised": ramp,
             "pue_mean": figure(round(rng.uniform(1.1, 1.25), 3)), "pue_peak": figure(round(rng.uniform(1.25, 1.4), 3)),
             "energy_price": figure(f"${rng.uniform(35, 90):.0f}/MWh"), **price}
        )  # fmt: skip
    partners = {
        n: Partner.model_validate({"name": n, "label": n, "role": r})
        for n, r in (("nvidia", "investor"), ("openai", "operator"), ("partner", "developer"))
    }
    model = CatalogModel.model_validate(
        {"name": "chat", "label": "Chat", "family": "dense", "assumption": "benchmark", "layers": 80, "d_model": 8192,
         "heads": 64, "kv_heads": 8, "head_dim": 128, "d_ff": 28672, "vocab": 128256, "max_context": 131072}
    )  # fmt: skip
    return Catalog({"chip": chip}, systems, {}, {"chat": model}, sites, partners, {})


def scenario(*, cash: str, funding: str, debt: str) -> Any:
    quarters = [f"{y}-Q{q}" for y in range(2026, 2036) for q in range(1, 5)]
    lines = [
        {"name": f"line-{k}", "systems": [f"system-{k}"], "ships": quarters[4 * k], "supply": 900 + 150 * k,
         "price_change": "5 %", **({"last": quarters[4 * k + 12]} if 4 * k + 12 < 40 else {})}
        for k in range(PLATFORMS)
    ]  # fmt: skip
    prices = {"input": "$0.6/Mtoken", "output": "$5/Mtoken", "cached": "$0.06/Mtoken", "change_per_year": -0.2}
    serving = [
        {"name": name, "model": "chat", "weekly_users": {FIRST: "500M", LAST: "4B"}, "messages_per_user_week": rate,
         "input_tokens": "4000 tokens", "output_tokens": {FIRST: "1500 tokens", LAST: "9000 tokens"},
         "cached_share": "50 %", "peak_to_mean": 1.6, "ttft": "2 s", "tpot": "25 ms", "prices": prices,
         "shortfall_penalty": "$0.2/Mtoken"}
        for name, rate in (("chat", 26), ("agents", 60))
    ]  # fmt: skip
    return parse_scenario({
        "schema": 1, "name": "large", "title": "Large", "horizon": {"first": FIRST, "last": LAST},
        "commitment": {"power": "10 GW", "late_penalty": "$900/kW-month", "milestones": [
            {"power": "1 GW", "by": "2027-Q1"}, {"power": "5 GW", "by": "2029-Q4"}, {"power": "10 GW", "by": "2032-Q4"}]},
        "investment": {"ceiling": "$100B", "per": "1 GW", "amount": "$10B", "carry": "4 %"},
        "platforms": lines, "sites": [{"site": f"site-{s}"} for s in range(SITES)], "serving": serving,
        "operations": {"availability": "95 %", "training_goodput": "90 %", "overhead_of_revenue": "45 %"},
        "finance": {"discount_rate": "12 %", "opening_cash": cash, "other_funding": {"2026-Q3": funding, "2027-Q3": funding},
                    "debt": {"limit": debt, "interest": "8 %"}},
        "block": 16,
    })  # fmt: skip


def points() -> list[OperatingPoint]:
    out = []
    for k in range(PLATFORMS):
        for work, speed in (("chat", 1.0), ("agents", 0.4)):
            for n, (rate, draw) in enumerate(((1.0, 1.0), (0.85, 0.8))):
                out.append(
                    OperatingPoint(f"{work}/system-{k}/{n}", work, "serving", f"system-{k}", "chat", "x",
                                   220e3 * 1.7**k * speed * rate, 120e3 * 1.25**k * draw, ttft_s=1.0, tpot_s=0.02)
                )  # fmt: skip
    return out


def large(*, binding: bool) -> Problem:
    """The problem; with capital that binds or does not."""
    money = {"cash": "$1B", "funding": "$0.5B", "debt": "$2B"}
    if not binding:
        money = {"cash": "$400B", "funding": "$50B", "debt": "$10B"}
    return problem_from(scenario(**money), catalog(np.random.default_rng(7)), points())


def main(threads: int = 1) -> None:
    build(large(binding=False))  # libraries load
    for binding in (False, True):
        problem, options = large(binding=binding), SolverOptions(gap=0.005, time_limit_s=580, threads=threads)
        cpu = time.process_time()
        model = build(problem).model
        stated = time.process_time() - cpu
        cpu = time.process_time()
        solution = search(model, options)
        solved = time.process_time() - cpu
        share = stated / (stated + solved)
        dollar = relax(model, options).duals["finance|cash"].values / problem.discount
        print(
            f"capital {'binds' if binding else 'slack':6s} {model.nvars:,} variables, {model.ncons:,} constraints: "
            f"stated in {stated:.1f} CPU-s ({share:.0%} of all), solved in {solved:.1f} CPU-s to a gap of "
            f"{solution.gap:.2%} ({solution.status}, {solution.nodes} nodes, objective {solution.objective:.2f}; "
            f"a further dollar adds up to ${dollar.max():.2f} of value, and some in {np.sum(dollar > 1e-3)} quarters)",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
