"""Tables that scan: a plan by year, by party, by run, as text ready to print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from gigaforge.report.story import money, power
from gigaforge.report.tranche_steps import tranche_steps
from gigaforge.report.view import PlanView
from gigaforge.report.work_figures import DAY_TERA
from gigaforge.units import format_at_least, format_quantity, percent

__all__ = [
    "Link",
    "Table",
    "assumption_table",
    "cross_check_table",
    "deployment_table",
    "frame_table",
    "milestone_table",
    "parties_table",
    "plain_text",
    "rack_table",
    "run_facts",
    "training_table",
    "tranche_table",
    "yearly_table",
]


@dataclass(frozen=True)
class Link:
    """A cell that leads to its source."""

    text: str
    url: str


Cell = str | Link


@dataclass(frozen=True)
class Table:
    """A caption, heads and rows of text.

    Attributes
    ----------
    wide : tuple of int
        Columns that hold words and align left; the others hold figures and align right.
    total : bool
        The last row is a sum.

    """

    caption: str
    head: list[str]
    rows: list[list[Cell]]
    wide: tuple[int, ...] = (0,)
    total: bool = False
    note: str = field(default="")

    def __post_init__(self) -> None:
        """A row that has not one cell for each head would stand under the wrong ones."""
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"{self.caption}: {len(self.head)} heads over a row of {len(row)} cells, {row}")


def _billions(usd: float) -> str:
    text = f"{usd / 1e9:,.1f}"
    return "–" if abs(usd) < 1e6 else ("0.0" if text == "-0.0" else text.replace("-", "−"))


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _last_of_years(plan: PlanView) -> dict[str, str]:
    """Year to its last planned quarter."""
    return {q[:4]: q for q in plan.quarters}


def deployment_table(plan: PlanView) -> Table | None:
    """Deployed power at the end of each year, by site."""
    caption = f"Deployed {plan.basis} power at the end of each year, by site [{plan.power_unit.name}]"
    return _by_year(plan, "site", caption, "Site")


def _by_year(plan: PlanView, column: str, caption: str, head: str) -> Table | None:
    frame = plan.deployed_by(column)
    if not frame.to_numpy().any():
        return None
    years = _last_of_years(plan)
    ends = frame.loc[list(years.values())]
    told = plan.power_unit.text
    rows: list[list[Cell]] = [[plan.label(str(name)), *(told(v) for v in ends[name])] for name in ends.columns]
    rows.append(["All", *(told(v) for v in ends.sum(axis=1))])
    return Table(caption, [head, *years], rows, total=True)


def rack_table(plan: PlanView) -> Table | None:
    """Racks online at the end of each year, by system."""
    frame = plan.deployed.pivot_table(index="quarter", columns="system", values="racks_online", aggfunc="sum")
    if frame.empty:
        return None
    years = _last_of_years(plan)
    ends = frame.reindex(index=plan.quarters, columns=plan.systems).ffill().fillna(0).loc[list(years.values())]
    rows: list[list[Cell]] = [[plan.label(s), *(f"{v:,.0f}" if v else "–" for v in ends[s])] for s in plan.systems]
    rows.append(["All", *(f"{v:,.0f}" for v in ends.sum(axis=1))])
    return Table("Racks online at the end of each year, by system", ["System", *years], rows, total=True)


def yearly_table(plan: PlanView) -> Table:
    """The plan in one row per year."""
    years = pd.Index([q[:4] for q in plan.quarters])
    ends = _last_of_years(plan)
    at = {q: i for i, q in enumerate(plan.quarters)}
    kinds = plan.cash_by_kind().groupby(years.to_numpy()).sum()
    served, wanted = (
        pd.Series(plan.series(k)).groupby(years.to_numpy()).sum() for k in ("tokens_served", "tokens_demanded")
    )
    rows: list[list[Cell]] = []
    for year, quarter in ends.items():
        share = percent(served[year] / wanted[year]) if wanted[year] else "–"
        k = {str(name): float(usd) for name, usd in kinds.loc[year].to_dict().items()}
        accelerators = plan.series("accelerators")[at[quarter]]
        rows.append(
            [
                year,
                plan.power_unit.text(float(plan.series("deployed_w")[at[quarter]])),
                format_quantity(float(accelerators), "count") if accelerators else "–",
                _digits(float(served[year]) / (DAY_TERA * sum(q.startswith(year) for q in plan.quarters)))
                if served[year]
                else "–",
                share,
                *(_billions(k[n]) for n in ("revenue", "financing", "capex", "opex")),
                _billions(float(plan.balance_usd[at[quarter]])),
            ]
        )
    head = ["Year", f"{plan.power_unit.name} deployed", "Accelerators", "Tokens a day [T]", "of demand", "Revenue [$B]", "Equity [$B]",
            "Capital [$B]", "Running [$B]", "Cash left [$B]"]  # fmt: skip
    return Table("The plan year by year", head, rows)


def milestone_table(plan: PlanView) -> Table | None:
    """What was promised by when, and what stands then."""
    rows: list[list[Cell]] = []
    deployed = dict(zip(plan.quarters, plan.series("deployed_w"), strict=True))
    for m in plan.milestones:
        there = float(m.get("deployed_w") or deployed.get(m["by"], 0.0))
        short = max(0.0, float(m["power_w"]) - there)
        short = 0.0 if short <= 1e-6 * float(m["power_w"]) else short
        cost = money(float(m["cost_usd"])) if short and m.get("cost_usd") else "–"
        rows.append(
            [
                m["by"],
                power(m["power_w"]),
                power(there),
                format_at_least(short, "power") if short else "met",
                cost,
                plan.in_words(m.get("why") or "–"),
            ]
        )
    if not rows:
        return None
    head = ["By", "Promised", "Deployed then", "Missing", "Priced at", "Why"]
    return Table("Milestones", head, rows, wide=(0, 5))


def tranche_table(plan: PlanView) -> Table | None:
    """Thresholds, dates and sums of the investment; very many tranches stand together by the quarter that releases them."""
    steps = tranche_steps(plan.summary.get("tranches") or [])
    rows: list[list[Cell]] = [
        [t.name, power(t.threshold_w), t.released or "not released", money(t.amount_usd),
         money(t.released_usd) if t.released else "–", t.why or "–"]
        for t in steps
    ]  # fmt: skip
    head = ["Tranche", "Threshold", "Released in", "Amount", "Released so far", "What it lacks"]
    if all(row[-1] == "–" for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    together = any(t.first != t.last for t in steps)
    note = "Tranches stand together by the quarter that releases them; tranches.parquet has each." if together else ""
    return Table("Tranches of the investment", head, rows, wide=(0, 2, 5), note=note) if rows else None


def training_table(plan: PlanView) -> Table | None:
    """Where and when each model is trained."""
    rows: list[list[Cell]] = []
    for r in plan.summary.get("training_runs") or []:
        when = [str(r["start"]), str(r["end"])] if r.get("start") else ["not run", "–"]
        rows.append([plan.label(r["name"]), plan.label(r["model"]), plan.label(r.get("system")),
                     ", ".join(plan.label(s) for s in r["sites"]) or "–", *when, f"{r['racks']:,}",
                     format_quantity(r["tokens"], "tokens").removesuffix(" tokens") if r.get("tokens") else "–"])  # fmt: skip
    head = ["Run", "Model", "System", "Sites", "First", "Last", "Racks", "Tokens"]
    return Table("Training runs", head, rows, wide=(0, 1, 2, 3, 4, 5)) if rows else None


def parties_table(plan: PlanView) -> Table | None:
    """What each party receives and pays, year by year; the rows cancel."""
    cash = plan.table("cash", "quarter", "party", "flow", "amount_usd")
    if cash.empty:
        return None
    frame = cash.assign(year=cash["quarter"].str[:4]).pivot_table(
        index="party", columns="year", values="amount_usd", aggfunc="sum", fill_value=0.0
    )
    frame = frame.reindex(columns=plan.years, fill_value=0.0)
    frame = frame.loc[frame.sum(axis=1).sort_values(ascending=False).index]
    rows: list[list[Cell]] = [
        [plan.label(str(p)), *(_billions(float(v)) for v in frame.loc[p]), _billions(float(frame.loc[p].sum()))]
        for p in frame.index
    ]
    note = "Positive: received from the others, net. Every dollar received is a dollar paid, so each column sums to zero."
    return Table("Net cash of each party by year [$B]", ["Party", *plan.years, "All years"], rows, note=note)


def _quantity(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if unit.startswith(("USD", "$")):
        return money(value) + unit.removeprefix("USD").removeprefix("$")
    if unit == "W":
        return power(value)
    return f"{format_quantity(value, 'count')} {unit}".strip()


def cross_check_table(plan: PlanView) -> Table | None:
    """The plan's figures beside published ones."""
    rows: list[list[Cell]] = []
    for c in plan.summary.get("cross_checks") or []:
        low, high = c.get("published_low"), c.get("published_high")
        unit = str(c.get("unit") or "")
        span = (
            _quantity(low, unit)
            if low == high
            else f"{_quantity(low, '$' if unit.startswith('USD') else '')} to {_quantity(high, unit)}"
        )
        source = str(c.get("source") or "")
        cell: Cell = Link(_host(source), source) if source.startswith("http") else source
        rows.append(
            [c["what"], _quantity(c.get("value"), unit), span, "inside" if c.get("inside") else "outside", cell]
        )
    head = ["What", "This plan", "Published", "Range", "Source"]
    return Table("Checked against published figures", head, rows, wide=(0, 3, 4)) if rows else None


