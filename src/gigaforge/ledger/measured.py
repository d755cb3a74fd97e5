"""Rows of measurements that an acceptance test brings: each must be one that the performance model can be held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gigaforge.errors import InputError

__all__ = ["refuse_meaningless"]


def refuse_meaningless(rows: Sequence[Mapping[str, Any]]) -> None:
    """Read each row as `gigaforge validate` would, when it is recorded: what nobody can use must not stand in the record.

    The record itself holds by no catalogue: later ones may know other names.

    Raises
    ------
    InputError
        Names the row, and what the reader of its kind says.

    """
    for place, row in enumerate(rows):
        where = f"acceptance.measurements.{place}"
        wrong = next((name for name, value in row.items() if isinstance(value, dict | list)), None)
        if wrong is not None:
            raise InputError(f"{wrong} is not a number or text", where)
        kind = row.get("kind", "training")
        if kind not in ("training", "inference"):
            raise InputError(f"kind {str(kind)[:80]!r} is not known; known: training, inference", where)
        content = {name: value for name, value in row.items() if name != "kind"}
        try:
            reason = _training(content) if kind == "training" else _inference(content)
        except (TypeError, ValueError, ArithmeticError) as problem:
            reason = str(problem)
        if reason:
            raise InputError(f"a measurement of {kind} that cannot be predicted: {reason[:500]}", where)


def _training(row: dict[str, Any]) -> str:
    from gigaforge.perf.validation.runs import UnpredictableError, run_of  # noqa: PLC0415 (0.5 s, for such rows alone)

    try:
        run_of(row, "row")
    except UnpredictableError as why:
        return str(why)
    return ""


def _inference(row: dict[str, Any]) -> str:
    import pandas as pd  # noqa: PLC0415

    from gigaforge.catalog import load_catalog  # noqa: PLC0415
    from gigaforge.perf.validation.serving_cells import METRICS, NEEDED, complete, number  # noqa: PLC0415
    from gigaforge.perf.validation.serving_rows import rows_of  # noqa: PLC0415

    missing = [name for name in NEEDED if row.get(name) in (None, "")]
    if missing:
        return f"{', '.join(missing)} missing; needed: {', '.join(NEEDED)}, and concurrency or load"
    if row["metric"] not in METRICS:
        return f"metric {row['metric']!r} is not known; known: {', '.join(METRICS)}"
    if not number(row, "value") > 0:
        return f"value {row['value']!r} is not above zero"
    skipped = rows_of(complete(pd.DataFrame([row])), load_catalog()).skipped
    return str(skipped.iloc[0]) if len(skipped) else ""
