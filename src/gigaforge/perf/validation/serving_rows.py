"""Measured serving rows as cases that the model can run: one condition per distinct run.

A closed loop or a static batch is one configuration. "Max load" is the best batch of a known layout. MLPerf prints no
layout: it is the best layout and batch within the scenario's targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gigaforge.catalog import Catalog
from gigaforge.errors import InputError
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference.known import canonical_model
from gigaforge.perf.transformer import Transformer
from gigaforge.perf.validation.serving_cells import METRICS, NEEDED, read_serving
from gigaforge.perf.validation.serving_condition import Condition, condition_of
from gigaforge.perf.validation.serving_names import Unpredictable

__all__ = ["METRICS", "NEEDED", "Condition", "Rows", "group_labels", "read_serving", "rows_of"]


@dataclass(frozen=True)
class Rows:
    """Rows that can be predicted, the conditions behind them, and those that cannot with the reason."""

    table: pd.DataFrame
    condition: NDArray[np.int64]
    conditions: list[Condition]
    transformers: dict[str, Transformer]
    hardware: dict[str, Hardware]
    skipped: pd.Series
    notes: dict[int, str]

    @cached_property
    def per_condition(self) -> tuple[NDArray[Any], ...]:
        """Output and prompt tokens, accelerators in all, and whether the load is the best that the model finds."""
        return (
            np.array([c.output_len for c in self.conditions]),
            np.array([c.input_len for c in self.conditions]),
            np.array([c.total for c in self.conditions]),
            np.array([c.kind in ("limit", "target") for c in self.conditions]),
        )

    @cached_property
    def metrics(self) -> tuple[NDArray[Any], ...]:
        """Metric of each row, and whether it is a p99."""
        return self.table["metric"].to_numpy(), (self.table["statistic"] == "p99").to_numpy()


def rows_of(table: pd.DataFrame, catalog: Catalog) -> Rows:
    """Understand every row, or say why not."""
    seen: dict[Condition, int] = {}
    index = np.full(len(table), -1, dtype=np.int64)
    skipped: dict[int, str] = {}
    notes: dict[int, str] = {}
    transformers: dict[str, Transformer] = {}
    hardware: dict[str, Hardware] = {}
    contexts = _contexts(catalog)
    for i, record in enumerate(table.to_dict("records")):
        row = {str(k): v for k, v in record.items()}
        try:
            condition, shape, machine, note = condition_of(row, catalog, contexts)
        except Unpredictable as reason:
            skipped[i] = str(reason)
            continue
        except InputError as reason:
            skipped[i] = reason.problem
            continue
        transformers[condition.model] = shape
        hardware[condition.chip] = machine
        index[i] = seen.setdefault(condition, len(seen))
        if note:
            notes[i] = note
    return Rows(table, index, list(seen), transformers, hardware, pd.Series(skipped, dtype=object), notes)


def _contexts(catalog: Catalog) -> dict[str, int]:
    """Longest context of each architecture in the catalogue; versions of one differ, and the longest binds. [token]"""
    out: dict[str, int] = {}
    for name, model in catalog.models.items():
        key = canonical_model(name)
        out[key] = max(out.get(key, 0), int(model.max_context))
    return out


def group_labels(rows: Rows, which: Sequence[int] | NDArray[np.int64]) -> list[tuple[str, str, str]]:
    """(model, chip, software) of rows: what a cross-validation fold leaves out whole."""
    out = []
    for i in which:
        c = rows.conditions[rows.condition[i]]
        out.append((c.model, rows.hardware[c.chip].chip, c.group.software))
    return out
