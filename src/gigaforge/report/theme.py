"""How every figure looks: colours that colour-blind readers can tell apart, in light and in dark.

A chart carries the light colours as plain hex values, so that it shows anywhere. A page that knows both
modes swaps each hex for its custom property (`css_colours`) and lets the browser decide.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Final, cast

import altair as alt

__all__ = [
    "COLOURS",
    "Chart",
    "accent",
    "categorical",
    "config",
    "css_colours",
    "css_variables",
    "finish",
    "log_y",
    "quarter_axis",
    "quarter_x",
    "ramp",
]

# Token -> (light, dark). Light values are all different, so that a hex names its token.
COLOURS: Final[dict[str, tuple[str, str]]] = {
    # page and text
    "surface": ("#ffffff", "#161c23"),
    "page": ("#f5f5f2", "#0e1217"),
    "ink": ("#15212b", "#e8edf1"),
    "muted": ("#54616c", "#a3b0bb"),
    "faint": ("#d9dee2", "#34404b"),
    "accent": ("#0b5d66", "#5cc3cc"),
    "good": ("#1f7a4d", "#5fcf95"),
    "bad": ("#b3261e", "#ff8f85"),
    # sites: hue and lightness alternate, so that neighbours in a stack differ in both
    "site-0": ("#12507a", "#4a86ad"),
    "site-1": ("#f5b57f", "#fed9aa"),
    "site-2": ("#26a5b6", "#1fb8b8"),
    "site-3": ("#8a1c2c", "#c24a33"),
    "site-4": ("#9fdcf2", "#9beef2"),
    "site-5": ("#9c9410", "#b3bc39"),
    "site-6": ("#5e5dc3", "#7980e5"),
    "site-7": ("#b2500f", "#c98165"),
    "site-rest": ("#b4bbc1", "#69747e"),
    # platforms: one ramp, a generation a step
    "platform-0": ("#f3d27a", "#f8e0a0"),
    "platform-1": ("#eeae57", "#f3bd70"),
    "platform-2": ("#e5854d", "#ec9663"),
    "platform-3": ("#d45d52", "#e27a70"),
    "platform-4": ("#b43f66", "#cf6a90"),
    "platform-5": ("#8a2f73", "#b069a8"),
    "platform-6": ("#5f2775", "#9270c2"),
    "platform-7": ("#35205f", "#7b7fd0"),
    # workloads
    "work-0": ("#004f48", "#3d8a86"),
    "work-1": ("#e0802b", "#eb942f"),
    "work-2": ("#7e60c4", "#8f91f8"),
    "work-3": ("#a4de82", "#a1feb2"),
    # money
    "revenue": ("#2a8f6f", "#4fc39d"),
    "equity": ("#2f5fa8", "#6f9fe6"),
    "debt": ("#93b7e0", "#a9c8ec"),
    "capex": ("#c2572a", "#e27f52"),
    "opex": ("#ebb878", "#d9a86c"),
}

FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
Chart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.VConcatChart
_HEX: Final = re.compile(r"#[0-9a-f]{6}\b")
_TOKEN_OF: Final = {light: token for token, (light, _) in COLOURS.items()}


def accent(token: str) -> str:
    """The light hex of a colour token."""
    return COLOURS[token][0]


def categorical(names: Sequence[str], family: str) -> dict[str, str]:
    """One colour per name from a family of tokens ("site", "work"); beyond its end the rest share one."""
    members = [t for t in COLOURS if re.fullmatch(rf"{family}-\d+", t)]
    rest = f"{family}-rest" if f"{family}-rest" in COLOURS else members[-1]
    return {name: accent(members[i] if i < len(members) else rest) for i, name in enumerate(names)}


def ramp(names: Sequence[str], family: str = "platform") -> dict[str, str]:
    """Colours for names in order (generations), spread over the whole ramp."""
    members = [t for t in COLOURS if re.fullmatch(rf"{family}-\d+", t)]
    last, count = len(members) - 1, len(names)
    if count == 1:
        return {names[0]: accent(members[last // 2 + 1])}
    return {name: accent(members[round(i * last / (count - 1))]) for i, name in enumerate(names)}


def css_variables(mode: str) -> str:
    """Custom properties of one mode ("light" or "dark"): ``--ink:#15212b;...``."""
    index = 0 if mode == "light" else 1
    return "".join(f"--{token}:{pair[index]};" for token, pair in COLOURS.items())


