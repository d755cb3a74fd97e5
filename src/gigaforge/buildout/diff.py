"""Two plans side by side, or a plan and what happened: what changed, in words and in figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gigaforge.buildout.actuals import past_from
from gigaforge.buildout.problem import Premises
from gigaforge.errors import InputError
from gigaforge.quarters import Quarter
from gigaforge.units import format_at_most, format_quantity

__all__ = ["PlanDiff", "diff_actuals", "diff_plans"]

Summary = dict[str, Any]
Tables = dict[str, pd.DataFrame]
_HEADLINES = {
    "npv_usd": ("net present value", "money"),
    "capex_usd": ("capital spent", "money"),
    "opex_usd": ("running costs", "money"),
    "revenue_usd": ("revenue", "money"),
}


@dataclass(frozen=True)
class PlanDiff:
    """What differs between two plans.

    Attributes
    ----------
    names : tuple
        What the first and the second are called.
    headlines : DataFrame
        ``figure, first, second, change`` of money, gigawatts and tokens.
    deployment : DataFrame
        ``quarter, site, system, first, second, change`` in racks added, rows that differ.
    power : DataFrame
        ``quarter, first_w, second_w, change_w``: deployed power of both.
    sentences : tuple of str
        The same in words, the largest changes first.

    """

    names: tuple[str, str]
    headlines: pd.DataFrame
    deployment: pd.DataFrame
    power: pd.DataFrame
    sentences: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "first": self.names[0],
            "second": self.names[1],
            "sentences": list(self.sentences),
            "headlines": self.headlines.to_dict("records"),
            "power": self.power.to_dict("records"),
            "deployment": self.deployment.to_dict("records"),
        }


def diff_plans(first: tuple[Summary, Tables], second: tuple[Summary, Tables], names: tuple[str, str]) -> PlanDiff:
    """Compare two plans, each a summary and its tables as `gigaforge.buildout.folder.read_plan_folder` returns them."""
    (a, tables_a), (b, tables_b) = first, second
    deployment = _racks(tables_a["deployment"], tables_b["deployment"])
    power = _power(_by_quarter(a), _by_quarter(b))
    headlines = _headlines(a, b)
    words = [
        *_words_horizon(a, b, names),
        *_words_value(headlines, names),
        *_words_power(power, names),
        *_words_tranches(a, b),
    ]
    words += [*_words_runs(a, b), *_words_racks(deployment)]
    return PlanDiff(names, headlines, deployment, power, tuple(words) or (f"{names[1]} is the same as {names[0]}.",))


def diff_actuals(plan: tuple[Summary, Tables], actuals: pd.DataFrame, names: tuple[str, str]) -> PlanDiff:
    """Compare a plan with what happened, in the quarters that the actuals cover (`read_actuals`).

    Raises
    ------
    InputError
        Two statements of the actuals that cannot both be true. What the plan did not foresee is no contradiction.

    """
    summary, tables = plan
    planned = tables["deployment"]
    rack_w = _rack_w(summary, tables)
    past = past_from(actuals, _premises(summary, tables, actuals, rack_w))
    over = sorted(set(actuals["quarter"]))
    deployment = _racks(planned[planned["quarter"].isin(over)], actuals)
    real, unknown = _accepted(actuals, over, rack_w)
    power = _power(
        {q: w for q, w in _by_quarter(summary).items() if q in over}, {str(q): float(w) for q, w in real.items()}
    )
    empty = pd.DataFrame(columns=["figure", "first", "second", "change"])
    words = [*_words_power(power, names), *_words_racks(deployment)]
    if stock := int((past.bought - past.added).sum()):
        words.append(f"{stock:,} racks are delivered and not deployed by {over[-1]}.")
    words += [f"The plan does not know the power of {name}: it is left out." for name in unknown]
    return PlanDiff(names, empty, deployment, power, tuple(words) or ("What happened is what was planned.",))


def _premises(
    summary: Summary, tables: Tables, actuals: pd.DataFrame, rack_w: Callable[[str, str], float]
) -> Premises:
    """What actuals are held against where only they themselves may be wrong: a world that allows everything."""
    first = Quarter.parse(summary["quarters"][0])
    tenure = tables["sites"].groupby("site")["tenure"].first().to_dict()
    line = tables["supply"].groupby("system")["line"].first().to_dict()
    sites = sorted({*tenure, *actuals["site"]})
    systems = sorted({*line, *actuals["system"]})
    lines = sorted({line.get(s, s) for s in systems})
    try:
        last = max(Quarter.parse(q) for q in (*summary["quarters"], *actuals["quarter"]))
    except ValueError as wrong:
        raise InputError(str(wrong), str(actuals.attrs.get("source", "actuals"))) from None
    count = last - first + 2  # a quarter more: something is always left to plan
    shape = (len(sites), len(systems))
    return Premises(
        scenario=str(summary["name"]),
        quarters=[first + t for t in range(count)],
        sites=sites,
        tenures=[tenure.get(s, "leased") for s in sites],
        systems=systems,
        lines=lines,
        line_of=np.array([lines.index(line.get(s, s)) for s in systems]),
        supply=np.full((len(lines), count), np.inf),
        can_host=np.ones((*shape, count), dtype=bool),
        may_stand=np.ones((*shape, count), dtype=bool),
        places=[],
        energised_w=np.full((len(sites), count), np.inf),
        pue_peak=np.ones(len(sites)),
        rack_it_w=np.zeros(len(systems)),
        counts=np.ones(shape, dtype=bool),
        deployed_w_per_rack=np.array([[rack_w(site, system) for system in systems] for site in sites]),
    )


def _rack_w(summary: Summary, tables: Tables) -> Callable[[str, str], float]:
    """What a rack adds to deployed power at a site [W]: as planned, else nameplate; NaN where the plan knows neither."""
    planned, supply, sites = (tables[name] for name in ("deployment", "supply", "sites"))
    by = planned.groupby(["site", "system"])
    each = (by["deployed_w"].max() / by["racks_added"].sum()).dropna().to_dict()
    nameplate = supply.groupby("system")["rack_it_w"].first().to_dict() if "rack_it_w" in supply else {}
    on_it = (summary.get("commitment") or {}).get("basis") == "it"
    design = {} if on_it else sites.groupby("site")["pue"].max().to_dict()
    return lambda site, system: float(
        each.get((site, system), nameplate.get(system, np.nan) * (1.0 if on_it else design.get(site, np.nan)))
    )


def _accepted(
    actuals: pd.DataFrame, over: list[str], rack_w: Callable[[str, str], float]
) -> tuple[pd.Series, list[str]]:
    """Power accepted by the end of each quarter [W], all that is installed where nothing is stated; systems not known."""
    total, unknown = pd.Series(0.0, index=over), set()
    for (site, system), rows in actuals.groupby(["site", "system"]):
        mine = rows.set_index("quarter").reindex(over)
        installed = mine["racks_added"].fillna(0.0).cumsum() * rack_w(str(site), str(system))
        stated = mine["accepted_w"] if "accepted_w" in mine else pd.Series(np.nan, index=over)
        accepted = stated.fillna(installed)
        if accepted.isna().any():
            unknown.add(str(system))
        total += accepted.fillna(0.0)
    return total, sorted(unknown)


def _by_quarter(summary: Summary) -> dict[str, float]:
    return dict(zip(summary["quarters"], summary["deployed_w"], strict=True))


def _racks(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    keys = ["quarter", "site", "system"]
    sums = [frame.groupby(keys)["racks_added"].sum() for frame in (first, second)]
    both = pd.concat(sums, axis=1, keys=["first", "second"]).fillna(0.0)
    both["change"] = both["second"] - both["first"]
    return both[both["change"] != 0].astype(int).reset_index()


def _power(first: dict[str, float], second: dict[str, float]) -> pd.DataFrame:
    quarters = sorted({*first, *second})
    rows = [{"quarter": q, "first_w": first.get(q, np.nan), "second_w": second.get(q, np.nan)} for q in quarters]
    frame = pd.DataFrame(rows, columns=["quarter", "first_w", "second_w"])
    frame["change_w"] = frame["second_w"] - frame["first_w"]
    return frame.dropna().reset_index(drop=True)


def _headlines(a: Summary, b: Summary) -> pd.DataFrame:
    rows = [{"figure": key, "first": a.get(key) or 0.0, "second": b.get(key) or 0.0} for key in _HEADLINES]
    rows.append({"figure": "deployed_w", "first": max(a["deployed_w"]), "second": max(b["deployed_w"])})
    rows.append(
        {"figure": "tokens_served", "first": sum(a["tokens_served"]), "second": sum(b["tokens_served"])},
    )
    frame = pd.DataFrame(rows)
    frame["change"] = frame["second"] - frame["first"]
    return frame


def _words_horizon(a: Summary, b: Summary, names: tuple[str, str]) -> list[str]:
    """That two plans cover different quarters, so that their totals do not compare."""
    ends = [(s["quarters"][0], s["quarters"][-1]) for s in (a, b)]
    if ends[0] == ends[1]:
        return []
    first, second = (f"{name} goes from {begin} to {end}" for name, (begin, end) in zip(names, ends, strict=True))
    return [f"{first}, {second}: totals of money, tokens and racks are over different times."]


def _words_value(headlines: pd.DataFrame, names: tuple[str, str]) -> list[str]:
    out = []
    row: Any
    for row in headlines.itertuples():
        if row.figure not in _HEADLINES or abs(row.change) <= 1e-4 * max(abs(row.first), 1.0):
            continue
        label, kind = _HEADLINES[row.figure]
        more = "more" if row.change > 0 else "less"
        out.append(
            f"{label[0].upper()}{label[1:]}: {format_quantity(row.second, kind)} in {names[1]}, "
            f"{format_quantity(abs(row.change), kind)} {more} than in {names[0]}."
        )
    return out


def _words_power(power: pd.DataFrame, names: tuple[str, str]) -> list[str]:
    changed = power[power["change_w"].abs() > 1e5]
    if changed.empty:
        return []
    worst = changed.iloc[int(np.argmax(changed["change_w"].abs()))]
    way = "ahead of" if worst["change_w"] > 0 else "behind"
    last = power.iloc[-1]
    said = (
        f"Deployed power of {names[1]} is furthest {way} {names[0]} in {worst['quarter']}, by "
        f"{format_at_most(abs(worst['change_w']), 'power')} ({format_at_most(worst['second_w'], 'power')} for "
        f"{format_at_most(worst['first_w'], 'power')})"
    )
    if last["quarter"] != worst["quarter"]:
        said += (
            f"; in {last['quarter']} it stands at {format_at_most(last['second_w'], 'power')} for "
            f"{format_at_most(last['first_w'], 'power')}"
        )
    said += "."
    return [said]


def _words_tranches(a: Summary, b: Summary) -> list[str]:
    before = {t["index"]: t["released"] for t in a.get("tranches", [])}
    out = []
    for tranche in b.get("tranches", []):
        old, new = before.get(tranche["index"]), tranche["released"]
        if tranche["index"] in before and old != new:
            out.append(f"Tranche {tranche['index']}: {new or 'not released'} instead of {old or 'not released'}.")
    return out


def _words_runs(a: Summary, b: Summary) -> list[str]:
    before = {r["name"]: r for r in a.get("training_runs", [])}
    out = []
    for run in b.get("training_runs", []):
        old = before.get(run["name"])
        if old and (old["sites"], old["system"]) != (run["sites"], run["system"]):
            out.append(f"{run['name']} trains at {_place(run)} instead of {_place(old)}.")
    return out


def _place(run: dict[str, Any]) -> str:
    return f"{', '.join(run['sites'])} on {run['system']}" if run["sites"] else "no site"


def _words_racks(deployment: pd.DataFrame, most: int = 8) -> list[str]:
    """The largest changes by site and system over the whole time."""
    if deployment.empty:
        return []
    total: Any = deployment.groupby(["site", "system"])["change"].sum()
    total = total[total != 0].sort_values(key=abs, ascending=False).reset_index()
    out = [
        f"{row['site']}: {abs(row['change']):,} {row['system']} {'more' if row['change'] > 0 else 'fewer'}."
        for row in total.head(most).to_dict("records")
    ]
    moved = int(deployment["change"].abs().sum())
    if len(total) > most:
        out.append(f"{len(total) - most} further pairs of site and system change.")
    out.append(f"In all, {moved:,} racks differ by quarter and place.")
    return out
