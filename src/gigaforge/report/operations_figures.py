"""Figures of a simulation: goodput waterfall, power trace, tokens against demand; the same for notebook, report and page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import altair as alt
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from gigaforge.operations.result import SimulationResult

__all__ = [
    "goodput_waterfall",
    "power_trace",
    "save_figures",
    "simulation_figures",
    "tokens_against_demand",
    "validation_figure",
]

_WIDTH: Final = 720
_GOOD, _LOST, _REST = "#1f7a5c", "#c8553d", "#8d99ae"
_LABEL: Final = {
    "checkpoint": "saving checkpoints",
    "rework": "rollback",
    "restart": "restarting",
    "wait": "waiting for racks",
    "straggler": "stragglers",
    "power": "power limits",
    "idle": "hot spares",
}


def goodput_waterfall(waterfall: dict[str, float], width: int = _WIDTH) -> alt.Chart:
    """From scheduled rack time down to goodput; ``waterfall`` as in `SimulationResult.waterfall`."""
    rows, level = [{"step": "scheduled", "from": 0.0, "to": 1.0, "kind": "all"}], 1.0
    for name, label in _LABEL.items():
        share = waterfall.get(name, 0.0)
        rows.append({"step": label, "from": level - share, "to": level, "kind": "lost"})
        level -= share
    rows.append({"step": "goodput", "from": 0.0, "to": level, "kind": "kept"})
    table = pd.DataFrame(rows)
    table["share"] = [f"{r['to'] - r['from']:.1%}" for r in rows]
    low = max(0.0, float(np.floor((level - 0.05) * 10) / 10))
    table["from"] = table["from"].clip(lower=low)
    base = alt.Chart(table).encode(
        x=alt.X("step:N", sort=[r["step"] for r in rows], title=None, axis=alt.Axis(labelAngle=-30))
    )
    bars = base.mark_bar().encode(
        y=alt.Y(
            "from:Q",
            title="share of training rack time",
            axis=alt.Axis(format="%"),
            scale=alt.Scale(domain=[low, 1.0]),
        ),
        y2="to:Q",
        color=alt.Color(
            "kind:N", legend=None, scale=alt.Scale(domain=["all", "lost", "kept"], range=[_REST, _LOST, _GOOD])
        ),
        tooltip=["step:N", "share:N"],
    )
    text = base.mark_text(dy=-6).encode(y="to:Q", text="share:N")
    return (bars + text).properties(width=width, height=260, title="Where training time goes")


def _dates(table: pd.DataFrame, start: Any) -> pd.DataFrame:
    return table.assign(date=pd.Timestamp(start) + pd.to_timedelta(table["time_s"], unit="s"))


def power_trace(result: SimulationResult, width: int = _WIDTH, points: int = 1500) -> alt.Chart:
    """Facility power by site, hourly means (thinned to about ``points`` a site by taking maxima)."""
    rows = result.hourly.query("quantity == 'facility_w'")
    rows = _thinned(rows, points, "max")
    table = _dates(rows, result.fleet.start.start).assign(gw=lambda t: t["value"] / 1e9)
    return (
        alt.Chart(table)
        .mark_area(interpolate="step-after")
        .encode(
            x=alt.X("date:T", title=None),
            y=alt.Y("gw:Q", title="facility power [GW]", stack="zero"),
            color=alt.Color("name:N", title="site", scale=alt.Scale(scheme="tableau10")),
            tooltip=["name:N", "date:T", alt.Tooltip("gw:Q", format=".3f")],
        )
        .properties(width=width, height=260, title="Power")
    )


def tokens_against_demand(result: SimulationResult, width: int = _WIDTH, points: int = 1500) -> alt.Chart:
    """Tokens served beside tokens demanded, hourly means of all workloads."""
    rows = result.hourly[result.hourly["quantity"].isin(["demand", "served"])]
    rows = rows.groupby(["time_s", "quantity"], as_index=False)["value"].sum().assign(name=lambda t: t["quantity"])
    table = _dates(_thinned(rows, points, "mean"), result.fleet.start.start).assign(rate=lambda t: t["value"] / 1e6)
    return (
        alt.Chart(table)
        .mark_line(interpolate="step-after", strokeWidth=1)
        .encode(
            x=alt.X("date:T", title=None),
            y=alt.Y("rate:Q", title="million tokens a second"),
            color=alt.Color("name:N", title=None, scale=alt.Scale(domain=["demand", "served"], range=[_LOST, _GOOD])),
            tooltip=["name:N", "date:T", alt.Tooltip("rate:Q", format=",.1f")],
        )
        .properties(width=width, height=260, title="Tokens served against demand")
    )


def _thinned(rows: pd.DataFrame, points: int, how: str) -> pd.DataFrame:
    """Fewer points: groups of consecutive hours replaced by their maximum or mean."""
    if rows.empty:
        return rows.assign(time_s=rows["time_s"].astype(float))
    count = rows.groupby("name").size().max()
    step = max(1, -(-int(count) // points))
    width = 3600.0 * step
    group = rows.assign(time_s=np.floor(rows["time_s"] / width) * width).groupby(["name", "time_s"], as_index=False)
    return group["value"].agg(how)


def validation_figure(rows: list[Any], width: int = _WIDTH) -> alt.Chart:
    """Simulated over the middle of what was published, with the range that counts as reproduced."""
    table = pd.DataFrame([
        {
            "case": r.case.name, "role": r.case.role, "ratio": r.simulated / (0.5 * (r.case.low + r.case.high)),
            "low": r.case.low / (0.5 * (r.case.low + r.case.high)), "high": r.case.high / (0.5 * (r.case.low + r.case.high)),
            "published": r.case.published, "simulated": f"{r.simulated:.4g} {r.case.unit}",
        }
        for r in rows
    ])  # fmt: skip
    base = alt.Chart(table).encode(y=alt.Y("case:N", sort=None, title=None, axis=alt.Axis(labelLimit=360)))
    band = base.mark_bar(opacity=0.3, color=_REST, height=8).encode(
        x=alt.X("low:Q", title="over the middle of the published range", scale=alt.Scale(zero=False)), x2="high:Q"
    )
    dots = base.mark_circle(size=60).encode(
        x="ratio:Q", color=alt.Color("role:N", scale=alt.Scale(domain=["untouched", "fitted", "input"], range=[_GOOD, _LOST, _REST])),
        tooltip=["case:N", "published:N", "simulated:N", "role:N"],
    )  # fmt: skip
    return (band + dots).properties(width=width, title="Published outcomes, reproduced")


def simulation_figures(result: SimulationResult, width: int = _WIDTH) -> alt.VConcatChart:
    """All figures of a run under each other."""
    charts: list[Any] = []
    if result.waterfall:
        charts.append(goodput_waterfall(result.waterfall, width))
    charts.append(power_trace(result, width))
    if (result.hourly["quantity"] == "demand").any():
        charts.append(tokens_against_demand(result, width))
    return (
        alt.vconcat(*charts)
        .resolve_scale(color="independent")
        .configure_view(stroke=None)
        .configure_axis(grid=True, gridOpacity=0.4)
    )


def save_figures(result: SimulationResult, path: Path | str) -> None:
    """Write one HTML file that opens offline."""
    simulation_figures(result).save(str(path), inline=True)
