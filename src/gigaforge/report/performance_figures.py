"""Figures of the performance model: where a training step's time goes, and predictions against measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import altair as alt
import pandas as pd

from gigaforge.errors import InputError
from gigaforge.units import percent

if TYPE_CHECKING:
    from gigaforge.perf.training import TrainingResults

__all__ = ["parity_plot", "training_waterfall", "write_figure"]

Chart = alt.Chart | alt.LayerChart | alt.FacetChart
_KIND: Final = {
    **dict.fromkeys(("linear", "experts", "attention", "head"), "matrix work"),
    **dict.fromkeys(("elementwise", "launch", "optimizer", "fixed"), "memory and host"),
    "recompute": "recompute",
    **dict.fromkeys(
        ("tensor_comm", "context_comm", "expert_comm", "pipeline_comm", "data_comm"), "exposed communication"
    ),
    **dict.fromkeys(("bubble", "straggler"), "waiting"),
}
_COLOUR: Final = {
    "matrix work": "#0b5d66",
    "memory and host": "#26a5b6",
    "recompute": "#9c9410",
    "exposed communication": "#b2500f",
    "waiting": "#8a1c2c",
}
_SMALLEST: Final = 5e-4
"""Share of a step below which a part is not drawn."""
_PALETTE: Final = (
    "#12507a",
    "#b2500f",
    "#26a5b6",
    "#8a1c2c",
    "#9c9410",
    "#5e5dc3",
    "#54616c",
    "#e0802b",
    "#1f7a4d",
    "#9fdcf2",
)


def training_waterfall(results: TrainingResults, index: int = 0) -> Chart:
    """Parts of one strategy's step, each bar starting where the last one ended."""
    rows, start = [], 0.0
    for name, values in results.breakdown.items():
        seconds = float(values[index])
        if seconds > _SMALLEST * float(results.step_time_s[index]):
            part = name.replace("_", " ")
            rows.append({"part": part, "kind": _KIND[name], "from": start, "to": start + seconds, "seconds": seconds})
        start += max(seconds, 0.0)
    frame = pd.DataFrame(rows)
    frame["share"] = frame["seconds"] / max(start, 1e-30)
    kinds = [k for k in _COLOUR if k in set(frame["kind"])]
    base = alt.Chart(frame).encode(y=alt.Y("part:N", sort=frame["part"].tolist(), title=None))
    bars = base.mark_bar().encode(
        x=alt.X("from:Q", title="Seconds of the step", axis=alt.Axis(format="~s")),
        x2="to:Q",
        color=alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=[_COLOUR[k] for k in kinds]), title=None),
        tooltip=[
            alt.Tooltip("part:N"),
            alt.Tooltip("seconds:Q", format=".4~s", title="Seconds"),
            alt.Tooltip("share:Q", format=".1%", title="Share"),
        ],
    )
    text = base.mark_text(align="left", dx=4, color="#15212b").encode(
        x="to:Q", text=alt.Text("share:Q", format=".1%")
    )
    title = alt.TitleParams(
        f"Where a step of {start:.3g} s goes",
        subtitle=f"MFU {percent(float(results.mfu[index]), 1)}; 80 % interval {results.low * start:.3g} to {results.high * start:.3g} s",
        anchor="start",
    )
    return alt.layer(bars, text).properties(width=560, height=24 * len(frame) + 20, title=title)


def parity_plot(table: pd.DataFrame, colour: str = "gpu", metric: str = "tokens/s per accelerator") -> Chart:
    """Predicted against measured on logarithmic axes, with a band of 20 % either side.

    Parameters
    ----------
    table : DataFrame
        Columns measured, predicted, id, source and `colour`.
    colour : str
        Column to colour by.
    metric : str
        What is compared, for the axes.

    """
    frame = table.loc[table["predicted"].notna(), ["id", "source", "measured", "predicted", colour]].copy()
    frame["error"] = frame["predicted"] / frame["measured"] - 1.0
    low = float(frame[["measured", "predicted"]].min().min()) * 0.8
    high = float(frame[["measured", "predicted"]].max().max()) * 1.25
    line = pd.DataFrame(
        {"x": [low, high], "same": [low, high], "low": [0.8 * low, 0.8 * high], "high": [1.2 * low, 1.2 * high]}
    )
    domain = [low, high]
    x = alt.X(
        "measured:Q",
        scale=alt.Scale(type="log", domain=domain),
        title=f"Measured {metric}",
        axis=alt.Axis(format="~s"),
    )
    y = alt.Y(
        "predicted:Q",
        scale=alt.Scale(type="log", domain=domain),
        title=f"Predicted {metric}",
        axis=alt.Axis(format="~s"),
    )
    scale = alt.Scale(type="log", domain=domain)
    band = (
        alt.Chart(line)
        .mark_area(color="#d9dee2", opacity=0.6, clip=True)
        .encode(x=alt.X("x:Q", scale=scale), y=alt.Y("low:Q", scale=scale), y2="high:Q")
    )
    same = alt.Chart(line).mark_line(color="#54616c", strokeWidth=1).encode(x="x:Q", y="same:Q")
    points = (
        alt.Chart(frame)
        .mark_circle(size=26, opacity=0.7)
        .encode(
            x=x,
            y=y,
            color=alt.Color(f"{colour}:N", scale=alt.Scale(range=list(_PALETTE))),
            tooltip=["id:N", "source:N", "measured:Q", "predicted:Q", alt.Tooltip("error:Q", format="+.1%")],
        )
    )
    title = alt.TitleParams("Predicted against measured", subtitle="Grey: within 20 %", anchor="start")
    return alt.layer(band, same, points).properties(width=480, height=480, title=title)


def write_figure(chart: Any, path: Path) -> None:
    """Write a chart as a self-contained page, picture or drawing by its ending.

    Raises
    ------
    InputError
        Ending other than .html, .png, .svg or .json, or a folder that does not exist.

    """
    ending = path.suffix.lower()
    if ending not in {".html", ".png", ".svg", ".json"}:
        raise InputError(
            f"cannot write {ending or 'a file without ending'}; use .html, .png or .svg", f"--figure {path}"
        )
    if not path.parent.is_dir():
        raise InputError("no such folder", f"--figure {path.parent}")
    if ending == ".html":
        chart.save(str(path), inline=True)
    else:
        chart.save(str(path), format=ending[1:], **({"scale_factor": 2} if ending == ".png" else {}))
