"""A plan: what the programme decided, as tidy tables and a summary."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from gigaforge.buildout.annual import annual_summary
from gigaforge.buildout.cash import cash_table, internal_rate_of_return
from gigaforge.buildout.circular import circularity
from gigaforge.buildout.decisions import Decisions, accepted_w
from gigaforge.buildout.parties import parties_of, parties_table
from gigaforge.buildout.payments import delivered_usd
from gigaforge.buildout.plan_tables import (
    demand_table,
    environment,
    months_table,
    run_end,
    sites_table,
    supply_table,
    terms_summary,
    training_runs,
)
from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.programme import GW, PETA, USD, Programme
from gigaforge.buildout.solver import Solution
from gigaforge.buildout.tranches import due_tranches, unmet_terms
from gigaforge.scenario import step
from gigaforge.units import format_at_most

__all__ = ["Plan", "decisions_from", "plan_from"]


@dataclass(frozen=True)
class Plan:
    """A plan in memory: a summary that is `plan.json`, and tables that are Parquet files.

    Attributes
    ----------
    summary : dict
        See "plan.json" in the documentation.
    tables : dict of pandas.DataFrame
        ``deployment, sites, supply, allocation, cash, tranches, operating_points, demand``.
    problem : Problem
        What was asked.
    decisions : Decisions
        What was decided, as arrays.

    """

    summary: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    problem: Problem = field(repr=False)
    decisions: Decisions = field(repr=False)

    def to_pandas(self, table: str = "deployment") -> pd.DataFrame:
        """One of the tables."""
        return self.tables[table]

    def _repr_html_(self) -> str:
        """Show in a notebook: headline figures and the deployment by quarter."""
        s = self.summary
        last = format_at_most(max(s["deployed_w"], default=0.0), "power")
        frame = self.tables["deployment"].groupby("quarter", sort=False)[["racks_added", "racks_online"]].sum()
        return f"<h4>{s['title']}: {last}, NPV ${s['npv_usd'] / 1e9:.1f}B</h4>{frame.to_html()}"


def _read(programme: Programme, solution: Solution) -> dict[str, Array]:
    """Values of every variable, shaped as declared."""
    by_label = np.zeros(int(solution.labels.max()) + 1)
    by_label[solution.labels] = solution.values
    out = {}
    for name in programme.model.variables:
        labels = programme.model.variables[name].labels.values
        out[name] = np.where(labels >= 0, by_label[labels], 0.0)
    return out


def decisions_from(programme: Programme, solution: Solution) -> Decisions:
    """Read a solution: racks rounded to whole blocks, tranches released the moment they are due."""
    p, v = programme.problem, _read(programme, solution)
    block, count = float(p.scenario.block), len(p.quarters)
    added, retired = (np.rint(v[name]) * block + 0.0 for name in ("add", "retire"))
    if p.past is not None:  # as it was, whole blocks or not
        added[..., : p.past.quarters], retired[..., : p.past.quarters] = p.past.added, p.past.retired
    bought = added - np.rint(v["draw"]) if "draw" in v else added
    online = np.cumsum(added - retired, axis=2) + 0.0  # never a negative zero

    def tidy(name: str, shape: tuple[int, ...], scale: float) -> Array:
        values = v.get(name, np.zeros(shape)) * scale
        return np.where(values > 1e-6 * scale, values, 0.0)

    shape = (len(p.sites), len(p.systems))
    out = Decisions(
        added=added,
        retired=retired,
        online=online,
        serving_racks=tidy("serve", (shape[0], len(p.points), count), block),
        training_racks=tidy("train", (len(p.training_points), shape[0], count), block),
        served=np.minimum(tidy("served", (len(p.workloads), count), PETA), p.demand),
        built_w=np.minimum(v["built"] * GW, p.energised_w),
        debt_usd=tidy("debt", (count,), USD),
        tranches=np.zeros(count, dtype=int),
        bought=bought + 0.0,
    )
    return replace(out, tranches=due_tranches(p, *_released_by(p, out)))


def _released_by(p: Problem, d: Decisions) -> tuple[Array, Array, dict[str, int | None]]:
    """What tranches wait for: power deployed [W], value of systems delivered [USD] (T,), and the quarter each run ends."""
    ends = {run: run_end(p, r, d.training_racks[p.train_run == r]) for r, run in enumerate(p.runs)}
    return d.deployed_w(p), np.cumsum(delivered_usd(p, d).sum(axis=0)), ends


def plan_from(programme: Programme, solution: Solution) -> Plan:
    """Turn a solution into a plan."""
    p = programme.problem
    d = decisions_from(programme, solution)
    cash = cash_table(p, d)
    tables = {
        "deployment": _deployment(p, d),
        "sites": sites_table(p, d),
        "site_months": months_table(p, d),
        "supply": supply_table(p),
        "allocation": _allocation(p, d),
        "cash": cash.table,
        "tranches": _tranches(p, d),
        "operating_points": _points(p),
        "demand": demand_table(p, d),
    }
    held_w = d.held_w(p)
    it_w = held_w.sum(axis=(0, 1))
    facility_w = np.einsum("skt,s->t", held_w, p.pue_peak)
    parties = parties_of(p, d, cash)
    tables["parties"] = parties_table(parties)
    runs = training_runs(p, d)
    zero = np.zeros(len(p.quarters))
    unit = USD if p.scenario.objective in ("npv", "cost") else 1.0
    summary = {
        "name": p.scenario.name,
        "title": p.scenario.title,
        "status": solution.status,
        "objective": p.scenario.objective,
        "objective_value": solution.objective * unit,
        "mip_gap": solution.gap,
        "bound": solution.bound * unit,
        "solve_s": solution.seconds,
        "quarters": [str(q) for q in p.quarters],
        "it_power_w": it_w.tolist(),
        "facility_power_w": facility_w.tolist(),
        "deployed_w": d.deployed_w(p).tolist(),
        "accelerators": np.einsum("skt,k->t", d.online, p.accelerators).tolist(),
        "tokens_served": d.served.sum(axis=0).tolist(),
        "tokens_demanded": p.demand.sum(axis=0).tolist(),
        "tranches": tables["tranches"].replace({np.nan: None}).to_dict("records"),
        "training_runs": runs,
        "npv_usd": cash.net_present_value_usd,
        "irr": internal_rate_of_return(cash.project_usd),
        "capex_usd": cash.capex_usd,
        "opex_usd": cash.opex_usd,
        "revenue_usd": cash.revenue_usd,
        "salvage_usd": cash.salvage_usd,
        "cash_usd": cash.balance_usd.tolist(),
        "dollars": p.scenario.finance.dollars,
        "commitment": {"power_w": p.scenario.commitment.power, "basis": p.scenario.commitment.basis},
        "debt_limit_usd": (step(debt.limit, p.quarters) if (debt := p.scenario.finance.debt) else zero).tolist(),
        "parties": parties,
        "circularity": circularity(p, d, cash),
        "annual_cost": annual_summary(p, d),
        "owed_usd": cash.owed_usd,
        "terms": terms_summary(p),
        **environment(p, d),
        "shadow_prices": {},
    }
    return Plan(_clean(summary), tables, p, d)


def _clean(value: Any) -> Any:
    """Plain JSON types, no NaN."""
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _index(p: Problem, *dims: str) -> pd.MultiIndex:
    labels = {"site": p.sites, "system": p.systems, "quarter": [str(q) for q in p.quarters], "workload": p.workloads}
    return pd.MultiIndex.from_product([labels[d] for d in dims], names=dims)


def _deployment(p: Problem, d: Decisions) -> pd.DataFrame:
    held_w = d.held_w(p)
    frame = pd.DataFrame(
        {
            "racks_added": d.added.ravel().astype(int),
            "racks_retired": d.retired.ravel().astype(int),
            "racks_online": d.online.ravel().astype(int),
            "racks_delivered": d.bought.ravel().astype(int),
            "it_power_w": held_w.ravel(),
            "facility_power_w": (held_w * p.pue_peak[:, None, None]).ravel(),
            "nameplate_w": (d.online * p.rack_it_w[None, :, None]).ravel(),
            "deployed_w": accepted_w(p, d).ravel(),
        },
        index=_index(p, "site", "system", "quarter"),
    ).reset_index()
    used = frame.groupby(["site", "system"])[["racks_online", "racks_delivered"]].transform("max").max(axis=1) > 0
    frame = frame[used].sort_values(["quarter", "site", "system"], kind="stable").reset_index(drop=True)
    return frame[["quarter", "site", "system", *frame.columns[3:]]]


def _allocation(p: Problem, d: Decisions) -> pd.DataFrame:
    rows = []
    for s, i, t in zip(*np.nonzero(d.serving_racks), strict=True):
        point, racks = p.points[i], d.serving_racks[s, i, t]
        workload = p.point_workload[i]
        tokens = racks * p.point_tokens[i, t] / p.peak_to_mean[workload]
        rows.append((str(p.quarters[t]), p.sites[s], point.system, point.workload, point.id, racks, tokens))
    for j, s, t in zip(*np.nonzero(d.training_racks), strict=True):
        point, racks = p.training_points[j], d.training_racks[j, s, t]
        tokens = racks * p.train_rate[j]
        rows.append((str(p.quarters[t]), p.sites[s], point.system, point.workload, point.id, racks, tokens))
    columns = ["quarter", "site", "system", "workload", "point", "racks", "tokens"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.sort_values(["quarter", "site", "system", "workload"], kind="stable").reset_index(drop=True)


def _tranches(p: Problem, d: Decisions) -> pd.DataFrame:
    rows = []
    lacking = unmet_terms(p, *_released_by(p, d), int(d.tranches[-1]))
    each = zip(p.tranche_thresholds_w, p.tranche_amounts_usd, lacking, strict=True)
    for number, (threshold, amount, why) in enumerate(each, 1):
        reached = np.flatnonzero(d.tranches >= number)
        rows.append(
            {
                "index": number,
                "threshold_w": float(threshold),
                "amount_usd": float(amount),
                "released": str(p.quarters[reached[0]]) if len(reached) else None,
                "why": why,
            }
        )
    return pd.DataFrame(rows, columns=["index", "threshold_w", "amount_usd", "released", "why"])


def _points(p: Problem) -> pd.DataFrame:
    every = [*p.points, *p.training_points]
    rows = [
        {
            **{k: v for k, v in q.__dict__.items() if k != "strategy"},
            "precision": q.precision,
            "strategy": json.dumps(q.strategy, sort_keys=True),
        }
        for q in every
    ]
    return pd.DataFrame(rows)
