"""How a serving system runs under a load: latency, throughput, memory and utilisation, on arrays.

This is the whole model in one call; `evaluate`, `search`, validation and calibration all go through it.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.special import ndtr

from gigaforge.perf.arrays import Array
from gigaforge.perf.inference.effects import Effects
from gigaforge.perf.inference.memory import Memory, Parts, kv_bytes, memory
from gigaforge.perf.inference.rates import Rates
from gigaforge.perf.inference.results import ServingConfigurations
from gigaforge.perf.inference.shapes import Layout, Shapes
from gigaforge.perf.inference.steady import CHUNK_TOKENS, Drafting, Phase, decode_phase, prefill_phase

__all__ = ["Machine", "Operation", "Requests", "operate", "prefills", "slots_taken"]

_TRANSFER_EFFICIENCY: Final = 0.6
"""Share of the link's line rate that a KV transfer reaches (assumption: NIXL and UCX runs report 0.5-0.8)."""
_LOAD_LIMIT: Final = 0.95
"""Queues are evaluated up to this utilisation; beyond it throughput saturates instead."""
_TPOT_TAIL: Final = (1.08, 0.35)
"""p99 over mean TPOT: 1.08 + 0.35·(share of prefill work in a step). The 14 MLPerf v5.1 server and interactive logs that
print both have 1.09-1.36 (https://github.com/mlcommons/inference_results_v5.1)."""
_TTFT_TAIL: Final = 1.7
"""p99 over mean TTFT, at least: the same logs have 1.7-3.2."""
_UNEVEN: Final = 0.08
"""Spread of the requests on one of several workers over that of random dealing. Dealt in turn, with answers of 0.8 to 1 of a
length, a simulated closed loop of exactly as many requests as slots waits 2 % of a decode (3 to 15 workers of 1 to 4 slots)."""
_TIGHT: Final = 1e-6
"""Narrowest bracket, in logarithms, that false position starts from."""
_ROUNDS: Final = 10
"""Steps of false position: published runs are then known to a per mille."""


class Requests(NamedTuple):
    """Lengths [token], share of the prompt cached, whether the loop is closed, standard deviation of answers over mean."""

    input_len: Any
    output_len: Any
    prefix_hit: Any = 0.0
    closed: Any = False
    output_spread: Any = 0.0


class Machine(NamedTuple):
    """Model, machine and software of every case, as arrays that broadcast with the configurations; tokens of a prefill pass;
    decode steps that a request waits before the scheduler looks at it; requests that one replica (decode worker) runs at a
    time, and how many replicas a closed loop's requests are dealt to in turn.
    """

    shapes: Shapes
    parts: Parts
    rates: Rates
    effects: Effects
    hbm_bytes: Array
    drafting: Drafting = Drafting()
    chunk_tokens: Array = CHUNK_TOKENS
    admission_steps: Array = 0.0
    slots: Array = np.inf
    workers: Array = 1.0


class Operation(NamedTuple):
    """Result by configuration: latencies [s] (TPOT zero where an answer has one token, and so no time between tokens), requests/s and accelerators of one replica (with its prefill share), then
    a decode step, a prefill among others and a prefill alone [s].
    """

    ttft_s: Any
    ttft_p99_s: Any
    tpot_s: Any
    tpot_p99_s: Any
    requests_per_s: Any
    accelerators: Any
    memory: Memory
    kv_used_bytes: Any
    flop_s: Any
    hbm_bytes_s: Any
    step_s: Any
    prefill_s: Any
    first_s: Any


