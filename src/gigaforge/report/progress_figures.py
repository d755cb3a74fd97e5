"""Accepted power against the plan and the promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from gigaforge.report import theme
from gigaforge.report.figures import Figure
from gigaforge.report.story import power
from gigaforge.units import power_unit

__all__ = ["against_plan", "progress_figure"]

_NAMES = ("Accepted", "Planned", "Planned anew")
_COLOURS = ("accent", "muted", "work-1")


def progress_figure(
    quarters: Sequence[str],
    accepted_w: Mapping[str, float],
    planned_w: Mapping[str, float],
    commitment_w: float,
    replanned_w: Mapping[str, float] | None = None,
) -> Figure:
    """What stands, what was planned and what is planned now, quarter by quarter.

    Parameters
    ----------
    quarters : sequence of str
        All quarters shown, in order.
    accepted_w, planned_w, replanned_w : mapping
        Quarter to power to date. [W] A quarter that is missing is not drawn.
    commitment_w : float
        Power promised. [W]

    """
    series = [*zip(_NAMES, (accepted_w, planned_w, replanned_w or {}), strict=True)]
    every = [w for _, values in series for w in values.values()]
    unit = power_unit(max([commitment_w, *every]))
    rows = [
        {"quarter": q, "what": name, "power": unit.down(values[q])}
        for name, values in series for q in quarters if q in values
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["quarter", "what", "power"])
    present = [n for n in _NAMES if n in set(frame["what"])]
    colours = alt.Scale(domain=present, range=[theme.accent(_COLOURS[_NAMES.index(n)]) for n in present])
    x = theme.quarter_x(quarters)
    top = max(float(frame["power"].max() if len(frame) else 0.0), commitment_w / unit.watts) * 1.08
    y = alt.Y("power:Q", title=f"{unit.name} to date", scale=alt.Scale(domain=[0, max(top, 1e-6)], nice=False))
    tips = [alt.Tooltip("quarter:O", title="Quarter"), alt.Tooltip("what:N", title="What"),
            alt.Tooltip("power:Q", title=f"Power to date [{unit.name}]")]  # fmt: skip
    colour = alt.Color("what:N", scale=colours)
    actual, rest = frame[frame["what"] == "Accepted"], frame[frame["what"] != "Accepted"]
    bars = alt.Chart(actual).mark_bar().encode(x=x, y=y, color=colour, tooltip=tips)
    lines = (
        alt.Chart(rest).mark_line(interpolate="step", strokeWidth=2.2).encode(x=x, y=y, color=colour, tooltip=tips)
    )
    goal = pd.DataFrame({"power": [commitment_w / unit.watts], "text": [f"{power(commitment_w)} committed"]})
    rule = (
        alt.Chart(goal).mark_rule(strokeDash=[6, 4], strokeWidth=1.6, color=theme.accent("ink")).encode(y="power:Q")
    )
    label = alt.Chart(goal).mark_text(align="left", baseline="bottom", dy=-5, fontSize=12, fontWeight="bold")
    chart = alt.layer(bars, lines, rule, label.encode(y="power:Q", x=alt.value(2), text="text:N"))
    numbers = frame.pivot_table(index="quarter", columns="what", values="power").reindex(
        index=list(quarters), columns=present
    )
    numbers.columns = pd.Index([f"{n} [{unit.name}]" for n in present], dtype=object)
    takeaway = _takeaway(quarters, accepted_w, planned_w)
    return Figure("progress", "Accepted power against the plan", takeaway,
                  theme.finish(chart, "Accepted power against the plan", takeaway, height=320), numbers)  # fmt: skip


def _takeaway(quarters: Sequence[str], accepted_w: Mapping[str, float], planned_w: Mapping[str, float]) -> str:
    known = [q for q in quarters if q in accepted_w]
    if not known:
        return "Nothing is accepted yet."
    now = known[-1]
    done = f"{power(accepted_w[now])} accepted by {now}"
    return f"{done}, {against_plan(accepted_w[now], planned_w[now])}." if now in planned_w else f"{done}."


def against_plan(accepted_w: float, planned_w: float) -> str:
    """How far ahead or behind, in words. [W]"""
    gap = accepted_w - planned_w
    return "as planned" if abs(gap) < 5e6 else f"{power(abs(gap))} {'ahead of' if gap > 0 else 'behind'} the plan"
