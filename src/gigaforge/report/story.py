"""What a plan says, in sentences and headline numbers computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.report.money import lives_and_rate, token_costs
from gigaforge.report.power_figures import milestone_frame
from gigaforge.report.view import PlanView
from gigaforge.units import format_at_least, format_at_most, format_quantity

__all__ = [
    "Headline",
    "cents",
    "chosen_models",
    "headline",
    "headlines",
    "in_quarters",
    "model_words",
    "money",
    "power",
    "rate_of_return",
    "sentences",
    "takeaways",
]

DAYS_PER_QUARTER = SECONDS_PER_QUARTER / 86400.0
_LATE = 1e-6  # relative slack under which a sum of rounded figures counts as reached
_NEARLY = 0.97  # share of its nameplate that a plan without caps holds, racks that are retired or not at work aside


@dataclass(frozen=True)
class Headline:
    """One number a board asks for first: what, how much, and in comparison to what."""

    name: str
    value: str
    note: str


def power(watts: float) -> str:
    """Watts for people, three digits, never more than there is: 7.998e9 → "7.99 GW"."""
    return format_at_most(watts, "power")


def money(usd: float | None) -> str:
    """Dollars for people: "$124B"."""
    return "n/a" if usd is None else format_quantity(usd, "money").replace("-", "−")


def rate_of_return(irr: float | None) -> str:
    """A yearly rate for people: what is paid back within months has one in the thousands of per cent, which says no more."""
    return "–" if irr is None else "over 100 %" if irr > 1 else f"{100 * irr:.1f} %".replace("-", "−")


def _percent(share: float) -> str:
    """A share for people, never rounded up to all or down to nothing."""
    if 0.999 <= share < 1 - 1e-9:
        return "99.9 %"
    if 0 < share < 0.001:
        return "under 0.1 %"
    return f"{share * 100:.0f} %" if share in (0, 1) or 0.1 <= share < 0.99 or share > 1 else f"{share * 100:.1f} %"


def _peak(plan: PlanView) -> tuple[float, str]:
    values = plan.series("deployed_w")
    return float(values.max(initial=0.0)), plan.quarters[int(values.argmax())]


def reached(plan: PlanView, watts: float) -> str | None:
    """The quarter in which deployed power reaches so many watts, None where it never does."""
    hits = np.flatnonzero(plan.series("deployed_w") >= watts * (1 - _LATE))
    return plan.quarters[int(hits[0])] if len(hits) else None


def headline(plan: PlanView) -> str:
    """The answer in one line, and how far from the best it may be where the search ended before the gap asked for."""
    gap, asked = plan.summary.get("mip_gap"), (plan.summary.get("options") or {}).get("gap")
    if gap is None or asked is None or gap <= asked * (1 + 1e-3):
        return _answer(plan)
    return f"{_answer(plan)}; a plan within {np.ceil(gap * 1e3 - 1e-6) / 10:.1f} % of the best"


def _answer(plan: PlanView) -> str:
    best, when = _peak(plan)
    goal = plan.commitment_w
    if not best:
        return "Nothing is deployed" + (f" of the {power(goal)} committed" if goal else "")
    if not goal:
        return f"{power(best)} deployed by {when}"
    done = reached(plan, goal)
    if done:
        return f"{power(goal)} committed, reached in {done}"
    return f"{power(best)} of {power(goal)} deployed by {when}"


def headlines(plan: PlanView) -> list[Headline]:
    """The tiles at the top of the report."""
    s = plan.summary
    best, when = _peak(plan)
    goal = plan.commitment_w
    out = [Headline("Power deployed", power(best), f"of {power(goal)} committed, by {when}" if goal else when)]
    tranches = s.get("tranches") or []
    if tranches:
        paid = [t for t in tranches if t["released"]]
        total = sum(t["amount_usd"] for t in tranches)
        note = f"of {money(total)}; {len(paid)} of {len(tranches)} tranches"
        out.append(Headline("Investment released", money(sum(t["amount_usd"] for t in paid)), note))
    _, _, rate = lives_and_rate(plan)
    terms = [
        f"at {rate * 100:g} % a year" if rate else "",
        f"IRR before debt {rate_of_return(s['irr'])}" if s.get("irr") is not None else "",
    ]
    note = "; ".join(["operator's", *filter(None, terms)])
    out.append(Headline("Net present value", money(s.get("npv_usd")), note))
    unit = plan.power_unit
    per = (
        f"; {money(s['capex_usd'] / (best / unit.watts))} per {unit.name} deployed"
        if best and s.get("capex_usd")
        else ""
    )
    out.append(Headline("Capital expenditure", money(s.get("capex_usd")), f"systems and owned buildings{per}"))
    packages = plan.series("accelerators")
    if packages.any():
        note = f"packages online in {plan.quarters[int(packages.argmax())]}"
        out.append(Headline("Accelerators at peak", format_quantity(float(packages.max()), "count"), note))
    demanded, served = plan.series("tokens_demanded").sum(), plan.series("tokens_served").sum()
    if demanded:
        most = float(plan.series("tokens_served").max()) / DAYS_PER_QUARTER
        daily = format_quantity(most, "tokens").replace(" tokens", "")
        note = f"of demand over the horizon; {daily} output tokens a day at most"
        out.append(Headline("Tokens served", _percent(float(served / demanded)), note))
    return out


def sentences(plan: PlanView) -> list[str]:
    """The story: power, dates, money, work."""
    return [s for s in (_power_sentence(plan), _held_sentence(plan), _dates_sentence(plan), _equity_sentence(plan), _work_sentence(plan),
                        _training_sentence(plan), _money_sentence(plan)) if s]  # fmt: skip


def _power_sentence(plan: PlanView) -> str:
    best, when = _peak(plan)
    goal = plan.commitment_w
    if not best:
        return "No system is bought: nothing the scenario offers is worth its cost, or nothing may be built."
    sites, systems = len(plan.used_sites), len(plan.systems)
    where = f"at {_count(sites, 'site')} with {_count(systems, 'system')}"
    if not goal:
        return f"The plan deploys {power(best)} of {plan.basis} power by {when}, {where}."
    if reached(plan, goal):
        return (
            f"The plan deploys the committed {power(goal)} of {plan.basis} power by {reached(plan, goal)}, {where}."
        )
    missing = format_at_least(goal - best, "power")
    return (
        f"The plan deploys {power(best)} of {plan.basis} power by {when}, {where}: {missing} short of {power(goal)}."
    )


def _held_sentence(plan: PlanView) -> str:
    """What racks under power caps hold of what counts as deployed; nothing where they hold nearly all of it."""
    when = (plan.commitment_w and reached(plan, plan.commitment_w)) or _peak(plan)[1]
    there = plan.table("deployment", "quarter", "it_power_w", "facility_power_w", "nameplate_w")
    there = there[there["quarter"] == when]
    if "nameplate_w" not in there or there["it_power_w"].sum() > _NEARLY * there["nameplate_w"].sum():
        return ""
    sites = plan.table("sites", "quarter", "energised_w")
    energised = sites.loc[sites["quarter"] == when, "energised_w"].sum()
    held = there["it_power_w" if plan.basis == "IT" else "facility_power_w"].sum()
    return (
        f"Deployed is the nameplate accepted: in {when} the racks that stand hold {power(held)} of {plan.basis} power at most, under the "
        f"caps that they run at, where {power(energised)} of grid power is energised."
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _dates_sentence(plan: PlanView) -> str:
    marks = milestone_frame(plan)
    if marks.empty:
        return ""
    missed = marks[marks["state"] == "Milestone missed"]
    if missed.empty:
        return "Every milestone is met." if len(marks) > 1 else f"The milestone of {marks['quarter'][0]} is met."
    parts = []
    for by, watts, promised in zip(missed["quarter"], missed["power_w"], missed["promised"], strict=True):
        when = reached(plan, float(watts))
        late = f"comes in {when} instead of {by}" if when else f"due by {by} does not come in the horizon"
        parts.append(f"{promised} {late}")
    why = next((m["why"] for m in plan.milestones if m["by"] == missed["quarter"].iloc[0] and m.get("why")), "")
    if len(parts) == 1 and why:
        parts[0] += f" ({plan.in_words(why)})"
    met = len(marks) - len(missed)
    all_of = f"{met or 'None'} of the {len(marks)} milestones" if len(marks) > 1 else "The milestone is not met"
    verb = "" if len(marks) == 1 else (" is met" if met < 2 else " are met")
    return f"{all_of}{verb}: {'; '.join(parts)}."


def _equity_sentence(plan: PlanView) -> str:
    tranches = plan.summary.get("tranches") or []
    if not tranches:
        return ""
    paid = [t for t in tranches if t["released"]]
    total = sum(t["amount_usd"] for t in paid)
    waits = next((t for t in tranches if not t["released"]), None)
    why = str(waits.get("why") or f"its threshold is {power(waits['threshold_w'])}") if waits else ""
    if not paid:
        return f"No tranche is released. For the first, {why}."
    span = f"in {paid[0]['released']}"
    if len(paid) > 1:
        span = f"from {paid[0]['released']} to {paid[-1]['released']}"
    rest = f" For tranche {waits['index']}, {why}." if waits else ""
    return f"{money(total)} of equity is released in {_count(len(paid), 'tranche')} {span}.{rest}"


def _work_sentence(plan: PlanView) -> str:
    demanded, served = plan.series("tokens_demanded"), plan.series("tokens_served")
    if not demanded.any():
        return ""
    share = float(served.sum() / demanded.sum())
    short = [q for q, d, s in zip(plan.quarters, demanded, served, strict=True) if s < d * 0.99]
    if not short:
        return f"Serving meets demand in every quarter ({_percent(share)} of all tokens asked for)."
    ratio = np.divide(served, demanded, out=np.ones_like(served), where=demanded > 0)
    worst = int(ratio.argmin())
    return (
        f"Serving meets {_percent(share)} of the tokens asked for; {len(short)} of {len(plan.quarters)} quarters fall "
        f"short by more than 1 %, {plan.quarters[worst]} most ({_percent(float(ratio[worst]))} served)."
    )


def _training_sentence(plan: PlanView) -> str:
    runs = plan.summary.get("training_runs") or []
    done = [r for r in runs if r.get("start")]
    if not runs:
        return ""
    if not done:
        return f"None of {_count(len(runs), 'training run')} is carried out."
    biggest = max(done, key=lambda r: r["racks"])
    late = [r for r in done if r.get("slipped_quarters")]
    delay = "".join(f"; {plan.label(r['name'])} ends {_late(r['slipped_quarters'])}" for r in late)
    if len(runs) == 1:
        opening = f"The training run {plan.label(biggest['name'])}"
        return (
            f"{opening} takes {biggest['racks']:,} racks of {plan.label(biggest['system'])}, ending {biggest['end']}"
            f"{', ' + _late(late[0]['slipped_quarters']) if late else ''}."
        )
    share = (
        f"All {len(runs)} training runs" if len(done) == len(runs) else f"{len(done)} of {len(runs)} training runs"
    )
    return (
        f"{share} are carried out; the largest, "
        f"{plan.label(biggest['name'])}, takes {biggest['racks']:,} racks of {plan.label(biggest['system'])}{delay}."
    )


def in_quarters(count: int) -> str:
    """So many quarters in words."""
    return "a quarter" if count == 1 else f"{count} quarters"


def _late(count: int) -> str:
    return f"{in_quarters(count)} after its deadline"


def _money_sentence(plan: PlanView) -> str:
    s = plan.summary
    if not (s.get("capex_usd") or s.get("opex_usd") or s.get("revenue_usd")):
        return ""
    low = int(plan.balance_usd.argmin())
    return (
        f"Over the horizon the operator spends {money(s['capex_usd'])} on capital and {money(s['opex_usd'])} on running "
        f"it, and earns {money(s.get('revenue_usd'))}; cash is lowest in {plan.quarters[low]}, "
        f"at {money(float(plan.balance_usd[low]))}."
    )


def takeaways(plan: PlanView) -> dict[str, str]:
    """One line above each figure, by the figure's name."""
    return {
        "deployment-by-site": _site_takeaway(plan),
        "deployment-by-platform": _platform_takeaway(plan),
        "site-power": _limit_takeaway(plan),
        "tranches": _equity_sentence(plan),
        "cash": _cash_takeaway(plan),
        "token-cost": _cost_takeaway(plan),
        "tokens": _work_sentence(plan),
        "served-share": _share_takeaway(plan),
        "training": _training_sentence(plan),
    }


