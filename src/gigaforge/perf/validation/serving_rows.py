"""Measured serving rows as cases that the model can run: one condition per distinct run, candidates where it chooses.

A closed loop or a static batch is one configuration. "Max load" is the best batch of a known layout. MLPerf prints no
layout: it is the best layout and batch within the scenario's targets.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gigaforge.catalog import Catalog
from gigaforge.errors import InputError
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference.effects import Group
from gigaforge.perf.inference.known import canonical_model
from gigaforge.perf.inference.rates import PrecisionPlan
from gigaforge.perf.inference.traffic import Dataset, dataset_of
from gigaforge.perf.transformer import Transformer
from gigaforge.perf.validation.serving_names import (
    Unpredictable,
    draft_tokens,
    hardware_of,
    model_of,
    precision_of,
    runnable,
    software_of,
)
from gigaforge.perf.validation.serving_recipes import recipe_of
from gigaforge.perf.validation.serving_room import attention_ranks, check_room

__all__ = ["METRICS", "NEEDED", "Condition", "Rows", "read_serving", "rows_of"]

NEEDED: Final = ("model_name", "gpu", "n_gpus", "input_len", "output_len", "metric", "value")
METRICS: Final = ("ttft_ms", "tpot_ms", "output_tok_s", "total_tok_s", "tok_s_per_gpu", "tok_s_per_user")
_OPTIONAL: Final = (
    "concurrency", "load", "tp", "pp", "ep", "dp_attention", "disaggregated", "disaggregated_note", "precision_weights",
    "precision_kv", "software", "statistic", "notes", "doubt", "source", "source_locator", "date", "gpu_id", "id",
    "n_params_total_b", "n_params_active_b",
)  # fmt: skip


class Condition(NamedTuple):
    """One distinct run. Lengths in tokens, targets in seconds; degrees of one replica."""

    kind: str  # "closed", "static", "limit", "target", "pools"
    model: str
    chip: str
    group: Group
    plan: PrecisionPlan
    accelerators: float
    attention_data_parallel: float
    expert_parallel: float
    pipeline_parallel: float
    replicas: float
    prefill: (
        tuple[float, float, float] | None
    )  # accelerators of a worker, its attention ranks, workers per decode worker
    decode_workers: float
    input_len: float
    output_len: float
    concurrency: float
    ttft_s: float
    tpot_s: float
    draft_tokens: float
    output_spread: float
    longest: float
    power_share: float
    total: float
    chunk_tokens: float
    admission_steps: float


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


def read_serving(path: Path | str) -> pd.DataFrame:
    """Read a CSV or Parquet file of measured serving values.

    Raises
    ------
    InputError
        The file is missing, empty, or lacks a needed column.

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
    if not len(table):
        raise InputError("holds no rows", str(file))
    for column in _OPTIONAL:
        if column not in table.columns:
            table[column] = None
    return table.reset_index(drop=True)


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
            condition, shape, machine, note = _condition(row, catalog, contexts)
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


_UNSURE: Final = re.compile(r"tp\*dp=(\d+) vs moe_tp\*moe_ep=(\d+)")


def _accelerators(row: dict[str, Any]) -> float:
    """Printed count; else the pools of a disaggregated run, the larger of two products, or a printed tp."""
    given = _number(row, "n_gpus")
    if not math.isnan(given):
        if given < 1 or given != round(given):
            raise Unpredictable(f"n_gpus is {given:g}: a whole number of at least 1 is expected")
        return given
    pools, unsure = _POOLS.search(_text(row, "disaggregated_note")), _UNSURE.search(_text(row, "notes"))
    if pools:
        return float(pools.group(1)) + float(pools.group(3))
    if unsure:
        return max(float(x) for x in unsure.groups())
    return _number(row, "tp")


def _number(row: dict[str, Any], name: str, default: float = math.nan) -> float:
    value = row.get(name)
    if value is None or value == "":
        return default
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise Unpredictable(f"{name} {value!r} is not a number") from None
    if math.isinf(number):
        raise Unpredictable(f"{name} is {value}: a finite number is expected")
    return default if math.isnan(number) else number


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def _contexts(catalog: Catalog) -> dict[str, int]:
    """Longest context of each architecture in the catalogue; versions of one differ, and the longest binds. [token]"""
    out: dict[str, int] = {}
    for name, model in catalog.models.items():
        key = canonical_model(name)
        out[key] = max(out.get(key, 0), int(model.max_context))
    return out


