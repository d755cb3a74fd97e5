"""Several plans side by side, in figures and in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gigaforge.units import format_at_most, format_quantity

__all__ = ["Comparison", "Row", "compare"]

Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One measure of every plan; None where a plan has none."""

    name: str
    dimension: str
    values: tuple[float | None, ...]

    def texts(self) -> list[str]:
        """The values as people write them."""
        return [_text(v, self.dimension) for v in self.values]


@dataclass(frozen=True)
class Comparison:
    """Plans, their measures, and what sets them apart from the first.

    Attributes
    ----------
    names, titles : list of str
    rows : list of Row
        In the order in which a reader asks.
    sentences : list of str
        One or more for each plan after the first.

    """

    names: list[str]
    titles: list[str]
    rows: list[Row]
    sentences: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "plans": self.names,
            "titles": self.titles,
            "rows": [{"measure": r.name, "dimension": r.dimension, "values": list(r.values)} for r in self.rows],
            "sentences": self.sentences,
        }


def _text(value: float | None, dimension: str) -> str:
    if value is None:
        return "–"
    if dimension == "ratio":
        return f"{value:.2f}"
    if dimension == "rate":  # paid back within months it is thousands of per cent, which says no more
        return "over 100 %" if value > 1 else format_quantity(value, "fraction")
    if dimension == "mass":
        return f"{value / 1e9:.1f} Mt"
    return format_at_most(value, dimension) if dimension == "power" else format_quantity(value, dimension)


def _party(summary: Summary, role: str, key: str) -> float | None:
    rows = [r for r in summary.get("parties") or [] if r["role"] == role]
    values = [r[key] for r in rows if r.get(key) is not None]
    return float(sum(values)) if values and key.endswith("_usd") else (values[0] if values else None)


def _circle(key: str) -> Callable[[Summary], float | None]:
    return lambda s: (s.get("circularity") or {}).get(key)


def _sum(key: str) -> Callable[[Summary], float | None]:
    return lambda s: float(sum(v or 0.0 for v in s[key])) if s.get(key) else None


def _served(s: Summary) -> float | None:
    wanted = sum(s.get("tokens_demanded") or [])
    return sum(s["tokens_served"]) / wanted if wanted else None


def _equity(s: Summary) -> float | None:
    return (s.get("circularity") or {}).get("invested_usd") or _party(s, "investor", "paid_usd")


def _terms(s: Summary) -> float | None:
    values = [r["peak_exposure_usd"] for r in s.get("parties") or [] if r["role"] in ("lessor", "lender")]
    return float(sum(values)) if values else None


MEASURES: list[tuple[str, str, Callable[[Summary], float | None]]] = [
    ("power deployed", "power", lambda s: max(s.get("deployed_w") or [0.0])),
    ("accelerators at peak", "count", lambda s: max(s.get("accelerators") or [0.0])),
    ("tokens served of demand", "fraction", _served),
    ("net present value to the operator", "money", lambda s: s.get("npv_usd")),
    ("return of the project before debt (IRR)", "rate", lambda s: s.get("irr")),
    ("capital expenditure of the operator", "money", lambda s: s.get("capex_usd")),
    ("running costs, rent included", "money", lambda s: s.get("opex_usd")),
    ("revenue", "money", lambda s: s.get("revenue_usd")),
    ("lowest cash", "money", lambda s: min(s["cash_usd"]) if s.get("cash_usd") else None),
    ("owed at the end", "money", lambda s: s.get("owed_usd")),
    ("equity paid by the investor", "money", _equity),
    ("investor's net present value", "money", lambda s: _party(s, "investor", "npv_usd")),
    ("investor's multiple", "ratio", lambda s: _party(s, "investor", "multiple")),
    ("investor's peak exposure", "money", lambda s: _party(s, "investor", "peak_exposure_usd")),
    ("supplier's receipts", "money", lambda s: _party(s, "supplier", "received_usd")),
    ("purchases per dollar invested", "ratio", _circle("per_dollar")),
    ("invested dollars that return as purchases", "fraction", _circle("returned_share")),
    ("lessor's or lender's peak exposure", "money", _terms),
    ("carbon", "mass", _sum("carbon_kg")),
    ("lateness, priced", "money", lambda s: float(sum(m["cost_usd"] for m in s.get("milestones") or []))),
]


