"""The report's sections on co-design: what solving together gained, at which prices, and what would change the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gigaforge.report.codesign_figures import (
    chosen_over_time,
    paid_with,
    platform_frontiers,
    prices_over_time,
    what_is_chased,
)
from gigaforge.report.figures import Figure
from gigaforge.report.point_tables import point_tables
from gigaforge.report.report_tables import Table
from gigaforge.report.story import money
from gigaforge.report.view import PlanView

__all__ = ["Parts", "beyond_gap", "chase_words", "codesign_parts", "numbers", "price_numbers"]

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
            Figure("paid-with", "What tokens are paid with", chase_words(rows), paid_with(rows, plan.quarters),
                   numbers(rows, _PAID), "Shares of the value of each quarter's work, at the relaxed plan's prices. On the bill a rack "
                   "costs its price over its life with interest and upkeep, a watt its lease or building, staff and energy. "
                   "The dark tick is where capital would end if each part cost what its bill says.")
        )  # fmt: skip
    rows = found.get("chased_by_site") or []
    if rows:
        note = (
            "A site chases tokens per joule where power is dearer against racks, at the plan's prices, than on the bill by a tenth or "
            "more; tokens per rack where racks are; else tokens per dollar. Hold a cell for its prices."
        )
        figures.append(
            Figure("what-is-chased", "What each site chases", _site_words(rows, plan, (found.get("sensitivity") or {}).get("power") or {}), what_is_chased(rows, plan.quarters, plan.label),
                   numbers([r | {"site": plan.label(r["site"])} for r in rows], _CHASED), note)
        )  # fmt: skip
    prices = prices_over_time(plan.summary.get("shadow_prices") or {}, plan.quarters)
    if prices is not None:
        figures.append(
            Figure(
                "prices-over-time",
                "Prices over time",
                "",
                prices,
                price_numbers(plan),
                "Of the dearest site, line and workload in each quarter: what one more in that quarter alone adds; of power, what a MW "
                "adds by coming in that quarter and not in the next.",
            )
        )
    rows = found.get("chosen") or []
    if rows:
        figures.append(
            Figure("chosen-points", "Points chosen over time", _cap_words(rows),
                   chosen_over_time(rows, plan.quarters, plan.label),
                   numbers([r | {"system": plan.label(r["system"])} for r in rows], _CHOSEN))
        )  # fmt: skip
    rows = found.get("frontiers") or []
    if rows:
        note = (
            "One 70-billion-parameter model, 4,000 tokens in and 1,000 out, at most 50 ms a token, at the lowest precision of each "
            "chip; yearly cost of the system at 12 %, leased power and energy."
        )
        figures.append(
            Figure("platform-frontiers", "Tokens per joule against tokens per dollar", _frontier_words(rows),
                   platform_frontiers(rows), numbers(rows, _FRONTIER), note)
        )  # fmt: skip
    tables = [_round_table(found), *_way_table(found), *_event_tables(found), *point_tables(plan)]
    return [*_gain_words(found), *_worth_words(found, plan)], list(found.get("reasons") or []), figures, tables


_PAID = {"quarter": "Quarter", "capital": "Capital", "power": "Power held", "energy": "Energy", "bill": "Power on the bill",
         "dearer": "Power against racks, over the bill", "held": "Held over nameplate", "held_for_dollars": "for tokens per dollar",
         "held_for_joules": "for tokens per joule", "usd": "Worth, USD", "chases": "Chases"}  # fmt: skip
_CHASED = {"quarter": "Quarter", "site": "Site", "power": "Power held", "energy": "Energy", "bill": "Power on the bill",
           "dearer": "Power against racks, over the bill", "mw_usd": "A MW held is worth, USD", "mw_bill_usd": "and costs, USD",
           "held": "Held over nameplate", "held_for_dollars": "for tokens per dollar", "held_for_joules": "for tokens per joule",
           "chases": "Chases"}  # fmt: skip
_CHOSEN = {"quarter": "Quarter", "system": "System", "kind": "Work", "cap_w": "Cap, W", "share": "Share of the limit",
           "racks": "Racks"}  # fmt: skip
_FRONTIER = {"label": "Platform", "year": "Year", "precision": "Precision", "cap_w": "Cap, W", "tokens_per_joule": "Tokens per joule",
             "tokens_per_usd": "Tokens per dollar", "layout": "Layout"}  # fmt: skip


def numbers(rows: Sequence[Mapping[str, Any]], heads: Mapping[str, str]) -> pd.DataFrame:
    """Rows as the table behind a figure: the columns named, under words, the first as its index."""
    frame = pd.DataFrame(rows)[[c for c in heads if c in rows[0]]].rename(columns=dict(heads))
    return frame.set_index(next(iter(heads.values())))


def beyond_gap(found: Mapping[str, Any]) -> bool:
    """Whether the gain is more than twice what either plan may be from its best, so that it proves something."""
    gain = found.get("gain")
    return gain is not None and gain > 2 * found["solver_gap"]


def _gain_words(found: Mapping[str, Any]) -> list[str]:
    ours, theirs, gap = found["cooptimised_value"], found["sequential_value"], found["solver_gap"]
    gain = found.get("gain")
    more = f" ({100 * gain:+.1f} %)" if gain is not None else ""
    sure = (
        "more than twice what either plan may be from its best"
        if beyond_gap(found)
        else "no more than the plans' own distance from their best, so it proves nothing"
    )
    first = (
        f"Operating points and build-out solved together are worth {money(ours)}; the fastest points first and then the best plan "
        f"for them, {money(theirs)}. The difference{more} is {sure} ({100 * gap:.2f} %)."
    )
    if "relaxed_bound" not in found:
        return [
            first,
            "What no plan can exceed is not in this plan, which an earlier version made: co-design it again.",
        ]
    second = (
        f"No plan with any of the {found['evaluated']:,} strategies, batches, precisions and caps evaluated is worth more than "
        f"{money(found['bound'])}, {100 * found['bound_gap']:.2f} % above the plan: racks, tranches and places of runs are whole in "
        f"that bound as in the plan. Divided at will, none is worth more than {money(found['relaxed_bound'])}; the exchange of prices "
        f"ended {100 * found['price_gap']:.2f} % below that."
    )
    return [first, second]


def _worth_words(found: Mapping[str, Any], plan: PlanView) -> list[str]:
    """Why a plan's worth is not its net present value, where that is sought."""
    npv = plan.summary.get("npv_usd")
    if (
        plan.summary.get("objective") != "npv"
        or npv is None
        or abs(found["cooptimised_value"] - npv) < 1e-3 * abs(npv)
    ):
        return []
    told = (
        f"Worth is what the scenario's objective counts: here the net present value of {money(npv)}, and {money(found['cooptimised_value'] - npv)} "
        "for tranches in hand, less what late milestones and unserved tokens are priced at."
    )
    return [told]


