"""The report's sections on co-design: what solving together gained, at which prices, and what would change the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from gigaforge.report.codesign_figures import chosen_over_time, paid_with, platform_frontiers, prices_over_time
from gigaforge.report.figures import Figure
from gigaforge.report.report_tables import Table
from gigaforge.report.story import money
from gigaforge.report.view import PlanView

__all__ = ["change_parts", "codesign_parts"]

Parts = tuple[list[str], list[str], list[Figure], list[Table]]
"""Leading sentences, listed statements, figures, tables."""


def codesign_parts(plan: PlanView) -> Parts:
    """What stands under "Solved together"; empty where the plan was not co-designed."""
    found: Mapping[str, Any] = plan.summary.get("codesign") or {}
    if not found:
        return [], [], [], []
    figures: list[Figure] = []
    rows = found.get("chased") or []
    if rows:
        figures.append(
            Figure("paid-with", "What tokens are paid with", _chase_words(rows), paid_with(rows, plan.quarters),
                   pd.DataFrame(rows).round(4), "Shares of the value of each quarter's work, at the relaxed plan's prices.")
        )  # fmt: skip
    prices = prices_over_time(plan.summary.get("shadow_prices") or {}, plan.quarters)
    if prices is not None:
        figures.append(Figure("prices-over-time", "Prices over time", "", prices, _price_frame(plan)))
    rows = found.get("chosen") or []
    if rows:
        figures.append(
            Figure("chosen-points", "Points chosen over time", _cap_words(rows),
                   chosen_over_time(rows, plan.quarters, plan.label), pd.DataFrame(rows).round(3))
        )  # fmt: skip
    rows = found.get("frontiers") or []
    if rows:
        note = (
            "One 70-billion-parameter model, 4,000 tokens in and 1,000 out, at most 50 ms a token, at the lowest precision of each "
            "chip; yearly cost of the system at 12 %, leased power and energy."
        )
        figures.append(
            Figure("platform-frontiers", "Tokens per joule against tokens per dollar", _frontier_words(rows),
                   platform_frontiers(rows), pd.DataFrame(rows).drop(columns="system").round(4), note)
        )  # fmt: skip
    return _gain_words(found), list(found.get("reasons") or []), figures, [_round_table(found), *_event_tables(found)]


def _gain_words(found: Mapping[str, Any]) -> list[str]:
    ours, theirs, gap = found["cooptimised_value"], found["sequential_value"], found["solver_gap"]
    gain = found.get("gain")
    more = f" ({100 * gain:+.1f} %)" if gain is not None else ""
    clear = gain is not None and gain > 2 * gap
    sure = (
        "more than twice what either plan may be from its best"
        if clear
        else "no more than the plans' own distance from their best, so it proves nothing"
    )
    first = (
        f"Operating points and build-out solved together are worth {money(ours)}; the fastest points first and then the best plan "
        f"for them, {money(theirs)}. The difference{more} is {sure} ({100 * gap:.2f} %)."
    )
    second = (
        f"No plan with any of the {found['evaluated']:,} strategies, batches and caps evaluated is worth more than "
        f"{money(found['bound'])}; the exchange of prices ended {100 * found['price_gap']:.2f} % below that bound."
    )
    return [first, second]


def _chase_words(rows: list[Mapping[str, Any]]) -> str:
    joule = [r["quarter"] for r in rows if r["chases"] == "tokens per joule"]
    if not joule:
        return "Capital is the larger part in every quarter: the plan chases tokens per dollar throughout."
    if len(joule) == len(rows):
        return "Power and energy are the larger part in every quarter: the plan chases tokens per joule throughout."
    names = ", ".join(joule[:6]) + (f" and {len(joule) - 6} more" if len(joule) > 6 else "")
    return f"The plan chases tokens per joule in {names}, and tokens per dollar in the other quarters."


def _cap_words(rows: list[Mapping[str, Any]]) -> str:
    total = sum(r["racks"] for r in rows)
    capped = sum(r["racks"] for r in rows if r["share"] < 0.99)
    mean = sum(r["racks"] * r["share"] for r in rows) / total
    return f"{100 * capped / total:.0f} % of rack-quarters run under a cap; caps are {100 * mean:.0f} % of the limit on average."


def _frontier_words(rows: list[Mapping[str, Any]]) -> str:
    best = {r["label"]: max(x["tokens_per_joule"] for x in rows if x["label"] == r["label"]) for r in rows}
    first, last = next(iter(best)), list(best)[-1]
    return f"{last} gives {best[last] / best[first]:.0f} times the tokens per joule of {first}."


def _price_frame(plan: PlanView) -> pd.DataFrame:
    prices = plan.summary.get("shadow_prices") or {}
    columns: dict[str, Any] = {"quarter": plan.quarters}
    for kind in ("power", "supply"):
        for name, values in (prices.get(kind) or {}).items():
            columns[f"{kind} {plan.label(name)}"] = values
    columns["cash"] = prices.get("cash") or [0.0] * len(plan.quarters)
    return pd.DataFrame(columns).round(4)


def _round_table(found: Mapping[str, Any]) -> Table:
    rows: list[list[Any]] = [
        [str(n), f"{r['points']:,}", money(r["value"]), money(r["bound"]), f"{100 * r['gap']:.2f} %", str(r["added"])]
        for n, r in enumerate(found["rounds"], 1)
    ]
    note = "Whole-rack decisions relaxed. The bound holds for every candidate, whether the plan knows it yet or not."
    head = ["Round", "Points known", "Relaxed plan", "At most", "Gap", "Points that come back"]
    return Table("Prices to the search, points back", head, rows, note=note)


def _event_tables(found: Mapping[str, Any]) -> list[Table]:
    events = found.get("events") or []
    if not events:
        return []
    rows = [
        [e["quarter"], e["what"], money(e["kept"]), money(e["replanned"]), money(e["redesigned"]), f"{e['points']:,}"]
        for e in events
    ]
    note = (
        "Relaxed plans. Each row knows what ships or starts by then, with all earlier purchases fixed: the plan as it stood; "
        "planned again with the points it had and the fastest on what is new; designed again with all points."
    )
    head = ["Quarter", "News", "As it stood", "Planned again", "Designed again", "Points"]
    return [Table("Re-design as the roadmap moves", head, rows, wide=(0, 1), note=note)]


def change_parts(plan: PlanView) -> Parts:
    """What stands under "What would change the plan"; empty without sensitivities."""
    found: Mapping[str, Any] = ((plan.summary.get("codesign") or {}).get("sensitivity")) or {}
    if not found:
        return [], [], [], []
    rows: list[tuple[float, list[Any]]] = []
    for site, usd in (found.get("power") or {}).items():
        rows.append((usd, ["One more MW in every quarter", plan.label(site), money(usd)]))
    for line, usd in (found.get("supply") or {}).items():
        rows.append((usd, ["One more rack in every quarter of supply", plan.label(line), money(usd)]))
    for work, usd in (found.get("demand") or {}).items():
        rows.append((usd, ["1 % more demand in every quarter", plan.label(work), money(usd)]))
    for system, usd in (found.get("speed") or {}).items():
        rows.append((usd, ["1 % more tokens at the same power", plan.label(system), money(usd)]))
    for system, usd in (found.get("watts") or {}).items():
        rows.append((abs(usd), ["1 % less power at the same tokens", plan.label(system), money(usd)]))
    cash = float(found.get("cash") or 0.0)
    rows.append((1e6 * cash, ["A million dollars more at the start", "", money(1e6 * cash)]))
    kept = [r for usd, r in sorted(rows, key=lambda r: -r[0]) if usd > 1e3]
    note = "Derivatives of the relaxed plan: what small changes add to its value today."
    tables = (
        [Table("Small changes and what they add", ["Change", "Where", "Worth"], kept, wide=(0, 1), note=note)]
        if kept
        else []
    )
    return [], [], [], [*tables, *_limit_tables(plan, found.get("rows") or [])]


def _limit_tables(plan: PlanView, rows: list[Mapping[str, Any]]) -> list[Table]:
    """Single limits, the dearest of each kind, with the range in which their price holds."""
    out = []
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for r in rows:
        kinds.setdefault(r["kind"], []).append(r)
    for kind in ("power", "supply", "cash"):
        for r in kinds.get(kind, [])[:6]:
            out += [
                [r["quarter"], kind.capitalize(), plan.label(r["name"]) if kind != "cash" else "", money(r["usd"]),
                 r["unit"], _amount(r["low"], kind), _amount(r["high"], kind)]
            ]  # fmt: skip
    if not out:
        return []
    head = ["Quarter", "Limit", "Where", "One more is worth", "Unit", "Holds from", "to"]
    note = "The range is of this limit alone, everything else unchanged; for cash, of dollars more or fewer in that quarter."
    return [Table("Prices of single limits, and how far they hold", head, out, wide=(0, 1, 2, 4), note=note)]


def _amount(value: float | None, kind: str) -> str:
    if value is None:
        return "no end"
    return money(value) if kind == "cash" else f"{value:,.0f}"
