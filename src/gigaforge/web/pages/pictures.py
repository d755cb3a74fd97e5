"""Figures of the report as drawings for a page that runs no chart library and lets no foreign script in."""

from __future__ import annotations

import itertools
import json
import logging
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from gigaforge.report import theme
from gigaforge.report.figures import Figure
from gigaforge.report.report_tables import Table, frame_table
from gigaforge.web.pages.painter import Painter

__all__ = ["Picture", "draw_chart", "draw_picture", "no_drawing", "or_its_numbers"]

_LOG = logging.getLogger("gigaforge.web")

_NARROW_PX: Final = 330
"""[pixel] Drawing width for phones, so that its letters stay as large as the page's."""
_count = itertools.count()
_PAINTER: Final = Painter()


@dataclass(frozen=True)
class Picture:
    """One figure, drawn for wide and for narrow screens.

    Attributes
    ----------
    wide, narrow : str
        Drawings; `narrow` is empty where the chart lays itself out (small multiples).
    numbers : Table
        The data as digits.
    failed : bool
        There is no drawing, and the page says so in its place.

    """

    wide: str
    narrow: str
    numbers: Table
    failed: bool = False


def draw_picture(figure: Figure) -> Picture:
    """Draw a figure; each mark keeps its words, which the page's script shows as a tip."""
    drawn = draw_chart(figure.chart)
    return Picture(drawn["wide"], drawn["narrow"], frame_table(figure.numbers, figure.title))


def or_its_numbers(figure: Figure, draw: Callable[[], Picture]) -> Picture:
    """What `draw` returns; where it fails, the figure's numbers alone: a page half sent must not end there."""
    try:
        return draw()
    except Exception:  # noqa: BLE001 (whatever it is, the reader is told, and the log says it)
        _LOG.exception("the figure %s could not be drawn", figure.name)
        return Picture("", "", frame_table(figure.numbers, figure.title), failed=True)


def no_drawing() -> AbstractContextManager[None]:
    """Nothing is drawn meanwhile: threads that would are ended, and so is the process that draws."""
    return _PAINTER.closed()


def draw_chart(chart: Any) -> dict[str, str]:
    """A chart's ``title``, ``words`` for who cannot see it, and drawings ``wide`` and ``narrow``."""
    import altair as alt  # noqa: PLC0415

    with alt.data_transformers.enable("default", max_rows=None):  # rows become a drawing here; none travels
        spec = chart.to_dict()
    title = spec.pop("title", "")
    words = str(spec.get("description", ""))
    narrow = "" if "facet" in spec else _svg(_narrowed(spec))
    return {"title": str(title), "words": words, "wide": _svg(spec), "narrow": narrow}


def _narrowed(spec: dict[str, Any]) -> dict[str, Any]:
    config = spec["config"]
    legend = config["legend"] | {"columns": 2, "labelLimit": 140}
    axis = config["axisX"] | {"labelSeparation": 4}
    if "projection" in spec:  # a map: its names would not fit, and stand in the numbers
        spec = spec | {"layer": [part for part in spec["layer"] if part["mark"].get("type") != "text"]}
    return spec | {"width": _NARROW_PX, "height": min(int(spec.get("height") or 280), 260),
                   "config": config | {"legend": legend, "axisX": axis}}  # fmt: skip


def _svg(spec: dict[str, Any]) -> str:
    svg = _PAINTER.svg(json.dumps(spec))
    number = next(_count)
    svg = re.sub(r'(id="|url\(#)(clip|gradient)', rf"\1f{number}-\2", svg)  # drawings share one document
    svg = re.sub(r' font-family="[^"]*"', "", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[\d.]+" height="[\d.]+"', r"<svg \1", svg, count=1)
    svg = re.sub(r"(\d+\.\d{2})\d+", r"\1", svg)
    svg = re.sub(r' (?:xmlns:xlink|xmlns|version|role|aria-roledescription|aria-hidden)="[^"]*"', "", svg)
    svg = svg.replace("aria-label=", "data-tip=").replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
    return theme.css_colours(svg)
