"""A replica in steady state: what one decode step and one prefill take, and how they share the engine.

In a cycle of `output_len` steps every running request is replaced once, so each step carries the prefill of
``batch / output_len`` requests: decode is slowed by exactly that work (continuous batching, [1]_). A request waits
for the pass in progress, its own prefill, and for some of the others that arrive with it.

References
----------
.. [1] A. Agrawal et al., "Taming Throughput-Latency Tradeoff in LLM Inference with Sarathi-Serve", OSDI 2024,
   https://arxiv.org/abs/2403.02310.

"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from gigaforge.perf.arrays import Array
from gigaforge.perf.inference.effects import Effects
from gigaforge.perf.inference.forward import Layout, Pass, Shapes, forward
from gigaforge.perf.inference.rates import Rates
from gigaforge.perf.inference.traffic import Speculation

__all__ = ["CHUNK_TOKENS", "Phase", "Steady", "combine_decode", "combine_prefill", "decode_phase", "prefill_phase"]

CHUNK_TOKENS: Final = 8192.0
"""Tokens that one prefill pass takes on an attention rank (vLLM's max_num_batched_tokens on large GPUs and the usual
setting of TensorRT-LLM's max_num_tokens: https://docs.vllm.ai/en/latest/configuration/optimization.html)."""


class Phase(NamedTuple):
    """A pass or a request's worth of it. [s], [FLOP], [byte] per accelerator"""

    seconds: Any
    flop: Any
    hbm_bytes: Any


class Steady(NamedTuple):
    """What the two phases cost at one batch."""

    step: Phase
    prefill: Phase
    first: Phase


def combine_decode(p: Pass, e: Effects, layout: Layout, sequences: Array) -> Any:
    """Seconds of one decode step from its parts and the software's quantities."""
    doublings = np.log2(2.0 * np.asarray(layout.stage))
    return (
        e.decode * (p.linear_s + p.elementwise_s)
        + e.attention * p.attention_s
        + e.experts_decode * p.experts_s
        + e.wire * p.wire_s
        + e.kernel_s * p.kernels
        + e.message_s * p.messages * doublings
        + e.step_s
        + e.sequence_s * sequences * layout.attention_data_parallel
    )


def combine_prefill(p: Pass, e: Effects, layout: Layout, passes: Array = 1.0) -> Any:
    """Seconds of one prefill (in so many passes) from its parts and the software's quantities."""
    doublings = np.log2(2.0 * np.asarray(layout.stage))
    fixed = e.kernel_s * p.kernels + e.message_s * p.messages * doublings + e.prefill_step_s
    return (
        e.prefill * (p.linear_s + p.attention_s + p.elementwise_s)
        + e.experts_prefill * p.experts_s
        + e.wire * p.wire_s
        + fixed * passes
    )


def decode_phase(
    shapes: Shapes,
    rates: Rates,
    layout: Layout,
    effects: Effects,
    sequences: Array,
    context: Array,
    speculation: Speculation | None = None,
) -> Phase:
    """One decode step with `sequences` per attention rank at a mean context; per *kept* token with speculation.

    Pipeline stages take turns with an equal share of the batch, so a token passes all of them with its share.
    """
    share = np.maximum(sequences / np.asarray(layout.pipeline_parallel), 1.0)
    drafts = speculation.draft_tokens if speculation else 0
    p = forward(shapes, rates, layout, share, 1.0 + drafts, context, decode=True)
    seconds = combine_decode(p, effects, layout, share)
    kept = 1.0
    if speculation and drafts:
        seconds = seconds * (1.0 + drafts * speculation.draft_cost)
        kept = speculation.tokens_per_step
    # Per accelerator of one stage and token: a stage holds 1/pp of the layers and serves pp shares per step.
    return Phase(seconds / kept, p.flop / kept, p.hbm_bytes / kept)


def prefill_phase(
    shapes: Shapes,
    rates: Rates,
    layout: Layout,
    effects: Effects,
    new_tokens: Array,
    past: Array,
    *,
    batched: bool,
) -> Phase:
    """Prefill of one request: alone (`batched` false), or its share of full passes of `CHUNK_TOKENS`."""
    tokens = np.asarray(new_tokens, dtype=np.float64)
    many = np.maximum(1.0, CHUNK_TOKENS / tokens) if batched else 1.0
    p = forward(shapes, rates, layout, many, tokens, past, decode=False)
    seconds = combine_prefill(p, effects, layout, np.maximum(np.ceil(tokens / CHUNK_TOKENS), 1.0))
    # Stages overlap when many requests stream through them; one request alone passes all of them in turn.
    ranks = many * layout.attention_data_parallel * (np.asarray(layout.pipeline_parallel) if batched else 1.0)
    each = np.asarray(many * layout.attention_data_parallel)
    return Phase(seconds / ranks, p.flop / each, p.hbm_bytes / each)
