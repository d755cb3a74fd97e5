"""A replica's layout, and a model reduced to what a forward pass needs of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

import numpy as np

from gigaforge.perf.arrays import Array
from gigaforge.perf.transformer import Transformer

__all__ = ["Layout", "LinearShape", "Shapes"]


@dataclass(frozen=True)
class Layout:
    """How one replica (one engine instance) lies on its accelerators; every field an int, float or array.

    Attributes
    ----------
    accelerators : array
        Of the replica: tensor x attention data x pipeline parallel. [count]
    attention_data_parallel : array
        Ranks that each keep their own sequences for attention (1: none).
    expert_parallel : array
        Ranks over which the experts are spread; the rest of a stage's ranks cut each expert (tensor parallel).
    pipeline_parallel : array
        Stages.

    """

    accelerators: Array
    attention_data_parallel: Array = 1.0
    expert_parallel: Array = 1.0
    pipeline_parallel: Array = 1.0

    @property
    def stage(self) -> Array:
        """Accelerators of one pipeline stage."""
        return np.asarray(self.accelerators) / self.pipeline_parallel

    @property
    def tensor_parallel(self) -> Array:
        """Ranks that share one sequence's attention."""
        return self.stage / self.attention_data_parallel


class LinearShape(NamedTuple):
    """One weight matrix as the pass sees it."""

    n: Any
    k: Any
    layers: Any
    split: str
    feed_forward: bool


_FEED_FORWARD: Final = frozenset({"dense_up", "dense_down", "shared_up", "shared_down"})


@dataclass(frozen=True)
class Shapes:
    """A transformer reduced to what a pass needs, computed once per model (or stack of models)."""

    linears: tuple[LinearShape, ...]
    moe: bool
    d_model: Any
    heads: Any
    kv_heads: Any
    query_dim: Any
    value_dim: Any
    latent: Any
    latent_width: Any
    rope_dim: Any
    attention_layers: Any
    full_layers: Any
    window: Any
    layers: Any
    moe_layers: Any
    experts: Any
    experts_per_token: Any
    expert_d_ff: Any
    ff_matrices: Any
    vocab: Any
    mamba_flops: Any
    mamba_bytes: Any

    @classmethod
    def of(cls, t: Transformer) -> Shapes:
        """Reduce a transformer; multi-token-prediction layers are left out of the main pass."""
        keep = []
        for linear in t.linears():
            if linear.name == "mtp_projection" or linear.split.startswith("expert"):
                continue
            layers = 1.0 if linear.name == "head" else linear.layers - _mtp_copies(t, linear.name)
            if np.any(np.asarray(linear.n) * np.asarray(layers) > 0):
                keep.append(LinearShape(linear.n, linear.k, layers, linear.split, linear.name in _FEED_FORWARD))
        full = np.asarray(t.full_attention_fraction())
        state = np.asarray(t.mamba_layers) * np.asarray(t.mamba_inner) * np.asarray(t.mamba_state)
        return cls(
            linears=tuple(keep),
            moe=bool(np.any(np.asarray(t.moe_layers) > 0)),
            d_model=_f(t.d_model),
            heads=_f(t.heads),
            kv_heads=np.maximum(_f(t.kv_heads), 1.0),
            query_dim=_f(t.query_dim),
            value_dim=_f(t.value_dim),
            latent=np.asarray(t.is_mla) > 0,
            latent_width=_f(t.kv_lora_rank),
            rope_dim=_f(t.rope_head_dim),
            attention_layers=_f(t.attention_layers),
            full_layers=_f(t.attention_layers) * full,
            window=np.where(_f(t.sliding_window) > 0, _f(t.sliding_window), np.inf),
            layers=_f(t.layers),
            moe_layers=_f(t.moe_layers),
            experts=np.maximum(_f(t.experts), 1.0),
            experts_per_token=_f(t.experts_per_token),
            expert_d_ff=_f(t.expert_d_ff),
            ff_matrices=_f(t.ff_matrices),
            vocab=_f(t.vocab),
            mamba_flops=7.0 * state,
            mamba_bytes=4.0 * state,
        )

    def take(self, index: Any) -> Shapes:
        """Rows of stacked shapes (NumPy indexing)."""
        values: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "linears":
                value = tuple(
                    LinearShape(_at(s.n, index), _at(s.k, index), _at(s.layers, index), s.split, s.feed_forward)
                    for s in value
                )
            elif f.name != "moe":
                value = _at(value, index)
            values[f.name] = value
        return Shapes(**values)


def _at(value: Any, index: Any) -> Any:
    array = np.asarray(value)
    return array[index] if array.ndim else value


def _mtp_copies(t: Transformer, name: str) -> Array:
    """Multi-token-prediction layers that `Transformer.linears` counts in with the others."""
    moe = np.asarray(t.moe_layers) > 0
    mtp = np.asarray(t.mtp_layers, dtype=np.float64)
    if name.startswith("mamba"):
        return 0.0
    if name.startswith("dense"):
        return np.where(moe, 0.0, mtp)
    if name.startswith(("shared", "router", "latent")):
        return np.where(moe, mtp, 0.0)
    return mtp


def _f(x: Any) -> Any:
    return np.asarray(x, dtype=np.float64)
