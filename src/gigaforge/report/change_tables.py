"""The report's section on what would change the plan: small changes, and prices of single limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gigaforge.report.codesign_sections import Parts
from gigaforge.report.report_tables import Table
from gigaforge.report.story import money
from gigaforge.report.view import PlanView

__all__ = ["change_parts"]

_CHANGES: Final = {
    "power": "One more MW of grid power in every quarter that has any",
    "supply": "One more rack in every quarter of supply",
    "demand": "1 % more demand in every quarter",
    "speed": "1 % more tokens at the same power",
    "watts": "1 % less power held and burnt at the same tokens",
    "counted": "1 % more nameplate counted as deployed by each rack",
}
_TOLD_USD: Final = 1e3
_ALIKE: Final = 0.01
"""Relative difference up to which two derivatives are told as one."""


def change_parts(plan: PlanView) -> Parts:
    """What stands under "What would change the plan"; empty without sensitivities."""
    found: Mapping[str, Any] = ((plan.summary.get("codesign") or {}).get("sensitivity")) or {}
    if not found:
        return [], [], [], []
    rows = [
        _row(words, plan.label(name), *(_of(found, part, kind, name) for part in _PARTS))
        for kind, words in _CHANGES.items()
        for name in found.get(kind) or {}
    ]
    cash = [None if (usd := _of(found, part, "cash")) is None else 1e6 * usd for part in _PARTS]
    rows.append(_row("A million dollars more at the start", "", *cash))
    kept = [r for usd, r in sorted(rows, key=lambda r: -r[0]) if usd > _TOLD_USD]
    head = ["Change", "Where", "Adds", "The opposite costs", "At the margin"]
    note = (
        "The relaxed plan solved again with the change: what it adds to the plan's value today, after what it costs (grid power: its "
        "lease or building, from the first quarter in which it is used to the end). At the margin: a small part of the change, times its "
        "number of parts; where a little more and a little less differ, both are told."
    )
    small = [Table("Small changes and what they add", head, kept, wide=(0, 1), note=note)] if kept else []
    return [], [], [], [*small, *_limit_tables(plan, found.get("rows") or [])]


_PARTS: Final = ("adds", "costs", "more", "less")


def _of(found: Mapping[str, Any], part: str, kind: str, name: str | None = None) -> float | None:
    """One figure; None where there is no plan, or an older one without it."""
    values = (found if part == "more" else found.get(part) or {}).get(kind)
    value = (values or {}).get(name) if name is not None else values
    return None if value is None else float(value)


def _row(
    words: str, where: str, adds: float | None, costs: float | None, more: float | None, less: float | None
) -> tuple[float, list[Any]]:
    """A change and what it is worth, the most of it first."""
    margin = _usd(more)
    if more is not None and less is not None and abs(more - less) > _ALIKE * max(abs(more), abs(less), _TOLD_USD):
        margin = f"{money(more)} more, {money(less)} less"
    return max(adds or 0.0, more or 0.0), [words, where, _usd(adds), _usd(costs), margin]


def _usd(value: float | None) -> str:
    return "–" if value is None else money(value)


_LIMITS: Final = {"power": "Grid power", "supply": "Supply", "cash": "Cash"}


def _limit_tables(plan: PlanView, rows: list[Mapping[str, Any]]) -> list[Table]:
    """Single limits, the dearest of each kind, with the range in which their price holds."""
    out = []
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for r in rows:
        kinds.setdefault(r["kind"], []).append(r)
    for kind, words in _LIMITS.items():
        for r in [r for r in kinds.get(kind, []) if _holds(r)][:6]:
            out += [
                [r["quarter"], words, plan.label(r["name"]) if kind != "cash" else "", r["unit"],
                 _usd(r.get("more", r["usd"])), _usd(r.get("less", r["usd"])), money(r["usd"]),
                 _amount(r["low"], kind), _amount(r["high"], kind), "" if kind == "cash" else _amount(r["now"], kind)]
            ]  # fmt: skip
    if not out:
        return []
    head = [
        "Quarter",
        "Limit",
        "Where",
        "Unit",
        "One more adds",
        "The last one is worth",
        "The price of",
        "holds from",
        "to",
        "Today",
    ]
    note = (
        "In that quarter alone, everything else unchanged; supply in whole blocks, for cash dollars more or fewer in that quarter. Where "
        "today's limit is an end of the range, the unit beyond it has another price. Power that comes for one quarter adds little where "
        "it must be paid for to the end. Limits whose price changes on both sides are left out."
    )
    return [Table("Prices of single limits, and how far they hold", head, out, wide=(0, 1, 2, 3), note=note)]


def _holds(row: Mapping[str, Any]) -> bool:
    low, high = row["low"], row["high"]
    return low is None or high is None or high - low > 1e-3 * max(abs(low), abs(high))


def _amount(value: float | None, kind: str) -> str:
    if value is None:
        return "no end"
    return money(value) if kind == "cash" else f"{value:,.1f}" if kind == "power" else f"{value:,.0f}"
