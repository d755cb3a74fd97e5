"""The summary of a plan in a terminal, narrow and wide."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gigaforge.cli.plan_summary import print_summary
from gigaforge.report.view import PlanView
from tests.report import plans


def _printed(view: PlanView, width: int) -> str:
    out = io.StringIO()
    print_summary(view.summary, view.tables, Console(file=out, width=width), "plans/small")
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_and_says_what_matters(width: int) -> None:
    view = plans.with_extras(plans.small())
    text = _printed(view, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    assert text.split("\n")[1].startswith("2 GW committed, reached in 2028-Q4")
    assert all(year in text for year in view.years)
    for word in (
        "net present value",
        "Investment",
        "Training",
        "one more megawatt",
        "gap 0.",
        "plans/small/report.html",
    ):
        assert word.lower() in text.lower()


@pytest.mark.parametrize("made", [plans.empty, plans.one_quarter])
def test_poor_plans_print_too(made: object) -> None:
    text = _printed(made(), 80)  # type: ignore[operator]
    assert "…" not in text
    assert "nan" not in text.lower().replace("finan", "")


def test_markup_in_names_is_plain_text() -> None:
    view = plans.empty()
    view.summary["title"] = "[red]Boom[/nothing]"
    assert "[red]Boom[/nothing]" in _printed(view, 80)
