"""How far predictions are from measurements: the figures that every validation prints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["by_group", "errors", "scores"]


def errors(predicted: pd.Series, measured: pd.Series) -> dict[str, float]:
    """Count, median, mean and 90th percentile of the absolute relative error. [unitless]"""
    ape = (predicted / measured - 1.0).abs()
    if not len(ape):
        return {"n": 0, "median_ape": 0.0, "mean_ape": 0.0, "p90_ape": 0.0}
    return {
        "n": len(ape),
        "median_ape": float(ape.median()),
        "mean_ape": float(ape.mean()),
        "p90_ape": float(ape.quantile(0.9)),
    }


def scores(table: pd.DataFrame) -> dict[str, float]:
    """Errors, bias (median of predicted/measured - 1), coverage and width of the 80 % interval. [unitless]"""
    out = errors(table["predicted"], table["measured"])
    if not len(table):
        return out | {"bias": 0.0, "coverage_80": 0.0, "interval_width": 0.0}
    inside = (table["low"] <= table["measured"]) & (table["measured"] <= table["high"])
    out["bias"] = float((table["predicted"] / table["measured"] - 1.0).median())
    out["coverage_80"] = float(inside.mean())
    out["interval_width"] = float(np.median(table["high"] / table["low"]))
    return out


def by_group(table: pd.DataFrame, columns: list[str]) -> dict[str, dict[str, dict[str, float]]]:
    """`errors` for every value of each column."""
    out: dict[str, dict[str, Any]] = {}
    for column in columns:
        groups = table.groupby(column, sort=True, dropna=False)
        out[column] = {str(k): errors(g["predicted"], g["measured"]) for k, g in groups}
    return out
