"""An independent check of a plan: every rule recomputed from its tables alone, in pandas, quarter by quarter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gigaforge.buildout.check_money import MONEY_RULES, released_by_quarter, with_delivered

__all__ = ["Check", "check_plan"]

Tables = dict[str, Any]  # of pandas.DataFrame
_POWER_TOLERANCE = 1e-6  # relative
_MONEY_TOLERANCE_USD = 100.0  # in hundreds of billions: the solver's own feasibility tolerance


@dataclass(frozen=True)
class Check:
    """One rule and where it is broken."""

    rule: str
    broken: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the rule holds everywhere."""
        return not self.broken


def check_plan(summary: dict[str, Any], tables: Tables) -> list[Check]:
    """Check power, supply, racks, work, money and tranches.

    Parameters
    ----------
    summary, tables : dict
        As `gigaforge.buildout.folder.read_plan_folder` returns them.

    Returns
    -------
    list of Check
        One per rule; ``broken`` names quarters and figures.

    """
    return [Check(rule, tuple(find(summary, tables))) for rule, find in _RULES.items()]


# Every rule takes both, whether it needs the summary or not: one signature, one table of rules.
# ruff: noqa: ARG001
def _power(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    used = tables["deployment"].groupby(["quarter", "site"])["facility_power_w"].sum()
    energised = tables["sites"].set_index(["quarter", "site"])["energised_w"]
    for key, watts in used.items():
        if watts > energised[key] * (1 + _POWER_TOLERANCE) + 1:
            yield f"{key}: {watts / 1e6:.1f} MW on {energised[key] / 1e6:.1f} MW energised"


def _pue(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    frame = tables["deployment"].merge(tables["sites"][["quarter", "site", "pue"]], on=["quarter", "site"])
    wrong = ~np.isclose(frame["facility_power_w"], frame["it_power_w"] * frame["pue"], rtol=1e-9)
    yield from (f"{r.quarter} {r.site}: facility is not IT x PUE" for r in frame[wrong].itertuples())


def _held(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    if "nameplate_w" not in tables["deployment"] or tables["operating_points"].empty:
        return  # made before caps, or nothing works: every rack holds its nameplate
    key = ["quarter", "site", "system"]
    points = tables["operating_points"].reindex(columns=["id", "held_w_per_rack"]).set_index("id")["held_w_per_rack"]
    work = (
        tables["allocation"]
        .assign(held=tables["allocation"]["point"].map(points).astype(float))
        .dropna(subset=["held"])
    )
    frame = tables["deployment"].set_index(key)
    each = (frame["nameplate_w"] / frame["racks_online"].where(frame["racks_online"] > 0)).groupby("system").max()
    work["spared"] = work["racks"] * (work["system"].map(each).astype(float) - work["held"]).clip(lower=0.0)
    spared = work.groupby(key)["spared"].sum().reindex(frame.index, fill_value=0.0).astype(float)
    wrong = ~np.isclose(frame["it_power_w"], frame["nameplate_w"] - spared, rtol=1e-6, atol=10.0)
    yield from (f"{where}: {row.it_power_w / 1e6:.3f} MW held" for where, row in frame[wrong].iterrows())


def _racks(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    for (site, system), group in tables["deployment"].groupby(["site", "system"]):
        online = (group["racks_added"] - group["racks_retired"]).cumsum()
        if (online != group["racks_online"]).any() or (online < 0).any():
            yield f"{site} {system}: racks online are not racks added less retired"


def _supply(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    bought = with_delivered(tables["deployment"]).merge(tables["supply"], on=["quarter", "system"])
    for (quarter, line), group in bought.groupby(["quarter", "line"]):
        if group["racks_delivered"].sum() > group["racks_available"].iloc[0]:
            yield f"{quarter} {line}: {group['racks_delivered'].sum()} of {group['racks_available'].iloc[0]:.0f} racks"


def _stock(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    frame = with_delivered(tables["deployment"]).merge(
        tables["supply"][["quarter", "system", "line"]], on=["quarter", "system"]
    )
    frame = frame.merge(tables["sites"][["quarter", "site", "tenure"]], on=["quarter", "site"])
    frame["owner"] = frame["site"].where(frame["tenure"] == "cloud", "the operator")  # a cloud's racks are its own
    so_far = frame.groupby(["owner", "line", "quarter"])[["racks_added", "racks_delivered"]].sum()
    so_far = so_far.groupby(["owner", "line"]).cumsum()
    short = so_far[so_far["racks_added"] > so_far["racks_delivered"]].reset_index()
    yield from (
        f"{r.quarter} {r.line} of {r.owner}: {r.racks_added} racks deployed, {r.racks_delivered} delivered by then"
        for r in short.itertuples()
    )


def _in_use(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    key = ["quarter", "site", "system"]
    used = tables["allocation"].groupby(key)["racks"].sum()
    have = tables["deployment"].set_index(key)
    share = tables["sites"].set_index(["quarter", "site"]).get("work_share", {})  # what curtailment leaves
    for where, racks in used.items():
        limit = have.loc[where, "racks_online"] - 0.5 * have.loc[where, "racks_added"]
        limit *= share.get(where[:2], 1.0)
        if racks > limit * (1 + _POWER_TOLERANCE) + 1e-3:
            yield f"{where}: {racks:.1f} racks at work of {limit:.1f}"


def _tokens(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    made = tables["allocation"].groupby(["quarter", "workload"])["tokens"].sum()
    for row in tables["demand"].itertuples():
        got = made.get((row.quarter, row.workload), 0.0)
        if row.tokens_served > min(row.tokens_demanded, got) * (1 + 1e-5) + 1e6:
            yield f"{row.quarter} {row.workload}: {row.tokens_served:.4g} tokens of {row.tokens_demanded:.4g}"


def _training(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    for run in summary["training_runs"]:
        work = tables["allocation"][tables["allocation"]["workload"] == run["name"]]
        if work["tokens"].sum() * run.get("span_efficiency", 1.0) < run["tokens"] * (1 - 1e-5):
            yield f"{run['name']}: {work['tokens'].sum():.4g} of {run['tokens']:.4g} tokens trained"
        if not work["quarter"].between(*run["window"]).all():
            yield f"{run['name']}: works outside {run['window'][0]} to {run['window'][1]}"
        places = set(work["site"])
        spans = [set(x["sites"]) for x in summary.get("spans") or [] if x["run"] == run["name"] and x["may_span"]]
        if work["system"].nunique() > 1 or (len(places) > 1 and places not in spans):
            yield f"{run['name']}: spread over more than one site or system"


def _balance(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    sums = tables["cash"].groupby(["quarter", "flow"])["amount_usd"].sum()
    yield from (f"{key}: ${amount:.2f} unmatched" for key, amount in sums.items() if abs(amount) > 0.005)


def _purse(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    mine = tables["cash"][tables["cash"]["party"] == "operator"]
    balance = mine.groupby("quarter")["amount_usd"].sum().reindex(summary["quarters"], fill_value=0.0).cumsum()
    yield from (f"{q}: cash ${usd:,.0f}" for q, usd in balance.items() if usd < -_MONEY_TOLERANCE_USD)
    if not np.allclose(balance, summary["cash_usd"], atol=1.0):
        yield "cash in the summary differs from the flows"


def _debt(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    mine = tables["cash"][(tables["cash"]["party"] == "operator")]
    moved = mine[mine["flow"].isin(["debt_draw", "debt_repayment"])].groupby("quarter")["amount_usd"].sum()
    owed = moved.reindex(summary["quarters"], fill_value=0.0).cumsum()
    for (quarter, usd), limit in zip(owed.items(), summary["debt_limit_usd"], strict=True):
        if usd > limit + _MONEY_TOLERANCE_USD or usd < -_MONEY_TOLERANCE_USD:
            yield f"{quarter}: debt ${usd:,.0f} with a limit of ${limit:,.0f}"


def _release(summary: dict[str, Any], tables: Tables) -> Iterator[str]:
    deployed = tables["deployment"].groupby("quarter")["deployed_w"].sum()
    deployed = deployed.reindex(summary["quarters"], fill_value=0.0)
    if not np.allclose(deployed, summary["deployed_w"], rtol=1e-9):
        yield "deployed power in the summary differs from the racks added"
    paid = tables["cash"][(tables["cash"]["flow"] == "equity_tranche") & (tables["cash"]["party"] == "operator")]
    paid_usd = paid.groupby("quarter")["amount_usd"].sum().reindex(summary["quarters"], fill_value=0.0)
    due_usd = pd.Series(0.0, index=summary["quarters"])
    due = released_by_quarter(summary, tables, deployed)
    for tranche in tables["tranches"].itertuples():
        first = due[tranche.index]
        released = tranche.released if isinstance(tranche.released, str) else None
        if released != first:
            yield f"tranche {tranche.index}: released {released}, {tranche.threshold_w / 1e6:g} MW and its terms allow {first}"
        if first is not None:
            due_usd[first] += tranche.amount_usd
    if not np.allclose(paid_usd, due_usd, atol=0.01):
        yield "tranches paid differ from tranches released"


_RULES: dict[str, Callable[[dict[str, Any], Tables], Iterator[str]]] = {
    "facility power never exceeds what is energised": _power,
    "facility power is IT power times peak PUE": _pue,
    "power held is nameplate less what caps leave free": _held,
    "racks online are racks added less racks retired": _racks,
    "purchases stay within each platform's supply": _supply,
    "racks are deployed when they have been delivered": _stock,
    "racks at work are racks in service": _in_use,
    "tokens served stay within demand and capacity": _tokens,
    "training runs finish in their window, at one site": _training,
    "every payment has a payer and a payee": _balance,
    "the operator's cash is never negative": _purse,
    "debt stays within its limit": _debt,
    "each tranche is released when its gigawatt is reached": _release,
    **MONEY_RULES,
}
