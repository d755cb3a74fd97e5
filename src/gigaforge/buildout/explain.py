"""Why the plan is as it is: shadow prices by name, and shortfalls in sentences."""

from __future__ import annotations

from typing import Any

import numpy as np

from gigaforge.buildout.decisions import Decisions
from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.programme import GW, PETA, USD
from gigaforge.buildout.solver import Relaxation
from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.scenario import step
from gigaforge.units import format_at_least, format_at_most, format_quantity

__all__ = ["milestones", "sentences", "shadow_prices"]


def shadow_prices(problem: Problem, relaxation: Relaxation) -> dict[str, Any]:
    """What one more unit of each scarce thing would add to the plan's value today.

    From the duals of the relaxed programme (racks divisible), in present-value dollars.

    Returns
    -------
    dict
        ``power``: site -> USD per MW-quarter of energised facility power, by quarter; ``supply``: line -> USD per
        system; ``cash``: USD today that an extra USD in the quarter would let the plan do (0 while cash is not scarce;
        what it would earn lying idle is not counted); ``demand``: workload -> USD per output token of demand.

    """
    p, duals, count = problem, relaxation.duals, len(problem.quarters)
    unit = USD if p.scenario.objective in ("npv", "cost") else 1.0

    def of(name: str) -> Array:
        dual = duals.get(name)
        return np.zeros(count) if dual is None else np.abs(np.asarray(dual.values, dtype=float)).reshape(-1)

    # An empty purse is a bound of cash: what it costs in a quarter, a dollar more in any earlier one would have saved.
    bound = relaxation.reduced.get("cash")
    purse = of("finance|cash")
    if bound is not None:
        purse = np.cumsum(np.abs(np.asarray(bound, dtype=float)).reshape(-1)[::-1])[::-1]
    return {
        "power": {s: (of(f"sites.{s}.power|energised") * unit / GW * 1e6).tolist() for s in p.sites},
        "supply": {
            line: (of(f"platforms.{line}.supply|supply") * unit / p.scenario.block).tolist() for line in p.lines
        },
        "cash": (purse * unit / USD).tolist(),
        "demand": {w: (of(f"serving.{w}.demand|demand") * unit / PETA).tolist() for w in p.workloads},
    }


def milestones(problem: Problem, decisions: Decisions, prices: dict[str, Any]) -> list[dict[str, Any]]:
    """Each milestone: what stands by then, what is missing, what that costs and what holds it up."""
    commitment = problem.scenario.commitment
    deployed = decisions.deployed_w(problem)
    due = step({m.by: m.power for m in commitment.milestones}, problem.quarters)
    out = []
    for number, milestone in enumerate(commitment.milestones):
        t = milestone.by - problem.quarters[0]
        later = (
            commitment.milestones[number + 1].by - problem.quarters[0]
            if number + 1 < len(commitment.milestones)
            else None
        )
        missing = np.maximum(due - deployed, 0.0)[t:later]
        reached = np.flatnonzero(deployed >= milestone.power * (1 - 1e-9))
        cost = float(missing.sum() * (commitment.late_penalty or 0.0) * SECONDS_PER_QUARTER)
        short = max(milestone.power - deployed[t], 0.0)
        out.append(
            {
                "by": str(milestone.by),
                "power_w": milestone.power,
                "deployed_w": float(deployed[t]),
                "shortfall_w": float(short),
                "reached": str(problem.quarters[reached[0]]) if len(reached) else None,
                "cost_usd": cost,
                "why": _why(problem, decisions, prices, t, short) if short > 1e3 else "",
            }
        )
    return out