def _condition(
    row: dict[str, Any], catalog: Catalog, contexts: Mapping[str, int]
) -> tuple[Condition, Transformer, Hardware, str]:
    metric = _text(row, "metric")
    if metric not in METRICS:
        raise Unpredictable(f"metric {metric!r} is not one of {', '.join(METRICS)}")
    value = _number(row, "value")
    if not (math.isfinite(value) and value > 0):
        raise Unpredictable(f"value {row.get('value')!r} is not a positive number")
    gpus = _accelerators(row)
    if not gpus >= 1:
        raise Unpredictable("n_gpus is not known")
    printed = _text(row, "gpu_id") or _text(row, "gpu")
    machine = hardware_of(printed, catalog)
    name = _text(row, "model_name")
    shape, note = model_of(name, _number(row, "n_params_total_b"), _number(row, "n_params_active_b"), row)
    software = software_of(_text(row, "software"), _text(row, "source"))
    precision = precision_of(_text(row, "precision_weights"), name, machine, shape, software)
    precision, unlike = runnable(precision, _text(row, "precision_weights"), _text(row, "gpu") or printed, machine)
    note = _noted(note, unlike)
    moe = bool(np.asarray(shape.experts) > 0)
    plan = PrecisionPlan.of(precision, moe=moe, kv=_kv(_text(row, "precision_kv"), precision, software, machine))
    kind, dataset, targets = _load(row, name)
    printed_lengths = _lengths(row, dataset)
    longest = contexts.get(shape.name, math.inf)
    if sum(printed_lengths) > longest:
        said = f"input_len + output_len = {sum(printed_lengths):,.0f} tokens, but {shape.name} holds {longest:,}"
        if not _text(row, "source"):
            raise Unpredictable(said)
        # Published sweeps of random tokens went beyond the trained context; the kernels do not mind.
        note = _noted(note, said)
    if not _text(row, "precision_weights"):
        note = _noted(note, f"precision_weights not given: {precision}")
    if metric in ("tpot_ms", "tok_s_per_user") and printed_lengths[1] <= 1:
        raise Unpredictable(f"{metric} of an answer of one token: there is no time between tokens")
    layout = _layout(row, gpus, moe=moe)
    if not _text(row, "source"):
        _check_degrees(row, gpus)
    concurrency = _number(row, "concurrency", 0.0)
    if kind in ("closed", "static") and not concurrency >= 1:
        raise Unpredictable("concurrency is not known and load says nothing either")
    drafts = draft_tokens(name, _text(row, "software"), _text(row, "date"), _text(row, "notes"))
    unsure = "total GPU count" in _text(row, "notes") and not _number(row, "n_gpus") >= 1
    if unsure:
        kind, note = "pools", _noted("pool sizes not printed: the best split of the printed total", note)
    recipe = recipe_of(
        {
            "source": _text(row, "source"),
            "software": software,
            "gpu": machine.chip,
            "model": shape.name,
            "precision": precision,
            "date": _text(row, "date"),
            "input_len": printed_lengths[0],
            "output_len": printed_lengths[1],
            "concurrency": concurrency,
            "tp": layout[0],
            "ranks": layout[1] if layout[1] > 1 and _text(row, "disaggregated").lower() not in _SPLIT else 1.0,
        }
    )
    lengths = (
        max(printed_lengths[0] * recipe.length_share, 1.0),
        max(printed_lengths[1] * recipe.length_share, 1.0),
    )
    disaggregated = _pools(row)
    if disaggregated is not None:
        layout, prefill, workers = disaggregated
        ranks = attention_ranks(shape, machine, plan, layout[0], layout[1], layout[3])
        if ranks < layout[1]:
            layout = (layout[0], ranks, ranks, *layout[3:])
            prefill = (prefill[0], min(prefill[1], ranks), prefill[2])
            said = "attention data parallelism as printed would not hold the weights: taken as tensor parallelism"
            note = _noted(note, said)
    else:
        prefill, workers = None, 1.0
        if not _text(row, "source"):
            # A published run did fit, however its table is to be read.
            check_room(shape, machine, plan, layout if kind in ("closed", "static", "limit") else None, gpus)
    condition = Condition(
        kind,
        shape.name,
        machine.name,
        Group(software, machine.generation, precision, shape.name),
        plan,
        *layout,
        prefill,
        workers,
        *lengths,
        concurrency,
        *targets,
        drafts,
        dataset.output_spread if dataset is not None else 0.0,
        dataset.longest if dataset is not None and kind == "target" else 0.0,
        0.5 if "power-capped" in _text(row, "gpu").lower() else 1.0,
        gpus,
        recipe.chunk_tokens,
        recipe.admission_steps,
    )
    return condition, shape, machine, note


