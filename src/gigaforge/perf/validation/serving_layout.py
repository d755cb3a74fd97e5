"""How the accelerators of a measured row were used: their number, and the layout of one replica."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from gigaforge.perf.validation.serving_cells import number, text
from gigaforge.perf.validation.serving_names import Unpredictable
from gigaforge.perf.validation.serving_pools import POOLS
from gigaforge.perf.validation.serving_recipes import spreads_mixtures

__all__ = ["accelerators_of", "check_degrees", "layout_of"]

_UNSURE: Final = re.compile(r"tp\*dp=(\d+) vs moe_tp\*moe_ep=(\d+)")


def accelerators_of(row: Mapping[str, Any]) -> float:
    """Printed count; else the pools of a disaggregated run, the larger of two products, or a printed tp."""
    given = number(row, "n_gpus")
    if not math.isnan(given):
        if given < 1 or given != round(given):
            raise Unpredictable(f"n_gpus is {given:g}: a whole number of at least 1 is expected")
        return given
    pools, unsure = POOLS.search(text(row, "disaggregated_note")), _UNSURE.search(text(row, "notes"))
    if pools:
        return float(pools.group(1)) + float(pools.group(3))
    if unsure:
        return max(float(x) for x in unsure.groups())
    return number(row, "tp")


def check_degrees(row: Mapping[str, Any], gpus: float) -> None:
    """Degrees are whole, and one replica's accelerators divide those that there are."""
    degrees = {name: number(row, name, 1.0) for name in ("tp", "pp", "ep")}
    for name, degree in degrees.items():
        if degree < 1 or degree != round(degree):
            raise Unpredictable(f"{name} is {degree:g}: a whole number of at least 1 is expected")
    if gpus % (degrees["tp"] * degrees["pp"]):
        said = f"tp {degrees['tp']:g}" + (f" x pp {degrees['pp']:g}" if degrees["pp"] > 1 else "")
        raise Unpredictable(f"{said} does not divide n_gpus {gpus:g}")


def layout_of(row: Mapping[str, Any], gpus: float, *, moe: bool) -> tuple[float, float, float, float, float]:
    """Accelerators, attention ranks, expert parallel, stages of one replica; and how many replicas."""
    pp = max(number(row, "pp", 1.0), 1.0)
    ep = max(number(row, "ep", 1.0), 1.0) if moe else 1.0
    said = text(row, "dp_attention").lower()
    unsure = _UNSURE.search(text(row, "notes"))
    if unsure and moe and float(unsure.group(2)) > float(unsure.group(1)):
        return gpus, gpus / float(unsure.group(1)), ep, 1.0, 1.0
    if said.startswith("y") and moe:
        return gpus, gpus / pp, min(ep, gpus / pp), pp, 1.0
    tp = min(number(row, "tp", gpus / pp), gpus / pp)
    replica = max(tp * pp, 1.0)
    if moe and spreads_mixtures(text(row, "source")):
        return replica, tp, tp, pp, max(gpus / replica, 1.0)
    return replica, 1.0, min(ep, tp), pp, max(gpus / replica, 1.0)
