"""Figures of a simulation: where rack time goes, what breaks, tokens against demand, power; for notebook, report and page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import altair as alt
import numpy as np
import pandas as pd

from gigaforge.report.figures import Figure
from gigaforge.report.operations_words import ACCOUNT_WORDS, headed, kind_words
from gigaforge.report.theme import Chart, accent, categorical, finish
from gigaforge.units import format_quantity, percent, power_unit

if TYPE_CHECKING:
    from gigaforge.operations.result import SimulationResult

__all__ = ["simulation_figures"]

_LAST: Final = {"training": "productive", "serving": "serving", "research": "productive"}
_USEFUL: Final = ("backfill", "headroom")  # not serving, but not lost either
_GREY: Final = ("idle",)
_SITE_COLOURS: Final = 8  # of the theme; the ninth is grey
_OUTAGES: Final = ("pod_network", "power_feed", "cooling_loop", "site")


def simulation_figures(result: SimulationResult) -> dict[str, Figure]:
    """All figures of a run that it has data for, by name."""
    summary = result.summary()
    made = [_waterfall(summary, kind) for kind in ("training", "serving", "research")]
    made += [*_causes(summary), *_scale(summary), _tokens(result), _missed(summary), _power(result)]
    return {f.name: f for f in made if f is not None}


def _waterfall(summary: dict[str, Any], kind: str) -> Figure | None:
    """From scheduled rack time down to what was productive."""
    name = "waterfall" if kind == summary["waterfall_of"] else f"{kind}_waterfall"
    fall = summary.get(name, {})
    if not fall:
        return None
    words = {k: w for k, w in ACCOUNT_WORDS[kind].items() if k in fall}
    shares = [max(fall[k], 0.0) for k in words]
    ends = 1.0 - np.concatenate(([0.0], np.cumsum(shares)))
    table = pd.DataFrame({
        "step": ["scheduled", *words.values(), _LAST[kind]],
        "from": [0.0, *ends[1:], 0.0],
        "to": [1.0, *ends[:-1], ends[-1]],
        "kind": ["all", *["useful" if k in _USEFUL else "idle" if k in _GREY else "lost" for k in words], "kept"],
        "share": ["100 %", *[percent(s, 1) if s >= 0.0005 or s == 0.0 else "< 0.1 %" for s in shares], percent(ends[-1], 1)],
    })  # fmt: skip
    rows = list(table["step"])
    base = alt.Chart(table)
    colours = alt.Scale(domain=["all", "lost", "useful", "idle", "kept"],
                        range=[accent("site-rest"), accent("bad"), accent("accent"), accent("site-rest"), accent("good")])  # fmt: skip
    bars = base.mark_bar(size=17).encode(
        x=alt.X("from:Q", title=None, axis=alt.Axis(format="%", grid=True, values=[0, 0.25, 0.5, 0.75, 1.0]), scale=alt.Scale(domain=[0.0, 1.0], nice=False)),
        x2="to:Q", color=alt.Color("kind:N", legend=None, scale=colours), tooltip=["step:N", "share:N"], y=_names("step", rows),
    )  # fmt: skip
    chart = _with_figures(bars, base, "step", rows, list(table["share"]))
    title = f"Where {kind} rack time goes"
    most = max(words, key=lambda k: fall[k] if k not in _USEFUL else -1.0)
    said = f"{percent(ends[-1], 1)} of {kind} rack time was productive; most of the rest, {percent(fall[most], 1)}: {words[most]}."
    if kind == "serving":
        said = f"{percent(ends[-1], 1)} of serving rack time served; {percent(fall['headroom'], 1)} stood ready and {percent(fall['backfill'], 1)} was lent to other work."
    numbers = pd.DataFrame(
        {"Share of rack time [%]": [100.0, *(100 * s for s in shares), 100 * ends[-1]]}, index=table["step"]
    )
    numbers.index.name = "Step"
    return Figure(f"waterfall-{kind}", title, said, finish(chart, title, said, height=26 * len(table)), numbers)


def _names(field: str, rows: list[str]) -> alt.Y:
    return alt.Y(f"{field}:N", sort=rows, title=None, axis=alt.Axis(labelLimit=220, grid=False))


def _with_figures(bars: alt.Chart, base: alt.Chart, field: str, rows: list[str], figures: list[str]) -> Chart:
    """Bars with their figures as a second axis on the right, which no width cuts."""
    told = json.dumps(dict(zip(rows, figures, strict=True)))
    right = alt.Axis(
        orient="right", labelExpr=f"({told})[datum.value]", grid=False, labelColor=accent("ink"), labelPadding=4
    )
    text = base.mark_point(opacity=0.0, size=0).encode(y=alt.Y(f"{field}:N", sort=rows, title=None, axis=right))
    made: Chart = alt.layer(bars, text).resolve_axis(y="independent")
    return made


def _causes(summary: dict[str, Any]) -> list[Figure]:
    """Failures, outages and services by kind: how often, and the rack time that they take."""
    kinds = summary["failures"] | ({"planned_maintenance": summary["services"]} if summary["services"] else {})
    if not kinds:
        return []
    rows = pd.DataFrame({
        "kind": [headed(kind_words(k)) for k in kinds],
        "count": list(kinds.values()),
        "down": [100.0 * summary["downtime"].get(k, 0.0) for k in kinds],
        "what": ["maintenance" if k == "planned_maintenance" else "outage" if k in _OUTAGES else "failure" for k in kinds],
    })  # fmt: skip
    numbers = rows.set_index("kind")[["count", "down"]].sort_values("count", ascending=False)
    numbers.columns = pd.Index(["Racks struck", "Rack time out of service [%]"])
    long = str(rows["kind"].iloc[int(rows["down"].to_numpy().argmax())])
    said = [f"{numbers.index[0]} strikes most often, {max(kinds.values()):,} times.",
            f"{long} keeps racks out longest, {rows['down'].max():.2f} % of all rack time."]  # fmt: skip
    notes = ["An outage is counted once for each rack that it takes.",
             "Failures that stop a job and leave the rack in service take no rack time."]  # fmt: skip
    return [
        Figure(f"causes-{field}", title, words[0].upper() + words[1:], _cause_bars(rows, field, heading, title, words), numbers, note)
        for field, title, heading, words, note in zip(
            ("count", "down"), ("What breaks", "What keeps racks out of service"), ("Racks struck", "% of rack time"), said, notes, strict=True)
    ]  # fmt: skip


def _cause_bars(rows: pd.DataFrame, field: str, heading: str, title: str, said: str) -> Chart:
    rows = rows[rows[field] > 0].sort_values(field, ascending=False)
    text = [f"{v:,.0f}" if field == "count" else f"{v:.3f}" for v in rows[field]]
    names, base = list(rows["kind"]), alt.Chart(rows.assign(text=text))
    colour = alt.Color("what:N", scale=alt.Scale(domain=["failure", "outage", "maintenance"],
                                                 range=[accent("bad"), accent("work-1"), accent("accent")]))  # fmt: skip
    bars = base.mark_bar(size=13).encode(
        x=alt.X(f"{field}:Q", title=heading, axis=alt.Axis(grid=True, tickCount=4, format="~s" if field == "count" else "~g")),
        y=_names("kind", names), color=colour, tooltip=["kind:N", "text:N", "what:N"],
    )  # fmt: skip
    return finish(_with_figures(bars, base, "kind", names, text), title, said, height=22 * len(rows))


def _scale(summary: dict[str, Any]) -> list[Figure]:
    """Time between interruptions, and goodput, by size of a run, with the runs of this fleet."""
    rows = pd.DataFrame(summary["by_scale"]).assign(hours=lambda t: t["mttf_s"] / 3600.0)
    runs = pd.DataFrame(
        [{"name": r["name"], "accelerators": r["mean_racks"] * r["accelerators_per_rack"], "hours": r["mttf_s"] / 3600.0, "goodput": r["goodput"]}
         for r in summary["training"] if r["mttf_s"] and r["racks"]],
        columns=["name", "accelerators", "hours", "goodput"],
    )  # fmt: skip
    numbers = rows.set_index("accelerators")[
        ["hours", "all_up", "goodput", "best_mode_spares", "goodput_synchronous", "spares"]
    ]
    numbers.columns = pd.Index(["Hours between interruptions", "All racks up, no spares", "Goodput, best mode", "Its hot spare racks",
                                "Goodput, whole run stops", "Its spare racks"])  # fmt: skip
    note = "Lines: closed forms from the failure table, racks past their infancy. Dots: the runs of this fleet as simulated, at their mean size, planned stops included."
    largest = rows.iloc[-1]
    said = [f"A run on {int(largest['accelerators']):,} accelerators is interrupted every {format_quantity(float(largest['mttf_s']), 'duration')}.",
            f"At {int(largest['accelerators']):,} accelerators {percent(largest['goodput'])} of the time is productive in the best mode, {percent(largest['goodput_synchronous'])} if every failure stops the whole run."]  # fmt: skip
    titles = "Time between interruptions by scale", "Availability and goodput by scale"
    charts = _hours_by_scale(rows, runs), _share_by_scale(rows, runs)
    return [Figure(f"scale-{i}", title, words, finish(chart, title, words, height=250), numbers, note)
            for i, (title, words, chart) in enumerate(zip(titles, said, charts, strict=True))]  # fmt: skip


_SIZES: Final = alt.X("accelerators:Q", title="Accelerators of one run", scale=alt.Scale(type="log", domain=[8, 6e5], nice=False),
                      axis=alt.Axis(values=[10, 100, 1000, 10_000, 100_000], format="~s"))  # fmt: skip


def _dots(runs: pd.DataFrame) -> alt.Chart:
    tip: list[Any] = ["name:N", alt.Tooltip("hours:Q", format=".3g"), alt.Tooltip("goodput:Q", format=".1%")]
    dots: alt.Chart = alt.Chart(runs).mark_point(filled=True, size=75, color=accent("bad"), opacity=1)
    return dots.encode(x=_SIZES, tooltip=tip)


def _hours_by_scale(rows: pd.DataFrame, runs: pd.DataFrame) -> Chart:
    low = min(rows["hours"].min(), runs["hours"].min() if len(runs) else np.inf)
    ends = [float(10 ** np.floor(np.log10(low))), float(10 ** np.ceil(np.log10(rows["hours"].max())))]
    y = alt.Y("hours:Q", title="Hours", scale=alt.Scale(type="log", domain=ends, nice=False),
              axis=alt.Axis(values=[0.01, 0.1, 1, 10, 100, 1000, 10_000], format="~g"))  # fmt: skip
    return alt.layer(alt.Chart(rows).mark_line(color=accent("accent")).encode(x=_SIZES, y=y), _dots(runs).encode(y=y))


def _share_by_scale(rows: pd.DataFrame, runs: pd.DataFrame) -> Chart:
    names = {
        "goodput": "goodput, best mode",
        "goodput_synchronous": "goodput, whole run stops",
        "all_up": "all racks in service",
    }
    table = pd.concat([rows.assign(what=words, share=rows[column]) for column, words in names.items()])
    colour = alt.Color(
        "what:N",
        scale=alt.Scale(domain=list(names.values()), range=[accent("good"), accent("work-1"), accent("site-rest")]),
    )
    y = alt.Y("share:Q", title="Share of time", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    return alt.layer(
        alt.Chart(table).mark_line().encode(x=_SIZES, y=y, color=colour), _dots(runs).encode(y="goodput:Q")
    )


def _dated(table: pd.DataFrame, start: Any) -> pd.DataFrame:
    return table.assign(date=pd.Timestamp(start) + pd.to_timedelta(table["time_s"], unit="s"))


def _by_day(rows: pd.DataFrame) -> pd.DataFrame:
    """``low, mean, high`` of each name and day (week in long runs); spans under four weeks stay hourly."""
    hours = int(rows.groupby("name").size().max()) if len(rows) else 0
    width = 3600.0 if hours <= 24 * 28 else 86400.0 if hours <= 24 * 800 else 7 * 86400.0
    bins = rows.assign(time_s=np.floor(rows["time_s"] / width) * width)
    return bins.groupby(["name", "time_s"], as_index=False).agg(
        low=("value", "min"), mean=("value", "mean"), high=("value", "max")
    )


def _monthly(frame: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """Means and peaks by month, as numbers behind a trace."""
    months = frame.assign(month=frame["date"].dt.strftime("%Y-%m"))
    table = months.groupby("month").agg(
        {c: ("max" if c == "high" else "min" if c == "low" else "mean") for c in columns}
    )
    table.index.name = "Month"
    return table.rename(columns=columns)


def _power(result: SimulationResult) -> Figure:
    """Facility power by site, and the highest hour of all sites together, against what is energised."""
    rows = result.hourly.query("quantity == 'facility_w'")
    groups = _site_groups(result)
    chosen = power_unit(result.books.peak_w)
    unit, scale = chosen.name, chosen.watts
    drawn = (
        rows.assign(name=rows["name"].map(groups))
        .groupby(["name", "time_s"], as_index=False)
        .agg(value=("value", "sum"))
    )
    table = _dated(_by_day(drawn), result.fleet.start.start).assign(power=lambda t: t["mean"] / scale)
    total = rows.groupby("time_s", as_index=False).agg(value=("value", "sum")).assign(name="all sites")
    peak = _dated(_by_day(total), result.fleet.start.start)
    peak = peak.assign(**{c: peak[c] / scale for c in ("low", "mean", "high")})
    limits = pd.DataFrame({
        "time_s": [w * result.fleet.window_s for w in range(result.fleet.windows)] + [result.books.time_s],
        "limit": [sum(float(s.limit_w[min(w, result.fleet.windows - 1)]) for s in result.fleet.sites) / scale for w in range(result.fleet.windows + 1)],
    })  # fmt: skip
    unlimited = limits["limit"].max() * scale > 1e15
    names = list(dict.fromkeys(groups.values()))
    colours = alt.Scale(domain=names, range=list(categorical(names, "site").values()))
    x = alt.X("date:T", title=None)
    areas = alt.Chart(table).mark_area(interpolate="step-after").encode(
        x=x, y=alt.Y("power:Q", title=f"Facility power, {unit}", stack="zero"), color=alt.Color("name:N", scale=colours),
        tooltip=["name:N", "date:T", alt.Tooltip("power:Q", format=".4g")],
    )  # fmt: skip
    layers: list[Any] = [
        areas,
        alt.Chart(peak)
        .mark_line(interpolate="step-after", strokeWidth=1.1, color=accent("ink"))
        .encode(x=x, y="high:Q"),
    ]
    if not unlimited:
        dashed = alt.Chart(_dated(limits, result.fleet.start.start)).mark_line(
            interpolate="step-after", strokeDash=[6, 4], strokeWidth=1.4, color=accent("bad")
        )
        layers.append(dashed.encode(x=x, y="limit:Q"))
    said = f"Facility power of all sites peaks at {format_quantity(result.books.peak_w, 'power')}"
    said += (
        "."
        if unlimited
        else f"; {format_quantity(float(limits['limit'].max()) * scale, 'power')} is energised at most."
    )
    numbers = _monthly(
        peak, {"low": f"Lowest hour [{unit}]", "mean": f"Mean [{unit}]", "high": f"Highest hour [{unit}]"}
    )
    title = "Power"
    return Figure("power-trace", title, said, finish(alt.layer(*layers), title, said, height=280), numbers,
                  "Areas: mean by site. Line: the highest hour of all sites together. Dashed: power energised.")  # fmt: skip


def _site_groups(result: SimulationResult) -> dict[str, str]:
    """Site to the name it is drawn under, most energy first: where there are more than colours, the smallest share one."""
    order = sorted(
        zip(result.fleet.sites, result.books.sites, strict=True), key=lambda p: (-p[1].facility_j, p[0].name)
    )
    names = [site.name for site, _ in order]
    if len(names) <= _SITE_COLOURS + 1:
        return {name: name for name in names}
    rest = f"{len(names) - _SITE_COLOURS} smaller sites"
    return {name: name if i < _SITE_COLOURS else rest for i, name in enumerate(names)}


def _tokens(result: SimulationResult) -> Figure | None:
    """Tokens served against demand: the range of each day's hours, and both peaks."""
    rows = result.hourly[result.hourly["quantity"].isin(["demand", "served"])]
    if rows.empty:
        return None
    rows = (
        rows.groupby(["time_s", "quantity"], as_index=False)
        .agg({"value": "sum"})
        .assign(name=lambda t: t["quantity"])
    )
    table = _dated(_by_day(rows), result.fleet.start.start)
    top = float(table["high"].max())
    unit, scale = ("Billion", 1e9) if top >= 2e9 else ("Million", 1e6)
    table = table.assign(**{c: table[c] / scale for c in ("low", "mean", "high")})
    colours = alt.Scale(domain=["demand", "served"], range=[accent("work-1"), accent("work-0")])
    base = alt.Chart(table).encode(x=alt.X("date:T", title=None))
    band = base.transform_filter("datum.name == 'served'").mark_area(interpolate="step-after", opacity=0.25, color=accent("work-0")).encode(
        y=alt.Y("low:Q", title=f"{unit} tokens a second"), y2="high:Q"
    )  # fmt: skip
    lines = base.mark_line(interpolate="step-after", strokeWidth=1.4).encode(
        y="high:Q", color=alt.Color("name:N", scale=colours),
        tooltip=["name:N", "date:T", alt.Tooltip("high:Q", format=",.1f"), alt.Tooltip("mean:Q", format=",.1f")],
    )  # fmt: skip
    summary = result.summary()
    share = summary["tokens_served"] / max(summary["tokens_demanded"], 1e-12)
    said = f"{percent(share, 2)} of {format_quantity(summary['tokens_demanded'], 'tokens')} asked for were served; {percent(summary['slo_violations'], 2)} missed their target, shed or late."
    numbers = _monthly(
        table[table["name"] == "served"],
        {"low": "Served, lowest hour", "mean": "Served, mean", "high": "Served, highest hour"},
    )
    asked = _monthly(table[table["name"] == "demand"], {"mean": "Asked for, mean", "high": "Asked for, highest hour"})
    numbers = pd.concat([asked, numbers], axis=1).rename(columns=lambda c: f"{c} [{unit[0]} tokens/s]")
    title = "Tokens served against demand"
    return Figure("tokens-served", title, said, finish(alt.layer(band, lines), title, said, height=260), numbers,
                  "Lines: the highest hour of each day (week in long runs). Band: from the lowest to the highest hour served.")  # fmt: skip


