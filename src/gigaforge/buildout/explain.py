"""Why the plan is as it is: scarcities and shortfalls in sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.decisions import Decisions
from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.scarcity import Scarcity, listed, what_happened
from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.scenario import step
from gigaforge.units import format_at_least, format_at_most, format_quantity

__all__ = ["milestones", "sentences"]


def milestones(
    problem: Problem, decisions: Decisions, prices: dict[str, Any], balance_usd: Array, open_usd: float
) -> list[dict[str, Any]]:
    """Each milestone: what stands by then, what is missing, what that costs and what holds it up.

    `balance_usd` is the operator's cash at the end of each quarter, `open_usd` what the best plan may be worth more.
    """
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
        now = Scarcity.of(problem, decisions, prices["cash"], balance_usd, t)
        out.append(
            {
                "by": str(milestone.by),
                "power_w": milestone.power,
                "deployed_w": float(deployed[t]),
                "shortfall_w": float(short),
                "reached": str(problem.quarters[reached[0]]) if len(reached) else None,
                "cost_usd": cost,
                "why": _why(problem, decisions, now, t, short, _left_open(open_usd, cost)) if short > 1e3 else "",
            }
        )
    return out


def _left_open(open_usd: float, stake_usd: float) -> str:
    """What a statement that the plan would lose by something must add where less is at stake than the search leaves open."""
    if open_usd < 0.1 * stake_usd:
        return ""
    return f", or gain no more than the {format_quantity(open_usd, 'money')} that the search leaves open"


def _why(p: Problem, decisions: Decisions, now: Scarcity, t: int, missing_w: float, or_little: str) -> str:
    """What held up a milestone: what was used up by then, and what could still have been had at a price."""
    if p.past is not None and t < p.past.quarters:
        return what_happened(p, decisions, t)
    counted = np.array(
        [(p.deployed_w_per_rack * p.can_host[:, :, t])[:, p.line_of == i].max() for i in range(len(p.lines))]
    )
    left_w = min(float((now.left * counted).sum()), now.room_w)
    scarce = now.spent(counted > 0)
    if now.full() and now.room_w < 2 * missing_w:
        scarce.append(now.full_words())
    cash = now.cash_words(_worth_usd(p, missing_w, t))
    scarce += [*cash, *now.stock_words()]
    if left_w > 0.05 * missing_w:
        spare = [f"{now.left[i]:,.0f} {p.lines[i]}" for i in range(len(p.lines)) if now.left[i] > 0 and counted[i]]
        left = f"{listed(spare)} systems and {format_at_most(now.room_w, 'power')} of power are left"
        scarce.append(left if cash else f"{left}, but using them earlier would cost more than being late{or_little}")
    return "; ".join(scarce) or f"building earlier would cost more than being late{or_little}"


def _worth_usd(p: Problem, missing_w: float, t: int) -> float:
    """The least that systems for so much power would cost [USD]."""
    per_watt = np.where(
        p.deployed_w_per_rack > 0, p.rack_price_usd[None, :, t] / np.maximum(p.deployed_w_per_rack, 1.0), np.inf
    )
    return float(per_watt.min(initial=np.inf) * missing_w)


def sentences(
    problem: Problem,
    decisions: Decisions,
    prices: dict[str, Any],
    marks: list[dict[str, Any]],
    balance_usd: Array,
    open_usd: float,
) -> list[str]:
    """The story of the plan's scarcities in a few sentences; parameters as `milestones`."""
    out = _stock(problem, decisions)
    for mark in marks:
        if mark["shortfall_w"] > 1e3:
            reached = f"reached {mark['reached']}" if mark["reached"] else "not reached within the horizon"
            out.append(
                f"{format_quantity(mark['power_w'], 'power')} by {mark['by']} is short by "
                f"{format_at_least(mark['shortfall_w'], 'power')} ({reached}; lateness is priced at "
                f"{format_quantity(mark['cost_usd'], 'money')}): {mark['why']}."
            )
    out += _scarce(problem, prices)
    out += _unserved(
        problem, decisions, lambda t: Scarcity.of(problem, decisions, prices["cash"], balance_usd, t), open_usd
    )
    return out


def _unserved(
    problem: Problem, decisions: Decisions, scarcity: Callable[[int], Scarcity], open_usd: float
) -> list[str]:
    """Tokens not served: how many, what they would have earned, when most, and why then."""
    p = problem
    lost = p.demand - decisions.served
    if not p.demand.sum() or lost.sum() <= 1e-4 * p.demand.sum():
        return []
    worst = int(np.argmax(lost.sum(axis=0)))
    earned = format_quantity(float((lost * p.token_usd).sum()), "money")
    share = 100 * lost.sum() / p.demand.sum()
    told = f"{share:.1f} %" if share >= 0.05 else "Under 0.1 %"
    worth = f"{told} of the tokens demanded are not served; at their prices, less what a sale costs, they are worth"
    or_little = _left_open(open_usd, float((lost * p.token_usd)[:, worst].sum()))
    why = "; ".join(_why_unserved(p, decisions, scarcity(worst), worst, or_little))
    return [f"{worth} {earned}. Most are missing in {p.quarters[worst]}: {why}."]


