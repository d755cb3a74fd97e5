"""Figures of the roadmaps: what a number of an accelerator is worth, which design and which model come next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import altair as alt
import numpy as np
import pandas as pd

from gigaforge.errors import InputError
from gigaforge.report.theme import Chart, accent, categorical, finish, ramp
from gigaforge.units import format_quantity

__all__ = ["BARS_SAY", "design_pareto", "hardware_sensitivity", "iso_loss", "specialised_designs"]

_WORDS: Final = {
    "bf16_flop_s": "FLOP/s",
    "hbm_bytes": "HBM capacity",
    "hbm_bandwidth_bytes_s": "HBM bandwidth",
    "scale_up_bytes_s": "NVLink",
    "scale_out_bytes_s": "scale-out",
    "power_limit_w": "power limit",
    "power_drawn_w": "less power drawn",
}
_STEP: Final = 0.1
BARS_SAY: Final = (
    "Bars: worth of 10 % more, with its 80 % interval. Orange: what 10 % more costs in silicon, memory and power."
)
"""What the bars of `hardware_sensitivity` are, under the figure and beside it."""
_BILLIONS: Final = "replace(datum.label, 'G', 'B')"


def hardware_sensitivity(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str] | None = None) -> Chart:
    """What a tenth more of each number is worth per accelerator, beside what it would cost.

    Parameters
    ----------
    rows : sequence of mapping
        As `gigaforge.codesign.hardware.Sensitivity.to_dict` gives them.
    labels : mapping, optional
        System name to what people call it.

    Raises
    ------
    InputError
        No row.

    """
    if not rows:
        raise InputError("no platform of this plan has sensitivities to draw", "figure")
    frame = pd.DataFrame([_tenth(r, labels or {}) for r in rows])
    order = [w for w in _WORDS.values() if w in set(frame["parameter"])]
    y = alt.Y("parameter:N", sort=order, title=None, axis=alt.Axis(titleAngle=0, grid=False))
    x = alt.X(
        "worth:Q", title="USD per accelerator, today's value", axis=alt.Axis(format="$~s", grid=True, tickCount=4)
    )
    base = alt.Chart()  # without data of its own, so that each facet has its platform's rows only
    tooltip = [
        alt.Tooltip("platform:N", title="Platform"),
        alt.Tooltip("per_unit:N", title="Worth"),
        alt.Tooltip("worth:Q", format="$,.0f", title="Worth of 10 % more"),
        alt.Tooltip("cost:Q", format="$,.0f", title="Cost of 10 % more"),
    ]
    bars = base.mark_bar(color=accent("accent"), height=11).encode(x=x, y=y, tooltip=tooltip)
    band = base.mark_rule(color=accent("ink"), strokeWidth=1).encode(x="low:Q", x2="high:Q", y=y)
    cost = base.mark_tick(color=accent("capex"), thickness=3, size=17).encode(x="cost:Q", y=y, tooltip=tooltip)
    zero = base.mark_rule(color=accent("muted")).encode(x=alt.datum(0))
    platforms = list(dict.fromkeys(frame["platform"]))
    layered = alt.layer(bars, band, zero, cost, data=frame).properties(height=26 * len(order), width=300)
    chart = layered.facet(facet=alt.Facet("platform:N", sort=platforms, title=None), columns=2).resolve_scale(
        x="independent"
    )
    made = finish(chart, "What each number of an accelerator is worth", BARS_SAY, None, None)
    made.title = alt.TitleParams("What each number of an accelerator is worth", subtitle=BARS_SAY)
    return made


def _tenth(row: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    units = _STEP * float(row["today"])
    worth = float(row["usd_per_accelerator"]) * units
    plan = float(row["plan_usd"])
    low, high = (float(row[k]) / plan * worth if plan else worth for k in ("plan_usd_low", "plan_usd_high"))
    cost = row.get("cost_usd_per_accelerator")
    return {
        "platform": labels.get(row["system"], row["system"]),
        "parameter": _WORDS.get(row["parameter"], row["parameter"]),
        "worth": worth,
        "low": low,
        "high": high,
        "cost": None if cost is None or row["parameter"] == "power_drawn_w" else float(cost) * units,
        "per_unit": f"${float(row['usd_per_accelerator']):,.0f} per {row['unit']}",
    }


def iso_loss(choice: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], title: str = "") -> Chart:
    """Cost over the model's life against its size, a line for each expansion, at one loss (or loss at one budget).

    Parameters
    ----------
    choice : mapping
        As `gigaforge.codesign.models.Choice.to_dict` gives it.
    rows : sequence of mapping
        As `gigaforge.codesign.models.iso_loss_rows` gives them.
    title : str
        Heading; default says what was asked.

    Raises
    ------
    InputError
        No row.

    """
    if not rows:
        raise InputError("no model to draw", "figure")
    frame = pd.DataFrame(rows)
    same_loss = bool(np.ptp(frame["loss"]) < 1e-3)
    field = "usd" if same_loss else "loss"
    frame["model"] = ["dense" if e == 1 else f"{e} x experts" for e in frame["experts"]]
    kinds = list(dict.fromkeys(frame["model"]))
    mixtures = [k for k in kinds if k != "dense"]
    colours = {"dense": accent("ink"), **ramp(["", *mixtures])}  # the palest of the ramp is too pale for a line
    tooltip = [
        alt.Tooltip("model:N", title="Model"),
        alt.Tooltip("active:Q", format=".3~s", title="Active parameters"),
        alt.Tooltip("tokens:Q", format=".3~s", title="Training tokens"),
        alt.Tooltip("train_usd:Q", format="$.3~s", title="Training"),
        alt.Tooltip("serve_usd:Q", format="$.3~s", title="Serving"),
        alt.Tooltip("loss:Q", format=".3f", title="Loss"),
        *(
            [alt.Tooltip("context:Q", format=",", title="Context")]
            if frame.get("context", pd.Series()).notna().any()
            else []
        ),
    ]
    x = alt.X(
        "active:Q", scale=alt.Scale(type="log", nice=False), title="Active parameters", axis=_decades(frame["active"])
    )
    y = (
        alt.Y("usd:Q", scale=alt.Scale(type="log", nice=False, domain=_span(frame, choice)), title="Training and serving over its life, USD",
              axis=_decades(frame["usd"], "$~s"))
        if same_loss
        else alt.Y("loss:Q", scale=alt.Scale(zero=False), title="Loss, nats per token", axis=alt.Axis(format=".2f"))
    )  # fmt: skip
    lines = (
        alt.Chart(frame)
        .mark_line(clip=True)
        .encode(
            x=x, y=y, tooltip=tooltip,
            color=alt.Color("model:N", sort=kinds, scale=alt.Scale(domain=kinds, range=[colours[k] for k in kinds])),
        )
    )  # fmt: skip
    best = pd.DataFrame({
        "active": [choice["active"]], "usd": [choice["usd"]], "loss": [choice["loss"]],
        "label": [f"{format_quantity(choice['active'], 'count')} active, {format_quantity(choice['tokens'], 'count')} tokens"],
    })  # fmt: skip
    mark = alt.Chart(best).encode(x="active:Q", y=f"{field}:Q")
    point = mark.mark_point(filled=True, size=110, color=accent("bad"), shape="diamond")
    text = mark.mark_text(dy=18, fontWeight="bold").encode(text="label:N")  # below: the curves rise from it
    layers = [lines, point, text, *_named(choice, frame, same_loss=same_loss)]
    asked = f"at a loss of {choice['loss']:.3f}" if same_loss else "at one budget"
    heading = (
        title
        or f"Which model {asked}: {choice['law']}, {format_quantity(choice['serve_tokens'], 'count')} tokens served"
    )
    warned = f"Mind: {'; '.join(choice['warnings'])}." if choice["warnings"] else ""
    made = finish(alt.layer(*layers), heading, warned, height=320)
    made.title = alt.TitleParams(heading, subtitle=_wrap(warned)) if warned else alt.TitleParams(heading)
    return made


def _span(frame: pd.DataFrame, choice: Mapping[str, Any]) -> list[float]:
    """Dollars from the cheapest to the dearest point, the model named among them."""
    own = (choice.get("named") or {}).get("usd") or frame["usd"].max()
    return [0.85 * min(frame["usd"].min(), own), max(frame["usd"].max(), 1.15 * own)]


def _named(choice: Mapping[str, Any], frame: pd.DataFrame, *, same_loss: bool) -> list[alt.Chart]:
    """A mark for the model that the scenario names, wherever it lies: it is what the reader compares with."""
    own = choice.get("named") or {}
    if not same_loss or not own.get("usd"):
        return []
    row = pd.DataFrame({"active": [own["active"]], "usd": [own["usd"]], "label": ["the one named"]})
    mark = alt.Chart(row).encode(x="active:Q", y="usd:Q")
    return [
        mark.mark_point(filled=True, size=90, color=accent("ink")),
        mark.mark_text(dy=-14, align="left" if own["active"] < frame["active"].min() else "center").encode(
            text="label:N"
        ),
    ]


def _decades(values: pd.Series, form: str = "~s") -> alt.Axis:
    low, high = float(values.min()), float(values.max())
    digits = (1, 2, 5) if high / low < 300 else (1,)
    ticks = [
        d * 10.0**e for e in range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1) for d in digits
    ]
    return alt.Axis(values=[t for t in ticks if low * 0.99 <= t <= high * 1.01], format=form, labelExpr=_BILLIONS)


def _wrap(text: str, width: int = 110) -> list[str]:
    words, lines = text.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def design_pareto(rows: Sequence[Mapping[str, Any]], marks: Sequence[Mapping[str, Any]] = ()) -> Chart:
    """Tokens per dollar against tokens per joule: designs that nothing beats in both, and platforms to compare with.

    Parameters
    ----------
    rows : sequence of mapping
        ``relative_cost`` and ``relative_joules`` of the mix over a reference, and ``words`` for the design.
    marks : sequence of mapping
        The same, with a ``label``: shipped platforms and the chosen design.

    """
    if not rows:
        raise InputError("no design to draw", "figure")
    frame = pd.DataFrame(rows).assign(
        per_usd=lambda f: 1 / f["relative_cost"], per_joule=lambda f: 1 / f["relative_joules"]
    )
    x = alt.X(
        "per_usd:Q",
        title="Work per dollar (reference = 1)",
        scale=alt.Scale(zero=False),
        axis=alt.Axis(grid=True, tickCount=6),
    )
    y = alt.Y("per_joule:Q", title="Work per joule (reference = 1)", scale=alt.Scale(zero=False))
    tooltip = [
        alt.Tooltip("words:N", title="Design"),
        alt.Tooltip("per_usd:Q", format=".2f"),
        alt.Tooltip("per_joule:Q", format=".2f"),
    ]
    layers: list[Any] = [
        alt.Chart(frame).mark_line(color=accent("faint")).encode(x=x, y=y, order="per_usd:Q"),
        alt.Chart(frame).mark_point(filled=True, color=accent("accent"), size=55).encode(x=x, y=y, tooltip=tooltip),
    ]
    if marks:
        other = pd.DataFrame(marks).assign(
            per_usd=lambda f: 1 / f["relative_cost"], per_joule=lambda f: 1 / f["relative_joules"]
        )
        base = alt.Chart(other).encode(x=x, y=y)
        layers.append(
            base.mark_point(filled=True, shape="diamond", size=120, color=accent("capex")).encode(tooltip=tooltip)
        )
        layers.append(base.mark_text(align="left", dx=9, dy=-8).encode(text="label:N"))
    return finish(alt.layer(*layers), "Designs between work per dollar and work per joule", height=340)


def specialised_designs(rows: Sequence[Mapping[str, Any]]) -> Chart:
    """Cost of each work on the design made for it, on the general one and on the reference.

    Parameters
    ----------
    rows : sequence of mapping
        ``work``, ``design`` and ``relative_cost`` over the reference.

    """
    if not rows:
        raise InputError("no design to compare", "figure")
    frame = pd.DataFrame(rows)
    works, designs = (list(dict.fromkeys(frame[k])) for k in ("work", "design"))
    colours = categorical(designs, "site")
    bars = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X("relative_cost:Q", title="Cost (reference = 100 %)", axis=alt.Axis(format=".0%", grid=True, tickCount=6)),
            y=alt.Y("work:N", sort=works, title=None),
            yOffset=alt.YOffset("design:N", sort=designs),
            color=alt.Color("design:N", sort=designs, scale=alt.Scale(domain=designs, range=[colours[d] for d in designs])),
            tooltip=["work:N", "design:N", alt.Tooltip("relative_cost:Q", title="Cost over the reference", format=".1%")],
        )
    )  # fmt: skip
    return finish(bars, "One design for all, or one for each", height=26 * len(works) * max(len(designs), 2) // 2)
