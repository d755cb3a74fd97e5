"""Figures about the work done: tokens served against demand, training runs, and what binds."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.report import theme
from gigaforge.report.view import PlanView, tidy

__all__ = ["served_share", "shadow_heatmap", "tokens_against_demand", "training_gantt"]

DAY_TERA = SECONDS_PER_QUARTER / 86400.0 * 1e12  # tokens a quarter -> 10^12 tokens a day


def tokens_against_demand(plan: PlanView) -> theme.Chart | None:
    """Tokens served (solid) and demanded (dashed) by workload; None where nothing is demanded."""
    frame = plan.demand
    if frame.empty or not float(frame["tokens_demanded"].max()):
        return None
    points = frame.melt(["quarter", "workload"], ["tokens_served", "tokens_demanded"], "what", "tokens")
    points["what"] = points["what"].map({"tokens_served": "served", "tokens_demanded": "demanded"})
    points["tokens"] = [float(f"{v:.5g}") for v in points["tokens"] / DAY_TERA]
    points["workload"] = points["workload"].map(plan.label)
    wanted = points.loc[points["what"] == "demanded", "tokens"]
    log = len(wanted[wanted > 0]) > 1 and wanted.max() / wanted[wanted > 0].min() > 30
    plain = {"scale": alt.Scale(zero=True), "axis": alt.Axis(format="~g")}
    vertical = theme.log_y(points.loc[points["tokens"] > 0, "tokens"].tolist(), "~r") if log else plain
    if log:
        points["tokens"] = [v if v > 0 else None for v in points["tokens"]]
    colours = plan.workload_colours
    base = alt.Chart(points).encode(
        x=theme.quarter_x(plan.quarters),
        y=alt.Y(
            "tokens:Q",
            title="Trillion output tokens a day" + (" (log scale)" if log else ""),
            **vertical,
        ),
        color=alt.Color("workload:N", scale=alt.Scale(domain=list(colours), range=list(colours.values()))),
        tooltip=[
            alt.Tooltip("quarter:O", title="Quarter"),
            alt.Tooltip("workload:N", title="Workload"),
            alt.Tooltip("what:N", title="Tokens"),
            alt.Tooltip("tokens:Q", title="Trillion a day", format=",.3~r"),
        ],
    )
    served = base.transform_filter("datum.what == 'served'").mark_line(point=alt.OverlayMarkDef(size=34, filled=True))
    wanted_line = base.transform_filter("datum.what == 'demanded'").mark_line(strokeDash=[5, 4], strokeWidth=1.8)
    words = "Solid lines with dots: output tokens served a day by workload. Dashed: tokens demanded."
    return theme.finish(alt.layer(wanted_line, served), "Tokens served against demand", words)


def served_share(plan: PlanView) -> theme.Chart | None:
    """Share of each workload's demand that is served, by quarter."""
    frame = plan.demand
    frame = frame[frame["tokens_demanded"] > 0] if len(frame) else frame
    if frame.empty:
        return None
    points = pd.DataFrame(
        {
            "quarter": frame["quarter"],
            "workload": frame["workload"].map(plan.label),
            "share": (frame["tokens_served"] / frame["tokens_demanded"]).round(4),
        }
    )
    colours = plan.workload_colours
    chart = (
        alt.Chart(points)
        .mark_line(point=alt.OverlayMarkDef(size=34, filled=True))
        .encode(
            x=theme.quarter_x(plan.quarters),
            y=alt.Y("share:Q", title="Share of demand served", axis=alt.Axis(format=".0%"),
                    scale=alt.Scale(domain=[0, 1.0])),
            color=alt.Color("workload:N", scale=alt.Scale(domain=list(colours), range=list(colours.values()))),
            tooltip=[
                alt.Tooltip("quarter:O", title="Quarter"),
                alt.Tooltip("workload:N", title="Workload"),
                alt.Tooltip("share:Q", title="Served", format=".1%"),
            ],
        )
    )  # fmt: skip
    words = "Lines: share of demand served by workload and quarter."
    return theme.finish(chart, "Share of demand served", words)


_BAR_PX = 22
"""Of a run's bar, below its words: a single run has a band so high that a bar filling it would stand behind them."""


