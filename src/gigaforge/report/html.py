"""One file that opens anywhere, offline: any report as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from gigaforge.report import theme
from gigaforge.report.drawing import chart_config, draw, vega_javascript
from gigaforge.report.report_tables import Link
from gigaforge.report.sections import Section, plan_sections
from gigaforge.report.story import Headline, headline, headlines
from gigaforge.report.view import PlanView

__all__ = ["Page", "page_environment", "plan_page", "render_page", "render_report", "write_page", "write_report"]


@dataclass(frozen=True)
class Page:
    """A report before it is drawn.

    Attributes
    ----------
    name : str
        What it is about, above the headline.
    headline : str
        The answer in one line.
    sections : list of Section
        Its body; those without content are left out.
    tiles : list of Headline
        The numbers that a reader wants first.
    span : str
        What it covers, under the headline.
    footer : str
        Who made it.

    """

    name: str
    headline: str
    sections: Sequence[Section]
    tiles: Sequence[Headline] = ()
    span: str = ""
    footer: str = field(default="Made by Gigaforge")


def render_page(page: Page) -> str:
    """The page as text: figures drawn, script and styles inside, no address needed."""
    sections = [s for s in page.sections if not s.empty]
    with ThreadPoolExecutor(1) as pool:
        javascript = pool.submit(vega_javascript)
        drawn = {f.name: draw(f) for s in sections for f in s.figures}
        bundle = javascript.result() if drawn else ""
    made: str = page_environment().get_template("report.html.j2").render(
        page=page,
        sections=sections,
        drawn=drawn,
        javascript=bundle,
        light=theme.css_variables("light"),
        dark=theme.css_variables("dark"),
        config=chart_config(),
    )  # fmt: skip
    return made


def write_page(page: Page, path: Path | str) -> Path:
    """Write a page as one file."""
    target = Path(path)
    target.write_text(render_page(page), encoding="utf-8")
    return target


def plan_page(plan: PlanView, extra: Sequence[Section] = ()) -> Page:
    """The report of a plan; `extra` sections stand before the checks."""
    version = (plan.summary.get("versions") or {}).get("gigaforge", "")
    about = str(plan.summary.get("description") or "")
    span = f"{plan.quarters[0]} to {plan.quarters[-1]}" + (f". {about}" if about else "")
    sections = _insert(plan_sections(plan), extra)
    footer = f"Made by Gigaforge {version}".rstrip()
    return Page(plan.title, headline(plan), sections, headlines(plan), span, footer)


def render_report(plan: PlanView, extra: Sequence[Section] = ()) -> str:
    """The report of a plan as text."""
    return render_page(plan_page(plan, extra))


def write_report(
    plan: Path | str | PlanView | tuple[Mapping[str, Any], Mapping[str, pd.DataFrame]],
    path: Path | str,
    extra: Sequence[Section] = (),
) -> Path:
    """Write the report of a plan.

    Parameters
    ----------
    plan : path, PlanView or (summary, tables)
        A plan folder, or its contents.
    path : path
        The HTML file to write.
    extra : sequence of Section
        Further sections, shown before the checks.

    Raises
    ------
    InputError
        The folder is not a plan.

    """
    return write_page(plan_page(as_view(plan), extra), path)


def as_view(plan: Path | str | PlanView | tuple[Mapping[str, Any], Mapping[str, pd.DataFrame]]) -> PlanView:
    """A plan however it comes."""
    if isinstance(plan, PlanView):
        return plan
    if isinstance(plan, tuple):
        return PlanView(dict(plan[0]), dict(plan[1]))
    return PlanView.read(plan)


def _insert(sections: list[Section], extra: Sequence[Section]) -> list[Section]:
    place = next((i for i, s in enumerate(sections) if s.name == "checks"), len(sections) - 1)
    return [*sections[:place], *extra, *sections[place:]]


@cache
def page_environment() -> Any:
    """Jinja with the templates of this room and the tests they use; other faces load theirs on top."""
    import jinja2  # noqa: PLC0415

    files = resources.files("gigaforge.report") / "templates"
    names = ("report.html.j2", "parts.html.j2", "report.css", "report.js")
    loader = jinja2.DictLoader({n: (files / n).read_text(encoding="utf-8") for n in names})
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined,
                                     trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    environment.tests["link"] = lambda cell: isinstance(cell, Link)
    environment.tests["web"] = lambda cell: isinstance(cell, Link) and cell.url.startswith(("https://", "http://"))
    return environment
