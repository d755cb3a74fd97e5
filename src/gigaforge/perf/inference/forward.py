"""One forward pass of a replica: prefill or decode, by operator, on arrays that broadcast.

Everything is per rank and per pass over *all* layers. Times are split by what limits them so that calibration can
scale each with its own physical factor; FLOPs and HBM bytes come along for power and for the invariants.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gigaforge.perf.arrays import Array
from gigaforge.perf.inference.rates import Rates
from gigaforge.perf.inference.shapes import Layout, Shapes

__all__ = ["Pass", "Routing", "forward"]


class Pass(NamedTuple):
    """Costs of one pass on the most loaded rank. [s], [FLOP], [byte], [count]"""

    linear_s: Any
    experts_s: Any
    attention_s: Any
    wire_s: Any
    elementwise_s: Any
    messages: Any
    kernels: Any
    moe_layers: Any
    latent: Any
    latent_layers: Any
    flop: Any
    hbm_bytes: Any


def forward(
    shapes: Shapes,
    rates: Rates,
    layout: Layout,
    sequences: Array,
    new_tokens: Array,
    past: Array,
    *,
    decode: bool,
    routing: Routing | None = None,
) -> Pass:
    """Cost of one pass in which every attention rank advances `sequences` by `new_tokens` each.

    Parameters
    ----------
    shapes, rates, layout
        The model, the machine at its precision, the replica.
    sequences, new_tokens, past : array
        Per attention data-parallel rank: sequences, tokens each advances in this pass, tokens each has cached.
    decode : bool
        Attention against the cache (latent attention absorbed), rather than over the new tokens.
    routing : Routing, optional
        How evenly tokens choose experts; default evenly.

    """
    tp = np.asarray(layout.tensor_parallel)
    tokens = np.asarray(sequences * new_tokens)
    total = tokens * layout.attention_data_parallel
    linear_s, flop, moved = _linears(shapes, rates, tokens, tp)
    attention_s, attention_flop, attention_bytes = (
        _attention_decode(shapes, rates, tp, sequences, new_tokens, past)
        if decode
        else _attention_prefill(shapes, rates, tp, sequences, new_tokens, past)
    )
    wire_s, messages = _wire(shapes, rates, layout, tokens, total)
    width = 2.0 * shapes.d_model * tokens
    elementwise = (8.0 * width * shapes.layers + 6.0 * sequences * shapes.vocab / tp) / (0.8 * rates.bandwidth)
    experts_s: Any = 0.0
    kernels = shapes.layers * 2.0 + shapes.attention_layers * 4.0 + 6.0
    if shapes.moe:
        experts_s, expert_flop, expert_bytes = _experts(shapes, rates, layout, total, routing or Routing())
        flop, moved = flop + expert_flop, moved + expert_bytes
        kernels = kernels + (shapes.layers - shapes.moe_layers) * 3.0
    else:
        kernels = kernels + shapes.layers * 3.0
    return Pass(
        linear_s,
        experts_s,
        attention_s,
        wire_s,
        elementwise,
        messages,
        kernels,
        shapes.moe_layers if shapes.moe else 0.0,
        shapes.latent,
        shapes.latent * shapes.attention_layers,
        flop + attention_flop,
        moved + attention_bytes,
    )


def _smooth_max(a: Any, b: Any) -> Any:
    first, second = np.square(a), np.square(b)
    return np.sqrt(np.sqrt(first * first + second * second))


class _Rate(NamedTuple):
    """What a class of linear layers runs at."""

    flop_s: Any
    bytes_s: Any
    weight_bytes: Any
    activation_bytes: Any
    k0: Any
    quantise_s: Any


def _linears(shapes: Shapes, r: Rates, tokens: Any, tp: Any) -> tuple[Any, Any, Any]:
    """Projections, dense feed-forward, shared experts, head. Latent attention's up-projections run on the new tokens."""
    time: Any = 0.0
    flop: Any = 0.0
    moved: Any = 0.0
    rows = np.maximum(tokens, 64.0)
    wave_unit = 128.0 * 128.0 * np.asarray(r.multiprocessors)
    bandwidth = np.asarray(r.bandwidth)
    own = _Rate(
        np.asarray(r.peak_linear) * r.linear_eta_c, bandwidth * r.linear_eta_m, r.linear_weight, r.linear_activation,
        r.linear_k0, r.quantise_bytes / bandwidth,
    )  # fmt: skip
    ff = _Rate(
        np.asarray(r.ff_peak) * r.ff_eta_c, bandwidth * r.ff_eta_m, r.ff_weight, r.ff_activation,
        r.ff_k0, r.ff_quantise_bytes / bandwidth,
    )  # fmt: skip
    for n, k, layers, split, feed_forward in shapes.linears:
        rate = ff if feed_forward else own
        n_here = n / tp if split in ("column", "vocab") else n
        k_here = k / tp if split == "row" else k
        weights = n_here * k_here
        traffic = weights * rate.weight_bytes + tokens * (k_here * rate.activation_bytes + 2.0 * n_here)
        wave = 1.0 + 0.25 / np.maximum(rows * n_here / wave_unit, 0.25)
        compute = 2.0 * rows * n_here * (k_here + rate.k0) / rate.flop_s * wave
        time = time + layers * (_smooth_max(compute, traffic / rate.bytes_s) + tokens * k_here * rate.quantise_s)
        flop = flop + layers * (2.0 * tokens * weights)
        moved = moved + layers * traffic
    mamba = shapes.mamba_flops / tp
    return time + tokens * mamba / (0.2 * r.peak_bf16), flop + tokens * mamba, moved