def _why_unserved(p: Problem, d: Decisions, now: Scarcity, t: int, or_little: str) -> list[str]:
    """What stands in the way of more tokens in a quarter: what is used up, else what is left and not worth its cost."""
    used, energised = (format_at_most(float(x.sum()), "power") for x in (now.used_w, now.energised_w))
    out: list[str] = []
    training = float(d.training_racks[..., t].sum()) / max(float(d.online[..., t].sum()), 1.0)
    if training > 0.005:
        out.append(f"{100 * training:.0f} % of the racks online train models")
    if p.past is not None and t < p.past.quarters:
        return [*out, f"{d.online[..., t].sum():,.0f} racks were online by the actuals"]
    full = now.full()
    if len(full) == int((now.energised_w > 0).sum()):
        return [*out, now.full_words()] if full else [*out, "no power is energised"]
    roomy = [s for s in range(len(p.sites)) if s not in full and now.energised_w[s] > 0]
    could = np.array([p.can_host[roomy][:, p.line_of == i, t].any() for i in range(len(p.lines))])
    left_then = float(now.left_then[could].sum())
    out.append(f"{used} of the {energised} energised are in use")
    if full:
        out.append(now.full_words())
    if left_then < p.scenario.block:
        return [*out, *_none_for(p, now, roomy, could, t)]
    out.append(f"{left_then:,.0f} more systems could be had")
    cash = now.cash_words(p.scenario.block * float(p.rack_price_usd[:, t].max()))
    if cash:
        return [*out, *cash]
    quarters = len(p.quarters) - t
    time = "the horizon's last quarter" if quarters == 1 else f"the {quarters} quarters to the horizon's end"
    return [
        *out,
        f"in {time} they would add less to the plan than they cost, even with their book value at its end{or_little}",
    ]


def _none_for(p: Problem, now: Scarcity, roomy: list[int], could: NDArray[np.bool_], t: int) -> list[str]:
    """Why sites with room, `roomy`, get no more systems: those that they take, `could` (L,), are bought or never came."""
    out = []
    bought, part = float(now.taken_then[could].sum()), float(now.part_then[could].sum())
    barred = [i for i in np.flatnonzero(~could) if now.left_then[i] >= 1]
    taken = " that sites with room take" if barred else ""
    if bought:
        out.append(f"all {bought:,.0f} systems supplied then{taken} are bought")
    if part >= 1:
        out[-1:] = [
            f"{out[-1]}, but for {part:,.0f}" if out else f"{part:,.0f} systems supplied then{taken} are left"
        ]
        out[-1] += f" (under a whole block of {p.scenario.block})"
    for i in barred:
        left = f"{now.left_then[i]:,.0f} {p.lines[i]} systems could be had, but no site with room takes them"
        why = _unfit_words(p, roomy, np.flatnonzero(p.line_of == i))
        out.append(f"{left}{f': {why}' if why else f' in {p.quarters[t]}'}")
    return out or ["no system is supplied then"]


def _unfit_words(p: Problem, sites: list[int], systems: NDArray[np.int_]) -> str:
    """Why systems cannot stand at sites: each reason once, with the sites that it holds for."""
    where: dict[str, dict[str, list[str]]] = {}
    for item in p.unfit:
        if item["site"] in [p.sites[s] for s in sites] and item["system"] in [p.systems[k] for k in systems]:
            where.setdefault(item["system"], {}).setdefault(item["why"], []).append(item["site"])
    return ", ".join(
        f"{system} {' and '.join(f'{why} ({listed(names)})' for why, names in whys.items())}"
        for system, whys in where.items()
    )


def _stock(p: Problem, d: Decisions) -> list[str]:
    """Systems delivered and not deployed when planning begins, and what becomes of them."""
    if p.past is None:
        return []
    over, out = p.past.quarters, []
    for line, name in enumerate(p.lines):
        mine = p.line_of == line
        stock = (d.bought - d.added)[:, mine].sum(axis=(0, 1)).cumsum()
        if stock[over - 1] < 1:
            continue
        gone = np.flatnonzero(stock[over:] < 1)
        if len(gone):
            rest = f"all are by {p.quarters[over + int(gone[0])]}"
        elif stock[-1] > stock[over - 1] - 1:
            rest = "none ever is"
        else:
            rest = f"{stock[-1]:,.0f} of them never {'is' if stock[-1] == 1 else 'are'}"
        out.append(
            f"{stock[over - 1]:,.0f} {name} systems delivered by {p.quarters[over - 1]} and paid for were not deployed by "
            f"then; {rest}."
        )
    return out


def _scarce(problem: Problem, prices: dict[str, Any]) -> list[str]:
    """The dearest site, platform and demand, of quarters still to come: nothing more can be had in the others."""
    over = problem.quarters_over
    out = []
    power = {s: np.asarray(v)[over:] for s, v in prices["power"].items()}
    if power and (best := max(power, key=lambda s: power[s].sum())) and power[best].sum() > 1e4:
        t = int(np.argmax(power[best] > 1e-3 * power[best].sum()))  # before it a MW adds nothing
        out.append(
            f"Power is worth most at {best}: one more MW from {problem.quarters[over + t]} on adds "
            f"{format_quantity(float(power[best][t:].sum()), 'money')} to the plan."
        )
    supply = {s: np.asarray(v)[over:] for s, v in prices["supply"].items()}
    if supply and (best := max(supply, key=lambda s: supply[s].max())) and supply[best].max() > 1e3:
        t = int(np.argmax(supply[best]))
        out.append(
            f"Supply is tightest for {best}: one more system in {problem.quarters[over + t]} adds "
            f"{format_quantity(float(supply[best][t]), 'money')}."
        )
    cash = np.asarray(prices["cash"])[over:]
    if cash.size and cash.max() > 0.01:
        t = int(np.argmax(cash))
        out.append(
            f"Cash binds most in {problem.quarters[over + t]}: one more dollar there adds ${cash[t]:.2f} to the plan."
        )
    return out
