"""Figures of serving: throughput against interactivity, and predicted against measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd

from gigaforge.errors import InputError

__all__ = ["serving_pareto", "serving_parity", "write_chart"]

_COLOURS: Final = ["#0b5d66", "#b2500f", "#5e5dc3", "#9c9410", "#8a1c2c", "#26a5b6"]
"""Told apart by colour-blind readers, the same hues as the report's."""


_VIEWS: Final = (
    ("tokens_per_s_per_gpu", "output tokens/s per GPU"),
    ("tokens_per_s_per_mw", "output tokens/s per MW of IT power"),
    ("mtok_per_usd", "million tokens per dollar"),
)
_TIP: Final = ["layout:N", "batch:Q", "tokens_per_s_per_user:Q", "ttft_s:Q", "tpot_s:Q"]


def serving_pareto(
    table: pd.DataFrame,
    title: str = "",
    subtitle: str = "",
    *,
    interval: tuple[float, float] = (1.0, 1.0),
    best: pd.DataFrame | None = None,
    least_tokens_s: float | None = None,
) -> Any:
    """Throughput per GPU, per MW and per dollar against tokens/s per user: what a faster answer costs.

    Parameters
    ----------
    table : DataFrame
        Columns ``tokens_per_s_per_user, tokens_per_s_per_gpu, mode, layout`` of a Pareto set; a panel more for each of
        ``tokens_per_s_per_mw`` and ``mtok_per_usd``.
    title, subtitle : str
        Above the figure: what runs, and what was asked.
    interval : (float, float)
        Factors of the 80 % interval of throughput, drawn as a band.
    best : DataFrame, optional
        The one row that is best under the targets, as a star.
    least_tokens_s : float, optional
        The target on time per token as tokens/s per user, as a dashed line. [token/s]

    """
    views = [(name, text) for name, text in _VIEWS if name in table.columns]
    panels = [_panel(table, name, text, interval, best, least_tokens_s) for name, text in views]
    head: Any = {"text": title, "subtitle": subtitle}
    out: Any = alt.hconcat(*panels).properties(title=head)
    return out


def _panel(
    table: pd.DataFrame,
    name: str,
    text: str,
    interval: tuple[float, float],
    best: pd.DataFrame | None,
    least_tokens_s: float | None,
) -> Any:
    data = table.assign(low=table[name] * interval[0], high=table[name] * interval[1])
    x = alt.X(
        "tokens_per_s_per_user:Q", title="tokens/s per user", scale=alt.Scale(type="log", nice=False, padding=12)
    )
    base = alt.Chart(data.sort_values("tokens_per_s_per_user")).encode(x=x)
    y = alt.Y(f"{name}:Q", title=text, scale=alt.Scale(zero=True), axis=alt.Axis(format="~s"))
    colour = alt.Color("mode:N", title="prefill", scale=alt.Scale(range=_COLOURS))
    layers: list[Any] = [
        base.mark_area(opacity=0.15, color=_COLOURS[0]).encode(y=alt.Y("low:Q", title=text), y2="high:Q"),
        base.mark_line(color="#b4bbc1", strokeWidth=1).encode(y=y),
        base.mark_point(filled=True, size=40).encode(y=y, color=colour, tooltip=[*_TIP, f"{name}:Q"]),
    ]
    if least_tokens_s is not None:
        rule = pd.DataFrame({"tokens_per_s_per_user": [least_tokens_s], "what": ["TPOT target"]})
        line = alt.Chart(rule).encode(x=x)
        layers.append(line.mark_rule(strokeDash=[4, 3], color="#54616c"))
        layers.append(line.mark_text(align="left", dx=4, dy=-118, color="#54616c").encode(text="what:N"))
    if best is not None:
        star = alt.Chart(best.assign(what="best")).encode(x=x, y=y)
        layers.append(star.mark_point(shape="triangle-up", filled=True, size=160, color="#8a1c2c"))
        layers.append(star.mark_text(dy=-14, fontWeight="bold", color="#8a1c2c").encode(text="what:N"))
    out: Any = alt.layer(*layers).properties(width=300, height=270)
    return out


def serving_parity(table: pd.DataFrame) -> Any:
    """Predicted over measured, one panel per metric, colour by software; the diagonal is perfect.

    Parameters
    ----------
    table : DataFrame
        Columns ``measured, predicted, metric, software`` as validation writes them.

    """
    data = table[np.isfinite(table["predicted"])][["measured", "predicted", "metric", "software", "gpu", "model"]]
    log = alt.Scale(type="log")
    points = (
        alt.Chart()
        .mark_circle(size=9, opacity=0.5)
        .encode(
            x=alt.X("measured:Q", scale=log),
            y=alt.Y("predicted:Q", scale=log),
            color=alt.Color("software:N", scale=alt.Scale(range=_COLOURS)),
            tooltip=["model:N", "gpu:N", "software:N", "measured:Q", "predicted:Q"],
        )
    )
    diagonal = alt.Chart().mark_line(color="#54616c", strokeDash=[4, 3]).encode(x="measured:Q", y="measured:Q")
    chart: Any = alt.layer(diagonal, points, data=data).properties(width=260, height=260)
    out: Any = chart.facet("metric:N", columns=3).resolve_scale(x="independent", y="independent")
    return out


def write_chart(chart: Any, path: Path) -> None:
    """Write a chart as .html, .png or .svg.

    Raises
    ------
    InputError
        Another ending, or a folder that does not exist.

    """
    if path.suffix not in (".html", ".png", ".svg"):
        raise InputError(f"{path.suffix or 'no ending'}; .html, .png and .svg are known", f"--figure {path}")
    if not path.parent.is_dir():
        raise InputError("the folder does not exist", f"--figure {path}")
    alt.data_transformers.disable_max_rows()
    options = {"inline": True} if path.suffix == ".html" else {}
    chart.save(str(path), **options)
