"""Figures about power: deployment against the commitment, tranches, each site against its limit."""

from __future__ import annotations

import altair as alt
import pandas as pd

from gigaforge.report import theme
from gigaforge.report.tranche_steps import tranche_steps
from gigaforge.report.view import REST, PlanView, tidy
from gigaforge.units import format_at_most, format_quantity

__all__ = ["deployment_by_platform", "deployment_by_site", "site_power", "tranche_timeline"]


def deployment_by_site(plan: PlanView) -> theme.Chart | None:
    """Deployed power by quarter, stacked by site, against the commitment; None where nothing is deployed."""
    frame = plan.deployed_by("site").rename(columns=plan.site_groups)
    return _deployment(plan, frame.T.groupby(level=0, sort=False).sum().T, plan.site_colours, "site")


def deployment_by_platform(plan: PlanView) -> theme.Chart | None:
    """The same power, stacked by system."""
    frame = plan.deployed_by("system").rename(columns=plan.label)
    return _deployment(plan, frame, plan.system_colours, "system")


def _deployment(plan: PlanView, frame: pd.DataFrame, colours: dict[str, str], kind: str) -> theme.Chart | None:
    if frame.empty or not frame.to_numpy().any():
        return None
    names = list(colours)
    unit = plan.power_unit
    bars_of = tidy(frame, kind, "power")
    bars_of["told"] = bars_of["power"].map(unit.down)
    bars_of["power"] = (bars_of["power"] / unit.watts).round(4)
    bars_of["order"] = bars_of[kind].map({name: i for i, name in enumerate(names)})
    bars_of = bars_of[bars_of["power"] > 0]
    top = max(float(frame.sum(axis=1).max()), plan.commitment_w) / unit.watts
    heading = f"{unit.name} deployed ({plan.basis} power)"
    bars = (
        alt.Chart(bars_of)
        .mark_bar()
        .encode(
            x=theme.quarter_x(plan.quarters),
            y=alt.Y("power:Q", title=heading, scale=alt.Scale(domain=[0, top * 1.08], nice=False)),
            color=alt.Color(f"{kind}:N", scale=alt.Scale(domain=names, range=list(colours.values()))),
            order=alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("quarter:O", title="Quarter"),
                alt.Tooltip(f"{kind}:N", title=kind.title()),
                alt.Tooltip("told:Q", title=f"Deployed [{unit.name}]"),
            ],
        )
    )
    chart = alt.layer(bars, *_commitment(plan))
    words = f"Stacked bars: power deployed by quarter and {kind}, with the commitment and its milestones."
    return theme.finish(chart, f"Deployed power by {kind} against the commitment", words, height=320)


def _commitment(plan: PlanView) -> list[alt.Chart]:
    """A dashed line at the committed power, and a mark per milestone: filled where met."""
    if not plan.commitment_w:
        return []
    unit = plan.power_unit
    goal = plan.commitment_w / unit.watts
    line = pd.DataFrame(
        {
            "power": [goal],
            "text": [f"{format_at_most(plan.commitment_w, 'power')} committed"],
            "quarter": [plan.quarters[0]],
        }
    )
    layers = [
        alt.Chart(line).mark_rule(strokeDash=[6, 4], strokeWidth=1.6, color=theme.accent("ink")).encode(y="power:Q"),
        alt.Chart(line)
        .mark_text(align="left", baseline="bottom", dy=-5, fontSize=12, fontWeight="bold")
        .encode(y="power:Q", x=alt.value(2), text="text:N"),
    ]
    marks = milestone_frame(plan)
    if len(marks):
        met = alt.Scale(
            domain=["Milestone met", "Milestone missed"], range=[theme.accent("good"), theme.accent("bad")]
        )
        layers.append(
            alt.Chart(marks)
            .mark_point(filled=True, size=150, stroke=theme.accent("surface"), strokeWidth=1.4, opacity=1)
            .encode(
                x=theme.quarter_x(plan.quarters),
                y="power:Q",
                fill=alt.Fill("state:N", scale=met, legend=None),
                shape=alt.Shape("state:N", scale=alt.Scale(domain=met.domain, range=["diamond", "triangle-down"]),
                                legend=None),
                tooltip=[
                    alt.Tooltip("quarter:O", title="Milestone"),
                    alt.Tooltip("promised:N", title="Promised"),
                    alt.Tooltip("then:N", title="Deployed then"),
                    alt.Tooltip("state:N", title="Outcome"),
                ],
            )
        )  # fmt: skip
        inner = marks[marks["power"] < goal * 0.97]
        text = alt.Chart(inner).mark_text(dy=-14, fontSize=11, color=theme.accent("muted"))
        layers.append(text.encode(x=theme.quarter_x(plan.quarters), y="power:Q", text="promised:N"))
    return layers


def milestone_frame(plan: PlanView) -> pd.DataFrame:
    """Milestones inside the horizon: quarter, power_w; power on the plan's axis, promised and then in words; state."""
    deployed = dict(zip(plan.quarters, plan.series("deployed_w"), strict=True))
    rows = []
    for m in plan.milestones:
        if m["by"] not in deployed:
            continue
        reached = float(m.get("deployed_w") or deployed[m["by"]])
        state = "Milestone met" if reached >= m["power_w"] * (1 - 1e-6) else "Milestone missed"
        rows.append(
            {
                "quarter": m["by"],
                "power_w": float(m["power_w"]),
                "power": m["power_w"] / plan.power_unit.watts,
                "promised": format_at_most(m["power_w"], "power"),
                "then": format_at_most(reached, "power"),
                "state": state,
            }
        )
    return pd.DataFrame(rows, columns=["quarter", "power_w", "power", "promised", "then", "state"])


