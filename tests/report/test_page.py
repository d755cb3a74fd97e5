"""The report is one file that opens anywhere, offline."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from gigaforge.buildout.folder import read_plan_folder, write_plan_folder
from gigaforge.errors import InputError
from gigaforge.report.html import render_report, write_report
from gigaforge.report.report_tables import Table
from gigaforge.report.sections import Section
from gigaforge.report.story import rate_of_return
from tests.report import plans

FETCHED = re.compile(
    r"<(?:script|link|img|iframe|source|use)\b[^>]*\b(?:src|href)\s*=\s*(?![\"']?(?:data:|#))", re.IGNORECASE
)


@pytest.fixture(scope="module")
def page() -> str:
    return render_report(plans.with_extras(plans.small()), [Section("extra", "Further matters", ["A sentence."])])


def _markup(text: str) -> str:
    """The page without its scripts."""
    return re.sub(r"<script\b.*?</script>", "", text, flags=re.DOTALL)


def test_nothing_is_fetched(page: str) -> None:
    markup = _markup(page)
    assert not FETCHED.search(markup)
    assert "url(" not in markup
    assert "default-src 'none'" in markup


def test_it_is_small_enough_to_mail(page: str) -> None:
    assert len(page.encode()) < 5e6


def test_the_answer_comes_first(page: str) -> None:
    assert (
        page.index("2 GW committed, reached in")
        < page.index("Net present value")
        < page.index("Deployed power by site")
    )


def test_every_drawing_takes_the_page_s_colours(page: str) -> None:
    drawings = re.findall(r'<div class="static">(.*?)</div>', page, flags=re.DOTALL)
    assert len(drawings) == 13
    assert not [h for d in drawings for h in re.findall(r"#[0-9a-f]{6}", d)]


def test_headings_are_in_order_and_addresses_are_unique(page: str) -> None:
    levels = [int(n) for n in re.findall(r"<h([1-6])[ >]", _markup(page))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    ids = re.findall(r'\bid="([^"]+)"', _markup(page))
    ids = [i for i in ids if not i.startswith(("gradient", "clip"))]
    assert len(ids) == len(set(ids))


def test_sections_of_other_rooms_stand_before_the_checks(page: str) -> None:
    assert page.index("Further matters") < page.index("Checked against published figures")


def test_words_from_the_plan_cannot_become_markup() -> None:
    view = plans.with_extras(plans.small())
    view.summary["title"] = "<script>alert(1)</script>"
    view.summary["sources"] = [{"title": "bad", "url": "javascript:alert(1)", "used_for": "</script>"}]
    view.summary["labels"] = {"north": "</script><b>North"}
    page = render_report(view)
    assert "<script>alert" not in page
    assert "javascript:alert" not in page
    assert "</script><b>" not in page


def test_a_plan_folder_gives_the_report(tmp_path: Path) -> None:
    folder = write_plan_folder(plans.small(), tmp_path / "plan")
    report = write_report(folder, folder / "report.html")
    assert report.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_report_that_fails_does_not_cost_the_plan(tmp_path: Path) -> None:
    def broken(path: Path) -> None:
        path.write_text("half a page", encoding="utf-8")
        raise ZeroDivisionError("a drawing")

    with pytest.raises(ZeroDivisionError) as failed:
        write_plan_folder(plans.small(), tmp_path / "plan", {"report.html": broken})
    assert "plan is kept" in failed.value.__notes__[0]
    assert not (tmp_path / "plan" / "report.html").exists()
    assert read_plan_folder(tmp_path / "plan")[0]["title"] == plans.small().summary["title"]


def test_a_folder_that_is_no_plan_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a plan folder"):
        write_report(tmp_path, tmp_path / "report.html")


@pytest.mark.parametrize("made", [plans.empty, plans.one_quarter])
def test_poor_plans_have_a_page_too(made: object) -> None:
    assert "<h1>" in render_report(made())  # type: ignore[operator]


def test_a_figure_never_stands_under_another_figure_s_head() -> None:
    with pytest.raises(ValueError, match="3 heads over a row of 2 cells"):
        Table("Parties", ["Party", "NPV", "IRR"], [["Operator", "$8B"]])


@pytest.mark.parametrize(("irr", "said"), [(None, "–"), (0.284, "28.4 %"), (-0.031, "−3.1 %"), (25.78, "over 100 %")])
def test_a_return_is_said_as_far_as_it_means_something(irr: float | None, said: str) -> None:
    assert rate_of_return(irr) == said
