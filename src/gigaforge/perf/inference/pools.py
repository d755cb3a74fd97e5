"""Separate prefill and decode pools of whole workers, in numbers that match their rates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gigaforge.perf.inference.evaluate import Engine, run
from gigaforge.perf.inference.operate import prefills
from gigaforge.perf.inference.results import ServingConfigurations
from gigaforge.perf.inference.shapes import Layout
from gigaforge.perf.inference.space import Space, with_batches
from gigaforge.perf.inference.steady import decode_phase
from gigaforge.perf.inference.traffic import Traffic

__all__ = ["PREFILL_LOAD", "PrefillWorkers", "decode_rate", "match", "paired", "prefill_workers", "worker_counts"]

PREFILL_LOAD: Final = 0.85
"""Utilisation that a prefill pool is planned for (assumption: an M/D/1 queue waits three services there)."""

Floats = NDArray[np.float64]


class PrefillWorkers(NamedTuple):
    """Layouts that hold the weights and that no other beats in both cost and latency; seconds of one of many prefills."""

    space: Space
    seconds: Floats


def match(engine: Engine, traffic: Traffic, space: Space, total: int) -> ServingConfigurations | None:
    """Decode workers crossed with prefill workers, as many of each as the accelerators hold; None where none fit.

    Without a concurrency, the prefill pool is large enough for what the decode pool can take, and the decode pool as large
    as leaves room for it. With one, the requests spread over the decode workers, and every number of those is tried.
    """
    single = space.take(np.flatnonzero(space.pipeline_parallel == 1))
    workers = prefill_workers(engine, traffic, single)
    if total < 2 or workers is None:
        return None
    if traffic.concurrency is not None:
        return _at_concurrency(engine, traffic, single, workers, total)
    decode = with_batches(single, total)
    decode = decode.take(np.flatnonzero(run(engine, traffic, decode).feasible))
    if not len(decode):
        return None
    i, j = _crossed(len(decode), len(workers.seconds))
    share = decode_rate(engine, traffic, decode)[i] * workers.seconds[j] / PREFILL_LOAD
    size, prefill_size = decode.accelerators[i], workers.space.accelerators[j]
    many, prefills = np.zeros(len(i)), np.zeros(len(i))
    for n in worker_counts(total // int(np.min(size))):
        need = np.maximum(np.ceil(n * share - 1e-9), 1.0)
        fits = n * size + need * prefill_size <= total
        many, prefills = np.where(fits, float(n), many), np.where(fits, need, prefills)
    keep = np.flatnonzero(many > 0)
    return paired(decode.take(i[keep]), workers, j[keep], many[keep], prefills[keep]) if len(keep) else None


def _at_concurrency(
    engine: Engine, traffic: Traffic, space: Space, workers: PrefillWorkers, total: int
) -> ServingConfigurations | None:
    requests = float(traffic.concurrency or 1.0)
    found = []
    for n in worker_counts(min(total, int(requests))):
        some = space.take(np.flatnonzero(n * space.accelerators < total))
        if not len(some.accelerators):
            break
        decode = ServingConfigurations.aggregated(some[0], max(requests / n, 1.0), *some[1:])
        i, j = _crossed(len(decode), len(workers.seconds))
        room = np.floor((total - n * decode.accelerators[i]) / workers.space.accelerators[j])
        need = np.ceil(n * decode_rate(engine, traffic, decode)[i] * workers.seconds[j] / PREFILL_LOAD)
        prefills = np.minimum(np.maximum(need, 1.0), room)
        keep = np.flatnonzero(prefills >= 1.0)
        found.append(paired(decode.take(i[keep]), workers, j[keep], np.full(len(keep), float(n)), prefills[keep]))
    if not found:
        return None
    names = vars(found[0])
    return ServingConfigurations(**{k: np.concatenate([getattr(c, k) for c in found]) for k in names})


def worker_counts(most: int) -> list[int]:
    """Numbers of workers to try: each up to sixteen, then about an eighth apart, and the largest."""
    out, n = [], 1
    while n < most:
        out.append(n)
        n += max(1, n // 8)
    return [*out, max(most, 1)]


def _crossed(n: int, m: int) -> tuple[Any, Any]:
    return np.repeat(np.arange(n), m), np.tile(np.arange(m), n)


def paired(
    decode: ServingConfigurations, workers: PrefillWorkers, which: Any, many: Floats, prefills: Floats
) -> ServingConfigurations:
    """So many decode workers with so many prefill workers of the kind `which`."""
    kind = workers.space.take(which)
    return replace(
        decode,
        prefill_accelerators=kind.accelerators,
        prefill_attention_data_parallel=kind.attention_data_parallel,
        prefill_expert_parallel=kind.expert_parallel,
        prefill_share=prefills / many,
        replicas=many,
    )


def decode_rate(engine: Engine, traffic: Traffic, c: ServingConfigurations) -> Any:
    """Requests per second that one decode worker takes, with nothing but decode to do. [1/s]"""
    layout = Layout(c.accelerators, c.attention_data_parallel, c.expert_parallel, c.pipeline_parallel)
    m = engine.machine
    context = traffic.input_len + 0.5 * traffic.output_len * (1.0 + traffic.output_spread**2)
    ranks = c.batch / c.attention_data_parallel
    step = decode_phase(m.shapes, m.rates, layout, m.effects, ranks, context, m.drafting)
    if engine.power_cap_w is not None:
        rates = engine.slowed(step).machine.rates
        step = decode_phase(m.shapes, rates, layout, m.effects, ranks, context, m.drafting)
    # An answer of one token leaves nothing to decode; the step bounds how fast its worker turns requests over.
    return c.batch / (traffic.output_len * step.seconds)


def prefill_workers(engine: Engine, traffic: Traffic, space: Space) -> PrefillWorkers | None:
    """Prefill layouts that hold the weights, and their seconds per request; dominated ones are dropped."""
    c = ServingConfigurations.aggregated(
        space.accelerators, 1.0 * space.attention_data_parallel, space.attention_data_parallel, space.expert_parallel
    )
    fits = np.flatnonzero(run(engine, traffic, c).feasible)
    if not len(fits):
        return None
    some = space.take(fits)
    layout = Layout(some.accelerators, some.attention_data_parallel, some.expert_parallel, 1.0)
    new, past = traffic.input_len * (1.0 - traffic.prefix_hit), traffic.input_len * traffic.prefix_hit
    m = engine.machine
    full, single = prefills(m, layout, new, past)
    if engine.power_cap_w is not None:
        full, single = prefills(engine.slowed(full).machine, layout, new, past)
    many, alone = np.asarray(full.seconds), np.asarray(single.seconds * some.attention_data_parallel)
    best, keep = np.inf, []
    for k in np.lexsort((alone, many * some.accelerators)):
        if alone[k] < best * 0.999:
            best = alone[k]
            keep.append(k)
    return PrefillWorkers(some.take(keep), many[keep])
