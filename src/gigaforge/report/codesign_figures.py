"""Figures of co-design: frontiers by platform, prices over time, points chosen over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import altair as alt
import pandas as pd

from gigaforge.report import theme

__all__ = ["chosen_over_time", "paid_with", "platform_frontiers", "prices_over_time", "what_is_chased"]

Rows = Sequence[Mapping[str, Any]]
_BANDS: Final = ((0.5, "up to 50 % of the limit"), (0.7, "50-70 %"), (0.9, "70-90 %"), (1.01, "90-100 %"))
_PARTS: Final = {"capital": ("Capital", "capex"), "power": ("Power held", "accent"), "energy": ("Energy", "opex")}


def platform_frontiers(rows: Rows) -> theme.Chart:
    """Tokens per joule against tokens per dollar, a line per platform from its lowest useful power cap to its limit.

    Parameters
    ----------
    rows : sequence of mapping
        As `gigaforge.codesign.frontiers.platform_frontiers` gives them.

    """
    frame = pd.DataFrame(rows)
    frame["millions"] = (frame["tokens_per_usd"] / 1e6).round(4)
    frame["tokens_per_joule"] = frame["tokens_per_joule"].round(4)
    frame["cap"] = [f"{w:,.0f} W" for w in frame["cap_w"]]
    names = list(dict.fromkeys(frame["label"]))
    colours = theme.ramp(names)
    x = alt.X("tokens_per_joule:Q", title="Tokens per joule (log scale)",
              scale=alt.Scale(type="log", domain=[frame["tokens_per_joule"].min() * 0.8, frame["tokens_per_joule"].max() * 1.3]),
              axis=alt.Axis(format="~r", tickCount=6))  # fmt: skip
    y = alt.Y(
        "millions:Q", title="Million tokens per dollar (log scale)", **theme.log_y(frame["millions"].tolist(), "~r")
    )
    colour = alt.Color(
        "label:N",
        scale=alt.Scale(domain=names, range=[colours[n] for n in names]),
        legend=alt.Legend(columns=3, labelLimit=230),
    )
    tip = [
        alt.Tooltip("label:N", title="Platform"),
        alt.Tooltip("cap:N", title="Power cap"),
        alt.Tooltip("tokens_per_joule:Q", title="Tokens per joule", format=".3~r"),
        alt.Tooltip("millions:Q", title="Million tokens per $", format=".3~r"),
        alt.Tooltip("precision:N", title="Precision"),
        alt.Tooltip("layout:N", title="Layout"),
    ]
    base = alt.Chart(frame)
    line = base.mark_line().encode(x=x, y=y, color=colour, order="cap_w:Q", detail="label:N")
    dots = base.mark_point(filled=True, opacity=1).encode(x=x, y=y, color=colour, tooltip=tip)
    said = (
        "One line per platform, from its lowest useful power cap (right end) to its limit (left end): lower caps give more "
        "tokens per joule and fewer per dollar."
    )
    return theme.finish(alt.layer(line, dots), "Tokens per joule against tokens per dollar", said, height=400)


def paid_with(rows: Rows, quarters: Sequence[str]) -> theme.Chart:
    """What the work of each quarter is paid with at the plan's prices, and what of it is capital on the bill.

    Parameters
    ----------
    rows : sequence of mapping
        As `gigaforge.buildout.chased.by_quarter` gives them.
    quarters : sequence of str
        All quarters of the plan.

    """
    frame = pd.DataFrame(rows).melt("quarter", list(_PARTS), "part", "share")
    frame["order"] = frame["part"].map({k: i for i, k in enumerate(_PARTS)})
    frame["part"] = frame["part"].map({k: word for k, (word, _) in _PARTS.items()})
    frame["share"] = frame["share"].round(4)
    scale = alt.Scale(domain=[w for w, _ in _PARTS.values()], range=[theme.accent(t) for _, t in _PARTS.values()])
    bars = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=theme.quarter_x(quarters),
            y=alt.Y("share:Q", title="Share of what a quarter's work is worth", axis=alt.Axis(format=".0%"),
                    scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("part:N", scale=scale),
            order="order:Q",
            tooltip=[alt.Tooltip("quarter:O", title="Quarter"), alt.Tooltip("part:N", title="Part"),
                     alt.Tooltip("share:Q", title="Share", format=".1%")],
        )
    )  # fmt: skip
    bill = alt.Chart(pd.DataFrame([{"quarter": r["quarter"], "share": round(1 - r["bill"], 4)} for r in rows]))
    mark = bill.mark_tick(color=theme.accent("ink"), thickness=2).encode(
        x=theme.quarter_x(quarters),
        y="share:Q",
        tooltip=[alt.Tooltip("share:Q", title="Capital on the bill", format=".1%")],
    )
    said = (
        "Stacked shares by quarter. The tick is where capital would end if every part cost what its bill says: where power reaches below "
        "it the plan chases tokens per joule, where capital reaches above it tokens per rack."
    )
    return theme.finish(alt.layer(bars, mark), "What tokens are paid with", said)


def what_is_chased(rows: Rows, quarters: Sequence[str], label: Callable[[str], str] = str) -> theme.Chart:
    """Each site's quarters by what it chases: tokens per joule, per dollar or per rack.

    Parameters
    ----------
    rows : sequence of mapping
        As `gigaforge.buildout.chased.chased` gives them.
    quarters : sequence of str
        All quarters of the plan.
    label : callable
        Catalogue name to what people call it.

    """
    frame = pd.DataFrame(
        [
            {"quarter": r["quarter"], "place": label(r["site"]), "what": r["chases"].capitalize(), "dearer": round(r["dearer"], 2),
             "watts": round(r["power"] + r["energy"], 4), "bill": round(r["bill"], 4), "mw": round(r["mw_usd"]),
             "mw_bill": round(r["mw_bill_usd"]), "held": round(r["held"], 4)}
            for r in rows
        ]
    )  # fmt: skip
    places = list(dict.fromkeys(frame["place"]))
    names = ["Tokens per joule", "Tokens per dollar", "Tokens per rack"]
    colour = alt.Color(
        "what:N", scale=alt.Scale(domain=names, range=[theme.accent(t) for t in ("accent", "faint", "capex")])
    )
    tip = [
        alt.Tooltip("place:N", title="Site"),
        alt.Tooltip("quarter:O", title="Quarter"),
        alt.Tooltip("what:N", title="Chases"),
        alt.Tooltip("watts:Q", title="Power in the worth", format=".0%"),
        alt.Tooltip("bill:Q", title="Power on the bill", format=".0%"),
        alt.Tooltip("mw:Q", title="A MW held is worth", format="$,.0f"),
        alt.Tooltip("mw_bill:Q", title="and costs", format="$,.0f"),
        alt.Tooltip("held:Q", title="Held over nameplate", format=".0%"),
    ]
    y = alt.Y("place:N", sort=places, title=None, axis=alt.Axis(titleAngle=0, labelLimit=200))
    cells = alt.Chart(frame).mark_rect().encode(x=theme.quarter_x(quarters), y=y, color=colour, tooltip=tip)
    said = "A row per site, a cell per quarter in which racks work there, coloured by what the plan's prices make it chase."
    return theme.finish(cells, "What each site chases", said, height=max(26 * len(places), 60))


def prices_over_time(prices: Mapping[str, Any], quarters: Sequence[str]) -> theme.Chart | None:
    """The dearest site, line, workload and dollar by quarter, a panel each; None where nothing is scarce.

    Parameters
    ----------
    prices : mapping
        ``summary["shadow_prices"]``: power [USD per MW that comes in the quarter and not in the next], supply [USD per
        rack], demand [USD per output token], cash [USD per USD].
    quarters : sequence of str
        All quarters of the plan.

    """
    panels = (
        (
            "A megawatt of grid power [$M]",
            [max(c) / 1e6 for c in zip(*prices.get("power", {}).values(), strict=True)],
        ),
        ("A rack [$M]", [max(c) / 1e6 for c in zip(*prices.get("supply", {}).values(), strict=True)]),
        (
            "A million tokens of demand [$]",
            [max(c) * 1e6 for c in zip(*prices.get("demand", {}).values(), strict=True)],
        ),
        ("A dollar, beyond its own worth [$]", list(prices.get("cash", []))),
    )
    made = []
    for title, values in panels:
        if len(values) != len(quarters) or max(values, default=0.0) <= 1e-6:
            continue
        frame = pd.DataFrame({"quarter": list(quarters), "value": [float(f"{v:.4g}") for v in values]})
        made.append(
            alt.Chart(frame)
            .mark_bar(color=theme.accent("accent"))
            .encode(
                x=theme.quarter_x(quarters),
                y=alt.Y("value:Q", title=title, axis=alt.Axis(format=",.3~r", tickCount=3)),
                tooltip=[
                    alt.Tooltip("quarter:O", title="Quarter"),
                    alt.Tooltip("value:Q", title=title, format=".3~r"),
                ],
            )
            .properties(width=760, height=90)
        )
    if not made:
        return None
    said = (
        "What one more unit in that quarter alone of the dearest line's supply, the dearest workload's demand and of cash adds to the "
        "plan; of the dearest site's grid power, what a megawatt adds by coming in that quarter and not in the next."
    )
    return theme.finish(alt.vconcat(*made), "Prices over time", said, height=None, width=None)


def chosen_over_time(rows: Rows, quarters: Sequence[str], label: Callable[[str], str] = str) -> theme.Chart:
    """Racks at work by quarter and platform, coloured by how far their power is capped.

    Parameters
    ----------
    rows : sequence of mapping
        As `gigaforge.buildout.chased.chosen_points` gives them.
    quarters : sequence of str
        All quarters of the plan.
    label : callable
        Catalogue name to what people call it.

    """
    frame = pd.DataFrame(rows)
    frame["band"] = [next(word for top, word in _BANDS if share <= top) for share in frame["share"]]
    frame["order"] = frame["band"].map({word: i for i, (_, word) in enumerate(_BANDS)})
    frame["platform"] = frame["system"].map(label)
    frame = frame.groupby(["quarter", "platform", "band", "order"])[["racks"]].sum().reset_index()
    frame["racks"] = frame["racks"].round(1)
    names = [word for _, word in _BANDS]
    colour = alt.Color("band:N", scale=alt.Scale(domain=names, range=[theme.ramp(names)[n] for n in names]))
    tip = [
        alt.Tooltip("quarter:O", title="Quarter"),
        alt.Tooltip("band:N", title="Cap"),
        alt.Tooltip("racks:Q", title="Racks", format=",.0f"),
    ]
    panels = [
        alt.Chart(frame[frame["platform"] == platform])
        .mark_bar()
        .encode(
            x=theme.quarter_x(quarters),
            y=alt.Y("racks:Q", title=f"Racks at work: {platform}", axis=alt.Axis(format="~s", tickCount=4)),
            color=colour,
            order="order:Q",
            tooltip=tip,
        )
        .properties(width=760, height=110)
        for platform in dict.fromkeys(frame["platform"])
    ]
    bars = alt.vconcat(*panels)
    said = "Bars: racks at work by quarter, a panel per platform, coloured by the power cap over the configuration's limit."
    return theme.finish(bars, "Points chosen over time", said, height=None, width=None)