def _kv(printed: str, precision: str, software: str, machine: Hardware) -> str | None:
    """Cache precision: as printed; fp8 with fp4 weights, with plain fp8 weights, and on chips with fp4 arithmetic.

    Published recipes pass an fp8 cache with fp8 mixtures on Blackwell and keep bf16 on Hopper; where neither is printed, the
    runs themselves say so: with bf16 the printed requests would not fit, and the queue that follows was not measured.
    """
    text = printed.lower()
    if "fp8 on blackwell" in text:
        return "fp8" if "fp4" in machine.peak_flop_s else "bf16"
    if "fp8" in text:
        return "fp8"
    if "16" in text:
        return "bf16"
    if precision in ("fp8", "nvfp4"):
        return "fp8"
    if precision == "fp8_block" and (software.startswith(("trtllm", "mlperf")) or "fp4" in machine.peak_flop_s):
        return "fp8"
    return None


_SCENARIO: Final = re.compile(r"\b(offline|server|interactive)\b", re.IGNORECASE)
_TARGET: Final = re.compile(r"TTFT ?<?=? ?([\d.]+) ?ms.*?TPOT ?<?=? ?([\d.]+) ?ms")


def _load(row: dict[str, Any], model: str) -> tuple[str, Dataset | None, tuple[float, float]]:
    """Kind of load, the benchmark's data set and its targets [s]."""
    none = (math.inf, math.inf)
    load, notes, locator = _text(row, "load"), _text(row, "notes"), _text(row, "source_locator")
    if "static batch" in notes or "batch-1 first token" in notes or ("median of" in notes and "prompt" in notes):
        return "static", None, none
    if "prompt_size=" in locator:
        return "static", None, none
    concurrency = _number(row, "concurrency", 0.0)
    if concurrency < 0:
        raise Unpredictable(f"concurrency is {concurrency:g}: at least one request in flight is expected")
    if concurrency >= 1:
        return "closed", None, none
    if "max load" in load.lower() or "infinite" in load.lower():
        return "limit", None, none
    said = _SCENARIO.search(load) or _SCENARIO.search(re.sub(r".*scenario ", "", notes)) or _SCENARIO.search(locator)
    dataset = dataset_of(model)
    if not said:
        given = _text(row, "concurrency")
        if given and not load:
            raise Unpredictable(f"concurrency {given} is not at least one request in flight")
        raise Unpredictable("neither concurrency nor a known load")
    scenario = said.group(1).lower()
    if scenario == "offline":
        return "target", dataset, none
    stated = _TARGET.search(notes)
    if stated:
        return "target", dataset, (float(stated.group(1)) / 1e3, float(stated.group(2)) / 1e3)
    if dataset is None or scenario not in dataset.targets:
        raise Unpredictable(f"{scenario} load without its latency targets")
    return "target", dataset, dataset.targets[scenario]