def operate(m: Machine, q: Requests, c: ServingConfigurations) -> Operation:
    """Run every configuration in steady state.

    A closed loop keeps `batch` requests in flight: what the cache cannot hold waits outside. An open loop has arrivals
    at random at the rate that keeps `batch` in flight on average.
    """
    layout = Layout(c.accelerators, c.attention_data_parallel, c.expert_parallel, c.pipeline_parallel)
    split, pool = _pool(c, layout)
    # Answers in flight are length-biased: half of E[L²]/E[L] is written on average.
    context = q.input_len + 0.5 * q.output_len * (1.0 + np.square(q.output_spread))
    new, past = q.input_len * (1.0 - q.prefix_hit), q.input_len * q.prefix_hit
    pass_tokens = np.maximum(np.minimum(m.chunk_tokens, new), np.minimum(m.chunk_tokens, CHUNK_TOKENS))
    mem = memory(m.parts, m.shapes, m.rates, layout, m.hbm_bytes, context, pass_tokens)
    ranks = c.attention_data_parallel
    room = np.maximum(mem.capacity_tokens * ranks / context, 1.0)
    # Requests of separate pools hold a slot while they decode only.
    limit = np.minimum(room, np.where(split, np.inf, m.slots))
    running = np.where(q.closed, np.minimum(c.batch, limit), c.batch)
    many, one = prefills(m, pool, new, past)
    full = many
    many = _thinned(many, one, m.effects.solo)
    supply = np.where(split, c.prefill_share, 1.0) / many.seconds
    decoded = _decoded(q)
    step, tpot, felt = _decode(m, q, layout, split, running, context, many)
    wait = _burst_wait_s(m, q, c, layout, split, running, full)
    own = _own_s(m, q, c, layout, pool, one, tpot)
    decoding = running
    if np.any(q.closed):
        share = decoded * tpot / (own + wait + decoded * tpot)
        in_pool = np.where(split, np.minimum(1.0, supply * decoded * tpot / running), 1.0)
        decoding = np.where(q.closed, np.maximum(running * np.minimum(share, in_pool), 1.0), running)
        step, tpot, felt = _decode(m, q, layout, split, decoding, context, many)
    life = own + np.where(q.closed, wait, 0.0) + decoded * tpot
    rate = np.minimum(running / life, supply)
    if np.any(split & q.closed):
        behind = _Behind(split & q.closed, running, own + wait, supply, decoding, rate)
        decoding, rate = _decoding_apart(m, q, layout, behind, context)
        step, tpot, felt = _decode(m, q, layout, split, np.maximum(decoding, 1e-9), context, many)
        rate = np.minimum(rate, running / np.where(behind.apart, own + wait + decoded * tpot, 1e-12))
    load = np.clip(rate / supply, 0.0, _LOAD_LIMIT)
    ttft, ttft_p99 = _first_token(q, c, own, wait, running, rate, load, many, tpot)
    flop_s, bytes_s, total = _use(c, q, step, many, rate, decoding, split)
    tail = _TPOT_TAIL[0] + _TPOT_TAIL[1] * felt / np.maximum(tpot, 1e-12)
    used = running / ranks * context * mem.kv_bytes_per_token
    return Operation(
        ttft,
        ttft_p99,
        tpot,
        tpot * tail,
        rate,
        total,
        mem,
        used,
        flop_s,
        bytes_s,
        step.seconds,
        many.seconds,
        one.seconds,
    )


class _Behind(NamedTuple):
    """Closed loops with pools of their own: which rows, requests in flight, seconds before decoding, requests/s that prefill
    supplies; requests that decode in all other rows, and their rate.
    """

    apart: Any
    running: Any
    before_s: Any
    supply: Any
    decoding: Any
    rate: Any


