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


def serving_pareto(table: pd.DataFrame, title: str = "", low: float = 1.0, high: float = 1.0) -> Any:
    """Tokens/s per GPU against tokens/s per user: what a faster answer costs.

    Parameters
    ----------
    table : DataFrame
        Columns ``tokens_per_s_per_user, tokens_per_s_per_gpu, mode, layout`` of a Pareto set.
    title : str
        Above the figure.
    low, high : float
        Factors of the 80 % interval of throughput, drawn as a band.

    """
    data = table.assign(
        low=table["tokens_per_s_per_gpu"] * low, high=table["tokens_per_s_per_gpu"] * high
    ).sort_values("tokens_per_s_per_user")
    x = alt.X("tokens_per_s_per_user:Q", title="tokens/s per user", scale=alt.Scale(type="log"))
    base = alt.Chart(data).encode(x=x)
    y = alt.Y("tokens_per_s_per_gpu:Q", title="output tokens/s per GPU", scale=alt.Scale(zero=True))
    band = base.mark_area(opacity=0.15, color=_COLOURS[0]).encode(y=alt.Y("low:Q"), y2="high:Q")
    line = base.mark_line(color="#b4bbc1", strokeWidth=1).encode(y=y)
    points = base.mark_point(filled=True, size=45).encode(
        y=y,
        color=alt.Color("mode:N", title="prefill", scale=alt.Scale(range=_COLOURS)),
        tooltip=["layout:N", "batch:Q", "tokens_per_s_per_user:Q", "tokens_per_s_per_gpu:Q", "ttft_s:Q", "tpot_s:Q"],
    )
    out: Any = alt.layer(band, line, points).properties(width=560, height=340, title=title)
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
