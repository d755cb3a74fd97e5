"""Intervals from what was missed before: quantiles of log(measured / predicted) over rows left out of the fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["FAMILY", "factors", "family_of", "quantile_table"]

FAMILY: Final = {
    "tpot_ms": "tpot", "tok_s_per_user": "tpot", "ttft_ms": "ttft",
    "output_tok_s": "throughput", "total_tok_s": "throughput", "tok_s_per_gpu": "throughput",
}  # fmt: skip
"""Which metrics share an interval."""
_ENOUGH: Final = 60
"""Rows that a software family needs for quantiles of its own."""
_LOW, _HIGH = 0.10, 0.90


def family_of(metrics: Sequence[str]) -> NDArray[np.str_]:
    """Interval family of each metric."""
    return np.array([FAMILY[m] for m in metrics])


def quantile_table(
    log_ratio: NDArray[np.float64], family: NDArray[np.str_], software: NDArray[np.str_]
) -> dict[str, dict[str, list[float]]]:
    """Factors on a prediction that hold 80 % of the rows, by metric family, then by software ("" for all).

    Quantiles leave (n + 1) / n room as conformal prediction does.
    """
    table: dict[str, dict[str, list[float]]] = {}
    for kind in sorted(set(family)):
        rows = family == kind
        table[str(kind)] = {"": _quantiles(log_ratio[rows])}
        for name in sorted(set(software[rows])):
            some = rows & (software == name)
            if some.sum() >= _ENOUGH:
                table[str(kind)][str(name)] = _quantiles(log_ratio[some])
    return table


def _quantiles(values: NDArray[np.float64]) -> list[float]:
    values = values[np.isfinite(values)]
    slack = 1.0 / (2.0 * max(len(values), 1))
    low, high = np.quantile(values, [max(_LOW - slack, 0.0), min(_HIGH + slack, 1.0)])
    return [float(f"{np.exp(low):.4g}"), float(f"{np.exp(high):.4g}")]


def factors(table: Mapping[str, Any], family: str, software: str) -> tuple[float, float]:
    """Low and high factor of one prediction."""
    rows = table.get(family, {})
    low, high = rows.get(software, rows.get("", [1.0, 1.0]))
    return float(low), float(high)