class Routing(NamedTuple):
    """How tokens choose experts.

    Attributes
    ----------
    diversity
        Tokens that choose independently, over all tokens beyond the first: less than one, as similar tokens choose alike.
    imbalance
        Load of the fullest rank over the mean, when experts are spread over ranks.

    """

    diversity: Any = 1.0
    imbalance: Any = 1.0


def active_experts(experts: Any, per_token: Any, tokens: Any) -> Any:
    """Distinct experts that so many tokens touch, drawn evenly: E·(1 - (1 - k/E)^T). [count]"""
    return -experts * np.expm1(tokens * np.log1p(-np.minimum(per_token / experts, 0.999999)))


def _experts(shapes: Shapes, r: Rates, layout: Layout, total: Any, routing: Routing) -> tuple[Any, Any, Any]:
    ep = np.asarray(layout.expert_parallel)
    cut = np.asarray(layout.stage) / ep
    uneven = np.where(ep > 1.0, routing.imbalance, 1.0)
    pairs = total * shapes.experts_per_token / ep * uneven
    independent = 1.0 + np.maximum(total - 1.0, 0.0) * routing.diversity
    chosen = active_experts(shapes.experts, shapes.experts_per_token, independent) / ep * uneven
    touched = np.clip(chosen, 1e-9, np.maximum(shapes.experts / ep, 1.0))
    width = shapes.expert_d_ff / cut
    weights = shapes.ff_matrices * shapes.d_model * width
    each = np.maximum(pairs / touched, 1.0)
    rows = touched * np.maximum(each + r.experts_pad * np.minimum(each, 64.0), 32.0)
    compute = 2.0 * rows * (weights + shapes.ff_matrices * width * r.experts_k0)
    activations = pairs * ((2.0 * shapes.d_model + (shapes.ff_matrices + 1.0) * width) * r.experts_activation)
    traffic = touched * weights * r.experts_weight + activations
    time = _smooth_max(
        compute / (np.asarray(r.peak_experts) * r.experts_eta_c),
        traffic / (np.asarray(r.bandwidth) * r.experts_eta_m),
    )
    permute = 8.0 * pairs * shapes.d_model / r.bandwidth
    n = shapes.moe_layers
    return n * (time + permute), n * (2.0 * pairs * weights), n * (traffic + 8.0 * pairs * shapes.d_model)


def _kv_ranks(shapes: Shapes, tp: Any) -> Any:
    """KV heads on one rank: at least one (copied beyond)."""
    return np.maximum(shapes.kv_heads / tp, 1.0)


