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
from gigaforge.perf.inference.forward import Pass, Routing, forward
from gigaforge.perf.inference.rates import Rates
from gigaforge.perf.inference.shapes import Layout, Shapes

__all__ = [
    "CHUNK_TOKENS",
    "NO_DRAFTS",
    "Drafting",
    "Phase",
    "combine_decode",
    "combine_prefill",
    "decode_phase",
    "prefill_phase",
]

CHUNK_TOKENS: Final = 8192.0
"""Tokens that one prefill pass takes on an attention rank (vLLM's max_num_batched_tokens on large GPUs and the usual
setting of TensorRT-LLM's max_num_tokens: https://docs.vllm.ai/en/latest/configuration/optimization.html)."""


_MOE_KERNELS: Final = 12.0
"""Launches of one layer's routing, permutation and grouped products without a graph (counted in traces of fused MoE)."""

_LATENT_KERNELS: Final = 10.0
"""Launches that latent attention adds to a layer's prefill: down- and up-projections of queries and keys, their norms and
quantisation, rotary part, concatenations (counted in DeepSeek-V3's modelling code, https://arxiv.org/abs/2412.19437)."""


class Phase(NamedTuple):
    """A pass or a request's worth of it. [s], [FLOP], [byte] per accelerator"""

    seconds: Any
    flop: Any
    hbm_bytes: Any


_PER_DOUBLING: Final = 0.3
"""Growth of a small collective's latency per doubling of ranks over its start: NCCL and one-shot all-reduce on NVLink start at
4-8 us and add 0.1-2.7 us per rank (aiconfigurator's tables, see `gigaforge.perf.kernels`)."""
_BUBBLE: Final = 0.06
"""Share lost per doubling of pipeline stages to uneven passes (assumption: continuous batching leaves no two micro-batches
alike; no published serving table varies pipeline depth alone)."""


class Drafting(NamedTuple):
    """Speculative decoding: tokens drafted per step, tokens kept per step, cost of drafting one over a step."""

    tokens: Any = 0.0
    kept: Any = 1.0
    cost: Any = 0.0


NO_DRAFTS: Final = Drafting()
"""Plain decoding."""


def combine_decode(p: Pass, e: Effects, layout: Layout, sequences: Array) -> Any:
    """Seconds of one decode step from its parts and the software's quantities."""
    doublings = 1.0 + _PER_DOUBLING * np.log2(np.asarray(layout.stage, dtype=np.float64))
    return (
        e.decode * (p.linear_s + p.elementwise_s)
        + np.where(p.latent, e.latent, e.attention) * p.attention_s
        + e.experts_decode * p.experts_s
        + e.wire * p.wire_s
        + e.kernel_s * p.kernels
        + e.moe_s * p.moe_layers
        + e.message_s * p.messages * doublings
        + e.step_s
        + e.sequence_s * sequences * layout.attention_data_parallel
    )


def combine_prefill(p: Pass, e: Effects, layout: Layout, passes: Array = 1.0) -> Any:
    """Seconds of one prefill (in so many passes): the device, or the host where it launches slower than they run."""
    doublings = 1.0 + _PER_DOUBLING * np.log2(np.asarray(layout.stage, dtype=np.float64))
    device = (
        e.prefill * (p.linear_s + p.attention_s + p.elementwise_s)
        + e.experts_prefill * p.experts_s
        + e.wire * p.wire_s
        + (e.kernel_s * p.kernels + e.moe_s * p.moe_layers + e.message_s * p.messages * doublings) * passes
    )
    launches = p.kernels + _MOE_KERNELS * p.moe_layers + _LATENT_KERNELS * p.latent_layers
    host = e.eager_s * launches * passes
    return np.sqrt(device * device + host * host) + e.prefill_step_s * passes


def _uneven(layout: Layout) -> Any:
    return 1.0 + _BUBBLE * np.log2(np.asarray(layout.pipeline_parallel, dtype=np.float64))


def _routing(e: Effects) -> Routing:
    return Routing(np.minimum(e.diversity, 1.0), np.maximum(e.imbalance, 1.0))


def decode_phase(
    shapes: Shapes,
    rates: Rates,
    layout: Layout,
    effects: Effects,
    sequences: Array,
    context: Array,
    drafting: Drafting = NO_DRAFTS,
) -> Phase:
    """One decode step with `sequences` per attention rank at a mean context; per *kept* token with speculation.

    Pipeline stages take turns with an equal share of the batch, so a token passes all of them with its share.
    """
    share = np.maximum(sequences / np.asarray(layout.pipeline_parallel), 1.0)
    p = forward(shapes, rates, layout, share, 1.0 + drafting.tokens, context, decode=True, routing=_routing(effects))
    seconds = combine_decode(p, effects, layout, share) * (1.0 + drafting.tokens * drafting.cost)
    seconds = seconds * _uneven(layout)
    return Phase(seconds / drafting.kept, p.flop / drafting.kept, p.hbm_bytes / drafting.kept)


def prefill_phase(
    shapes: Shapes,
    rates: Rates,
    layout: Layout,
    effects: Effects,
    new_tokens: Array,
    past: Array,
    *,
    batched: bool,
    chunk_tokens: Array = CHUNK_TOKENS,
) -> Phase:
    """Prefill of one request: alone (`batched` false), or its share of full passes.

    A prompt longer than `chunk_tokens` takes several passes, and shorter ones share a pass; with infinite `chunk_tokens` a
    prompt is prefilled whole, however long.
    """
    shared = np.where(np.isfinite(chunk_tokens), chunk_tokens, CHUNK_TOKENS)
    tokens = np.asarray(new_tokens, dtype=np.float64)
    many = np.maximum(1.0, shared / tokens) if batched else 1.0
    p = forward(shapes, rates, layout, many, tokens, past, decode=False, routing=_routing(effects))
    seconds = combine_prefill(p, effects, layout, np.maximum(np.ceil(tokens / chunk_tokens), 1.0))
    # Stages overlap when many requests stream through them; one request alone passes all of them in turn.
    ranks = many * layout.attention_data_parallel * (np.asarray(layout.pipeline_parallel) if batched else 1.0)
    each = np.asarray(many * layout.attention_data_parallel)
    seconds = seconds * _uneven(layout) if batched else seconds
    return Phase(seconds / ranks, p.flop / each, p.hbm_bytes / each)