def _lengths(row: dict[str, Any], dataset: Dataset | None) -> tuple[float, float]:
    given = _number(row, "input_len"), _number(row, "output_len")
    filled = tuple(
        value if math.isfinite(value) else (default if dataset is not None else math.nan)
        for value, default in zip(
            given, (dataset.input_len, dataset.output_len) if dataset else (0.0, 0.0), strict=True
        )
    )
    for name, value in zip(("input_len", "output_len"), given, strict=True):
        if value < 1:
            expected = "at least one token" if value >= 0 else "a positive number"
            raise Unpredictable(f"{name} is {value:g}: {expected} is expected")
    for name, value in zip(("input_len", "output_len"), filled, strict=True):
        if not (math.isfinite(value) and value >= 1):
            raise Unpredictable(f"{name} is not known, and no data set is named that gives it")
    return filled[0], filled[1]


def _noted(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _check_degrees(row: dict[str, Any], gpus: float) -> None:
    """Degrees are whole, and one replica's accelerators divide those that there are."""
    degrees = {name: _number(row, name, 1.0) for name in ("tp", "pp", "ep")}
    for name, degree in degrees.items():
        if degree < 1 or degree != round(degree):
            raise Unpredictable(f"{name} is {degree:g}: a whole number of at least 1 is expected")
    if gpus % (degrees["tp"] * degrees["pp"]):
        said = f"tp {degrees['tp']:g}" + (f" x pp {degrees['pp']:g}" if degrees["pp"] > 1 else "")
        raise Unpredictable(f"{said} does not divide n_gpus {gpus:g}")


def _layout(row: dict[str, Any], gpus: float, *, moe: bool) -> tuple[float, float, float, float, float]:
    """Accelerators, attention ranks, expert parallel, stages of one replica; and how many replicas."""
    pp = max(_number(row, "pp", 1.0), 1.0)
    ep = max(_number(row, "ep", 1.0), 1.0) if moe else 1.0
    said = _text(row, "dp_attention").lower()
    unsure = _UNSURE.search(_text(row, "notes"))
    if unsure and moe and float(unsure.group(2)) > float(unsure.group(1)):
        return gpus, gpus / float(unsure.group(1)), ep, 1.0, 1.0
    if said.startswith("y") and moe:
        return gpus, gpus / pp, min(ep, gpus / pp), pp, 1.0
    tp = min(_number(row, "tp", gpus / pp), gpus / pp)
    replica = max(tp * pp, 1.0)
    return replica, 1.0, min(ep, tp), pp, max(gpus / replica, 1.0)


_POOLS: Final = re.compile(r"prefill (\d+) GPUs? \((\d+) workers?\), decode (\d+) GPUs? \((\d+) workers?\)")
_SPLIT: Final = ("true", "1", "y", "1.0")
_RANKS: Final = re.compile(r"prefill (\d+) / decode (\d+)")


def _pools(
    row: dict[str, Any],
) -> tuple[tuple[float, float, float, float, float], tuple[float, float, float], float] | None:
    """Layouts of a disaggregated run from its note: decode layout, prefill worker, decode workers."""
    if _text(row, "disaggregated").lower() not in _SPLIT:
        return None
    found = _POOLS.search(_text(row, "disaggregated_note"))
    if not found:
        raise Unpredictable("disaggregated run without the sizes of its pools")
    prefill_gpus, prefill_workers, decode_gpus, decode_workers = (float(x) for x in found.groups())
    ranks = _RANKS.search(_text(row, "dp_attention"))
    prefill_ranks, decode_ranks = (float(x) for x in ranks.groups()) if ranks else (1.0, 1.0)
    prefill_size, decode_size = prefill_gpus / prefill_workers, decode_gpus / decode_workers
    decode_ranks, prefill_ranks = min(decode_ranks, decode_size), min(prefill_ranks, prefill_size)
    layout = (decode_size, decode_ranks, decode_size if decode_ranks > 1 else 1.0, 1.0, 1.0)
    return layout, (prefill_size, prefill_ranks, prefill_workers / decode_workers), decode_workers


def group_labels(rows: Rows, which: Sequence[int] | NDArray[np.int64]) -> list[tuple[str, str, str]]:
    """(model, chip, software) of rows: what a cross-validation fold leaves out whole."""
    out = []
    for i in which:
        c = rows.conditions[rows.condition[i]]
        out.append((c.model, rows.hardware[c.chip].chip, c.group.software))
    return out