def _why(problem: Problem, decisions: Decisions, prices: dict[str, Any], t: int, missing_w: float) -> str:
    """What held up a milestone: what was used up by then, and what could still have been had at a price."""
    p = problem
    bought = np.array([decisions.added[:, p.line_of == line].sum(axis=(0, 1)) for line in range(len(p.lines))])
    taken, offered = bought[:, : t + 1].sum(axis=1), p.supply[:, : t + 1].sum(axis=1)
    best = np.array(
        [(p.deployed_w_per_rack * p.can_host[:, :, t])[:, p.line_of == i].max() for i in range(len(p.lines))]
    )
    used = (decisions.held_w(p).sum(axis=1) * p.pue_peak[:, None])[:, t]
    room_w = float(np.maximum(p.energised_w[:, t] - used, 0.0).sum())
    left_w = min(float((np.maximum(offered - taken, 0.0) * best).sum()), room_w)
    spent = [i for i in range(len(p.lines)) if offered[i] and taken[i] >= 0.95 * offered[i]]
    scarce = []
    for i in spent:
        rest = f"all but {offered[i] - taken[i]:,.0f} of the" if offered[i] > taken[i] else "all"
        scarce.append(f"{rest} {offered[i]:,.0f} {p.lines[i]} systems that supply gives by then are bought")
    full = [n for s, n in enumerate(p.sites) if used[s] >= 0.97 * p.energised_w[s, t] > 0]
    if full and room_w < 2 * missing_w:
        are = "is" if len(full) == 1 else "are"
        scarce.append(
            f"{_list(full)} {are} full, with {format_at_most(float(p.energised_w[:, t].sum()), 'power')} energised"
        )
    if max(prices["cash"][max(t - 1, 0) : t + 1], default=0.0) > 0.01:  # when a deposit and the rest fall due
        scarce.append("cash is used up then")
    if left_w > 0.05 * missing_w:
        spare = [
            f"{offered[i] - taken[i]:,.0f} {p.lines[i]}"
            for i in range(len(p.lines))
            if offered[i] - taken[i] > 0 and best[i]
        ]
        left = f"{_list(spare)} systems and {format_at_most(room_w, 'power')} of power are left"
        scarce.append(f"{left}, but using them earlier would cost more than being late")
    return "; ".join(scarce) or "building earlier would cost more than being late"


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def sentences(
    problem: Problem, decisions: Decisions, prices: dict[str, Any], marks: list[dict[str, Any]]
) -> list[str]:
    """The story of the plan's scarcities in a few sentences."""
    out = []
    for mark in marks:
        if mark["shortfall_w"] > 1e3:
            reached = f"reached {mark['reached']}" if mark["reached"] else "not reached within the horizon"
            out.append(
                f"{format_quantity(mark['power_w'], 'power')} by {mark['by']} is short by "
                f"{format_at_least(mark['shortfall_w'], 'power')} ({reached}; lateness is priced at "
                f"{format_quantity(mark['cost_usd'], 'money')}): {mark['why']}."
            )
    out += _scarce(problem, prices)
    out += _unserved(problem, decisions, prices)
    return out


def _unserved(problem: Problem, decisions: Decisions, prices: dict[str, Any]) -> list[str]:
    """Tokens not served: how many, what they would have earned, when most, and why then."""
    p = problem
    lost = p.demand - decisions.served
    if not p.demand.sum() or lost.sum() <= 1e-4 * p.demand.sum():
        return []
    worst = int(np.argmax(lost.sum(axis=0)))
    power = max((v[worst] for v in prices["power"].values()), default=0.0)
    supply = max((v[worst] for v in prices["supply"].values()), default=0.0)
    if power > 1e3:
        why = "energised power is used up then"
    elif supply > 1e4:
        why = "supply is used up then"
    elif decisions.retired[:, :, : worst + 1].any():
        why = "systems retire by then, and new ones would not earn back their cost by the end of the horizon and after it"
    else:
        why = "more systems would cost more than these tokens earn"
    earned = format_quantity(float((lost * p.token_usd).sum()), "money")
    share = 100 * lost.sum() / p.demand.sum()
    told = f"{share:.1f} %" if share >= 0.05 else "Under 0.1 %"
    worth = f"{told} of the tokens demanded are not served; at their prices, less what a sale costs, they are worth"
    return [f"{worth} {earned}. Most are missing in {p.quarters[worst]}: {why}."]


def _scarce(problem: Problem, prices: dict[str, Any]) -> list[str]:
    """The dearest site, platform and demand."""
    out = []
    power = {s: np.asarray(v) for s, v in prices["power"].items()}
    if power and (best := max(power, key=lambda s: power[s].max())) and power[best].max() > 1e4:
        t = int(np.argmax(power[best]))
        out.append(
            f"Power is worth most at {best}: one more MW in {problem.quarters[t]} adds "
            f"{format_quantity(float(power[best][t]), 'money')} to the plan."
        )
    supply = {s: np.asarray(v) for s, v in prices["supply"].items()}
    if supply and (best := max(supply, key=lambda s: supply[s].max())) and supply[best].max() > 1e3:
        t = int(np.argmax(supply[best]))
        out.append(
            f"Supply is tightest for {best}: one more system in {problem.quarters[t]} adds "
            f"{format_quantity(float(supply[best][t]), 'money')}."
        )
    cash = np.asarray(prices["cash"])
    if cash.size and cash.max() > 0.01:
        t = int(np.argmax(cash))
        out.append(
            f"Cash binds most in {problem.quarters[t]}: one more dollar there adds ${cash[t]:.2f} to the plan."
        )
    return out