def css_colours(text: str) -> str:
    """Swap the light hex values in a specification or a drawing for custom properties."""
    return _HEX.sub(lambda m: f"var(--{_TOKEN_OF[m[0]]})" if m[0] in _TOKEN_OF else m[0], text)


def config() -> dict[str, Any]:
    """Vega-Lite configuration that all figures share."""
    ink, muted, faint = accent("ink"), accent("muted"), accent("faint")
    axis = {"labelColor": muted, "titleColor": muted, "domainColor": faint, "tickColor": faint, "gridColor": faint}
    text = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}
    return {
        "background": accent("surface"),
        "locale": {"number": {"decimal": ".", "thousands": ",", "grouping": [3], "currency": ["$", ""], "percent": "\u202f%"}},
        "font": FONT,
        "view": {"stroke": None},
        "title": {"color": ink, "subtitleColor": muted, "anchor": "start", "fontSize": 15, "subtitleFontSize": 12},
        "axis": {**axis, **text, "labelPadding": 6, "titlePadding": 8},
        "axisY": {"domain": False, "ticks": False, "gridOpacity": 0.7, "tickCount": 6, "titleAngle": 0,
                  "titleAlign": "left", "titleAnchor": "end", "titleX": 0, "titleY": -12, "titleBaseline": "bottom"},
        "axisX": {"grid": False, "ticks": False, "labelAngle": 0, "labelFlush": False, "labelOverlap": "greedy",
                  "labelSeparation": 8},
        "legend": {"labelColor": ink, "titleColor": muted, **text, "orient": "top", "direction": "horizontal",
                   "symbolType": "square", "symbolSize": 110, "columnPadding": 14, "rowPadding": 4, "labelLimit": 180,
                   "title": None, "offset": 30, "columns": 5, "symbolOpacity": 1},
        "header": {"labelColor": ink, "titleColor": muted, "labelFontSize": 12, "labelFontWeight": "bold",
                   "labelAnchor": "start"},
        "bar": {"stroke": accent("surface"), "strokeWidth": 0.6},
        "rule": {"color": muted},
        "text": {"color": ink, "fontSize": 11},
        "line": {"strokeWidth": 2.2, "strokeCap": "round"},
        "point": {"size": 46},
    }  # fmt: skip


def finish(
    chart: Chart, title: str, description: str = "", height: int | None = 280, width: int | None = 760
) -> Chart:
    """Give a chart its title, its words for screen readers, its size and the shared look.

    Parameters
    ----------
    chart : altair chart
        Layered, single or faceted.
    title, description : str
        Heading, and what a reader who cannot see the chart should know.
    height, width : int
        [pixel] None leaves it to the chart: a faceted one knows its own.

    """
    size = {k: v for k, v in (("height", height), ("width", width)) if v is not None}
    made: Any = chart
    return cast("Chart", made.properties(title=title, description=description or title, **size).configure(**config()))


def quarter_axis(quarters: Sequence[str]) -> alt.Axis:
    """Years under a long horizon, quarters under a short one."""
    if len(quarters) <= 6:
        return alt.Axis(title=None, labelExpr="slice(datum.label, 5) + ' ' + slice(datum.label, 0, 4)")
    shown = [q for q in quarters if q.endswith("Q1")]
    if shown and quarters.index(shown[0]) >= 2:
        shown = [quarters[0], *shown]
    return alt.Axis(title=None, values=shown, labelExpr="slice(datum.label, 0, 4)")


def quarter_x(quarters: Sequence[str], field: str = "quarter", padding: float = 0.12) -> alt.X:
    """The horizontal axis of every figure over time: one band per quarter of the plan."""
    scale = alt.Scale(type="band", domain=list(quarters), paddingInner=padding, paddingOuter=padding / 2)
    return alt.X(f"{field}:O", axis=quarter_axis(quarters), scale=scale, sort=None)


def log_y(values: Sequence[float], form: str) -> dict[str, Any]:
    """Scale and axis of a logarithmic vertical: 1, 2, 5 and their decades, no further than the data."""
    low, high = min(values) * 0.8, max(values) * 1.25
    digits = (1, 2, 5) if high / low < 400 else (1,)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks = [d * 10.0**e for e in range(first, last + 1) for d in digits if low <= d * 10.0**e <= high]
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    return {"scale": scale, "axis": alt.Axis(values=ticks, format=form, labelOverlap=False)}
