"""Which configurations there are, and the best of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from gigaforge.errors import InputError
from gigaforge.perf.arrays import Array
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference.evaluate import Engine, _interval, run
from gigaforge.perf.inference.forward import Layout
from gigaforge.perf.inference.results import ServingConfigurations, ServingResults
from gigaforge.perf.inference.steady import decode_phase, prefill_phase
from gigaforge.perf.inference.traffic import Speculation, Traffic
from gigaforge.perf.transformer import Transformer

__all__ = ["Space", "layouts", "search"]

_BATCHES: Final = np.unique(np.round(2.0 ** np.arange(0.0, 12.01, 0.5)))
"""Requests per attention rank: 1 to 4,096 in steps of √2."""

_PREFILL_LOAD: Final = 0.85
"""Utilisation that a prefill pool is planned for (assumption: an M/D/1 queue waits three services there)."""


class Space(NamedTuple):
    """Replica layouts, one row each."""

    accelerators: Any
    attention_data_parallel: Any
    expert_parallel: Any
    pipeline_parallel: Any


def layouts(transformer: Transformer, hardware: Hardware, accelerators: int, *, pipeline: bool = True) -> Space:
    """All valid layouts of one replica on at most so many accelerators.

    Tensor parallelism divides the attention heads and stays inside the NVLink domain; attention data parallelism and
    expert parallelism are for mixtures of experts; pipeline stages go beyond a domain.
    """
    heads, experts = int(np.asarray(transformer.heads)), int(np.asarray(transformer.experts))
    domain = min(int(hardware.nvlink_domain), accelerators)
    sizes = sorted({s for s in range(1, domain + 1) if domain % s == 0} | {2**i for i in range(12) if 2**i <= domain})
    rows: list[tuple[float, ...]] = []
    for size in sizes:
        for data in _divisors(size) if experts else [1]:
            tensor = size // data
            if heads % tensor:
                continue
            for expert in _divisors(size) if experts else [1]:
                if expert > 1 and (expert > experts or (data > 1 and expert < data)):
                    continue
                stages = [p for p in (1, 2, 4, 8, 16) if p == 1 or (pipeline and size * p <= accelerators)]
                rows.extend((float(size * p), float(data), float(expert), float(p)) for p in stages)
    table = np.array(rows, dtype=np.float64)
    return Space(*(table[:, i] for i in range(4)))


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def search(
    transformer: Transformer,
    hardware: Hardware,
    traffic: Traffic,
    *,
    accelerators: int | None = None,
    precision: str = "fp8",
    kv_precision: str | None = None,
    software: str = "trtllm",
    modes: tuple[str, ...] = ("aggregated", "disaggregated"),
    speculation: Speculation | None = None,
    parameters: Mapping[str, Any] | None = None,
    power_cap_w: Array | None = None,
) -> ServingResults:
    """Evaluate every layout at every batch, aggregated and disaggregated.

    Parameters
    ----------
    transformer, hardware, traffic
        Model, machine, requests.
    accelerators : int, optional
        How many there are in all; default one system.
    modes : tuple of str
        ``"aggregated"``, ``"disaggregated"``.
    precision, kv_precision, software, speculation, parameters, power_cap_w
        As `gigaforge.perf.inference.evaluate`.

    Returns
    -------
    ServingResults
        All configurations that fit; use `ServingResults.pareto` and `ServingResults.best`.

    Raises
    ------
    InputError
        The chip lacks the precision, or the arguments contradict each other.

    """
    total = int(accelerators or hardware.accelerators)
    if total < 1:
        raise InputError(f"{total} accelerators; at least one is needed", "gpus")
    unknown = set(modes) - {"aggregated", "disaggregated"}
    if unknown or not modes:
        raise InputError(f"{sorted(unknown)}; aggregated and disaggregated are known", "modes")
    engine = Engine.of(
        transformer,
        hardware,
        precision=precision,
        kv_precision=kv_precision,
        software=software,
        speculation=speculation,
        parameters=parameters,
    )
    start = time.perf_counter()
    space = layouts(transformer, hardware, total)
    parts = []
    whole = _with_batches(space, traffic, total)
    if "aggregated" in modes:
        parts.append(run(engine, traffic, whole, power_cap_w))
    if "disaggregated" in modes:
        pairs = _pairs(engine, traffic, space, total)
        if pairs is not None:
            parts.append(run(engine, traffic, pairs, power_cap_w))
    result = _join(parts)
    low, high = _interval(parameters, hardware, software)
    wall = time.perf_counter() - start
    kept = result.take(np.flatnonzero(result.feasible))
    return replace(kept, evaluated=result.evaluated, wall_s=wall, low=low, high=high)


def _with_batches(space: Space, traffic: Traffic, total: int) -> ServingConfigurations:
    """Every layout at every batch; or at the one batch that a given concurrency puts on each replica."""
    if traffic.concurrency is not None:
        batch = np.maximum(traffic.concurrency / np.maximum(np.floor(total / space.accelerators), 1.0), 1.0)
        return ServingConfigurations.aggregated(
            space.accelerators, batch, space.attention_data_parallel, space.expert_parallel, space.pipeline_parallel
        )
    columns = [np.repeat(x, len(_BATCHES)) for x in space]
    batch = np.tile(_BATCHES, len(space.accelerators)) * columns[1] * columns[3]
    return ServingConfigurations.aggregated(columns[0], batch, columns[1], columns[2], columns[3])


def _pairs(engine: Engine, traffic: Traffic, space: Space, total: int) -> ServingConfigurations | None:
    """Decode workers crossed with prefill workers, in the ratio that keeps the prefill pool at its planned load."""
    if traffic.concurrency is not None or total < 2:
        return None
    single = np.flatnonzero(space.pipeline_parallel == 1)
    decode = _with_batches(Space(*(x[single] for x in space)), replace(traffic, concurrency=None), total)
    fits = run(engine, traffic, decode)
    decode = decode.take(np.flatnonzero(fits.feasible))
    prefill = _prefill_workers(engine, traffic, Space(*(x[single] for x in space)))
    if not len(decode) or prefill is None:
        return None
    workers, seconds = prefill
    n, m = len(decode), len(seconds)
    i, j = np.repeat(np.arange(n), m), np.tile(np.arange(m), n)
    rows = decode.take(i)
    # Requests per second of a decode worker, before prefill steals from it.
    step = _decode_only(engine, traffic, decode)
    demand = (decode.batch / (traffic.output_len * step))[i]
    share = demand * seconds[j] / _PREFILL_LOAD
    keep = rows.accelerators + np.maximum(share, 1e-3) * workers.accelerators[j] <= total
    out = replace(
        rows,
        prefill_accelerators=workers.accelerators[j],
        prefill_attention_data_parallel=workers.attention_data_parallel[j],
        prefill_expert_parallel=workers.expert_parallel[j],
        prefill_share=share,
    )
    out = out.take(np.flatnonzero(keep))
    return out if len(out) else None


def _decode_only(engine: Engine, traffic: Traffic, c: ServingConfigurations) -> Any:

    layout = Layout(c.accelerators, c.attention_data_parallel, c.expert_parallel, c.pipeline_parallel)
    m = engine.machine
    context = traffic.input_len + 0.5 * traffic.output_len
    ranks = c.batch / c.attention_data_parallel
    return decode_phase(m.shapes, m.rates, layout, m.effects, ranks, context, m.drafting).seconds


def _prefill_workers(engine: Engine, traffic: Traffic, space: Space) -> tuple[Space, Any] | None:
    """Prefill layouts that hold the weights, and their seconds per request; dominated ones are dropped."""
    c = ServingConfigurations.aggregated(
        space.accelerators, 1.0 * space.attention_data_parallel, space.attention_data_parallel, space.expert_parallel
    )
    r = run(engine, traffic, c)
    fits = np.flatnonzero(r.feasible)
    if not len(fits):
        return None

    layout = Layout(space.accelerators[fits], space.attention_data_parallel[fits], space.expert_parallel[fits], 1.0)
    new = traffic.input_len * (1.0 - traffic.prefix_hit)
    past = traffic.input_len * traffic.prefix_hit
    m = engine.machine
    phase = [prefill_phase(m.shapes, m.rates, layout, m.effects, new, past, batched=b).seconds for b in (True, False)]
    cost = phase[0] * space.accelerators[fits]
    order = np.lexsort((phase[1], cost))
    best, keep = np.inf, []
    for k in order:
        if phase[1][k] < best * 0.999:
            best = phase[1][k]
            keep.append(k)
    chosen = fits[keep]
    return Space(*(x[chosen] for x in space)), phase[0][keep]


def _join(parts: list[ServingResults]) -> ServingResults:
    if not parts:
        raise InputError("disaggregation needs a rate or no load given, and at least two accelerators", "modes")
    if len(parts) == 1:
        return parts[0]
    fields: dict[str, Any] = {}
    for name, value in vars(parts[0]).items():
        if isinstance(value, np.ndarray):
            fields[name] = np.concatenate([getattr(p, name) for p in parts])
    names = vars(parts[0].configurations)
    config = ServingConfigurations(
        **{k: np.concatenate([getattr(p.configurations, k) for p in parts]) for k in names}
    )
    return replace(parts[0], configurations=config, evaluated=sum(p.evaluated for p in parts), **fields)
