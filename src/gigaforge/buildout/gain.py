"""What solving together gains: over which way of doing one thing after the other, and from what.

Every part is a difference of two plans or two relaxed plans, so that a reader can see how much is better work and how much is
how deployed power is counted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gigaforge.buildout.chased import rack_bill, watt_bill
from gigaforge.buildout.coordinate import Coordination
from gigaforge.buildout.plan import Plan
from gigaforge.buildout.pricing import Index, restrict
from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.programme import USD, build
from gigaforge.buildout.solver import SolverOptions, relax
from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.scenario import step

__all__ = ["best_first", "counted_as_held", "gain_parts", "other_ways"]


def gain_parts(ours: Plan, theirs: Plan) -> dict[str, float]:
    """The difference of two plans' values by what the objective counts [USD, today's]; the parts add up to it.

    Returns
    -------
    dict
        ``work`` (net present value), ``late`` (milestones missed by less), ``unserved`` (goodwill of tokens not served),
        ``tranches`` (the worth of holding them earlier).

    """
    ends = [_parts(plan) for plan in (ours, theirs)]
    return {name: ends[0][name] - ends[1][name] for name in ends[0]}


def _parts(plan: Plan) -> dict[str, float]:
    p, s = plan.problem, plan.summary
    c, count = p.scenario.commitment, len(p.quarters)
    late = 0.0
    if c.late_penalty is not None and c.milestones:
        due = step({m.by: m.power for m in c.milestones}, p.quarters)
        missed = np.maximum(due - np.asarray(s["deployed_w"][:count]), 0.0)
        late = float((missed * p.discount).sum()) * c.late_penalty * SECONDS_PER_QUARTER
    unserved = 0.0
    served = plan.tables["demand"]
    for w, work in enumerate(p.scenario.serving):
        mine = served[served["workload"] == work.name].set_index("quarter")["tokens_served"]
        short = p.demand[w] - np.array([float(mine.get(str(q), 0.0)) for q in p.quarters])
        unserved += float((np.maximum(short, 0.0) * p.discount).sum()) * work.shortfall_penalty
    work_usd = float(s["npv_usd"])
    rest = float(s["objective_value"]) - work_usd + late + unserved
    return {"work": work_usd, "late": -late, "unserved": -unserved, "tranches": rest}


def best_first(problem: Problem, measure: str) -> tuple[Index, Index]:
    """Of each work on each system the points that a planner takes who looks at one measure alone, in any quarter.

    Parameters
    ----------
    measure : {"tokens per dollar", "tokens per joule"}
        On the bill: a rack's yearly cost, mean lease or building and energy over the sites. Joules are of power held.

    """
    p = problem
    rack = rack_bill(p).max(axis=0)  # (K, T); a cloud's rent counts where nothing else does
    watt = (watt_bill(p) * p.pue_peak[:, None]).mean(axis=0)
    joule = (p.energy_usd_per_j * p.pue_quarter).mean(axis=0) * SECONDS_PER_QUARTER
    train = np.repeat(p.train_rate[:, None], len(p.quarters), axis=1)
    out = []
    for work, k, tokens, held, drawn in (
        (p.point_workload, p.point_system, p.point_tokens, p.point_held_w, p.point_power_w),
        (p.train_run, p.train_system, train, p.train_held_w, p.train_power_w),
    ):
        usd = rack[k] + watt * held[:, None] + joule * drawn[:, None]
        out.append(_leaders(work, k, tokens / (usd if measure == "tokens per dollar" else held[:, None])))
    return out[0], out[1]


def _leaders(work: Index, system: Index, value: Array) -> Index:
    """Rows that lead their work and system in some quarter; value has shape (row, quarter)."""
    kept: set[int] = set()
    for pair in np.unique(np.column_stack([work, system]), axis=0):
        rows = np.flatnonzero((work == pair[0]) & (system == pair[1]))
        kept |= {int(r) for r in rows[value[rows].argmax(axis=0)]}
    return np.array(sorted(kept), dtype=int)


def other_ways(
    problem: Problem, exchange: Coordination, options: SolverOptions | None = None
) -> list[dict[str, Any]]:
    """The relaxed plan with points chosen beforehand by one measure, beside that with points chosen by prices.

    Returns
    -------
    list of dict
        ``first`` (the measure), ``value`` and ``gain`` (what prices add to it) [USD]; the fastest points first.

    """
    best = exchange.relaxation.objective * USD
    out: list[tuple[str, float | None]] = [("the fastest", exchange.rounds[0].value * USD)]
    for measure in ("tokens per dollar", "tokens per joule"):
        found = relax(build(restrict(problem, *best_first(problem, measure))).model, options)
        out.append((f"most {measure}", found.objective * USD if found.feasible else None))
    return [{"first": first, "value": value, "gain": None if value is None else best - value} for first, value in out]


def counted_as_held(exchange: Coordination, options: SolverOptions | None = None) -> dict[str, float] | None:
    """The relaxed gain over the fastest points, and the least of it that is left if racks count only the power that they hold.

    Deployed power is the nameplate accepted; a capped rack counts for more than it holds. Here each system counts for the
    share of its nameplate that its racks hold on average, uncapped ones too, and is compared with fastest points that still
    count their nameplate: so the gain is no less than that, nor than nothing. None where nothing depends on deployed power.

    Returns
    -------
    dict
        ``as_nameplate, as_held`` [USD].

    """
    p, values = exchange.problem, exchange.relaxation.values
    if not p.scenario.commitment.milestones and p.scenario.investment is None:
        return None
    online = values["online"].transpose("site", "system", "quarter").values.sum(axis=(0, 2))
    spared = np.zeros(len(p.systems))
    for name, k, held in (
        ("serve", p.point_system, p.point_held_w),
        ("train", p.train_system, p.train_held_w),
    ):
        if name in values:
            racks = values[name].sum([d for d in values[name].dims if d in ("site", "quarter")]).values
            np.add.at(spared, k, racks * (p.rack_it_w[k] - held))
    share = 1.0 - spared / np.maximum(online * p.rack_it_w, 1e-9)
    changed: dict[str, Any] = {"counts": p.counts * share}
    found = relax(build(replace(p, **changed)).model, options)
    if not found.feasible:
        return None
    first = exchange.rounds[0].value
    return {
        "as_nameplate": (exchange.relaxation.objective - first) * USD,
        "as_held": max(found.objective - first, 0.0) * USD,
    }
