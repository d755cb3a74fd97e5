"""The operating points that a plan chose among: the ends of each work's set on each system, and what the plan runs most."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pandas as pd

from gigaforge.report.report_tables import Table
from gigaforge.report.view import PlanView

__all__ = ["point_tables"]

_ENDS = {"tokens_per_s_per_rack": "tokens", "tokens_per_joule": "per joule", "tokens_per_usd": "per dollar"}

_MOST = 5
"""Workloads shown, those that take most rack-quarters first: runs of one model have much the same points."""


def point_tables(plan: PlanView) -> list[Table]:
    """A table for each workload, a row for each end of its set on a system; none without `candidates.parquet`."""
    frame = plan.table("candidates")
    if frame.empty:
        return []
    note = (
        "One rack at work, in its best quarter, with the 80 % interval of its tokens. Latency is the mean time to the first token and "
        "for each further one. Capital is depreciation and return on the rack and an owned building; running is maintenance, lease, "
        "staff and energy (in a cloud, rent): means over the quarters and sites where the rack can be installed, or all sites for one (*) that none of them can host. "
        f"candidates.parquet has the layouts and all {len(frame):,} points that some prices would choose, {int(frame['pareto'].sum()):,} of them such that no other gives as much "
        "in every quarter for as little power."
    )
    head = [
        "System",
        "Most",
        "Precision",
        "Cap, W",
        "1,000 tokens/s",
        "80 % interval",
        "kW",
        "kW held",
        "Latency, ms",
        "Capital $/h",
        "Running $/h",
    ]
    out = []
    used = frame.groupby("workload", sort=False)["rack_quarters"].sum().sort_values(ascending=False, kind="stable")
    for work in used.index[:_MOST]:
        mine = frame[frame["workload"] == work]
        rows: list[list[Any]] = []
        for system, group in mine.groupby("system", sort=False):
            rows += [
                [_named(plan, str(system), group), words, *_cells(group.loc[i])]
                for i, words in _corners(group).items()
            ]
        out.append(Table(f"{plan.label(str(work))}: the ends of its set of points", head, rows, wide=(0, 1)))
    left = f" Shown are the {_MOST} workloads of {len(used)} that take most racks." if len(used) > _MOST else ""
    out[-1] = replace(out[-1], note=note + left)
    return out


def _corners(group: pd.DataFrame) -> dict[Any, str]:
    """Rows that lead in a measure, and in which, the plan's own most used one last."""
    out: dict[Any, list[str]] = {}
    for column, words in _ENDS.items():
        if group[column].notna().any():
            out.setdefault(group[column].idxmax(), []).append(words)
    if group["rack_quarters"].max() > 0:
        out.setdefault(group["rack_quarters"].idxmax(), []).append("in the plan")
    return {index: ", ".join(words) for index, words in out.items()}


def _named(plan: PlanView, system: str, group: pd.DataFrame) -> str:
    return plan.label(system) + ("" if group["can_stand"].all() else " *")


def _cells(row: pd.Series) -> list[str]:
    latency = "–"
    if not math.isnan(row["ttft_s"]):
        latency = f"{1e3 * row['ttft_s']:,.0f} + {1e3 * row['tpot_s']:.0f}"
    return [
        str(row["precision"]) or "–",
        _number(row["cap_w"]),
        _thousands(row["tokens_per_s_per_rack"]),
        f"{_thousands(row['tokens_per_s_low'])}-{_thousands(row['tokens_per_s_high'])}",
        _number(row["it_power_w_per_rack"] / 1e3),
        _number(row["held_w_per_rack"] / 1e3),
        latency,
        _number(row["capital_usd_per_hour"]),
        _number(row["running_usd_per_hour"]),
    ]


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:,.0f}"


def _thousands(value: float) -> str:
    """Three digits of thousands."""
    return f"{value / 1e3:,.0f}" if value >= 1e5 else f"{value / 1e3:.3g}"