def training_gantt(plan: PlanView) -> theme.Chart | None:
    """Each training run over its quarters, coloured by system, deeper where more racks work on it."""
    runs = [r for r in plan.summary.get("training_runs") or [] if r.get("start") in plan.quarters]
    if not runs:
        return None
    cells, labels = [], []
    for run in runs:
        for quarter, system, racks in _racks_by_quarter(plan, run):
            cells.append({"run": plan.label(run["name"]), "quarter": quarter, "system": plan.label(system),
                          "racks": int(np.ceil(racks))})  # fmt: skip
        late = plan.quarters.index(run["start"]) > len(plan.quarters) * 0.45
        labels.append(
            {
                "run": plan.label(run["name"]),
                "quarter": run["start"],
                "text": f"{plan.label(run['name'])} · {run['racks']:,} racks",
                "late": late,
                "end": run["end"],
            }
        )
    order = [plan.label(r["name"]) for r in runs]
    used = {str(c["system"]) for c in cells}
    names = {name: colour for name, colour in plan.system_colours.items() if name in used}
    names |= {name: theme.accent("platform-4") for name in sorted(used - set(names))}
    y = alt.Y("run:N", sort=order, axis=None, scale=alt.Scale(domain=order, paddingInner=0.55, paddingOuter=0.35))
    x = theme.quarter_x(plan.quarters, padding=0.0)
    bars = (
        alt.Chart(pd.DataFrame(cells))
        .mark_bar(strokeWidth=1, yOffset=7, height=_BAR_PX)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "system:N",
                legend=alt.Legend(offset=6),
                scale=alt.Scale(domain=list(names), range=list(names.values())),
            ),
            tooltip=[
                alt.Tooltip("run:N", title="Run"),
                alt.Tooltip("quarter:O", title="Quarter"),
                alt.Tooltip("system:N", title="System"),
                alt.Tooltip("racks:Q", title="Racks", format=","),
            ],
        )
    )
    text = alt.Chart(pd.DataFrame(labels)).encode(y=y, text="text:N")
    early = text.transform_filter("!datum.late").mark_text(align="left", baseline="bottom", dy=-7, fontSize=12)
    late = text.transform_filter("datum.late").mark_text(align="right", baseline="bottom", dy=-7, fontSize=12)
    start = alt.X("quarter:O", bandPosition=0, sort=None)
    end = alt.X("end:O", bandPosition=1, sort=None)
    layers = alt.layer(bars, early.encode(x=start), late.encode(x=end))
    words = "A bar per training run from its first to its last quarter, coloured by system."
    return theme.finish(layers, "Training runs", words, height=max(110, 48 * len(runs) + 30))


def _racks_by_quarter(plan: PlanView, run: dict[str, Any]) -> list[tuple[str, str, float]]:
    """Racks at work on a run, by quarter and system; from the summary alone where no table says."""
    frame = plan.table("allocation", "quarter", "system", "workload", "racks")
    mine = frame[frame["workload"] == run["name"]]
    if mine.empty:
        first, last = plan.quarters.index(run["start"]), plan.quarters.index(run["end"])
        return [(q, str(run["system"]), float(run["racks"])) for q in plan.quarters[first : last + 1]]
    sums = mine.groupby(["quarter", "system"])["racks"].sum().reset_index()
    top = sums.sort_values("racks").groupby("quarter").tail(1)
    return [(str(r.quarter), str(r.system), float(r.racks)) for r in top.itertuples()]


def shadow_heatmap(plan: PlanView, kind: str, title: str, unit: str, scale: float = 1.0) -> theme.Chart | None:
    """Shadow prices of one kind as a heatmap, a row per name; None where none is above zero.

    Parameters
    ----------
    plan : PlanView
        The plan.
    kind : str
        "power" [USD per MW that comes in the quarter and not in the next], "supply" [USD per rack], "demand" [USD per token], "cash" [USD per USD].
    title, unit : str
        Heading, and the unit shown.
    scale : float
        What a price is divided by to be in that unit.

    """
    frame = plan.shadow(kind) / scale
    frame = frame.loc[:, (frame > 1e-9).any(axis=0)] if len(frame.columns) else frame
    if frame.empty:
        return None
    rows = sorted(frame.columns, key=lambda c: -float(frame[c].to_numpy().sum()))
    cells = tidy(frame, "name", "value")
    cells["value"] = [float(f"{v:.4g}") for v in cells["value"]]
    cells["name"] = cells["name"].map(plan.label)
    top = float(cells["value"].max())
    chart = (
        alt.Chart(cells)
        .mark_rect(color=theme.accent("accent"), stroke=theme.accent("surface"), strokeWidth=1)
        .encode(
            x=theme.quarter_x(plan.quarters, padding=0.0),
            y=alt.Y("name:N", title=None, sort=[plan.label(r) for r in rows],
                    axis=alt.Axis(labelLimit=130, titleAlign="left")),
            opacity=alt.Opacity("value:Q", scale=alt.Scale(type="sqrt", domain=[0, top], range=[0.04, 1.0], clamp=True),
                                legend=alt.Legend(title=unit, values=_legend_values(top), format=".2~r", offset=8)),
            tooltip=[
                alt.Tooltip("name:N", title="Constraint"),
                alt.Tooltip("quarter:O", title="Quarter"),
                alt.Tooltip("value:Q", title=unit, format=",.4~r"),
            ],
        )
    )  # fmt: skip
    words = f"{title} by quarter: darker where one more unit is worth more."
    return theme.finish(chart, title, words, height=max(70, 26 * len(rows)))


def _legend_values(top: float) -> list[float]:
    return [0.0, *(float(f"{top * share:.1g}") for share in (0.1, 0.5)), float(f"{top:.2g}")]