def _decoding_apart(m: Machine, q: Requests, layout: Layout, b: _Behind, context: Any) -> tuple[Any, Any]:
    """Requests that decode on one worker, and their rate.

    As many stand behind prefill (decoding, or waiting for a slot) as fill the loop together with those before, unless prefill
    supplies fewer. Both bounds rise with their number: false position (Illinois) on its logarithm finds where the
    first binds, from no fewer than the fastest step leaves up to all.
    """
    decoded = _decoded(q)

    def at(number: Any) -> tuple[Any, Any, Any]:
        n = np.exp(number)
        taken = slots_taken(n, m.slots, m.workers)
        rate = taken / np.maximum(decoded * _step_s(m, layout, taken, context), 1e-12)
        return np.log(np.maximum((rate * b.before_s + n) / b.running, rate / b.supply)), taken, rate

    least_s = np.maximum(decoded * _step_s(m, layout, 1.0, context), 1e-12)
    fewest = np.minimum(b.running * least_s / (b.before_s + least_s), b.supply * least_s)
    high = np.log(b.running) + np.zeros_like(fewest)
    low = np.minimum(np.log(np.minimum(fewest, b.running)), high - _TIGHT)
    below, above = np.minimum(at(low)[0], -1e-12), np.maximum(at(high)[0], 1e-12)
    last: Any = 0.0
    best: Any = np.inf
    taken, rate, width = b.decoding, b.rate, (high - low) * 4.0
    for _ in range(_ROUNDS):
        # A bracket that two steps did not halve is halved.
        slow, width = high - low > 0.5 * width, high - low
        middle = np.where(slow, 0.5 * (low + high), (low * above - high * below) / (above - below))
        value, slots, flow = at(middle)
        nearer, under = np.abs(value) < best, value < 0.0
        best, taken, rate = (
            np.where(nearer, new, old) for new, old in ((np.abs(value), best), (slots, taken), (flow, rate))
        )
        # An end that stays twice is weighed half, or it would never move.
        above = np.where(under, np.where(last < 0.0, 0.5 * above, above), np.maximum(value, 1e-12))
        below = np.where(under, np.minimum(value, -1e-12), np.where(last > 0.0, 0.5 * below, below))
        low, high = np.where(under, middle, low), np.where(under, high, middle)
        last = np.where(under, -1.0, 1.0)
    return np.where(b.apart, taken, b.decoding), np.where(b.apart, np.minimum(rate, b.supply), b.rate)


def _step_s(m: Machine, layout: Layout, batch: Any, context: Any) -> Any:
    """Seconds of a decode step that nothing interrupts."""
    ranks = np.maximum(batch, 1e-9) / layout.attention_data_parallel
    return decode_phase(m.shapes, m.rates, layout, m.effects, ranks, context, m.drafting).seconds


def _own_s(
    m: Machine, q: Requests, c: ServingConfigurations, layout: Layout, pool: Layout, one: Phase, tpot: Any
) -> Any:
    """Time to first token of a request alone: front end, its own prefill, hand-over or the scheduler's next look. [s]"""
    return (
        m.effects.ttft_s
        + m.effects.first * one.seconds * pool.attention_data_parallel
        + np.where(
            c.disaggregated,
            m.effects.handoff_s + _transfer_s(m, q, c, layout),
            np.where(c.attention_data_parallel > 1.0, m.effects.rank_wait, m.effects.admit) * tpot,
        )
        + m.admission_steps * tpot
    )


def slots_taken(batch: Array, slots: Array, workers: Array) -> Any:
    """Slots of one worker in use where `batch` requests a worker are dealt to workers in turn.

    The mean of the smaller of slots and requests, these spread as `_UNEVEN` of random dealing would spread them.
    """
    spread = _UNEVEN * np.sqrt(np.maximum(batch * (1.0 - 1.0 / workers), 1e-12))
    z = np.clip((np.where(np.isfinite(slots), slots, 1e12) - batch) / spread, -30.0, 30.0)
    over = spread * (np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi) - z * ndtr(-z))
    return np.minimum(np.maximum(batch - over, 0.0), slots)


def prefills(m: Machine, pool: Layout, new: Any, past: Any) -> tuple[Phase, Phase]:
    """A request's share of full prefill passes, and of passes with one request on each attention rank.

    A pass of data-parallel attention waits for its fullest rank.
    """
    ragged = np.where(np.asarray(pool.attention_data_parallel) > 1.0, m.effects.ragged, 1.0)
    many, one = (
        prefill_phase(m.shapes, m.rates, pool, m.effects, new, past, batched=b, chunk_tokens=m.chunk_tokens)
        for b in (True, False)
    )
    return many._replace(seconds=many.seconds * ragged), one._replace(seconds=one.seconds * ragged)


def _thinned(many: Phase, one: Phase, solo: Array) -> Phase:
    """Passes in service are not full: between a shared pass and one request a pass, geometrically."""
    share = np.clip(solo, 0.0, 1.0)
    return many._replace(seconds=many.seconds * (np.maximum(one.seconds / many.seconds, 1.0)) ** share)


