"""A measured row as a condition that the model can run: the machine, the model, the software, the load, the layout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from gigaforge.catalog import Catalog
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference.effects import Group
from gigaforge.perf.inference.rates import PrecisionPlan
from gigaforge.perf.inference.steady import CHUNK_TOKENS
from gigaforge.perf.inference.traffic import Dataset
from gigaforge.perf.transformer import Transformer
from gigaforge.perf.validation.serving_cells import METRICS, noted, number, text
from gigaforge.perf.validation.serving_layout import accelerators_of, check_degrees, layout_of
from gigaforge.perf.validation.serving_load import cache_precision, lengths_of, load_of
from gigaforge.perf.validation.serving_names import (
    Unpredictable,
    draft_tokens,
    hardware_of,
    model_of,
    precision_of,
    runnable,
    software_of,
)
from gigaforge.perf.validation.serving_pools import Pools, Printed, printed_pools, published_pools
from gigaforge.perf.validation.serving_recipes import recipe_of
from gigaforge.perf.validation.serving_room import attention_ranks, check_room

__all__ = ["Condition", "condition_of"]


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
    slots: float  # requests that one decode worker runs at a time
    admission_steps: float
    tensor_parallel: float  # of a benchmark's replica; zero: whatever is best


@dataclass(frozen=True)
class _Subject:
    """What was run: model, machine, software, precision; whether a source published it."""

    name: str
    shape: Transformer
    machine: Hardware
    software: str
    precision: str
    plan: PrecisionPlan
    accelerators: float
    published: bool
    note: str


class _Load(NamedTuple):
    """How it was asked."""

    kind: str
    dataset: Dataset | None
    targets: tuple[float, float]
    input_len: float
    output_len: float
    concurrency: float
    note: str


@dataclass(frozen=True)
class _Launch:
    """How it was laid out and set."""

    kind: str
    layout: tuple[float, float, float, float, float]
    prefill: tuple[float, float, float] | None = None
    decode_workers: float = 1.0
    slots: float = math.inf
    chunk_tokens: float | None = None
    drafts: float = 0.0
    note: str = ""


def condition_of(
    row: Mapping[str, Any], catalog: Catalog, contexts: Mapping[str, int]
) -> tuple[Condition, Transformer, Hardware, str]:
    """Understand one row.

    Parameters
    ----------
    row : mapping
        Column to cell.
    catalog : Catalog
        Accelerators and systems.
    contexts : mapping
        Longest context by architecture [token].

    Returns
    -------
    condition, shape, machine
    note : str
        Empty, or what had to be assumed.

    Raises
    ------
    Unpredictable
        Something needed is missing or makes no sense; says what.

    """
    _check_value(row)
    subject = _subject(row, catalog)
    load = _asked(row, subject, contexts)
    launch = _launched(row, subject, load)
    recipe = recipe_of(
        {
            "source": text(row, "source"),
            "software": subject.software,
            "gpu": subject.machine.chip,
            "model": subject.shape.name,
            "precision": subject.precision,
            "date": text(row, "date"),
            "input_len": load.input_len,
            "output_len": load.output_len,
            "concurrency": load.concurrency,
            "tp": launch.layout[0],
            "ranks": launch.layout[1] if launch.prefill is None else 1.0,
        }
    )
    # Scripts of one engine say nothing of separate pools: those have configurations of their own.
    chunk = recipe.chunk_tokens if launch.prefill is None else launch.chunk_tokens or CHUNK_TOKENS
    data = load.dataset
    condition = Condition(
        kind=launch.kind,
        model=subject.shape.name,
        chip=subject.machine.name,
        group=Group(subject.software, subject.machine.generation, subject.precision, subject.shape.name),
        plan=subject.plan,
        accelerators=launch.layout[0],
        attention_data_parallel=launch.layout[1],
        expert_parallel=launch.layout[2],
        pipeline_parallel=launch.layout[3],
        replicas=launch.layout[4],
        prefill=launch.prefill,
        decode_workers=launch.decode_workers,
        input_len=max(load.input_len * recipe.length_share, 1.0),
        output_len=max(load.output_len * recipe.length_share, 1.0),
        concurrency=load.concurrency,
        ttft_s=load.targets[0],
        tpot_s=load.targets[1],
        draft_tokens=launch.drafts,
        output_spread=data.output_spread if data is not None else 0.0,
        longest=data.longest if data is not None and launch.kind == "target" else 0.0,
        power_share=0.5 if "power-capped" in text(row, "gpu").lower() else 1.0,
        total=subject.accelerators,
        chunk_tokens=chunk,
        slots=launch.slots,
        admission_steps=recipe.admission_steps if launch.prefill is None else 0.0,
        tensor_parallel=recipe.tensor_parallel,
    )
    return condition, subject.shape, subject.machine, noted(launch.note, subject.note, load.note)


def _check_value(row: Mapping[str, Any]) -> None:
    metric = text(row, "metric")
    if metric not in METRICS:
        raise Unpredictable(f"metric {metric!r} is not one of {', '.join(METRICS)}")
    value = number(row, "value")
    if not (math.isfinite(value) and value > 0):
        raise Unpredictable(f"value {row.get('value')!r} is not a positive number")


def _subject(row: Mapping[str, Any], catalog: Catalog) -> _Subject:
    gpus = accelerators_of(row)
    if not gpus >= 1:
        raise Unpredictable("n_gpus is not known")
    gpu = text(row, "gpu_id") or text(row, "gpu")
    machine = hardware_of(gpu, catalog)
    name, said = text(row, "model_name"), text(row, "precision_weights")
    shape, note = model_of(name, number(row, "n_params_total_b"), number(row, "n_params_active_b"), row)
    software = software_of(text(row, "software"), text(row, "source"))
    precision = precision_of(said, name, machine, shape, software)
    precision, unlike = runnable(precision, said, text(row, "gpu") or gpu, machine)
    moe = bool(np.asarray(shape.experts) > 0)
    kv = cache_precision(text(row, "precision_kv"), precision, software, machine)
    plan = PrecisionPlan.of(precision, moe=moe, kv=kv)
    published = bool(text(row, "source"))
    return _Subject(name, shape, machine, software, precision, plan, gpus, published, noted(note, unlike))


def _asked(row: Mapping[str, Any], subject: _Subject, contexts: Mapping[str, int]) -> _Load:
    kind, dataset, targets = load_of(row, subject.name)
    input_len, output_len = lengths_of(row, dataset)
    note = ""
    longest = contexts.get(subject.shape.name, math.inf)
    if input_len + output_len > longest:
        note = f"input_len + output_len = {input_len + output_len:,.0f} tokens, but {subject.shape.name} holds {longest:,}"
        if not subject.published:
            raise Unpredictable(note)
        # Published sweeps of random tokens went beyond the trained context; the kernels do not mind.
    if not text(row, "precision_weights"):
        note = noted(note, f"precision_weights not given: {subject.precision}")
    metric = text(row, "metric")
    if metric in ("tpot_ms", "tok_s_per_user") and output_len <= 1:
        raise Unpredictable(f"{metric} of an answer of one token: there is no time between tokens")
    concurrency = number(row, "concurrency", 0.0)
    if kind in ("closed", "static") and not concurrency >= 1:
        raise Unpredictable("concurrency is not known and load says nothing either")
    return _Load(kind, dataset, targets, input_len, output_len, concurrency, note)


def _launched(row: Mapping[str, Any], subject: _Subject, load: _Load) -> _Launch:
    """Separate pools as published or printed, else the layout of one replica."""
    drafts = draft_tokens(subject.name, text(row, "software"), text(row, "date"), text(row, "notes"))
    printed = printed_pools(row)
    unsure = "total GPU count" in text(row, "notes") and not number(row, "n_gpus") >= 1
    if printed is not None or unsure:
        pools = published_pools(_launch_key(row, subject, load, drafts), printed)
        if pools is not None:
            launch = _separate(load.kind, subject, pools, max(drafts, pools.drafts))
            return replace(launch, note=noted(_unlike(printed, pools), launch.note))
        if printed is not None:
            return _separate(load.kind, subject, Pools(printed), drafts)
    layout = layout_of(row, subject.accelerators, moe=bool(np.asarray(subject.shape.experts) > 0))
    if unsure:
        note = "pool sizes not printed: the best split of the printed total"
        return _Launch("pools", layout, drafts=drafts, note=note)
    if not subject.published:
        # A published run did fit, however its table is to be read.
        check_degrees(row, subject.accelerators)
        known = layout if load.kind in ("closed", "static", "limit") else None
        check_room(subject.shape, subject.machine, subject.plan, known, subject.accelerators)
    return _Launch(load.kind, layout, drafts=drafts)


def _unlike(printed: Printed | None, pools: Pools) -> str:
    """What a published configuration says otherwise than the row."""
    if printed is None:
        return "pool sizes not printed: those of the published configuration"
    if (printed.prefill_ranks, printed.decode_ranks) != (pools.sizes.prefill_ranks, pools.sizes.decode_ranks):
        return "attention ranks as in the published configuration, not as printed"
    return ""


def _launch_key(row: Mapping[str, Any], subject: _Subject, load: _Load, drafts: float) -> dict[str, Any]:
    return {
        "source": text(row, "source"),
        "gpu": subject.machine.chip,
        "model": subject.shape.name,
        "precision": subject.precision,
        "software": subject.software,
        "date": text(row, "date"),
        "input_len": load.input_len,
        "output_len": load.output_len,
        "concurrency": load.concurrency,
        "accelerators": subject.accelerators,
        "drafts": drafts,
    }


def _separate(kind: str, subject: _Subject, pools: Pools, drafts: float) -> _Launch:
    s = pools.sizes
    ranks = attention_ranks(subject.shape, subject.machine, subject.plan, s.decode_size, s.decode_ranks, 1.0)
    experts = s.decode_size if s.decode_ranks > 1 else 1.0
    prefill_ranks, note = s.prefill_ranks, ""
    if ranks < s.decode_ranks:
        experts, prefill_ranks = ranks, min(prefill_ranks, ranks)
        note = "attention data parallelism as printed would not hold the weights: taken as tensor parallelism"
    return _Launch(
        kind,
        (s.decode_size, ranks, experts, 1.0, 1.0),
        (s.prefill_size, prefill_ranks, s.prefill_workers / s.decode_workers),
        s.decode_workers,
        pools.slots,
        pools.chunk_tokens,
        drafts,
        note,
    )
