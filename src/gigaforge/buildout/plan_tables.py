"""Tables and lists of a plan that say what stands around its racks: sites, supply, demand, training runs, terms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from gigaforge.buildout.decisions import Decisions
from gigaforge.buildout.market import sum_by_workload
from gigaforge.buildout.payments import energy_j
from gigaforge.buildout.problem import Array, Problem
from gigaforge.quarters import SECONDS_PER_QUARTER

__all__ = [
    "demand_table",
    "environment",
    "months_table",
    "run_end",
    "sites_table",
    "supply_table",
    "terms_summary",
    "training_runs",
]


def _index(p: Problem, *dims: str) -> pd.MultiIndex:
    labels = {"site": p.sites, "quarter": [str(q) for q in p.quarters], "workload": p.workloads}
    return pd.MultiIndex.from_product([labels[d] for d in dims], names=dims)


def _carbon_kg(p: Problem, d: Decisions) -> Array:
    return np.asarray(energy_j(p, d) * p.carbon_kg_per_j)


def _water_l(p: Problem, d: Decisions) -> Array:
    return np.asarray(energy_j(p, d) / p.pue_quarter * p.water_l_per_j[:, None])


def sites_table(p: Problem, d: Decisions) -> pd.DataFrame:
    """A row per quarter and site: power [W], PUE, energy [J], carbon [kg], water [L], partner and tenure."""
    count = len(p.quarters)
    frame = pd.DataFrame(
        {
            "energised_w": p.energised_w.ravel(),
            "built_w": d.built_w.ravel(),
            "facility_power_w": (d.held_w(p).sum(axis=1) * p.pue_peak[:, None]).ravel(),
            "pue": np.repeat(p.pue_peak, count),
            "pue_mean": np.repeat(p.pue_mean, count),
            "pue_quarter": p.pue_quarter.ravel(),
            "energy_j": energy_j(p, d).ravel(),
            "energy_usd_per_j": p.site_energy_usd_per_j.ravel(),
            "carbon_kg": _carbon_kg(p, d).ravel(),
            "carbon_kg_per_j": p.carbon_kg_per_j.ravel(),
            "water_l": _water_l(p, d).ravel(),
            "work_share": p.work_share.ravel(),
        },
        index=_index(p, "site", "quarter"),
    ).reset_index()
    frame["partner"] = frame["site"].map(dict(zip(p.sites, p.partners, strict=True)))
    frame["tenure"] = frame["site"].map(dict(zip(p.sites, p.tenures, strict=True)))
    return frame[["quarter", "site", *[c for c in frame.columns if c not in ("quarter", "site")]]]


def months_table(p: Problem, d: Decisions) -> pd.DataFrame:
    """A row per site and month of the horizon: air [°C], PUE, mean and peak facility power [W], the limit [W].

    Racks are those of the quarter: what the plan decides by quarter, with the weather of each of its months.
    """
    mean_it, held = energy_j(p, d) / p.pue_quarter / SECONDS_PER_QUARTER, d.held_w(p).sum(axis=1)
    quarter = np.repeat(np.arange(len(p.quarters)), 3)
    month = np.array([3 * q.number - 3 + i for q in p.quarters for i in range(3)])
    frames = []
    for s, site in enumerate(p.sites):
        year = p.months[s]
        frames.append(
            pd.DataFrame(
                {
                    "month": [f"{p.quarters[t].year}-{m + 1:02d}" for t, m in zip(quarter, month, strict=True)],
                    "quarter": [str(p.quarters[t]) for t in quarter],
                    "site": site,
                    "air_c": year.air_c[month],
                    "pue_mean": year.pue_mean[month],
                    "pue_peak": year.pue_peak[month],
                    "mean_power_w": mean_it[s, quarter] * year.pue_mean[month],
                    "peak_power_w": held[s, quarter] * year.pue_peak[month],
                    "energised_w": p.energised_w[s, quarter],
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def environment(p: Problem, d: Decisions) -> dict[str, Any]:
    """Energy, carbon and water by quarter, what cannot stand where, and which runs may span which sites."""
    energy = energy_j(p, d)
    return {
        "energy_wh": (energy.sum(axis=0) / 3600.0).tolist(),
        "mean_power_w": (energy.sum(axis=0) / SECONDS_PER_QUARTER).tolist(),
        "carbon_kg": _carbon_kg(p, d).sum(axis=0).tolist(),
        "water_l": _water_l(p, d).sum(axis=0).tolist(),
        "unfit": p.unfit,
        "spans": [
            {
                "run": p.runs[x.run],
                "sites": [p.sites[x.first], p.sites[x.second]],
                "needed_bytes_s": x.needed_bytes_s,
                "bandwidth_bytes_s": x.bandwidth_bytes_s,
                "may_span": x.allowed,
                "efficiency": x.efficiency,
            }
            for x in p.spans
        ],
    }


def supply_table(p: Problem) -> pd.DataFrame:
    """Systems that a quarter's supply allows, whichever of its line is bought, their price [USD] and nameplate [W]."""
    rows = [
        {
            "quarter": str(q),
            "system": s,
            "line": p.lines[p.line_of[k]],
            "racks_available": p.supply[p.line_of[k], t],
            "rack_price_usd": p.rack_price_usd[k, t],
            "rack_it_w": p.rack_it_w[k],
        }
        for k, s in enumerate(p.systems)
        for t, q in enumerate(p.quarters)
    ]
    return pd.DataFrame(rows)


