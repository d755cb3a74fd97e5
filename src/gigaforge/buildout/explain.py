"""Why the plan is as it is: shadow prices by name, and shortfalls in sentences."""

from __future__ import annotations

from typing import Any

import numpy as np

from gigaforge.buildout.plan import Decisions
from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.programme import GW, PETA, USD
from gigaforge.buildout.solver import Relaxation
from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.scenario import step
from gigaforge.units import format_quantity

__all__ = ["milestones", "sentences", "shadow_prices"]


def shadow_prices(problem: Problem, relaxation: Relaxation) -> dict[str, Any]:
    """What one more unit of each scarce thing would add to the plan's value today.

    From the duals of the relaxed programme (racks divisible), in present-value dollars.

    Returns
    -------
    dict
        ``power``: site -> USD per MW-quarter of energised facility power, by quarter; ``supply``: line -> USD per
        system; ``cash``: USD today per extra USD available in the quarter (0 while cash is not scarce); ``demand``:
        workload -> USD per output token of demand.

    """
    p, duals, count = problem, relaxation.duals, len(problem.quarters)
    unit = USD if p.scenario.objective in ("npv", "cost") else 1.0

    def of(name: str) -> Array:
        dual = duals.get(name)
        return np.zeros(count) if dual is None else np.abs(np.asarray(dual.values, dtype=float)).reshape(-1)

    return {
        "power": {s: (of(f"sites.{s}.power|energised") * unit / GW * 1e6).tolist() for s in p.sites},
        "supply": {
            line: (of(f"platforms.{line}.supply|supply") * unit / p.scenario.block).tolist() for line in p.lines
        },
        "cash": (of("finance|cash") * unit / USD).tolist(),
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
                "why": _why(problem, decisions, prices, t) if short > 1e3 else "",
            }
        )
    return out


def _why(problem: Problem, decisions: Decisions, prices: dict[str, Any], t: int) -> str:
    """What was scarce in the quarters before a missed milestone: what had a price, and was used up."""
    p = problem
    reasons = []
    bought = np.array([decisions.added[:, p.line_of == line].sum(axis=(0, 1)) for line in range(len(p.lines))])
    for line, name in enumerate(p.lines):
        worth = np.asarray(prices["supply"][name])[: t + 1]
        taken, offered = bought[line, : t + 1].sum(), p.supply[line, : t + 1].sum()
        if worth.max() > 1e4 and taken >= 0.95 * offered:
            reasons.append(f"supply gives {offered:,.0f} {name} systems by then and {taken:,.0f} are bought")
    used = np.einsum("skt,sk->st", decisions.online, np.outer(p.pue_peak, p.rack_it_w))
    full = [
        name
        for s, name in enumerate(p.sites)
        if np.asarray(prices["power"][name])[: t + 1].max() > 1e3 and used[s, t] >= 0.97 * p.energised_w[s, t] > 0
    ]
    if full:
        total = format_quantity(float(p.energised_w[:, t].sum()), "power")
        are = "is" if len(full) == 1 else "are"
        reasons.append(f"{_list(full)} {are} full, with {total} energised at all sites")
    money = np.asarray(prices["cash"])[: t + 1]
    if money.size and money.max() > 0.01:
        reasons.append("there is no more cash in the quarters before")
    return "; ".join(reasons) or "building earlier would cost more than being late"


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
                f"{format_quantity(mark['shortfall_w'], 'power')} ({reached}; lateness is priced at "
                f"{format_quantity(mark['cost_usd'], 'money')}): {mark['why']}."
            )
    out += _scarce(problem, prices)
    lost = problem.demand.sum() - decisions.served.sum()
    if problem.demand.sum() and lost > 1e-4 * problem.demand.sum():
        worst = int(np.argmax((problem.demand - decisions.served).sum(axis=0)))
        out.append(
            f"{lost / problem.demand.sum():.1%} of the tokens demanded are not served, most of them in "
            f"{problem.quarters[worst]}."
        )
    return out


def _scarce(problem: Problem, prices: dict[str, Any]) -> list[str]:
    """The dearest site, platform and demand."""
    out = []
    power = {s: np.asarray(v) for s, v in prices["power"].items()}
    if power and (best := max(power, key=lambda s: power[s].sum())) and power[best].sum() > 0:
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
