"""Figures and words of a risk study: fans, chances by date, what matters; the same for notebook, report and page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from gigaforge.report import theme
from gigaforge.report.figures import Figure
from gigaforge.report.html import Page
from gigaforge.report.report_tables import Table
from gigaforge.report.sections import Section
from gigaforge.report.story import Headline, money, power
from gigaforge.units import PowerUnit, power_unit

__all__ = ["optimism_sentence", "risk_figures", "risk_page"]

Summary = Mapping[str, Any]
_SHOWN = 12  # figures in "what matters"
_GW = 1e9
_MOST_TRANCHES = 40
"""Where a contract has more, so many spread over all of them are drawn."""


def _unit(summary: Summary) -> PowerUnit:
    tops = [f["p90"] * _GW for f in summary["gigawatts"].values()] + [m["power_w"] for m in summary["milestones"]]
    return power_unit(max(tops, default=0.0))


def risk_figures(summary: Summary, samples: pd.DataFrame) -> dict[str, Figure]:
    """Every figure of a study, by name.

    Parameters
    ----------
    summary : mapping
        `gigaforge.buildout.risk.study.RiskResult.summary`.
    samples : DataFrame
        Its table, a row a sample.

    """
    made = [_fan(summary), _chances(summary), _tranches(summary), _values(summary, samples)]
    made += [_matters(summary, label, number) for number, label in enumerate(summary["sensitivity"])]
    return {f.name: f for f in made if f is not None}


def _fan(summary: Summary) -> Figure:
    unit = _unit(summary)
    rows = [
        {"quarter": q, **{k: unit.down(v * _GW) for k, v in fan.items()}} for q, fan in summary["gigawatts"].items()
    ]
    frame = pd.DataFrame(rows)
    x = theme.quarter_x(summary["quarters"])
    band = alt.Chart(frame).mark_area(opacity=0.25, color=theme.accent("accent")).encode(
        x=x, y=alt.Y("p10:Q", title=f"{unit.name} deployed"), y2="p90:Q"
    )  # fmt: skip
    tip = [
        alt.Tooltip("quarter:O"),
        *[alt.Tooltip(f"{k}:Q", title=f"{k} [{unit.name}]") for k in ("p10", "p50", "p90")],
    ]
    line = alt.Chart(frame).mark_line(color=theme.accent("accent")).encode(x=x, y="p50:Q", tooltip=tip)
    marks = [{"quarter": m["by"], "power": m["power_w"] / unit.watts} for m in summary["milestones"]]
    layers = [band, line]
    if marks:
        layers.append(
            alt.Chart(pd.DataFrame(marks)).mark_point(shape="diamond", filled=True, size=90, color=theme.accent("bad"))
            .encode(x=x, y="power:Q", tooltip=[alt.Tooltip("quarter:O", title="promised by"), "power:Q"])
        )  # fmt: skip
    title = "Power deployed, as futures go"
    quarter, fan = list(summary["gigawatts"].items())[-1]
    low, middle, high = (power(fan[k] * _GW) for k in ("p10", "p50", "p90"))
    said = f"By {quarter}: {middle} in the middle, {low} to {high} in eight of ten futures."
    note = "Line: median; band: tenth to ninetieth percentile; diamonds: what was promised."
    return Figure("fan", title, said, theme.finish(alt.layer(*layers), title, said), frame, note)


def _chances(summary: Summary) -> Figure | None:
    rows = [
        {"quarter": q, "gigawatts": power(float(gw) * _GW), "order": float(gw), "chance": round(100 * p, 1)}
        for gw, by in summary["probability"].items()
        for q, p in by.items()
    ]
    frame = pd.DataFrame(rows)
    names = list(dict.fromkeys(frame["gigawatts"]))
    colour = alt.Scale(domain=names, range=list(theme.ramp(names).values()))
    chart = alt.Chart(frame).mark_line(interpolate="step-after").encode(
        x=theme.quarter_x(summary["quarters"]),
        y=alt.Y("chance:Q", title="% of futures"),
        color=alt.Color("gigawatts:N", scale=colour, sort=names),
        tooltip=["quarter:O", "gigawatts:N", alt.Tooltip("chance:Q", title="% of futures")],
    )  # fmt: skip
    title = "Chance that each gigawatt stands" if _unit(summary).name == "GW" else f"Chance that {names[-1]} stand"
    missed = [m for m in summary["milestones"] if m["probability"] < 0.5]
    worst = min(summary["milestones"], key=lambda m: m["probability"], default=None)
    if worst is None:
        said = ""
    elif missed:
        share = f"{100 * worst['probability']:.0f} %" if worst["probability"] >= 0.005 else "none"
        said = f"{power(worst['power_w'])} by {worst['by']} stands in {share} of futures: the promise most at risk."
    else:
        said = f"Every promise holds in most futures; {power(worst['power_w'])} by {worst['by']} is the closest, in {100 * worst['probability']:.0f} %."
    table = frame.pivot_table(index="quarter", columns="gigawatts", values="chance", sort=False).reset_index()
    return Figure("chances", title, said, theme.finish(chart, title, said), table)


def _tranches(summary: Summary) -> Figure | None:
    quarters = list(summary["quarters"])
    rows = [t for t in summary["tranches"] if t["p50"] is not None]
    if not rows:
        return None
    last = quarters[-1]
    shown = (
        rows
        if len(rows) <= _MOST_TRANCHES
        else [rows[round(i)] for i in np.linspace(0, len(rows) - 1, _MOST_TRANCHES)]
    )
    frame = pd.DataFrame([
        {"tranche": t["index"], "p10": t["p10"], "p50": t["p50"], "p90": t["p90"] or last,
         "chance": f"{100 * t['probability']:.0f} %"} for t in shown
    ])  # fmt: skip
    x = theme.quarter_x(quarters, "p10")
    y = alt.Y("tranche:O", title="Tranche")
    tip = ["tranche:O", "p10:O", "p50:O", "p90:O", alt.Tooltip("chance:N", title="comes in")]
    bar = alt.Chart(frame).mark_bar(height=8, opacity=0.4, color=theme.accent("equity")).encode(x=x, x2="p90:O", y=y)
    dot = alt.Chart(frame).mark_point(filled=True, color=theme.accent("equity"), size=80).encode(
        x=theme.quarter_x(quarters, "p50"), y=y, tooltip=tip
    )  # fmt: skip
    title = "When each tranche comes"
    first, end = rows[0], rows[-1]
    said = (
        f"Tranche {first['index']} comes {first['p10']} to {first['p90'] or 'after ' + last}; tranche {end['index']} "
        f"{end['p10']} to {end['p90'] or 'after ' + last}, and within the horizon in {100 * end['probability']:.0f} % of futures."
    )
    height = 40 + 26 * len(shown)
    return Figure("tranches", title, said, theme.finish(alt.layer(bar, dot), title, said, height=height), frame,
                  "Dot: median; bar: tenth to ninetieth percentile, cut at the end of the horizon.")  # fmt: skip


def _values(summary: Summary, samples: pd.DataFrame) -> Figure:
    npv = samples["npv_usd"].to_numpy() / 1e9
    counts, edges = np.histogram(npv, bins=min(40, max(8, len(npv) // 12)))
    frame = pd.DataFrame({"from": edges[:-1].round(2), "to": edges[1:].round(2), "samples": counts})
    bars = alt.Chart(frame).mark_bar(color=theme.accent("site-0")).encode(
        x=alt.X("from:Q", title="Net present value [$B]", bin=alt.Bin(binned=True)), x2="to:Q",
        y=alt.Y("samples:Q", title="Futures"), tooltip=["from:Q", "to:Q", "samples:Q"],
    )  # fmt: skip
    found = summary["npv_usd"]
    rules = pd.DataFrame({"npv": [found["p5"] / 1e9, found["p50"] / 1e9], "what": ["worst in 20", "median"]})
    rule = alt.Chart(rules).mark_rule(strokeDash=[4, 3]).encode(x="npv:Q")
    text = alt.Chart(rules).mark_text(align="left", dx=4, dy=-6, baseline="bottom").encode(x="npv:Q", y=alt.value(8), text="what:N")  # fmt: skip
    title = "Net present value, as futures go"
    said = (
        f"{money(found['p50'])} in the middle; one future in twenty falls {money(found['value_at_risk_95'])} or more below "
        f"it, by {money(found['expected_shortfall_95'])} on average."
    )
    return Figure("values", title, said, theme.finish(alt.layer(bars, rule, text), title, said, height=240), frame)


def _matters(summary: Summary, label: str, number: int) -> Figure | None:
    found = summary["sensitivity"][label]
    rows = [
        {"figure": name, "share": round(100 * v["shapley"], 2), "alone": round(100 * v["first_order"], 2),
         "more": "raises it" if v["per_sd"] > 0 else "lowers it"}
        for name, v in list(found["figures"].items())[:_SHOWN] if v["shapley"] > 0.002
    ]  # fmt: skip
    if not rows:
        return None
    frame = pd.DataFrame(rows)
    what = "net present value" if label == "npv_usd" else f"power deployed by {label.rsplit(maxsplit=1)[-1]}"
    colour = alt.Scale(domain=["raises it", "lowers it"], range=[theme.accent("good"), theme.accent("bad")])
    bars = alt.Chart(frame).mark_bar(height=14).encode(
        y=alt.Y("figure:N", sort=None, title=None, axis=alt.Axis(labelLimit=260)),
        x=alt.X("share:Q", title="% of the variance"),
        color=alt.Color("more:N", scale=colour, legend=alt.Legend(title="More of it", titleLimit=300)),
        tooltip=["figure:N", alt.Tooltip("share:Q", title="share [%]"), alt.Tooltip("alone:Q", title="first order [%]")],
    )  # fmt: skip
    title = f"What matters for {what}"
    top = rows[0]
    said = f"{top['figure']} explains {top['share']:.0f} % of how {what} differs between futures."
    note = (
        f"Shapley effects of a quadratic surrogate that explains {100 * found['explained']:.0f} % of the variance; in the numbers, "
        "“alone” is the first-order index of the samples themselves."
    )
    return Figure(
        f"matters-{number}", title, said, theme.finish(bars, title, said, height=40 + 26 * len(rows)), frame, note
    )


def _tiles(summary: Summary) -> list[Headline]:
    npv = summary["npv_usd"]
    tiles = [
        Headline(
            "Net present value",
            money(npv["p50"]),
            f"{money(npv['p10'])} to {money(npv['p90'])} in eight of ten futures",
        ),
        Headline("Value at risk", money(npv["value_at_risk_95"]), "below the median, once in twenty"),
    ]
    for m in summary["milestones"]:
        when = f"median {m['p50']}" if m["p50"] else "not within the horizon in most"
        tiles.append(Headline(f"{power(m['power_w'])} by {m['by']}", f"{100 * m['probability']:.0f} %", when))
    return tiles


def _points(summary: Summary) -> list[str]:
    out = []
    short = summary["cash_short"]
    if short["probability"] > 0:
        depth = f"; one in ten lacks {money(short['p90_usd'])} or more" if short["p90_usd"] > 1e6 else ""
        out.append(f"In {100 * short['probability']:.0f} % of futures the purse runs dry at some time{depth}.")
    late = {name: 1 - run["finished"] for name, run in summary["training"].items() if run["finished"] < 0.995}
    if late:
        worst = max(late, key=lambda name: late[name])
        out.append(f"{len(late)} of {len(summary['training'])} training runs can miss their window; {worst} most, in {100 * late[worst]:.0f} % of futures.")  # fmt: skip
    if "optimism" in summary:
        out.append(optimism_sentence(summary["optimism"]))
    return out


def optimism_sentence(o: Mapping[str, float]) -> str:
    """What the relaxed programme alone would promise beyond its repair."""
    text = (
        f"The relaxed programme alone (part racks, runs split between places) would promise "
        f"{100 * o['relative']:+.1f} % of value on average ({o['samples']:.0f} futures, {100 * o['worst_relative']:.1f} % "
        f"at most)"
    )
    if "racks_relative" in o:
        text += (
            f", part racks by themselves {100 * o['racks_relative']:+.1f} %; runs left undone, in whole runs a future: "
            f"{o['runs_missed']:.2f} as lived, {o['runs_missed_relaxed']:.2f} relaxed"
        )
    return f"{text}."


def risk_page(summary: Summary, samples: pd.DataFrame) -> Page:
    """The report of a study."""
    figures = risk_figures(summary, samples)
    stated = Table(
        "What is uncertain",
        ["figure", "shape", "from", "why"],
        [
            [v["what"], v["shape"], _range(v), v.get("because", "").removeprefix("assumption: ")]
            for v in summary["variables"]
        ],
        wide=(0, 1, 2, 3),
        note="Factors of the scenario's own figures; delays in quarters.",
    )
    every = f"every {summary['replan_quarters']} quarters"
    how = (
        f"{summary['samples']:,} futures, each lived through by a planner who re-plans {every} on what is known by then: "
        "racks ordered and runs placed stay, everything else is settled on what really happens."
    )
    lead = [figures["chances"].takeaway] if "chances" in figures and figures["chances"].takeaway else []
    sections = [
        Section("power", "Power and promises", figures=[figures[n] for n in ("fan", "chances") if n in figures]),
        Section(
            "money",
            "Money",
            points=_points(summary),
            figures=[figures[n] for n in ("values", "tranches") if n in figures],
        ),
        Section("matters", "What matters", figures=[f for n, f in figures.items() if n.startswith("matters")]),
        Section("now", "What to order now", points=summary.get("two_stage", {}).get("sentences", [])),
        Section("how", "How this was found", lead=[how], tables=[stated]),
    ]
    head = lead[0] if lead else figures["fan"].takeaway
    span = f"{summary['quarters'][0]} to {summary['quarters'][-1]}, {summary['samples']:,} futures"
    return Page(f"{summary['title']}: risk", head, sections, _tiles(summary), span)


def _range(v: Mapping[str, Any]) -> str:
    numbers = [
        f"{k} {v[k]:g}" for k in ("low", "mode", "high", "mean", "sd", "median", "p90") if v.get(k) is not None
    ]
    if v.get("values"):
        numbers.append(", ".join(f"{x:g}" for x in v["values"][:6]))
    return "; ".join([*numbers, *([v["pattern"]] if v.get("pattern", "constant") != "constant" else [])])
