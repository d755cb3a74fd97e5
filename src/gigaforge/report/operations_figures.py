"""Figures of a simulation: goodput waterfall, power trace, tokens against demand; the same for notebook, report and page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import altair as alt
import numpy as np
import pandas as pd

from gigaforge.report.theme import Chart, accent, categorical, config, finish

if TYPE_CHECKING:
    from gigaforge.operations.result import SimulationResult
    from gigaforge.operations.validation import Row

__all__ = [
    "goodput_waterfall",
    "power_trace",
    "save_figures",
    "simulation_figures",
    "tokens_against_demand",
    "validation_figure",
]

_LABEL: Final = {
    "checkpoint": "saving",
    "rework": "rollback",
    "restart": "restarting",
    "wait": "waiting",
    "straggler": "stragglers",
    "power": "power limits",
    "idle": "hot spares",
}

_SERVING_LABEL: Final = {
    "repair": "in repair",
    "power": "power limits",
    "idle": "off",
    "backfill": "lent",
    "headroom": "ready for more",
}
_USEFUL: Final = ("backfill", "headroom")  # not serving, but not lost either


def _steps(waterfall: dict[str, float], labels: dict[str, str], last: str) -> pd.DataFrame:
    """One row a bar: where it begins and ends."""
    shares = [waterfall.get(name, 0.0) for name in labels]
    ends = 1.0 - np.concatenate(([0.0], np.cumsum(shares)))
    return pd.DataFrame({
        "step": ["scheduled", *labels.values(), last],
        "from": [0.0, *ends[1:], 0.0],
        "to": [1.0, *ends[:-1], ends[-1]],
        "kind": ["all", *["useful" if name in _USEFUL else "lost" for name in labels], "kept"],
        "share": ["100 %", *[f"{s:.1%}" for s in shares], f"{ends[-1]:.1%}"],
    })  # fmt: skip


def goodput_waterfall(waterfall: dict[str, float]) -> Chart:
    """From scheduled rack time down to goodput; ``waterfall`` as in `SimulationResult.waterfall`.

    A fleet that only serves has one of its serving racks: down to the time they serve.
    """
    trains = "backfill" not in waterfall
    table = _steps(waterfall, _LABEL, "goodput") if trains else _steps(waterfall, _SERVING_LABEL, "serving")
    what = "training" if trains else "serving"
    kept = float(table["to"].iloc[-1])
    low = max(0.0, float(np.floor((kept - 0.05) * 10)) / 10)
    table["from"] = table["from"].clip(lower=low)
    order = [str(s) for s in table["step"]]
    base = alt.Chart(table).encode(x=alt.X("step:N", sort=order, title=None, axis=alt.Axis(labelAngle=-30)))
    colours = alt.Scale(
        domain=["all", "lost", "useful", "kept"],
        range=[accent("site-rest"), accent("bad"), accent("muted"), accent("good")],
    )
    bars = base.mark_bar().encode(
        y=alt.Y(
            "from:Q",
            title=f"Share of {what} rack time",
            axis=alt.Axis(format="%"),
            scale=alt.Scale(domain=[low, 1.0], zero=False),
        ),
        y2="to:Q",
        color=alt.Color("kind:N", legend=None, scale=colours),
        tooltip=["step:N", "share:N"],
    )
    text = base.mark_text(dy=-6).encode(y="to:Q", text="share:N")
    words = f"Of the time that racks were scheduled to train, {kept:.1%} was productive."
    if not trains:
        words = f"Of the time of serving racks, {kept:.1%} served; the rest stood ready, was lent, off or in repair."
    return finish(alt.layer(bars, text), f"Where {what} time goes", words, height=260)


def _dated(table: pd.DataFrame, start: Any) -> pd.DataFrame:
    return table.assign(date=pd.Timestamp(start) + pd.to_timedelta(table["time_s"], unit="s"))


def _by_day(rows: pd.DataFrame) -> pd.DataFrame:
    """``low, mean, high`` of each name and day; shorter spans stay hourly."""
    hours = int(rows.groupby("name").size().max()) if len(rows) else 0
    width = 86400.0 if hours > 24 * 28 else 3600.0
    bins = rows.assign(time_s=np.floor(rows["time_s"] / width) * width)
    return bins.groupby(["name", "time_s"], as_index=False).agg(
        low=("value", "min"), mean=("value", "mean"), high=("value", "max")
    )


def power_trace(result: SimulationResult) -> Chart:
    """Facility power by site, daily means, and the day's highest hour of all sites together."""
    rows = result.hourly.query("quantity == 'facility_w'")
    table = _dated(_by_day(rows), result.fleet.start.start).assign(gw=lambda t: t["mean"] / 1e9)
    total = rows.groupby("time_s", as_index=False).agg(value=("value", "sum")).assign(name="all sites")
    peak = _dated(_by_day(total), result.fleet.start.start).assign(gw=lambda t: t["high"] / 1e9)
    names = [s.name for s in result.fleet.sites]
    colours = alt.Scale(domain=names, range=list(categorical(names, "site").values()))
    areas = (
        alt.Chart(table)
        .mark_area(interpolate="step-after")
        .encode(
            x=alt.X("date:T", title=None),
            y=alt.Y("gw:Q", title="Facility power, GW (line: highest hour of the day)", stack="zero"),
            color=alt.Color("name:N", scale=colours),
            tooltip=["name:N", "date:T", alt.Tooltip("gw:Q", format=".3f")],
        )
    )
    line = (
        alt.Chart(peak)
        .mark_line(interpolate="step-after", strokeWidth=1, color=accent("ink"))
        .encode(x="date:T", y="gw:Q")
    )
    words = f"Facility power of all sites peaks at {result.books.peak_w / 1e9:.3g} GW."
    return finish(alt.layer(areas, line), "Power", words, height=260)