def _missed(summary: dict[str, Any]) -> Figure | None:
    """Tokens that missed their target by quarter, and why."""
    lines = [q for q in summary["quarters"] if q["tokens_demanded"] > 0.0]
    if not lines or max(q["slo_violations"] for q in lines) < 1e-5:
        return None
    parts = {"more asked than all racks serve": "beyond_all_racks_share", "shed: failures, slow scaling, power": "rest",
             "late": "late_share"}  # fmt: skip
    lines = [q | {"rest": max(q["shed_share"] - q["beyond_all_racks_share"], 0.0)} for q in lines]
    table = pd.DataFrame(
        [{"quarter": q["quarter"], "why": w, "share": 100.0 * q[key]} for q in lines for w, key in parts.items()]
    )
    colours = alt.Scale(domain=list(parts), range=[accent("site-rest"), accent("bad"), accent("work-1")])
    chart = alt.Chart(table).mark_bar().encode(
        x=alt.X("quarter:O", title=None, sort=None), y=alt.Y("share:Q", title="Tokens that missed their target, %"),
        color=alt.Color("why:N", scale=colours, legend=alt.Legend(labelLimit=300)), tooltip=["quarter:O", "why:N", alt.Tooltip("share:Q", format=".3f")],
    )  # fmt: skip
    worst = max(lines, key=lambda q: q["slo_violations"])
    title = "Service objectives missed"
    said = f"{worst['quarter']} misses most: {percent(worst['slo_violations'], 2)} of its tokens."
    wide = table.pivot_table(index="quarter", columns="why", values="share")[list(parts)].rename(
        columns=lambda c: f"{c} [%]"
    )
    return Figure("missed", title, said, finish(chart, title, said, height=220), wide)