def _pool(c: ServingConfigurations, layout: Layout) -> tuple[Any, Layout]:
    """Which rows prefill elsewhere, and the layout that prefills."""
    split = c.disaggregated
    if not np.any(split):
        return split, layout
    return split, Layout(
        np.where(split, c.prefill_accelerators, c.accelerators),
        np.where(split, c.prefill_attention_data_parallel, c.attention_data_parallel),
        np.where(split, c.prefill_expert_parallel, c.expert_parallel),
        np.where(split, 1.0, c.pipeline_parallel),
    )


def _decode(
    m: Machine, q: Requests, layout: Layout, split: Any, batch: Any, context: Any, many: Phase
) -> tuple[Phase, Any, Any]:
    """Decode step, time per output token, and the part of it that is other requests' prefill. [s]"""
    ranks = batch / layout.attention_data_parallel
    step = decode_phase(m.shapes, m.rates, layout, m.effects, ranks, context, m.drafting)
    felt = np.where(split, 0.0, m.effects.interference * batch * many.seconds / q.output_len)
    alone = np.asarray(_decoded(q)) == 0.0
    if np.any(alone):
        felt = np.where(alone, 0.0, felt)
        return step, np.where(alone, 0.0, step.seconds + felt), felt
    return step, step.seconds + felt, felt


def _decoded(q: Requests) -> Any:
    """Tokens that decode steps write: none where the whole answer is the one token of the prefill."""
    return np.where(np.asarray(q.output_len) > 1.0, q.output_len, 0.0)


def _burst_wait_s(
    m: Machine, q: Requests, c: ServingConfigurations, layout: Layout, split: Any, running: Any, many: Phase
) -> Any:
    """Closed loop: wait for the share of the other requests that start together with one's own. [s]"""
    if not np.any(q.closed):
        return 0.0
    servers = np.where(split, np.maximum(c.prefill_share, 1e-9), 1.0)
    others = np.maximum(running - layout.attention_data_parallel, 0.0)
    return m.effects.burst * others * many.seconds / servers


def _first_token(
    q: Requests,
    c: ServingConfigurations,
    own: Any,
    wait: Any,
    running: Any,
    rate: Any,
    load: Any,
    many: Phase,
    tpot: Any,
) -> tuple[Any, Any]:
    """TTFT, mean and p99. Open loop: M/D/1 wait, and its exponential tail for the p99. [s]"""
    queue = load / (2.0 * (1.0 - load)) * many.seconds
    tail = many.seconds * np.log(np.maximum(100.0 * load, 1.0)) / (2.0 * (1.0 - load))
    mean = own + queue
    p99 = np.maximum(own + tail, _TTFT_TAIL * mean)
    if np.any(q.closed):
        outside = np.maximum(c.batch - running, 0.0) / rate
        starved = np.maximum(running / rate - own - wait - _decoded(q) * tpot, 0.0)
        closed = own + wait + outside + starved
        mean = np.where(q.closed, closed, mean)
        p99 = np.where(q.closed, np.maximum(_TTFT_TAIL * closed, own + 5.0 * wait + outside), p99)
    return mean, p99


def _transfer_s(m: Machine, q: Requests, c: ServingConfigurations, layout: Layout) -> Any:
    """One prompt's cache from a prefill to a decode worker, over NVLink where both share a domain. [s]"""
    each = kv_bytes(m.shapes, m.rates, layout, q.input_len)
    inside = c.accelerators + c.prefill_accelerators <= m.rates.domain
    link = np.where(inside, m.rates.scale_up, m.rates.scale_out)
    return q.input_len * each / (link * _TRANSFER_EFFICIENCY)


def _use(
    c: ServingConfigurations, q: Requests, step: Phase, many: Phase, rate: Any, decoding: Any, split: Any
) -> tuple[Any, Any, Any]:
    """FLOP/s and HBM byte/s per accelerator, mean over all in use; and how many those are."""
    total = c.accelerators + c.prefill_share * c.prefill_accelerators
    # With less than one request in flight on average, the engine idles in between.
    steps = rate * _decoded(q) / np.maximum(decoding, 1.0)
    here = c.accelerators / total
    there = np.where(split, (total - c.accelerators) / total / np.maximum(c.prefill_share, 1e-9), 1.0)
    flop_s = steps * step.flop * here + rate * many.flop * there
    bytes_s = steps * step.hbm_bytes * here + rate * many.hbm_bytes * there
    return flop_s, bytes_s, total
