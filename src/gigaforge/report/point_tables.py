"""The operating points that a plan chose among: the ends of each work's set on each system, and what the plan runs most."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from gigaforge.report.report_tables import Table
from gigaforge.report.view import PlanView
from gigaforge.units import format_quantity

__all__ = ["point_tables"]

_ENDS = {"tokens_per_s_per_rack": "most tokens", "tokens_per_joule": "per joule", "tokens_per_usd": "per dollar"}


def point_tables(plan: PlanView) -> list[Table]:
    """A row for each end of each set: most tokens, most per joule, most per dollar; none without `candidates.parquet`."""
    frame = plan.table("candidates")
    if frame.empty:
        return []
    rows: list[list[Any]] = []
    for (work, system), group in frame.groupby(["workload", "system"], sort=False):
        for index, words in _corners(group).items():
            rows.append([plan.label(str(work)), plan.label(str(system)), words, *_cells(group.loc[index])])
    note = (
        "One rack at work, in its best quarter, with the 80 % interval of its tokens. Latency is the mean time to the first token and "
        "for each further one. Capital is depreciation and return on the rack and an owned building; running is maintenance, lease, "
        "staff and energy (in a cloud, rent): means over the quarters and sites where the rack can be installed. candidates.parquet has "
        f"all {len(frame):,} points that some prices would choose, {int(frame['pareto'].sum()):,} of them such that no other gives as much "
        "in every quarter for as little power."
    )
    head = ["Work", "System", "Most", "Cap, W", "Tokens/s", "from", "to", "kW", "Held kW", "Latency", "Capital $/h", "Running $/h",
            "How"]  # fmt: skip
    return [Table("The ends of each set of points", head, rows, wide=(0, 1, 2, 12), note=note)]


def _corners(group: pd.DataFrame) -> dict[Any, str]:
    """Rows that lead in a measure, and in which, the plan's own most used one last."""
    out: dict[Any, list[str]] = {}
    for column, words in _ENDS.items():
        if group[column].notna().any():
            out.setdefault(group[column].idxmax(), []).append(words)
    if group["rack_quarters"].max() > 0:
        out.setdefault(group["rack_quarters"].idxmax(), []).append("used in the plan")
    return {index: ", ".join(words) for index, words in out.items()}


def _cells(row: pd.Series) -> list[str]:
    latency = "–"
    if not math.isnan(row["ttft_s"]):
        latency = f"{format_quantity(row['ttft_s'], 'duration')}, {1e3 * row['tpot_s']:.0f} ms"
    return [
        _number(row["cap_w"]),
        *(_number(row[n]) for n in ("tokens_per_s_per_rack", "tokens_per_s_low", "tokens_per_s_high")),
        _number(row["it_power_w_per_rack"] / 1e3),
        _number(row["held_w_per_rack"] / 1e3),
        latency,
        _number(row["capital_usd_per_hour"], 2),
        _number(row["running_usd_per_hour"], 2),
        str(row["layout"]).rsplit(", cap ", 1)[0],
    ]


def _number(value: float, digits: int = 0) -> str:
    return "–" if math.isnan(value) else f"{value:,.{digits}f}"
