"""Bytes on one accelerator: weights, runtime, and how many tokens of KV cache fit in what is left."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from gigaforge.perf.arrays import Array
from gigaforge.perf.inference.rates import Rates
from gigaforge.perf.inference.shapes import Layout, Shapes
from gigaforge.perf.transformer import Transformer

__all__ = ["Memory", "Parts", "kv_bytes", "memory"]

_USABLE: Final = 1.0
"""Bytes an engine takes over the printed gigabytes: an "80 GB" H100 reports 81,559 MiB (1.07), of which engines take
0.92-0.95 (vLLM's --gpu-memory-utilization: https://docs.vllm.ai/en/latest/configuration/engine_args.html)."""
_RUNTIME_BYTES: Final = 3e9
"""CUDA context, graphs, communication buffers (assumption: 2-4 GB is what engines report)."""
_CHUNK_TOKENS: Final = 8192.0
"""Tokens of one prefill pass whose activations must fit, where nothing else is said."""


class Parts(NamedTuple):
    """Parameters of a model by how they are cut. [count]"""

    attention: Any
    dense: Any
    experts: Any
    embedding: Any

    @classmethod
    def of(cls, transformer: Transformer) -> Parts:
        """Count them once per model."""
        parts = transformer.parameters_by_part()
        head = np.maximum(np.asarray(parts["head"]), 0.0)
        return cls(
            attention=np.asarray(parts["attention"]) + parts["mamba"] + parts["norms"] + parts["biases"],
            dense=np.asarray(parts["dense"]) + parts["shared"] + parts["router"],
            experts=np.asarray(parts["experts"]),
            embedding=np.asarray(parts["embedding"]) + head,
        )


class Memory(NamedTuple):
    """Per accelerator. [byte], and tokens of cache that fit on one attention rank [count]"""

    weights_bytes: Any
    runtime_bytes: Any
    kv_capacity_bytes: Any
    kv_bytes_per_token: Any
    capacity_tokens: Any


def kv_bytes(shapes: Shapes, rates: Rates, layout: Layout, context: Array) -> Any:
    """Cache that one more token of a sequence takes on one accelerator, windowed layers saturating. [byte]"""
    tp = np.asarray(layout.tensor_parallel)
    plain = np.maximum(shapes.kv_heads / tp, 1.0) * (shapes.query_dim + shapes.value_dim)
    width = np.where(shapes.latent, shapes.latent_width + shapes.rope_dim, plain) * rates.kv_element
    windowed = (shapes.attention_layers - shapes.full_layers) * np.minimum(
        1.0, shapes.window / np.maximum(context, 1.0)
    )
    return (shapes.full_layers + windowed) * width / layout.pipeline_parallel


def memory(
    parts: Parts,
    shapes: Shapes,
    rates: Rates,
    layout: Layout,
    hbm_bytes: Array,
    context: Array,
    pass_tokens: Array = _CHUNK_TOKENS,
) -> Memory:
    """Weights, runtime and cache room of every layout. Negative room means that the weights alone do not fit."""
    tp, stage, pp = np.asarray(layout.tensor_parallel), np.asarray(layout.stage), np.asarray(layout.pipeline_parallel)
    per_stage = (
        parts.attention / tp + parts.dense / tp
    ) * rates.linear_weight + parts.experts / stage * rates.experts_weight
    weights = per_stage / pp + parts.embedding * 2.0 / tp / np.minimum(pp, 2.0)
    activations = pass_tokens * (6.0 * shapes.d_model + 4.0 * shapes.vocab / tp / 16.0) * 2.0
    runtime = _RUNTIME_BYTES + activations
    room = _USABLE * np.asarray(hbm_bytes) - weights - runtime
    each = np.maximum(kv_bytes(shapes, rates, layout, context), 1e-9)
    return Memory(weights, runtime, room, each, np.maximum(room, 0.0) / each)