def compare(summaries: Sequence[Summary], names: Sequence[str] | None = None) -> Comparison:
    """Lay plans side by side.

    Parameters
    ----------
    summaries : sequence of mapping
        `plan.json` of each; the first is the one that the others are compared with in words.
    names : sequence of str
        What to call them; default: as their scenarios are.

    """
    called = _distinct([str(n) for n in names] if names else [str(s["name"]) for s in summaries])
    rows = [Row(name, dimension, tuple(_number(find(s)) for s in summaries)) for name, dimension, find in MEASURES]
    shown = [r for r in rows if any(v not in (None, 0.0) for v in r.values)]
    words = [w for i in range(1, len(summaries)) for w in _words(called, summaries, shown, i)]
    words += [_no_return(n, s) for n, s in zip(called, summaries, strict=True) if s.get("irr") is None]
    titles = [str(s.get("title") or n) for s, n in zip(summaries, called, strict=True)]
    return Comparison(called, titles, shown, words)


def _no_return(name: str, s: Summary) -> str:
    """Why a plan has no internal rate of return."""
    leased = ((s.get("terms") or {}).get("systems") or {}).get("kind") == "lease"
    rent = ", as systems are rented out of what they earn" if leased else ""
    return (
        f"{name} has no return of the project (IRR): no yearly rate makes its cash before debt worth nothing{rent}."
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _distinct(names: list[str]) -> list[str]:
    """Plans of one name are numbered."""
    return [n if names.count(n) == 1 else f"{n} ({names[: i + 1].count(n)})" for i, n in enumerate(names)]


def _words(names: list[str], summaries: Sequence[Summary], rows: list[Row], i: int) -> list[str]:
    """What sets one plan apart from the first: worth, then the largest differences, then its dates."""
    first, other = names[0], names[i]
    out = []
    worth = next((r for r in rows if r.name.startswith("net present value")), None)
    if worth is not None and None not in (worth.values[0], worth.values[i]):
        by = (worth.values[i] or 0.0) - (worth.values[0] or 0.0)
        size = format_quantity(abs(by), "money")
        unsure = max(_gap_usd(summaries[0]) + _gap_usd(summaries[i]), 5e7)
        told = f"is worth {size} {'more' if by > 0 else 'less'} to the operator than"
        if abs(by) <= unsure:
            told = "is worth as much to the operator, within what the solver leaves open, as"
        out.append(f"{other} {told} {first}.")
    changes = sorted(
        ((abs(_relative(r, i)), r) for r in rows if r is not worth and abs(_relative(r, i)) > 0.05),
        key=lambda pair: -pair[0],
    )
    parts = [f"{r.name} {_said(r, i)} instead of {_said(r, 0)}" for _, r in changes[:5]]
    if parts:
        out.append(f"{other}: {'; '.join(parts)}.")
    return out + _dates(first, other, summaries[0], summaries[i])


def _said(row: Row, i: int) -> str:
    return "none" if row.values[i] is None else row.texts()[i]


def _gap_usd(summary: Summary) -> float:
    """How much better a plan may exist than the one found [USD]; 0 where its objective is not money."""
    if summary.get("objective") not in ("npv", "cost") or summary.get("mip_gap") is None:
        return 0.0
    return float(summary["mip_gap"]) * abs(float(summary["objective_value"]))


def _relative(row: Row, i: int) -> float:
    before, after = row.values[0], row.values[i]
    if before is None or after is None:
        return 0.0 if before == after else 1.0
    scale = max(abs(before), abs(after))
    return (after - before) / scale if scale else 0.0


def _dates(first: str, other: str, a: Summary, b: Summary) -> list[str]:
    """Milestones that both have and one reaches in another quarter."""
    before = {m["power_w"]: m["reached"] for m in a.get("milestones") or []}
    moved = []
    for mark in b.get("milestones") or []:
        power, now = mark["power_w"], mark["reached"]
        if power in before and before[power] != now:
            moved.append(
                f"{format_at_most(power, 'power')} in {now or 'no quarter of the horizon'} ({before[power] or 'never'} in {first})"
            )
    return [f"{other} reaches {', '.join(moved)}."] if moved else []