def _top(plan: PlanView, column: str) -> tuple[str, float]:
    last = plan.deployed_by(column).iloc[-1]
    return (str(last.idxmax()), float(last.max() / last.sum())) if len(last) and last.sum() else ("", 0.0)


def _site_takeaway(plan: PlanView) -> str:
    name, share = _top(plan, "site")
    return f"{_answer(plan)}. {plan.label(name)} holds most: {_percent(share)}." if name else _answer(plan) + "."


def _platform_takeaway(plan: PlanView) -> str:
    name, share = _top(plan, "system")
    last = plan.quarters[-1]
    return f"By {last}, {_percent(share)} of all deployed power is {plan.label(name)}." if name else ""


def _limit_takeaway(plan: PlanView) -> str:
    frame = plan.table("sites", "quarter", "site", "energised_w", "facility_power_w")
    on = frame[frame["energised_w"] > 0]
    if on.empty:
        return ""
    full = on[on["facility_power_w"] >= on["energised_w"] * 0.98].groupby("site")["quarter"].count()
    if full.empty:
        return "No site fills up (98 % or more of what is energised)."
    top = full.idxmax()
    return (
        f"{len(full)} of {_count(on['site'].nunique(), 'site')} fill up (98 % or more of what is energised); "
        f"{plan.label(str(top))} is full in {_count(int(full.max()), 'quarter')}."
    )