def _attention_decode(
    shapes: Shapes, r: Rates, tp: Any, sequences: Any, new_tokens: Any, context: Any
) -> tuple[Any, Any, Any]:
    heads = np.maximum(shapes.heads / tp, 1.0)
    latent = shapes.latent
    latent_kv = shapes.latent_width + shapes.rope_dim
    width = np.where(latent, latent_kv, _kv_ranks(shapes, tp) * (shapes.query_dim + shapes.value_dim)) * r.kv_element
    per_key = 2.0 * heads * np.where(latent, latent_kv + shapes.latent_width, shapes.query_dim + shapes.value_dim)
    windowed = shapes.attention_layers - shapes.full_layers
    keys = sequences * (shapes.full_layers * context + windowed * np.minimum(context, shapes.window))
    moved = keys * width
    flop = keys * per_key * new_tokens
    eta_m = np.where(latent, r.latent_eta_m, r.decode_eta_m)
    eta_c = np.where(latent, r.latent_eta_c, r.decode_eta_c)
    time = _smooth_max(moved / (r.bandwidth * eta_m), flop / (r.peak_bf16 * eta_c))
    state = 2.0 * sequences * shapes.mamba_bytes / tp
    return time + state / (0.7 * np.asarray(r.bandwidth)), flop, moved + state


def _attention_prefill(
    shapes: Shapes, r: Rates, tp: Any, sequences: Any, new_tokens: Any, past: Any
) -> tuple[Any, Any, Any]:
    heads = np.maximum(shapes.heads / tp, 1.0)
    dims = shapes.query_dim + shapes.value_dim
    octave = np.log2(np.clip(shapes.query_dim, 64.0, 256.0) / 128.0)
    low, high = r.prefill_eta_128 / r.prefill_eta_64, r.prefill_eta_256 / np.asarray(r.prefill_eta_128)
    eta = r.prefill_eta_128 * np.where(octave < 0, low, high) ** octave
    seen = new_tokens * (past + 0.5 * new_tokens)
    short = np.minimum(seen, new_tokens * np.minimum(shapes.window, past + new_tokens))
    windowed = shapes.attention_layers - shapes.full_layers
    flop = 2.0 * sequences * heads * dims * (shapes.full_layers * seen + windowed * short)
    kv = np.where(shapes.latent, heads, _kv_ranks(shapes, tp)) * dims
    moved = shapes.attention_layers * sequences * 2.0 * (new_tokens * 2.0 * heads * dims + kv * (past + new_tokens))
    time = _smooth_max(flop / (r.peak_attention * eta), moved / (0.8 * np.asarray(r.bandwidth)))
    return time, flop, moved


def _wire(shapes: Shapes, r: Rates, layout: Layout, tokens: Any, total: Any) -> tuple[Any, Any]:
    """Bytes on the links over all layers as time, and how many messages (their latency is the software's).

    Tensor parallel: an all-reduce after attention and one after the feed-forward part. Data-parallel attention before
    experts: each rank sends its tokens to the experts and takes them back (all-to-all, or all-gather and
    reduce-scatter when the experts are cut).
    """
    tp, stage = np.asarray(layout.tensor_parallel), np.asarray(layout.stage)
    dp, ep = np.asarray(layout.attention_data_parallel), np.asarray(layout.expert_parallel)
    row = 2.0 * shapes.d_model * tokens
    inside = np.where(stage <= r.domain, r.scale_up, r.scale_out)
    tensor_link = np.where(tp <= r.domain, r.scale_up, r.scale_out)
    reduce = 2.0 * (tp - 1.0) / tp * row / tensor_link
    spread = np.minimum(shapes.experts_per_token, ep * (1.0 - (1.0 - 1.0 / ep) ** shapes.experts_per_token))
    remote = spread * (1.0 - 1.0 / np.maximum(ep, 1.0))
    all_to_all = (0.75 * remote) * 2.0 * row / tp / inside
    gathered = 2.0 * (stage - 1.0) / stage * 2.0 * shapes.d_model * total / inside * 0.5
    exchange = np.minimum(all_to_all, gathered)
    after = np.where(dp > 1.0, np.where(ep > 1.0, exchange, gathered), 2.0 * (stage - 1.0) / stage * row / inside)
    attention = np.where(tp > 1.0, reduce, 0.0)
    moe = shapes.moe_layers if shapes.moe else 0.0
    dense = shapes.layers - moe
    feed = np.where(stage > 1.0, after, 0.0)
    hops = np.asarray(layout.pipeline_parallel) - 1.0
    wire = shapes.layers * attention + moe * feed + dense * attention + hops * row / r.scale_up
    count = shapes.layers * (tp > 1.0) + moe * ((stage > 1.0) + 1.0 * (dp > 1.0)) + dense * (tp > 1.0) + hops
    return wire, count