def _host(url: str) -> str:
    return url.split("//", 1)[-1].split("/", 1)[0].removeprefix("www.") or url


def assumption_table(plan: PlanView) -> Table | None:
    """Figures that the scenario states, and why."""
    rows: list[list[Cell]] = []
    for a in plan.summary.get("assumptions") or []:
        url = a.get("url") or ""
        source: Cell = Link(_host(url), url) if str(url).startswith("http") else "–"
        rows.append([a["path"], plain_text(a.get("value")), a.get("reason") or "–", source])
    return (
        Table("Figures stated by the scenario", ["Figure", "Value", "Why", "Source"], rows, (0, 2, 3))
        if rows
        else None
    )


def plain_text(value: Any) -> str:
    """Any value of the summary as words."""
    if isinstance(value, dict):
        return ", ".join(f"{k}: {plain_text(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(plain_text(v) for v in value)
    if isinstance(value, float):
        return f"{value:,.6g}"
    return "–" if value is None else str(value)


def run_facts(plan: PlanView) -> Table:
    """How the plan was found, for whoever repeats it."""
    s = plan.summary
    npv = s.get("objective") in ("npv", "cost")

    def objective(key: str) -> str:
        value = s.get(key)
        return "n/a" if value is None else (money(value) if npv else f"{value:,.4g}")

    rows: list[list[Cell]] = [
        ["Status", str(s.get("status", "n/a"))],
        ["Objective", f"{s.get('objective', 'n/a')}: {objective('objective_value')}"],
        ["Best bound", objective("bound")],
        ["Gap", "n/a" if s.get("mip_gap") is None else percent(s["mip_gap"], 2)],
        ["Solve time", format_quantity(float(s["solve_s"]), "duration") if s.get("solve_s") else "n/a"],
    ]
    rows += [[f"Option {k}", plain_text(v)] for k, v in (s.get("options") or {}).items()]
    rows += [[f"Version of {k}", plain_text(v)] for k, v in (s.get("versions") or {}).items()]
    rows += [[f"SHA-256 of {k}", f"{v[:16]}…"] for k, v in (s.get("inputs") or {}).items()]
    return Table("How this plan was found", ["What", "Value"], rows, wide=(0, 1))


def frame_table(frame: pd.DataFrame, caption: str) -> Table:
    """Any frame as a table of figures to three digits."""
    head = [str(frame.index.name or "Quarter").capitalize(), *(str(c) for c in frame.columns)]
    rows: list[list[Cell]] = [
        [str(i), *(_cell(v) for v in values)] for i, values in zip(frame.index, _values(frame), strict=True)
    ]
    return Table(caption, head, rows)


def _values(frame: pd.DataFrame) -> Sequence[Sequence[Any]]:
    return [list(row) for row in frame.itertuples(index=False, name=None)]


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "–"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        number = float(value)
        return (f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}").replace("-", "−")
    return str(value)
