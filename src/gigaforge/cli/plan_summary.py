"""A plan in a terminal: the answer, a row a year, what was released and trained, and what would help most."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table as RichTable

    from gigaforge.report.view import PlanView

__all__ = ["print_summary", "several"]


def print_summary(
    summary: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    console: Console,
    folder: Path | str | None = None,
) -> None:
    """Print the short story of a plan; good at 80 columns and wider.

    Parameters
    ----------
    summary, tables : mapping
        `plan.json` and the plan's tables.
    console : rich.console.Console
        Where to print.
    folder : path
        Where the plan stands; its last line names the report when given.

    """
    from gigaforge.report.scarcities import scarcities
    from gigaforge.report.story import chosen_models, headline, sentences
    from gigaforge.report.view import PlanView

    plan = PlanView(dict(summary), dict(tables))
    console.print()
    console.print(f"[bold]{_plain(headline(plan))}[/bold]  [dim]{_plain(plan.title)}[/dim]", highlight=False)
    console.print(_headlines(plan), highlight=False)
    console.print()
    console.print(_years(plan, console.width))
    chosen, mind = chosen_models(plan.summary)
    mind = [*mind, *(summary.get("warnings") or [])]
    for line in [*several("Models", chosen), *several("Mind", mind)]:
        console.print(line, highlight=False)
    for line in (*_facts(sentences(plan)), *_wants(scarcities(plan))):
        console.print(line, highlight=False)
    for line in _circle(plan):
        console.print(line, highlight=False)
    for line in _fleet(plan):
        console.print(line, highlight=False)
    console.print(_search(plan), highlight=False)
    if folder is not None:
        console.print(_row("Report", str(Path(folder) / "report.html")), highlight=False, soft_wrap=True)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _headlines(plan: PlanView) -> RenderableType:
    from rich.columns import Columns
    from rich.text import Text

    from gigaforge.report.story import headlines

    shown = [h for h in headlines(plan) if h.name != "Power deployed"]
    cells = [Text.assemble((h.value, "bold cyan"), " ", (h.name.lower(), "dim")) for h in shown]
    return Columns(cells, padding=(0, 3))


def _years(plan: PlanView, width: int) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable

    from gigaforge.report.report_tables import yearly_table

    made = yearly_table(plan)
    short = {f"{plan.power_unit.name} deployed": plan.power_unit.name, "Accelerators": "Accel.", "Tokens a day [T]": "Tokens/day", "Revenue [$B]": "Revenue",
             "of demand": "Served", "Equity [$B]": "Equity", "Capital [$B]": "Capital", "Running [$B]": "Running",
             "Cash left [$B]": "Cash"}  # fmt: skip
    racks = plan.deployed.groupby("quarter")["racks_online"].sum()
    ends = {q[:4]: q for q in plan.quarters}
    grid = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, padding=(0, 1), header_style="dim", title_justify="left",
                     caption="Tokens in trillions, money in $B", caption_justify="right", caption_style="dim")  # fmt: skip
    narrow = width < 92
    skip = {"Accelerators", "Equity [$B]"} if narrow else set()
    keep = [i for i, head in enumerate(made.head) if head not in skip]
    for i in keep:
        grid.add_column(short.get(made.head[i], made.head[i]), justify="left" if i == 0 else "right", no_wrap=True)
        if i == 1:
            grid.add_column("Racks", justify="right", no_wrap=True)
    for row in made.rows:
        cells = [_colour(made.head[i], str(row[i])) for i in keep]
        cells.insert(2, f"{int(racks.get(ends[str(row[0])], 0)):,}")
        grid.add_row(*cells)
    return grid


def _colour(head: str, text: str) -> str:
    if head.endswith(" deployed"):
        return f"[bold]{text}[/bold]"
    if head == "of demand" and text.endswith("%"):
        return f"[green]{text}[/green]" if float(text.split(maxsplit=1)[0]) >= 99 else f"[yellow]{text}[/yellow]"
    return text


def _row(name: str, text: str) -> RenderableType:
    from rich.table import Table as RichTable

    grid = RichTable.grid(padding=(0, 1))
    grid.add_column(width=11, no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    grid.add_row(name, _plain(text))
    return grid


def _facts(told: list[str]) -> list[RenderableType]:
    """Milestones, tranches and training, as the report says them."""
    words = {
        "milestone": "Milestones",
        "tranche": "Investment",
        "training run": "Training",
        "Serving meets": "Serving",
    }
    out = []
    for mark, name in words.items():
        line = next((s for s in told if mark in s and not s.startswith("The plan deploys")), None)
        if line:
            out.append(_row(name, line))
    return out


def _wants(lines: list[str]) -> list[RenderableType]:
    return several("Worth most", [line[0].upper() + line[1:] for line in lines])


def several(name: str, lines: list[str]) -> list[RenderableType]:
    """Lines under one name, which only the first of them bears."""
    return [_row(name if i == 0 else "", line) for i, line in enumerate(lines)]


def _circle(plan: PlanView) -> list[RenderableType]:
    """How much of the investor's money comes back to it."""
    from gigaforge.report.money_tables import circle_sentence

    told = circle_sentence(plan)
    return [_row("Circle", told)] if told else []


def _fleet(plan: PlanView) -> list[RenderableType]:
    """Rounds of planning and operating, where the fleet was simulated."""
    check = plan.summary.get("fleet_check") or {}
    if "agreement" not in check:
        return []
    rounds = [f"{name}: {text}" for name, text in check.items() if name.startswith("round ")]
    lines = [*rounds, f"agreement {check['agreement']}"]
    return [_row("Fleet" if i == 0 else "", line) for i, line in enumerate(lines)]


def _search(plan: PlanView) -> RenderableType:
    from gigaforge.units import format_quantity

    s = plan.summary
    ended = {"time_limit": "time limit reached", "interrupted": "interrupted"}
    parts = [ended.get(str(s.get("status", "")), str(s.get("status", "")))]
    if s.get("mip_gap") is not None:
        parts.append(f"gap {s['mip_gap'] * 100:.2f} %")
    if s.get("bound") is not None and s.get("objective") in ("npv", "cost"):
        more = format_quantity(max(s["bound"] - s["objective_value"], 0.0), "money")
        parts.append(f"objective {format_quantity(s['objective_value'], 'money')}, the best at most {more} more")
    if s.get("solve_s") is not None:
        parts.append(f"{s['solve_s']:.1f} s")
    return _row("Solved", ", ".join(p for p in parts if p))
