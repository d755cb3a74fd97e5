"""Cells of a row of serving measurements, and the table that holds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from gigaforge.errors import InputError
from gigaforge.perf.validation.serving_names import Unpredictable

__all__ = ["METRICS", "NEEDED", "complete", "noted", "number", "read_serving", "text"]

NEEDED: Final = ("model_name", "gpu", "n_gpus", "input_len", "output_len", "metric", "value")
METRICS: Final = ("ttft_ms", "tpot_ms", "output_tok_s", "total_tok_s", "tok_s_per_gpu", "tok_s_per_user")
_OPTIONAL: Final = (
    "concurrency", "load", "tp", "pp", "ep", "dp_attention", "disaggregated", "disaggregated_note", "precision_weights",
    "precision_kv", "software", "statistic", "notes", "doubt", "source", "source_locator", "date", "gpu_id", "id",
    "n_params_total_b", "n_params_active_b",
)  # fmt: skip


def read_serving(path: Path | str) -> pd.DataFrame:
    """Read a CSV or Parquet file of measured serving values.

    Raises
    ------
    InputError
        The file is missing, empty, or lacks a needed column; a column has half the name of one that is known.

    """
    file = Path(path)
    if not file.is_file():
        raise InputError("no such file", str(file))
    try:
        table = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file, low_memory=False)
    except (ValueError, OSError, UnicodeDecodeError) as problem:
        raise InputError(f"cannot be read as {file.suffix or 'a table'}: {problem}", str(file)) from None
    missing = [c for c in NEEDED if c not in table.columns]
    if missing:
        raise InputError(f"columns {', '.join(missing)} are missing; needed: {', '.join(NEEDED)}", str(file))
    if "concurrency" not in table.columns and "load" not in table.columns:
        raise InputError("a column 'concurrency' or 'load' is needed", str(file))
    for column in table.columns:
        like = [known for known in (*NEEDED, *_OPTIONAL) if known.startswith(f"{column}_")]
        if column not in (*NEEDED, *_OPTIONAL) and like and like[0] not in table.columns:
            raise InputError(f"column {column!r} is not known; {' or '.join(like)} is meant", str(file))
    if not len(table):
        raise InputError("holds no rows", str(file))
    return complete(table)


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every column that may be left out."""
    for column in _OPTIONAL:
        if column not in table.columns:
            table[column] = None
    return table.reset_index(drop=True)


def number(row: Mapping[str, Any], name: str, default: float = math.nan) -> float:
    """A number of the row, or the default where the cell is blank.

    Raises
    ------
    Unpredictable
        The cell holds no number, or an infinite one.

    """
    value = row.get(name)
    if value is None or value == "":
        return default
    try:
        given = float(value)
    except (TypeError, ValueError):
        raise Unpredictable(f"{name} {value!r} is not a number") from None
    if math.isinf(given):
        raise Unpredictable(f"{name} is {value}: a finite number is expected")
    return default if math.isnan(given) else given


def text(row: Mapping[str, Any], name: str) -> str:
    """A cell in words, empty where blank."""
    value = row.get(name)
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def noted(*notes: str) -> str:
    """Several notes as one."""
    return "; ".join(filter(None, notes))