def _cash_takeaway(plan: PlanView) -> str:
    if not plan.cash_by_kind().to_numpy().any():
        return ""
    low, spend = int(plan.balance_usd.argmin()), -plan.cash_by_kind()["capex"].to_numpy()
    most = int(spend.argmax())
    line = f"Cash is tightest in {plan.quarters[low]}, at {money(float(plan.balance_usd[low]))}"
    return line + (
        f"; spending peaks at {money(float(spend[most]))} in {plan.quarters[most]}." if spend.any() else "."
    )


def _cost_takeaway(plan: PlanView) -> str:
    costs = token_costs(plan)
    if costs.empty:
        return ""
    first, last = costs.iloc[0], costs.iloc[-1]
    if len(costs) == 1:
        return f"A million output tokens costs {cents(last['cost'])} and earns {cents(last['price'])}."
    return (
        f"A million output tokens costs {cents(first['cost'])} in {first['quarter']} and {cents(last['cost'])} in "
        f"{last['quarter']}, when it earns {cents(last['price'])}."
    )


def cents(usd: float) -> str:
    """A small price, in cents or below."""
    return f"${usd:,.2f}" if usd >= 0.1 else f"${usd:.2g}"


def _share_takeaway(plan: PlanView) -> str:
    sums = plan.demand.groupby("workload", sort=False)[["tokens_served", "tokens_demanded"]].sum()
    sums = sums[sums["tokens_demanded"] > 0]
    shares = sums["tokens_served"] / sums["tokens_demanded"]
    parts = [f"{plan.label(str(name))} {_percent(float(share))}" for name, share in shares.items()]
    return f"Served over the horizon: {', '.join(parts)}." if parts else ""


def model_words(choice: Mapping[str, Any]) -> str:
    """A chosen model as size, expansion, training tokens and context."""
    kind = "dense" if choice["experts"] == 1 else f"a mixture with {choice['experts']} times the experts it uses"
    active, tokens = (format_quantity(choice[k], "count") for k in ("active", "tokens"))
    context = f", with a context of {choice['context']:,} tokens" if choice.get("context") else ""
    return f"{active} active parameters ({kind}) on {tokens} tokens{context}"


def chosen_models(summary: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The models that the scenario left open, as chosen for the plan; and what must be known of each choice."""
    chosen = summary.get("model_choices") or {}
    told = [
        f"{run} is {model_words(c)}: by {c['law']} a loss of {c['loss']:.3f} for {money(c['usd'])} "
        f"{'of training and serving' if c['serve_tokens'] else 'of training'}."
        for run, c in chosen.items()
    ]
    return told, [f"{run}: {w}." for run, c in chosen.items() for w in c["warnings"]]
