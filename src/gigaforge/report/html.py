"""One file that opens anywhere, offline: the report as a self-contained HTML page."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from gigaforge.report import theme
from gigaforge.report.figures import Figure
from gigaforge.report.report_tables import Link, Table, frame_table
from gigaforge.report.sections import Section, plan_sections
from gigaforge.report.story import headline, headlines, sentences
from gigaforge.report.view import PlanView

__all__ = ["render_report", "vega_javascript", "write_report"]


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
    target = Path(path)
    target.write_text(render_report(as_view(plan), extra), encoding="utf-8")
    return target


def as_view(plan: Path | str | PlanView | tuple[Mapping[str, Any], Mapping[str, pd.DataFrame]]) -> PlanView:
    """A plan however it comes."""
    if isinstance(plan, PlanView):
        return plan
    if isinstance(plan, tuple):
        return PlanView(dict(plan[0]), dict(plan[1]))
    return PlanView.read(plan)


def render_report(plan: PlanView, extra: Sequence[Section] = ()) -> str:
    """The page as text."""
    with ThreadPoolExecutor(1) as pool:
        javascript = pool.submit(vega_javascript)
        sections = _insert(plan_sections(plan), extra)
        drawn = {f.name: _draw(f) for s in sections for f in s.figures}
        bundle = javascript.result()
    page = _environment().get_template("report.html.j2")
    made: str = page.render(
        plan=plan,
        headline=headline(plan),
        summary=" ".join(sentences(plan)[:1]),
        tiles=headlines(plan),
        sections=sections,
        drawn=drawn,
        javascript=bundle,
        light=theme.css_variables("light"),
        dark=theme.css_variables("dark"),
        config=_script(theme.css_colours(json.dumps(theme.config() | {"background": "transparent"}))),
        specs={name: _script(d.spec) for name, d in drawn.items()},
    )
    return made


def _insert(sections: list[Section], extra: Sequence[Section]) -> list[Section]:
    place = next((i for i, s in enumerate(sections) if s.name == "checks"), len(sections) - 1)
    return [*sections[:place], *(s for s in extra if not s.empty), *sections[place:]]


@dataclass(frozen=True)
class _Drawn:
    """A figure as a specification for the page and as a drawing for whoever has no JavaScript."""

    spec: str
    svg: str
    numbers: Table


def _draw(figure: Figure) -> _Drawn:
    import vl_convert  # noqa: PLC0415

    spec = figure.chart.to_dict()
    spec.pop("title", None)
    svg = vl_convert.vegalite_to_svg(json.dumps(spec | {"config": spec["config"] | {"aria": False}}))
    for key in ("config", "$schema", "description"):
        spec.pop(key, None)
    text = theme.css_colours(json.dumps(spec, separators=(",", ":"), ensure_ascii=False))
    return _Drawn(text, _inline_svg(svg), frame_table(figure.numbers, figure.title))


def _inline_svg(svg: str) -> str:
    """A drawing that takes the page's colours and font, and scales with its column."""
    svg = re.sub(r' font-family="[^"]*"', "", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[\d.]+" height="[\d.]+"', r"<svg \1", svg, count=1)
    svg = re.sub(r"(\d+\.\d{2})\d+", r"\1", svg)
    svg = re.sub(r' (?:xmlns:xlink|version|role|aria-[a-z]+)="[^"]*"', "", svg)
    return theme.css_colours(svg)


def _script(text: str) -> str:
    """JSON that cannot end the script element it stands in."""
    return text.replace("<", "\\u003c")


@cache
def vega_javascript() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, safe inside a script element."""
    import vl_convert  # noqa: PLC0415

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


@cache
def _environment() -> Any:
    import jinja2  # noqa: PLC0415

    files = resources.files("gigaforge.report") / "templates"
    names = ("report.html.j2", "report.css", "report.js")
    loader = jinja2.DictLoader({n: (files / n).read_text(encoding="utf-8") for n in names})
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined,
                                     trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    environment.tests["link"] = lambda cell: isinstance(cell, Link)
    environment.tests["web"] = lambda cell: isinstance(cell, Link) and cell.url.startswith(("https://", "http://"))
    return environment
