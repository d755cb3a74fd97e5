"""A transformer as the performance model sees it: widths, counts of layers, FLOPs and bytes.

Every number may be an array, so that one `Transformer` can also hold many shapes (a table of measured runs, or a
design space of models) and every formula below still reads as for one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from gigaforge.catalog.schema import Model
from gigaforge.perf.arrays import Array

__all__ = ["Linear", "Split", "Transformer"]

Split = Literal["column", "row", "replicated", "vocab", "expert_column", "expert_row"]


@dataclass(frozen=True)
class Linear:
    """One weight matrix ``y[m, n] = x[m, k] W[n, k]`` and how tensor parallelism cuts it.

    Parameters
    ----------
    name : str
        Operator, e.g. ``"attention_out"``.
    n, k : Array
        Output and input width of the whole matrix (of one expert for experts). [elements]
    layers : Array
        How many layers hold it, multi-token-prediction layers included.
    split : str
        Column (n is divided), row (k is divided), replicated, vocab (n over the vocabulary), and the same for experts.

    """

    name: str
    n: Array
    k: Array
    layers: Array
    split: Split


@dataclass(frozen=True)
class Transformer:
    """Widths and counts of one architecture, or arrays of them.

    A block is either attention + feed-forward (usual), or one of attention, Mamba-2, feed-forward alone (hybrids);
    `layers` counts blocks, and the four ``*_layers`` say how many hold each part. [count]

    Parameters
    ----------
    name : str
        For messages.
    layers, d_model, heads, kv_heads, head_dim, d_ff, vocab : Array
        As usual; `head_dim` of multi-head latent attention is its part without rotary position.
    attention_layers, dense_layers, moe_layers, mamba_layers : Array
        Blocks with attention, with a dense feed-forward part, with experts, with a Mamba-2 mixer.
    ff_matrices : Array
        3 for SwiGLU (gate, up, down), 2 for GeLU and squared ReLU.
    tied_embeddings, attention_bias : Array
        1 or 0.
    learned_positions : Array
        Rows of a learned position table (0: rotary).
    experts, experts_per_token, expert_d_ff, expert_d_model : Array
        Routed experts; `expert_d_model` is the width they work in (a latent width, else `d_model`).
    shared_d_ff : Array
        Total hidden width of the shared experts.
    q_lora_rank, kv_lora_rank, rope_head_dim, v_head_dim : Array
        Multi-head latent attention (DeepSeek); `kv_lora_rank` 0 means none.
    sliding_window, global_every : Array
        Keys seen by windowed layers; every `global_every`-th layer sees all (0: none does).
    mtp_layers : Array
        Multi-token-prediction layers, like the last block, each with its own pass through the head.
    mamba_inner, mamba_state, mamba_groups, mamba_heads : Array
        Mamba-2 widths: inner, state, groups of B and C, heads.

    """

    name: str
    layers: Array
    d_model: Array
    heads: Array
    kv_heads: Array
    head_dim: Array
    d_ff: Array
    vocab: Array
    attention_layers: Array
    dense_layers: Array
    moe_layers: Array = 0
    mamba_layers: Array = 0
    ff_matrices: Array = 3
    tied_embeddings: Array = 0
    attention_bias: Array = 0
    learned_positions: Array = 0
    experts: Array = 0
    experts_per_token: Array = 0
    expert_d_ff: Array = 0
    expert_d_model: Array = 0
    shared_d_ff: Array = 0
    q_lora_rank: Array = 0
    kv_lora_rank: Array = 0
    rope_head_dim: Array = 0
    v_head_dim: Array = 0
    sliding_window: Array = 0
    global_every: Array = 0
    mtp_layers: Array = 0
    mamba_inner: Array = 0
    mamba_state: Array = 0
    mamba_groups: Array = 0
    mamba_heads: Array = 0

    @classmethod
    def from_catalog(cls, model: Model) -> Self:
        """Read a catalogue entry; linear-attention and state-space layers of hybrids become Mamba-2 layers."""
        moe = model.family == "moe"
        mla = model.attention == "mla"
        # Fields of hybrids and latent experts, which older overlays of the catalogue lack.
        more = {name: int(getattr(model, name, 0) or 0) for name in _HYBRID}
        ff = more["feed_forward_layers"] or model.layers
        dense = model.dense_layers if moe else ff
        key = more["linear_key_dim"]
        return cls(
            name=model.name,
            layers=model.layers,
            d_model=model.d_model,
            heads=model.heads,
            kv_heads=model.kv_heads,
            head_dim=model.head_dim,
            d_ff=model.d_ff,
            vocab=model.vocab,
            attention_layers=more["attention_layers"] or model.layers - more["linear_layers"],
            dense_layers=dense,
            moe_layers=ff - dense,
            mamba_layers=more["linear_layers"],
            ff_matrices=3 if model.activation == "swiglu" else 2,
            tied_embeddings=float(model.tied_embeddings),
            attention_bias=float(model.attention_bias),
            learned_positions=model.learned_positions,
            experts=model.experts if moe else 0,
            experts_per_token=model.experts_per_token if moe else 0,
            expert_d_ff=model.expert_d_ff if moe else 0,
            expert_d_model=(more["expert_d_model"] or model.d_model) if moe else 0,
            shared_d_ff=(more["shared_d_ff"] or model.shared_experts * model.expert_d_ff) if moe else 0,
            q_lora_rank=model.q_lora_rank if mla else 0,
            kv_lora_rank=model.kv_lora_rank if mla else 0,
            rope_head_dim=model.rope_head_dim if mla else 0,
            v_head_dim=model.v_head_dim or model.head_dim,
            sliding_window=model.sliding_window,
            global_every=model.global_every,
            mtp_layers=model.mtp_layers,
            mamba_inner=more["linear_value_dim"],
            mamba_state=min(key, _STATE),
            mamba_groups=key / _STATE if key > _STATE else min(key, 1),
        )

    @classmethod
    def stack(cls, several: Sequence[Transformer]) -> Self:
        """One `Transformer` of arrays, shape (several,)."""
        numbers: dict[str, Any] = {
            f.name: np.array([getattr(t, f.name) for t in several], dtype=float)
            for f in fields(cls)
            if f.name != "name"
        }
        return cls(name="stack", **numbers)

    def take(self, index: Any) -> Self:
        """Rows of a stacked `Transformer` (NumPy indexing)."""
        numbers: dict[str, Any] = {
            f.name: np.asarray(getattr(self, f.name))[index] for f in fields(self) if f.name != "name"
        }
        return type(self)(name=self.name, **numbers)

    # Attention ---------------------------------------------------------------------------------------------------

    @property
    def is_mla(self) -> Array:
        """1 where attention is latent (DeepSeek)."""
        return np.where(np.asarray(self.kv_lora_rank) > 0, 1.0, 0.0)

    @property
    def value_dim(self) -> Array:
        """Width of a value head. [elements]"""
        return np.where(np.asarray(self.v_head_dim) > 0, self.v_head_dim, self.head_dim)

    @property
    def query_dim(self) -> Array:
        """Width of a query and key head, rotary part included. [elements]"""
        return _f(self.head_dim) + _f(self.rope_head_dim)

    @property
    def kv_width(self) -> Array:
        """What one token leaves in the KV cache of one attention layer. [elements]"""
        latent = np.asarray(self.kv_lora_rank) + np.asarray(self.rope_head_dim)
        plain = np.asarray(self.kv_heads) * (np.asarray(self.head_dim) + self.value_dim)
        return np.where(self.is_mla > 0, latent, plain)

    def full_attention_fraction(self) -> Array:
        """Share of attention layers that see every earlier token. [unitless]"""
        every = np.maximum(np.asarray(self.global_every, dtype=float), 1.0)
        some = np.where(np.asarray(self.global_every) > 0, 1.0 / every, 0.0)
        return np.where(np.asarray(self.sliding_window) > 0, some, 1.0)

    def attended_keys(self, seq_len: Array) -> Array:
        """Mean keys that one query of a causal sequence attends to, over the attention layers. [tokens]"""
        s = np.asarray(seq_len, dtype=float)
        w = np.where(np.asarray(self.sliding_window) > 0, np.minimum(np.asarray(self.sliding_window), s), s)
        windowed = w - w * w / (2.0 * s)
        full = self.full_attention_fraction()
        return full * s / 2.0 + (1.0 - full) * windowed

    # Operators ---------------------------------------------------------------------------------------------------

    def linears(self) -> tuple[Linear, ...]:
        """Every weight matrix; those that an architecture lacks have width or layers 0."""
        mla, d, h = np.asarray(self.is_mla), np.asarray(self.d_model), np.asarray(self.heads)
        qk, v = np.asarray(self.query_dim), np.asarray(self.value_dim)
        kv = np.asarray(self.kv_heads) * (np.asarray(self.head_dim) + v)
        q_rank = np.asarray(self.q_lora_rank)
        down = q_rank + np.asarray(self.kv_lora_rank) + np.asarray(self.rope_head_dim)
        mtp = np.asarray(self.mtp_layers)
        moe = np.asarray(self.moe_layers)
        # A multi-token-prediction layer repeats the model's last block.
        attn = np.asarray(self.attention_layers) + mtp
        dense = np.asarray(self.dense_layers) + np.where(moe > 0, 0, mtp)
        moe = moe + np.where(moe > 0, mtp, 0)
        up = np.asarray(self.ff_matrices) - 1
        has = {"shared": np.where(np.asarray(self.shared_d_ff) > 0, moe, 0)}
        inner, mamba = np.asarray(self.mamba_inner), np.asarray(self.mamba_layers)
        mamba_in = 2 * inner + 2 * np.asarray(self.mamba_groups) * np.asarray(self.mamba_state)
        e_d, e_ff = np.asarray(self.expert_d_model), np.asarray(self.expert_d_ff)
        latent = np.where((e_d > 0) & (e_d < d), moe, 0)
        head = 1 + mtp
        column: Split = "column"
        row: Split = "row"
        same: Split = "replicated"
        rows: list[tuple[str, Any, Any, Any, Split]] = [
            ("qkv", np.where(mla > 0, 0, h * qk + kv), d, attn, column),
            ("mla_down", np.where(mla > 0, down, 0), d, attn, same),
            ("mla_q_up", np.where(mla > 0, h * qk, 0), np.where(q_rank > 0, q_rank, d), attn, column),
            ("mla_kv_up", np.where(mla > 0, h * (self.head_dim + v), 0), self.kv_lora_rank, attn, column),
            ("attention_out", d, h * v, attn, row),
            ("mamba_in", mamba_in + np.asarray(self.mamba_heads), d, mamba, column),
            ("mamba_out", d, inner, mamba, row),
            ("dense_up", up * self.d_ff, d, dense, column),
            ("dense_down", d, self.d_ff, dense, row),
            ("router", self.experts, d, moe, same),
            ("shared_up", up * self.shared_d_ff, d, has["shared"], column),
            ("shared_down", d, self.shared_d_ff, has["shared"], row),
            ("latent_down", e_d, d, latent, same),
            ("latent_up", d, e_d, latent, same),
            ("expert_up", up * e_ff, e_d, moe, "expert_column"),
            ("expert_down", e_d, e_ff, moe, "expert_row"),
            ("mtp_projection", d, 2 * d, mtp, same),
            ("head", self.vocab, d, head, "vocab"),
        ]
        return tuple(Linear(name, _f(n), _f(k), _f(layers), split) for name, n, k, layers, split in rows)

    # Parameters --------------------------------------------------------------------------------------------------

    def parameters_by_part(self) -> Mapping[str, Array]:
        """Parameters of the whole model by part. [count]"""
        parts: dict[str, Array] = dict.fromkeys(("attention", "mamba", "dense", "experts", "shared", "router"), 0.0)
        for linear in self.linears():
            part = _PART.get(linear.name)
            if part is not None:
                copies = self.experts if part == "experts" else 1.0
                parts[part] = parts[part] + linear.n * linear.k * linear.layers * copies
        d, v = _f(self.d_model), _f(self.vocab)
        qkv = _f(self.heads) * self.query_dim + _f(self.kv_heads) * (_f(self.head_dim) + self.value_dim)
        blocks = _f(self.layers) + _f(self.mtp_layers)
        mixers = _f(self.attention_layers) + _f(self.mamba_layers) + _f(self.dense_layers) + _f(self.moe_layers)
        parts["norms"] = (mixers + 2 * _f(self.mtp_layers) + 1.0) * d
        parts["biases"] = _f(self.attention_bias) * blocks * (qkv + d)
        parts["embedding"] = v * d + _f(self.learned_positions) * d
        parts["head"] = np.where(_f(self.tied_embeddings) > 0, 0.0, v * d)
        return parts

    @property
    def parameters(self) -> Array:
        """All parameters, embeddings included. [count]"""
        return sum(self.parameters_by_part().values(), np.zeros(()))

    @property
    def active_parameters(self) -> Array:
        """Parameters that one token passes through, embeddings included. [count]"""
        experts = self.parameters_by_part()["experts"]
        share = _f(self.experts_per_token) / np.maximum(_f(self.experts), 1.0)
        return self.parameters - experts * (1.0 - share)

    # FLOPs -------------------------------------------------------------------------------------------------------

    def linear_flops_per_token(self) -> Array:
        """Forward FLOPs of all weight matrices for one token (routed experts: those chosen). [FLOP]"""
        total: Array = np.zeros(())
        for linear in self.linears():
            copies = self.experts_per_token if linear.split.startswith("expert") else 1.0
            total = total + 2.0 * linear.n * linear.k * linear.layers * copies
        return total

    def attention_flops_per_token(self, seq_len: Array) -> Array:
        """Forward FLOPs of scores and values for one token of a causal sequence, all layers. [FLOP]"""
        layers = _f(self.attention_layers) + _f(self.mtp_layers)
        return 2.0 * layers * _f(self.heads) * (self.query_dim + self.value_dim) * self.attended_keys(seq_len)

    def mamba_flops_per_token(self) -> Array:
        """Forward FLOPs of the Mamba-2 scan for one token, all layers (Megatron-LM counts 7 per state). [FLOP]"""
        return 7.0 * _f(self.mamba_layers) * _f(self.mamba_inner) * _f(self.mamba_state)

    def training_flops_per_token(self, seq_len: Array) -> Array:
        """Model FLOPs of one trained token: three forward passes' worth, causal attention, no recompute. [FLOP]

        The basis of every MFU here. Other sources count attention without the causal half, or embeddings.
        """
        forward = self.linear_flops_per_token() + self.attention_flops_per_token(seq_len)
        return 3.0 * (forward + self.mamba_flops_per_token())

    def kv_bytes_per_token(self, element_bytes: Array = 2.0) -> Array:
        """KV cache of one token over all attention layers. [B]"""
        return _f(self.attention_layers) * self.kv_width * element_bytes


_HYBRID = (
    "attention_layers", "linear_layers", "feed_forward_layers", "linear_key_dim", "linear_value_dim", "expert_d_model",
    "shared_d_ff",
)  # fmt: skip
_STATE = 128
"""State per head of Mamba-2 as published models use it (Nemotron-3: 128)."""
_PART: Mapping[str, str] = {
    "qkv": "attention",
    "mla_down": "attention",
    "mla_q_up": "attention",
    "mla_kv_up": "attention",
    "attention_out": "attention",
    "mtp_projection": "attention",
    "mamba_in": "mamba",
    "mamba_out": "mamba",
    "dense_up": "dense",
    "dense_down": "dense",
    "router": "router",
    "shared_up": "shared",
    "shared_down": "shared",
    "latent_down": "shared",
    "latent_up": "shared",
    "expert_up": "experts",
    "expert_down": "experts",
}


def _f(x: Any) -> npt.NDArray[np.float64]:
    return np.asarray(x, dtype=float)