def tokens_against_demand(result: SimulationResult) -> Chart:
    """Tokens served against demand: the range of each day's hours, and both peaks."""
    rows = result.hourly[result.hourly["quantity"].isin(["demand", "served"])]
    rows = (
        rows.groupby(["time_s", "quantity"], as_index=False)
        .agg({"value": "sum"})
        .assign(name=lambda t: t["quantity"])
    )
    table = _dated(_by_day(rows), result.fleet.start.start)
    table = table.assign(low=table["low"] / 1e6, peak=table["high"] / 1e6, mean=table["mean"] / 1e6)
    colours = alt.Scale(domain=["demand", "served"], range=[accent("work-1"), accent("work-0")])
    base = alt.Chart(table).encode(x=alt.X("date:T", title=None))
    band = (
        base.transform_filter("datum.name == 'served'")
        .mark_area(interpolate="step-after", opacity=0.25, color=accent("work-0"))
        .encode(y=alt.Y("low:Q", title="Million tokens a second (band: range of the day)"), y2="peak:Q")
    )
    lines = base.mark_line(interpolate="step-after", strokeWidth=1.4).encode(
        y="peak:Q",
        color=alt.Color("name:N", scale=colours),
        tooltip=["name:N", "date:T", alt.Tooltip("peak:Q", format=",.1f"), alt.Tooltip("mean:Q", format=",.1f")],
    )
    return finish(alt.layer(band, lines), "Tokens served against demand, peak of each day", height=260)


def validation_figure(rows: list[Row]) -> Chart:
    """Simulated over the middle of what was published, with the range that counts as reproduced."""
    middle = [0.5 * (r.case.low + r.case.high) for r in rows]
    table = pd.DataFrame({
        "case": [r.case.name for r in rows],
        "role": [r.case.role for r in rows],
        "ratio": [r.simulated / m for r, m in zip(rows, middle, strict=True)],
        "low": [r.case.low / m for r, m in zip(rows, middle, strict=True)],
        "high": [r.case.high / m for r, m in zip(rows, middle, strict=True)],
        "published": [r.case.published for r in rows],
        "simulated": [f"{r.simulated:.4g} {r.case.unit}" for r in rows],
    })  # fmt: skip
    base = alt.Chart(table).encode(
        y=alt.Y("case:N", sort=None, title=None, axis=alt.Axis(labelLimit=360, titleAngle=0))
    )
    x = alt.X(
        "low:Q",
        title="Simulated over the middle of the published range",
        scale=alt.Scale(domain=[0.0, 2.0], clamp=True),
        axis=alt.Axis(grid=True),
    )
    band = base.mark_bar(color=accent("faint"), height=9).encode(x=x, x2="high:Q")
    colours = alt.Scale(
        domain=["untouched", "fitted", "input"], range=[accent("good"), accent("work-1"), accent("muted")]
    )
    dots = base.mark_circle(size=60, opacity=1.0).encode(
        x="ratio:Q",
        color=alt.Color("role:N", scale=colours),
        tooltip=["case:N", "published:N", "simulated:N", "role:N"],
    )
    return finish(alt.layer(band, dots), "Published outcomes, reproduced", height=20 * len(rows))


def simulation_figures(result: SimulationResult) -> list[Chart]:
    """All figures of a run."""
    charts: list[Chart] = []
    charts += [goodput_waterfall(fall) for fall in (result.training_waterfall, result.serving_waterfall) if fall]
    charts.append(power_trace(result))
    if (result.hourly["quantity"] == "demand").any():
        charts.append(tokens_against_demand(result))
    return charts


def save_figures(result: SimulationResult, path: Path | str) -> None:
    """Write one HTML file that opens offline, figures under each other."""
    plain = [_bare(chart) for chart in simulation_figures(result)]
    page = alt.vconcat(*plain, spacing=40).resolve_scale(color="independent").configure(**config())
    page.save(str(path), inline=True)


def _bare(chart: Chart) -> Any:
    """Without its own configuration, which only the outermost chart may have."""
    made: Any = chart.copy()
    made.config = alt.Undefined
    return made
