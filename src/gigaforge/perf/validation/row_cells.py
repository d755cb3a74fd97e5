"""Cells of a measured row: text and numbers, or why the row cannot be understood; tables of what rows leave out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

__all__ = ["UnpredictableError", "blank", "degree", "match", "number", "table", "text"]


class UnpredictableError(Exception):
    """A row that cannot be predicted, and why."""


@cache
def table(name: str) -> dict[str, Any]:
    """A sourced table of what printed rows leave out."""
    text = (files("gigaforge.perf") / "data" / f"{name}.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def blank(value: Any) -> bool:
    """Whether a cell says nothing."""
    return value is None or (isinstance(value, float) and np.isnan(value)) or value == ""


def text(row: Mapping[str, Any], column: str) -> str:
    """A cell in words, empty where blank."""
    value = row.get(column)
    return "" if blank(value) else str(value)


def number(row: Mapping[str, Any], column: str, default: float | None = None, least: float = 0.0) -> float:
    """A number of the row; `UnpredictableError` names column and value when it is nonsense, or blank without default."""
    value = row.get(column)
    if blank(value):
        if default is None:
            raise UnpredictableError(f"{column} is blank")
        return default
    try:
        number = float(str(value))
    except ValueError:
        raise UnpredictableError(f"{column} is {value!r}, not a number") from None
    if not np.isfinite(number) or number <= least:
        raise UnpredictableError(f"{column} is {value!r}; it must be above {least:g}")
    return number


def match(file: str, kind: str, text: str) -> dict[str, Any]:
    """First entry of a table whose pattern the text holds."""
    for entry in table(file)[kind]:
        if re.search(entry["match"], text):
            return dict(entry)
    return {}


def degree(row: Mapping[str, Any], name: str) -> float:
    """A whole number, 1 where blank."""
    value = number(row, name, 1.0)
    if value != round(value):
        raise UnpredictableError(f"{name} is {value:g}, not a whole number")
    return value
