"""Memory of one accelerator in training, by part, on the fullest pipeline stage.

References
----------
.. [1] V. Korthikanti et al., Reducing Activation Recomputation in Large Transformer Models (2022),
   https://arxiv.org/abs/2205.05198: activations of a block, sequence parallelism, interleaved pipelines.
.. [2] S. Rajbhandari et al., ZeRO (2019), https://arxiv.org/abs/1910.02054: states sharded by stage.
.. [3] P. Qi et al., Zero Bubble Pipeline Parallelism (2023), https://arxiv.org/abs/2401.10241, and Pipeline Parallelism
   with Controllable Memory (2024), https://arxiv.org/abs/2405.15362: in-flight activations of ZB-2p and V-Half.

"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gigaforge.perf.arrays import Array
from gigaforge.perf.transformer import Transformer

__all__ = ["ActivationBytes", "RankParameters", "activation_bytes", "in_flight", "rank_parameters", "state_bytes"]

Floats = Any


@dataclass(frozen=True)
class RankParameters:
    """Parameters of one average block on one rank, and of the ends of the model. [count]"""

    dense: Floats
    expert: Floats
    embedding: Floats
    head: Floats


@dataclass(frozen=True)
class ActivationBytes:
    """Bytes kept for the backward pass by one average block and micro-batch, under each choice of recompute. [B]"""

    none: Floats
    selective: Floats
    full: Floats
    working: Floats


def rank_parameters(
    t: Transformer, tensor_parallel: Array, expert_parallel: Array, expert_tensor_parallel: Array
) -> RankParameters:
    """What one rank holds of a block (before pipeline and data sharding)."""
    parts = t.parameters_by_part()
    blocks = np.asarray(t.layers, dtype=float)
    tp = np.asarray(tensor_parallel, dtype=float)
    whole = parts["norms"] + parts["router"]
    dense = parts["attention"] + parts["mamba"] + parts["dense"] + parts["shared"] + parts["biases"]
    expert = parts["experts"] / blocks / (np.asarray(expert_parallel) * expert_tensor_parallel)
    # Tied weights need a copy on the last stage of a pipeline; the caller adds head to embedding where both meet.
    head = np.asarray(t.vocab, dtype=float) * t.d_model / tp
    return RankParameters((dense / tp + whole) / blocks, expert, parts["embedding"] / tp, head)


def state_bytes(
    parameters: Floats, shards: Floats, sharding: Array, gradient_bytes: Array = 4.0
) -> tuple[Floats, Floats, Floats]:
    """Weights, gradients and optimizer states of mixed-precision Adam. [B]

    bf16 weights (2), gradients, fp32 master weights and two moments (12), each divided by `shards` from its ZeRO stage
    on: optimizer 1, gradients 2, weights 3.
    """
    z = np.asarray(sharding)
    weights = np.where(z >= 3, 2.0 * parameters / shards, 2.0 * parameters)
    gradients = np.where(z >= 2, gradient_bytes * parameters / shards, gradient_bytes * parameters)
    return weights, gradients, np.where(z >= 1, 12.0 * parameters / shards, 12.0 * parameters)


def activation_bytes(
    t: Transformer,
    tokens: Array,
    tensor_parallel: Array,
    norm_split: Array,
    expert_tensor_parallel: Array,
    element_bytes: Array,
    scores: Array = 0.0,
    expert_load: Array = 1.0,
) -> ActivationBytes:
    """Activations of one average block.

    Fused attention keeps its output and one statistic per query, without fusion `scores` bytes a token besides [1]_; inputs of quantised multiplications are kept quantised
    (at least one byte); element-wise inputs in bf16.
    """
    blocks = np.asarray(t.layers, dtype=float)
    tp, d = np.asarray(tensor_parallel, dtype=float), np.asarray(t.d_model, dtype=float)
    tok = np.asarray(tokens, dtype=float)
    b = np.maximum(np.asarray(element_bytes), 1.0)
    value = np.asarray(t.heads) * t.value_dim
    qkv = np.asarray(t.heads) * t.query_dim + np.where(
        np.asarray(t.is_mla) > 0,
        np.asarray(t.heads) * (t.query_dim + t.value_dim),
        np.asarray(t.kv_heads) * (np.asarray(t.head_dim) + t.value_dim),
    )
    latent = np.asarray(t.q_lora_rank) + np.asarray(t.kv_lora_rank)
    up = np.asarray(t.ff_matrices) - 1.0
    attention = (
        (2.0 + b) * d / norm_split
        + (2.0 * qkv + (2.0 + b) * value / 2.0 + 4.0 * np.asarray(t.heads)) / tp
        + 4 * latent
    )
    dense = (2.0 + b) * d / norm_split + (2.0 * up + b) * np.asarray(t.d_ff) / tp
    shared = (2.0 * up + b) * np.asarray(t.shared_d_ff) / tp
    etp = np.asarray(expert_tensor_parallel, dtype=float)
    pairs = np.asarray(t.experts_per_token) / tp * etp * np.asarray(expert_load)
    routed = pairs * ((b + 2.0) * np.asarray(t.expert_d_model) + (2.0 * up + b) * np.asarray(t.expert_d_ff) / etp)
    experts = (2.0 + b) * d / norm_split + shared + routed
    inner = np.asarray(t.mamba_inner)
    states = 2.0 * np.asarray(t.mamba_groups) * np.asarray(t.mamba_state)
    mamba = (2.0 + b) * d / norm_split + 2.0 * (4.0 * inner + states) / tp
    kept = (
        np.asarray(t.attention_layers) * attention
        + np.asarray(t.dense_layers) * dense
        + np.asarray(t.moe_layers) * experts
        + np.asarray(t.mamba_layers) * mamba
    ) / blocks * tok  # fmt: skip
    # Recomputed cheaply: norms, activation functions, latent up-projections; without fusion, attention itself.
    mixers = np.asarray(t.attention_layers) + np.asarray(t.dense_layers) + np.asarray(t.moe_layers) + t.mamba_layers
    cheap = mixers * b * d / norm_split
    cheap = cheap + np.asarray(t.dense_layers) * b * np.asarray(t.d_ff) / tp
    cheap = cheap + np.asarray(t.moe_layers) * b * (
        np.asarray(t.shared_d_ff) / tp + pairs * np.asarray(t.expert_d_ff) / etp
    )
    expanded = np.asarray(t.heads) * (t.query_dim + t.value_dim)
    cheap = cheap + np.where(np.asarray(t.is_mla) > 0, np.asarray(t.attention_layers) * 2.0 * expanded / tp, 0.0)
    light = kept - tok * cheap / blocks
    kept = kept + np.asarray(t.attention_layers) / blocks * tok * scores
    return ActivationBytes(kept, light, 2.0 * tok * d / norm_split, kept)


def in_flight(pipeline: Array, virtual: Array, micro_batches: Array, schedule: Array) -> Floats:
    """Micro-batches whose activations the first stage holds at once. [count]

    1F1B `p`; interleaved ``p + (p - 1)/v``; zero-bubble-2p ``2p - 1``; V-Half about half of 1F1B; never more than there are.
    """
    p, v, m = (np.asarray(x, dtype=float) for x in (pipeline, virtual, micro_batches))
    kind = np.asarray(schedule)
    one = np.where(v > 1, p + (p - 1.0) / v, p)
    held = np.where(kind == 2, 2.0 * p - 1.0, np.where(kind == 3, p / 2.0 + 1.0, one))
    return np.minimum(held, m)