def tranche_timeline(plan: PlanView) -> theme.Chart | None:
    """Deployed power climbing through the thresholds that release equity; None without tranches."""
    steps = tranche_steps(plan.summary.get("tranches") or [])
    if not steps:
        return None
    unit = plan.power_unit
    watts = pd.Series(plan.series("deployed_w"))
    deployed = pd.DataFrame(
        {"quarter": plan.quarters, "power": (watts / unit.watts).round(4), "told": watts.map(unit.down)}
    )
    rows = [
        {
            "tranche": t.name,
            "power": t.threshold_w / unit.watts,
            "quarter": t.released or plan.quarters[-1],
            "state": "Released" if t.released else "Not released in the horizon",
            "sum": t.released_usd / 1e9,
            "text": format_quantity(t.amount_usd, "money") + (f" · {t.released}" if t.released else ", not released"),
        }
        for t in steps
    ]
    marks = pd.DataFrame(rows)
    x = theme.quarter_x(plan.quarters)
    top = max(float(deployed["power"].max()), float(marks["power"].max())) * 1.08
    y = alt.Y(
        "power:Q", title=f"{unit.name} deployed ({plan.basis} power)", scale=alt.Scale(domain=[0, top], nice=False)
    )
    area = (
        alt.Chart(deployed)
        .mark_bar(color=theme.accent("faint"), strokeWidth=0)
        .encode(x=x, y=y, tooltip=["quarter:O", alt.Tooltip("told:Q", title=f"Deployed [{unit.name}]")])
    )
    scale = alt.Scale(
        domain=["Released", "Not released in the horizon"], range=[theme.accent("equity"), theme.accent("bad")]
    )
    base = alt.Chart(marks).encode(x=x, y="power:Q", color=alt.Color("state:N", scale=scale))
    rules = base.mark_rule(strokeDash=[2, 3], opacity=0.55).encode(x2=alt.value(0))
    points = base.mark_point(filled=True, size=100, opacity=1, shape="circle").encode(
        tooltip=[
            alt.Tooltip("tranche:N", title="Tranche"),
            alt.Tooltip("text:N", title="Amount"),
            alt.Tooltip("power:Q", title=f"Threshold [{unit.name}]"),
            alt.Tooltip("sum:Q", title="Released so far [$B]", format=",.1f"),
            alt.Tooltip("state:N", title="State"),
        ]
    )
    text = base.mark_text(align="left", dx=9, dy=-1, fontSize=11).transform_filter(_left_half(plan))
    left = base.mark_text(align="right", dx=-9, dy=-8, fontSize=11).transform_filter(f"!({_left_half(plan)})")
    words = "Bars: deployed power by quarter. Dots: thresholds at the quarter in which each tranche is released."
    return theme.finish(
        alt.layer(area, rules, points, text.encode(text="text:N"), left.encode(text="text:N")),
        "Equity released as power is deployed", words, height=320,
    )  # fmt: skip


def _left_half(plan: PlanView) -> str:
    """Vega expression: the quarter leaves room for a label on its right."""
    early = plan.quarters[: max(1, round(len(plan.quarters) * 0.3))]
    return f"indexof({early}, datum.quarter) >= 0"


def site_power(plan: PlanView, columns: int = 3) -> theme.Chart | None:
    """Facility power at each site against what is energised and what is built: small multiples."""
    frame = plan.table("sites", "quarter", "site", "energised_w", "built_w", "facility_power_w")
    if frame.empty:
        return None
    order, unit = [s for s in plan.sites if s in set(frame["site"])], plan.power_unit
    tidy = pd.DataFrame(
        {
            "quarter": frame["quarter"],
            "site": frame["site"].map(plan.label),
            "limit": (frame["energised_w"] / unit.watts).round(4),
            "used": (frame["facility_power_w"] / unit.watts).round(4),
            "told": frame["facility_power_w"].map(unit.down),
            "colour": frame["site"].map(lambda s: plan.site_groups.get(s, REST)),
        }
    )
    base = alt.Chart().encode(x=theme.quarter_x(plan.quarters))
    used = base.mark_bar().encode(
        y=alt.Y("used:Q", title=None, scale=alt.Scale(nice=3), axis=alt.Axis(tickCount=3, minExtent=30, maxExtent=30)),
        color=alt.Color("colour:N", legend=None, scale=alt.Scale(
            domain=list(plan.site_colours) or [REST],
            range=list(plan.site_colours.values()) or [theme.accent("site-rest")])),
        tooltip=[
            alt.Tooltip("site:N", title="Site"),
            alt.Tooltip("quarter:O", title="Quarter"),
            alt.Tooltip("told:Q", title=f"In use [{unit.name}]"),
            alt.Tooltip("limit:Q", title=f"Energised [{unit.name}]"),
        ],
    )  # fmt: skip
    limit = base.mark_line(interpolate="step", strokeWidth=1.5, color=theme.accent("ink")).encode(y="limit:Q")
    chart = alt.layer(used, limit).properties(width=200, height=105)
    # An axis of its own for each: the last row may be short, and a shared one would stand under nothing.
    faceted = (
        alt.FacetChart(
            data=tidy,
            spec=chart,
            facet=alt.Facet("site:N", sort=[plan.label(s) for s in order], title=None),
            columns=columns,
            spacing={"row": 62, "column": 50},
            bounds="flush",
        )
        .resolve_scale(y="independent")
        .resolve_axis(x="independent")
    )
    words = f"For each site, bars: facility power in use at peak by quarter; line: power energised, in {unit.name}."
    title = f"Power at each site against its limit [{unit.name}]"
    return theme.finish(faceted, title, words, height=None, width=None)
