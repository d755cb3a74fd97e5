"""A figure made ready for a page: a specification for the browser, and a drawing for whoever runs no script."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache

from gigaforge.report import theme
from gigaforge.report.figures import Figure
from gigaforge.report.report_tables import Table, frame_table

__all__ = ["Drawn", "chart_config", "draw", "script_safe", "vega_javascript"]


@dataclass(frozen=True)
class Drawn:
    """One figure, drawn.

    Attributes
    ----------
    spec : str
        Vega-Lite as JSON, in the page's custom properties for colours, safe inside a script element.
    svg : str
        The same as a drawing.
    numbers : Table
        The data as digits.

    """

    spec: str
    svg: str
    numbers: Table


def draw(figure: Figure) -> Drawn:
    """Draw a figure in colours that follow the page, light or dark."""
    import vl_convert  # noqa: PLC0415

    spec = figure.chart.to_dict()
    spec.pop("title", None)
    svg = vl_convert.vegalite_to_svg(json.dumps(spec | {"config": spec["config"] | {"aria": False}}))
    for key in ("config", "$schema", "description"):
        spec.pop(key, None)
    text = theme.css_colours(json.dumps(spec, separators=(",", ":"), ensure_ascii=False))
    return Drawn(script_safe(text), _inline_svg(svg), frame_table(figure.numbers, figure.title))


def chart_config() -> str:
    """What all charts of a page share, as JSON for its script."""
    return script_safe(theme.css_colours(json.dumps(theme.config() | {"background": "transparent"})))


def script_safe(text: str) -> str:
    """JSON that cannot end the script element it stands in."""
    return text.replace("<", "\\u003c")


@cache
def vega_javascript() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, safe inside a script element."""
    import vl_convert  # noqa: PLC0415

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _inline_svg(svg: str) -> str:
    """A drawing that takes the page's colours and font, and scales with its column."""
    svg = re.sub(r' font-family="[^"]*"', "", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[\d.]+" height="[\d.]+"', r"<svg \1", svg, count=1)
    svg = re.sub(r"(\d+\.\d{2})\d+", r"\1", svg)
    svg = re.sub(r' (?:xmlns:xlink|version|role|aria-[a-z]+)="[^"]*"', "", svg)
    return theme.css_colours(svg)