def demand_table(p: Problem, d: Decisions) -> pd.DataFrame:
    """Tokens demanded and served, revenue per output token [USD], and whether the demand is history or projected."""
    until = [s.known_until for s in p.scenario.serving]
    basis = [["history" if u is not None and q <= u else "projection" for q in p.quarters] for u in until]
    frame = pd.DataFrame(
        {
            "tokens_demanded": p.demand.ravel(),
            "tokens_served": d.served.ravel(),
            "usd_per_token": sum_by_workload(p.products, len(p.workloads), len(p.quarters)).ravel(),
            "basis": [b for row in basis for b in row],
        },
        index=_index(p, "workload", "quarter"),
    ).reset_index()
    return frame[["quarter", "workload", *[c for c in frame.columns if c not in ("quarter", "workload")]]]


def run_end(p: Problem, r: int, racks: Array) -> int | None:
    """Quarter in which a run has ended: when it is due, or later where it slipped; None beyond the horizon.

    `racks` has shape (training point, site, quarter).
    """
    active = np.flatnonzero(racks.sum(axis=(0, 1)))
    return max(int(p.run_due[r]), int(active[-1])) if len(active) else None


def training_runs(p: Problem, d: Decisions) -> list[dict[str, Any]]:
    """Where, when and on what each run is trained, whether its deadline slipped, and what spanning sites costs it."""
    return [_run(p, r, d.training_racks[p.train_run == r]) for r in range(len(p.runs))]


def _run(p: Problem, r: int, racks: Array) -> dict[str, Any]:
    run = p.scenario.training[r]
    active = np.flatnonzero(racks.sum(axis=(0, 1)))
    at = np.flatnonzero(racks.sum(axis=(0, 2)))
    systems = [p.systems[k] for k in p.train_system[p.train_run == r][racks.sum(axis=(1, 2)) > 0]]
    pair = next((x for x in p.spans if x.run == r and x.allowed and set(at) == {x.first, x.second}), None)
    slipped = max(int(active[-1]) - int(p.run_due[r]), 0) if len(active) else 0
    return {
        "name": run.name,
        "model": run.model,
        "system": systems[0] if systems else None,
        "sites": [p.sites[s] for s in at],
        "start": str(p.quarters[active[0]]) if len(active) else None,
        "end": str(p.quarters[active[-1]]) if len(active) else None,
        "racks": math.ceil(racks.sum(axis=(0, 1)).max()) if len(active) else 0,
        "tokens": float(p.run_tokens[r]),
        "window": [str(run.start), str(run.latest or run.end)],
        "deadline": str(run.end),
        "slipped_quarters": slipped,
        "slip_cost_usd": slipped * run.slip_cost * SECONDS_PER_QUARTER,
        "span_efficiency": pair.efficiency if pair else 1.0,
    }


def terms_summary(p: Problem) -> dict[str, Any]:
    """The terms on which money moves, for whoever checks the plan."""
    s = p.scenario
    out: dict[str, Any] = {"deposit": s.finance.deposit, "interest_on_cash": s.finance.interest_on_cash}
    if s.investment is not None:
        i = s.investment
        out["investment"] = {
            "investor": i.investor,
            "counts": i.counts,
            "acceptance_quarters": i.acceptance_lag,
            "long_stop": str(i.long_stop) if i.long_stop else None,
            "ceiling_usd": i.ceiling,
            "pricing": i.pricing if i.valuation is not None else None,
            "valuation_usd": i.valuation,
            "conditions": [
                {
                    "tranche": c.tranche,
                    "not_before": str(c.not_before) if c.not_before else None,
                    "purchases_usd": c.purchases,
                    "run": c.run,
                }
                for c in i.conditions
            ],
        }
    if s.finance.systems is not None:
        out["systems"] = s.finance.systems.model_dump()
    if s.finance.tax is not None:
        out["tax"] = s.finance.tax.model_dump()
    return out
