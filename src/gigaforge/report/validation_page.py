"""The validation of the fleet simulation as a page: what was published, what is simulated, from which inputs, by which source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt
import pandas as pd

from gigaforge.operations.validation_page import FITTED, ON_ROLES, published_facts, uses_of
from gigaforge.report.figures import Figure
from gigaforge.report.html import Page
from gigaforge.report.operations_words import headed
from gigaforge.report.report_tables import Cell, Link, Table
from gigaforge.report.sections import Section
from gigaforge.report.story import Headline
from gigaforge.report.theme import Chart, accent, finish

if TYPE_CHECKING:
    from gigaforge.operations.validation import Row

__all__ = ["validation_figure", "validation_report"]

_WIDEST: Final = 2.0  # times the middle of what was published; what is beyond stands at the edge, with its number
_COLOURS: Final = {"untouched": "good", "fitted": "work-1", "input": "work-2", "missed": "bad"}


def validation_report(rows: list[Row]) -> Page:
    """The page of all cases."""
    good, untouched = [r for r in rows if r.reproduced], [r for r in rows if r.case.role == "untouched"]
    facts = published_facts()
    tiles = [
        Headline(
            "Reproduced", f"{len(good)} of {len(rows)}", "the mean of the runs lies in the range stated with the case"
        ),
        Headline(
            "Untouched by any fit",
            f"{sum(r.reproduced for r in untouched)} of {len(untouched)}",
            "no parameter was set to these",
        ),
        Headline("Fitted", f"{len(FITTED)}", "parameters, one shared set for all cases"),
    ]
    missed = [r for r in rows if not r.reproduced]
    sections = [
        Section("brief", "In brief", [ON_ROLES], tables=[_fitted()]),
        Section("missed", "What is missed, and why", tables=[_missed(missed)] if missed else []),
        Section("figure", "Simulated beside published", figures=[validation_figure(rows)]),
        Section("cases", "Every outcome", tables=[_cases(rows)]),
        Section("facts", "Every published figure and its place", [uses_of(facts)], tables=[_facts(facts)], folded=True),
    ]  # fmt: skip
    return Page("Fleet simulation against what operators published", f"{len(good)} of {len(rows)} published outcomes reproduced",
                sections, tiles, "One shared set of failure and recovery rates; no case has its own.")  # fmt: skip


def validation_figure(rows: list[Row]) -> Figure:
    """Simulated over the middle of what was published, with the range that counts as reproduced."""
    middle = [0.5 * (r.case.low + r.case.high) for r in rows]
    table = pd.DataFrame({
        "case": [r.case.name for r in rows],
        "role": [r.case.role if r.reproduced else "missed" for r in rows],
        "ratio": [r.simulated / m for r, m in zip(rows, middle, strict=True)],
        "low": [r.case.low / m for r, m in zip(rows, middle, strict=True)],
        "high": [r.case.high / m for r, m in zip(rows, middle, strict=True)],
        "published": [r.case.published for r in rows],
        "simulated": [_figure(r) for r in rows],
    })  # fmt: skip
    beyond = table["ratio"] > _WIDEST
    table = table.assign(at=table["ratio"].clip(upper=_WIDEST), high=table["high"].clip(upper=_WIDEST), beyond=beyond,
                         times=[f"{r:.1f} times" if b else "" for r, b in zip(table["ratio"], beyond, strict=True)])  # fmt: skip
    title = "Simulated over the middle of the published range"
    said = f"{sum(r.reproduced for r in rows)} of {len(rows)} dots lie in their bar, the range that counts as reproduced."
    numbers = table.set_index("case")[["role", "published", "simulated", "ratio"]]
    numbers.index.name = "Outcome"
    numbers.columns = pd.Index(["Role", "Published", "Simulated", "Over the middle"])
    return Figure("validation", title, said, finish(_dots(table), title, said, height=34 * len(rows)), numbers,
                  "An arrow at the edge: beyond twice the published value, by the number beside it.")  # fmt: skip


def _dots(table: pd.DataFrame) -> Chart:
    order = list(table["case"])
    base = alt.Chart(table).encode(y=alt.Y("case:N", sort=order, title=None, axis=None))
    x = alt.X(
        "low:Q",
        title=None,
        scale=alt.Scale(domain=[0.0, _WIDEST], nice=False),
        axis=alt.Axis(grid=True, values=[0, 0.5, 1, 1.5, 2]),
    )
    band = base.mark_bar(color=accent("faint"), height=9, yOffset=7).encode(x=x, x2="high:Q")
    colours = alt.Scale(domain=list(_COLOURS), range=[accent(c) for c in _COLOURS.values()])
    shapes = alt.Scale(domain=[False, True], range=["circle", "triangle-right"])
    dots = base.mark_point(filled=True, size=70, opacity=1.0, yOffset=7).encode(
        x="at:Q", color=alt.Color("role:N", scale=colours), shape=alt.Shape("beyond:N", scale=shapes, legend=None),
        tooltip=["case:N", "published:N", "simulated:N", "role:N"],
    )  # fmt: skip
    names = base.mark_text(align="left", dy=-8, dx=2).encode(x=alt.value(0), text="case:N")
    times = base.mark_text(align="right", dy=7, dx=-9).encode(x="at:Q", text="times:N")
    return alt.layer(band, dots, names, times)


def _figure(row: Row) -> str:
    unit = "" if row.case.unit in ("count", "ratio") else f" {row.case.unit}"
    return f"{row.simulated:.4g}{unit}"


def _range(row: Row) -> str:
    return f"{row.simulated_low:.3g}-{row.simulated_high:.3g}"


def _fitted() -> Table:
    rows: list[list[Cell]] = [[what, value.replace("`", ""), case] for what, value, case in FITTED]
    return Table("What was fitted, and to which case", ["Parameter", "Value", "Fitted to"], rows, wide=(0, 1, 2))


def _missed(rows: list[Row]) -> Table:
    body: list[list[Cell]] = [[_named(r), r.case.published, _figure(r), _reason(r)] for r in rows]
    return Table(
        "Outcomes outside their range",
        ["Outcome, and its source", "Published", "Simulated", "Why"],
        body,
        wide=(0, 1, 3),
    )


def _named(row: Row) -> Cell:
    return Link(row.case.name, row.case.source)


def _reason(row: Row) -> str:
    return f"{headed(row.case.note.removeprefix('misses:').strip())}."


def _cases(rows: list[Row]) -> Table:
    body: list[list[Cell]] = [
        [_named(r), r.case.published, _figure(r), _range(r), "inside" if r.reproduced else "outside", r.case.role, r.case.inputs,
         r.case.note if r.reproduced else _reason(r)]
        for r in rows
    ]  # fmt: skip
    head = ["Outcome, and its source", "Published", "Simulated", "95 % of runs", "Range", "Role", "Inputs", "Note"]
    return Table("Published, simulated, inputs and notes", head, body, wide=(0, 1, 5, 6, 7))


def _facts(facts: list[dict[str, Any]]) -> Table:
    body: list[list[Cell]] = [
        [Link(f["quantity"], f["source_url"]), f["value"], f["unit"], f["use"], f["where"]] for f in facts
    ]
    return Table("Published figures", ["Quantity", "Value", "Unit", "Use", "Where"], body, wide=(0, 1, 2, 3, 4))