def chase_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many quarters chase what, and where power is dearest against racks."""
    counts = pd.Series([r["chases"] for r in rows]).value_counts()
    parts = [f"{what} in {n} {'quarter' if n == 1 else 'quarters'}" for what, n in counts.items()]
    most = max(rows, key=lambda r: r["dearer"])
    return (
        f"The plan chases {', '.join(parts)}. Power is dearest against racks in {most['quarter']}: "
        f"{100 * (most['power'] + most['energy']):.0f} % of a token's worth, {100 * most['bill']:.0f} % of its bill.{_no_lower(most)}"
    )


def _no_lower(row: Mapping[str, Any]) -> str:
    """Why racks are hardly capped where power is dearest, if the best point for it is not either."""
    if row["chases"] != "tokens per joule" or row["held"] < _HARDLY or row["held_for_joules"] < row["held"] - 0.01:
        return ""
    return (
        f" Racks still hold {100 * row['held']:.0f} % of their nameplate then: what runs under lower caps and keeps the latencies "
        "promised yields no more tokens for its power in that quarter, since batches and layouts change in steps."
    )


_HARDLY = 0.9
"""Share of the nameplate held from which racks are hardly capped."""


def _site_words(rows: Sequence[Mapping[str, Any]], plan: PlanView, more: Mapping[str, float]) -> str:
    """Where a held megawatt is worth most beyond its bill; and why a megawatt more of grid power adds another sum."""
    scarce = max(rows, key=lambda r: r["mw_usd"] - r["mw_bill_usd"])
    held = (
        f"Room for racks is dearest at {plan.label(scarce['site'])} in {scarce['quarter']}: a megawatt held there for the quarter is "
        f"worth {money(scarce['mw_usd'])} to the work that it does, and its lease or building and staff cost {money(scarce['mw_bill_usd'])}."
    )
    usd = more.get(scarce["site"])
    if usd is None:
        return held
    return (
        f"{held} One more megawatt of grid power there in every quarter that has any adds {money(usd)} to the plan in all: its worth less its bill "
        "over every quarter from its first, since what is once leased or built is paid for to the end, also when it is worth less."
    )


def _cap_words(rows: list[Mapping[str, Any]]) -> str:
    total = sum(r["racks"] for r in rows)
    capped = sum(r["racks"] for r in rows if r["share"] < 0.99)
    mean = sum(r["racks"] * r["share"] for r in rows) / total
    return f"{100 * capped / total:.0f} % of rack-quarters run under a cap; caps are {100 * mean:.0f} % of the limit on average."


def _frontier_words(rows: list[Mapping[str, Any]]) -> str:
    best = {r["label"]: max(x["tokens_per_joule"] for x in rows if x["label"] == r["label"]) for r in rows}
    first, last = next(iter(best)), list(best)[-1]
    return f"{last} gives {best[last] / best[first]:.0f} times the tokens per joule of {first}."


def price_numbers(plan: PlanView) -> pd.DataFrame:
    """Every price that is ever above zero, also of sites and lines that are not the dearest and so not drawn."""
    prices = plan.summary.get("shadow_prices") or {}
    columns: dict[str, Any] = {}
    for kind, (words, scale) in _PRICED.items():
        for name, values in (prices.get(kind) or {}).items():
            columns[f"{words.format(plan.label(name))}"] = [scale * v for v in values]
    columns["A dollar, beyond its own worth, $"] = prices.get("cash") or []
    kept = {n: v for n, v in columns.items() if len(v) == len(plan.quarters) and max(v, default=0.0) > 1e-6}
    return pd.DataFrame(kept, index=pd.Index(plan.quarters, name="Quarter"))


_PRICED = {"power": ("A MW at {}, $M", 1e-6), "supply": ("A rack of {}, $M", 1e-6),
           "demand": ("A million tokens of {}, $", 1e6)}  # fmt: skip


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
        [e["quarter"], e["what"], "cannot be paid" if e["kept"] is None else money(e["kept"]), money(e["replanned"]),
         money(e["redesigned"] - e["replanned"]), f"{e['points']:,}", money(e["mw_usd"]), money(e["rack_usd"])]
        for e in events
    ]  # fmt: skip
    note = (
        "Relaxed plans. Each row knows what ships or starts by then and takes the quarter's prices of tokens, racks and energy to stay, "
        "with all earlier purchases fixed: the plan as it stood, at the new prices; planned again with the points it had and the fastest "
        "on what is new; and what designing again with all points adds. The plan as it stood has not taken on what is new: where a run has come into "
        "sight it need not train it, nor pay for what that takes, so planning again can be worth less. The last two columns are prices of the new design in that quarter: of a megawatt held for racks at the dearest site, of a rack more."
    )
    head = [
        "Quarter",
        "News",
        "As it stood",
        "Planned again",
        "Designing adds",
        "Points",
        "A MW held",
        "A rack more",
    ]
    return [Table("Re-design as the roadmap moves", head, rows, wide=(0, 1), note=note)]


def _way_table(found: Mapping[str, Any]) -> list[Table]:
    """The gain by its parts, and over other ways to choose points beforehand."""
    parts = found.get("gain_parts") or {}
    words = {"work": "Net present value of the work", "late": "Milestones missed by less", "unserved": "Fewer tokens unserved",
             "tranches": "Tranches held earlier"}  # fmt: skip
    rows: list[list[Any]] = [[words[n], money(usd)] for n, usd in parts.items() if abs(usd) > 5e5]
    out = [Table("What the gain consists of", ["Part", "Worth"], rows, wide=(0,))] if len(rows) > 1 else []
    ways = [w for w in found.get("other_ways") or [] if w["value"] is not None]
    rows = [[f"Points chosen beforehand: {w['first']}", money(w["value"]), money(w["gain"])] for w in ways]
    counted = found.get("counted")
    if counted:
        rows.append(
            [
                "The fastest, if racks counted only the power they hold: at least",
                "",
                money(counted["as_held"]),
            ]
        )
    if rows:
        note = "Relaxed plans, so that the differences are not the solver's. On the bill tokens per dollar need no plan: prices add the rest."
        out.append(Table("Gain over other ways", ["Way", "Worth", "Prices add"], rows, wide=(0,), note=note))
    return out
