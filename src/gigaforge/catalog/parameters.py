"""How many parameters an architecture has: a check of the catalogue against the published counts."""

from __future__ import annotations

from dataclasses import dataclass

from gigaforge.catalog.schema import Model

__all__ = ["ParameterCount", "parameter_count"]


@dataclass(frozen=True)
class ParameterCount:
    """Parameters by part. Norms and multi-token-prediction layers are left out (below 0.1 % and separate).

    Attributes
    ----------
    total : int
        All parameters.
    active : int
        Those one token passes through, output embedding included, input embedding not (a look-up).
    embedding : int
        Input embedding, and output embedding where it is not tied to it.

    """

    total: int
    active: int
    embedding: int


def parameter_count(model: Model) -> ParameterCount:
    """Count the parameters of an architecture, after Narayanan et al. 2021 (eq. 2), Llama 3 and DeepSeek-V3."""
    softmax_layers = model.attention_layers or model.layers - model.linear_layers
    ffn_layers = model.feed_forward_layers or model.layers
    moe_layers = ffn_layers - model.dense_layers if model.family == "moe" else 0
    mixers = softmax_layers * _attention(model) + model.linear_layers * _linear_mixer(model)
    dense = (ffn_layers - moe_layers) * _feed_forward(model, model.d_model, model.d_ff)
    expert = _feed_forward(model, model.expert_d_model or model.d_model, model.expert_d_ff)
    shared_width = model.shared_d_ff or model.shared_experts * model.expert_d_ff
    latent = 2 * model.d_model * model.expert_d_model
    always = _feed_forward(model, model.d_model, shared_width) + model.d_model * model.experts + latent
    vocabulary = model.vocab * model.d_model
    embedding = vocabulary * (1 if model.tied_embeddings else 2) + model.learned_positions * model.d_model
    body = mixers + dense + moe_layers * always
    return ParameterCount(
        total=body + moe_layers * model.experts * expert + embedding,
        active=body + moe_layers * model.experts_per_token * expert + vocabulary,
        embedding=embedding,
    )


def _attention(model: Model) -> int:
    """One layer of softmax attention."""
    d, heads = model.d_model, model.heads
    value = model.v_head_dim or model.head_dim
    output = heads * value * d
    if model.attention == "mla":
        query = model.head_dim + model.rope_head_dim
        rank = model.q_lora_rank
        queries = rank * (d + heads * query) if rank else d * heads * query
        compressed = d * (model.kv_lora_rank + model.rope_head_dim)
        expanded = model.kv_lora_rank * heads * (model.head_dim + value)
        return queries + compressed + expanded + output
    queries = d * heads * model.head_dim * (2 if model.attention_gate else 1)
    keys_values = 2 * d * model.kv_heads * model.head_dim
    bias = (heads + 2 * model.kv_heads) * model.head_dim + d if model.attention_bias else 0
    return queries + keys_values + output + bias


def _linear_mixer(model: Model) -> int:
    """One layer of linear attention or state space: queries, keys, values, gate in; values out."""
    return model.d_model * (2 * model.linear_key_dim + 3 * model.linear_value_dim)


def _feed_forward(model: Model, width: int, hidden: int) -> int:
    """One block: two matrices, three with a gated activation."""
    return (3 if model.activation == "swiglu" else 2) * width * hidden
