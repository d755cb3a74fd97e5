"""Time of one average block for one micro-batch on one rank, forward and backward, part by part.

Everything here depends only on the *shape* of the work on a rank (micro-batch, sequence share, tensor and expert
degrees), so that a search computes it once for each distinct shape and looks it up for millions of strategies.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from gigaforge.perf.arrays import Array
from gigaforge.perf.training.constants import Constants
from gigaforge.perf.training.exchange import Shape, context_s, expert_exchange_s, tensor_s
from gigaforge.perf.training.machine import Machine
from gigaforge.perf.transformer import Linear, Transformer

__all__ = ["LayerTimes", "gemm_s", "layer_times"]

Floats = Any


@dataclass(frozen=True)
class LayerTimes:
    """Seconds per average block and micro-batch; head and embedding per micro-batch of the stage that holds them.

    Forward and backward: `linear` (matrix multiplications with precision conversion), `expert` (routed experts with
    routing and permutation), `attention` (scores, values, Mamba-2 scans), `elementwise`, `launch` (host time that the
    GPU waits for). Communication (tensor, context, expert) is the exposed part plus the slow-down by the hidden part.
    """

    linear_f: Floats
    linear_b: Floats
    expert_f: Floats
    expert_b: Floats
    attention_f: Floats
    attention_b: Floats
    elementwise_f: Floats
    elementwise_b: Floats
    launch_f: Floats
    launch_b: Floats
    tensor_f: Floats
    tensor_b: Floats
    context_f: Floats
    context_b: Floats
    experts_comm_f: Floats
    experts_comm_b: Floats
    head: Floats
    embedding: Floats

    def take(self, index: Any) -> Self:
        """Look the rows up."""
        return type(self)(**{f.name: np.asarray(getattr(self, f.name))[index] for f in fields(self)})

    @property
    def compute_f(self) -> Floats:
        """Forward without communication. [s]"""
        return self.linear_f + self.expert_f + self.attention_f + self.elementwise_f + self.launch_f

    @property
    def compute_b(self) -> Floats:
        """Backward without communication. [s]"""
        return self.linear_b + self.expert_b + self.attention_b + self.elementwise_b + self.launch_b

    @property
    def comm_f(self) -> Floats:
        """Forward communication that costs time. [s]"""
        return self.tensor_f + self.context_f + self.experts_comm_f

    @property
    def comm_b(self) -> Floats:
        """Backward communication that costs time. [s]"""
        return self.tensor_b + self.context_b + self.experts_comm_b


def gemm_s(
    m: Array,
    n: Array,
    k: Array,
    rate: Array,
    k0: Array,
    wave: Array,
    units: Array,
    moved_bytes: Array,
    hbm_bytes_s: Array,
) -> Floats:
    """One matrix multiplication of ``2 m n k`` FLOPs at a sustained rate. [s]

    ``((2mn(k + k0)/rate · (1 + wave/waves))⁴ + (bytes/bandwidth)⁴)^¼``, waves of 128x256 tiles over the multiprocessors:
    prologue of the inner loop, the last wave part-filled, memory-bound ends. Zero where a width is zero.
    """
    waves = np.asarray(m * n, dtype=float) / (128.0 * 256.0 * np.asarray(units))
    compute = 2.0 * m * n * (k + np.where(np.asarray(k) > 0, k0, 0.0)) / rate * (1.0 + wave / np.maximum(waves, 1e-9))
    return _smooth_max(compute, moved_bytes / np.asarray(hbm_bytes_s))


def _smooth_max(a: Floats, b: Floats) -> Floats:
    a2, b2 = np.square(a), np.square(b)
    return np.sqrt(np.sqrt(a2 * a2 + b2 * b2))


def _three(
    m: Floats, n: Floats, k: Floats, rate: Floats, b: Floats, machine: Machine, c: Constants, trainable: Array
) -> tuple[Floats, Floats]:
    """Forward, and both backward multiplications (of the input's and the weight's gradient)."""
    bw = np.asarray(machine.hbm_bytes_s) * c.hbm
    args = (c.wave, machine.multiprocessors)
    forward = gemm_s(m, n, k, rate, c.k0, *args, (m * k + n * k) * b + 2.0 * m * n, bw)
    inputs = gemm_s(m, k, n, rate, c.k0, *args, (m * n + n * k) * b + 2.0 * m * k, bw)
    weights = gemm_s(n, k, m, rate, c.k0, *args, (m * k + m * n) * b + 8.0 * n * k, bw)
    return forward, inputs + trainable * weights


def _cut(linear: Linear, tp: Floats, etp: Floats) -> tuple[Floats, Floats]:
    """Width out and in of one rank's share."""
    out = {"column": tp, "vocab": tp, "expert_column": etp}.get(linear.split, 1.0)
    inner = {"row": tp, "expert_row": etp}.get(linear.split, 1.0)
    return linear.n / out, linear.k / inner


def layer_times(t: Transformer, machine: Machine, c: Constants, shape: Shape) -> LayerTimes:
    """All parts of the average block, for arrays of models, machines or shapes that broadcast.

    Parameters
    ----------
    t, machine, c, shape
        Numbers or arrays that broadcast against each other.

    """
    blocks = np.asarray(t.layers, dtype=float)
    tp = np.asarray(shape.tensor_parallel, dtype=float)
    etp = np.where(np.asarray(shape.expert_tensor_parallel) > 0, shape.expert_tensor_parallel, tp)
    tokens, split = shape.tokens, shape.norm_split
    bw = np.asarray(machine.hbm_bytes_s) * c.hbm
    low = np.asarray(machine.element_bytes) < 2.0
    rate, rate16 = np.asarray(machine.peak_flop_s) * c.gemm, np.asarray(machine.peak_bf16_flop_s) * c.gemm_bf16
    linear_f: Floats = np.zeros(())
    linear_b: Floats = np.zeros(())
    expert_f: Floats = np.zeros(())
    expert_b: Floats = np.zeros(())
    head: Floats = np.zeros(())
    pairs = tokens / tp * np.asarray(t.experts_per_token) * etp * np.asarray(shape.expert_load)
    gated = np.where(np.asarray(t.ff_matrices) > 2, c.moe_gated, 1.0)
    local = np.maximum(np.asarray(t.experts) / np.asarray(shape.expert_parallel), 1e-9)
    for linear in t.linears():
        if not np.any(linear.layers * linear.n * linear.k):
            continue
        n, k = _cut(linear, tp, etp)
        per_block = linear.layers / blocks
        if linear.split.startswith("expert"):
            # All experts of a rank in one grouped multiplication; each one's rows are padded to a tile.
            each = pairs / local
            rows = pairs * (1.0 + 64.0 / np.maximum(each, 16.0))
            forward, backward = _three(
                rows, n, k, rate * c.moe_efficiency, machine.element_bytes, machine, c, shape.trainable
            )
            extra = (local - 1.0) * n * k / bw
            forward = forward + np.where(each < 512, 0.5, 0.0) * extra * machine.element_bytes
            cast = np.where(low, gated * c.quantise * c.moe_quantise * 5.0 * pairs / bw, 0.0)
            expert_f = expert_f + per_block * (forward + cast * k)
            expert_b = expert_b + per_block * (backward + extra * 8.0 + cast * n)
        elif linear.name == "head":
            forward, backward = _three(tokens, n, k, rate16, 2.0, machine, c, shape.trainable)
            logits = c.elementwise * 20.0 * tokens * n / bw
            head = linear.layers * (forward + backward + logits)
        else:
            share = np.where(linear.split == "replicated", tokens / split, tokens)
            plain = _stays_bf16(linear.name, t, machine)
            forward, backward = _three(
                share,
                n,
                k,
                np.where(plain, rate16, rate),
                np.where(plain, 2.0, machine.element_bytes),
                machine,
                c,
                shape.trainable,
            )
            cast = np.where(low & ~plain, c.quantise * 5.0 * share / bw, 0.0)
            linear_f = linear_f + per_block * (forward + cast * k)
            linear_b = linear_b + per_block * (backward + cast * n)
    moe = (np.asarray(t.moe_layers) + np.where(np.asarray(t.moe_layers) > 0, t.mtp_layers, 0)) / blocks
    permute = moe * 4.0 * c.moe_traffic * pairs * np.asarray(t.expert_d_model) / bw
    expert_f = expert_f + permute
    expert_b = expert_b + permute
    attention_f, attention_b = _attention(t, machine, c, shape, blocks)
    element_f = _elementwise_bytes(t, shape, tp, etp, blocks, gated) * c.elementwise / bw
    kernels = _kernels(t, blocks, shape)
    fixed = moe * c.moe_fixed
    gpu_f = linear_f + expert_f + attention_f + element_f
    gpu_b = linear_b + expert_b + attention_b + 2.0 * element_f
    launch_f = _smooth_max(gpu_f, kernels * c.launch) - gpu_f + fixed
    launch_b = _smooth_max(gpu_b, 1.6 * kernels * c.launch) - gpu_b + fixed
    tensor = tensor_s(t, machine, c, shape, blocks, tp, etp)
    context = context_s(t, machine, c, shape, blocks, tp)
    experts = expert_exchange_s(t, machine, c, shape, moe, tp, etp)
    return LayerTimes(
        linear_f, linear_b, expert_f, expert_b, attention_f, attention_b, element_f, 2.0 * element_f, launch_f, launch_b,
        tensor, 1.2 * tensor, context, 2.0 * context, experts, experts, head, 12.0 * tokens * np.asarray(t.d_model) / bw,
    )  # fmt: skip


_SCORE_BYTES = 13.0
"""HBM traffic of one score without fused attention: written (2), softmax (2 + 2), dropout (2 + 2 + 1), read (2)."""


def _stays_bf16(name: str, t: Transformer, machine: Machine) -> Floats:
    """Routers always; in fp4, hybrids also keep attention, latent and Mamba output projections (Nemotron-3 recipe)."""
    always = name in {"router", "mtp_projection"}
    careful = name in {"qkv", "attention_out", "latent_down", "latent_up", "mamba_out"}
    hybrid = (np.asarray(t.mamba_layers) > 0) & (np.asarray(machine.element_bytes) < 1.0)
    return np.asarray(always) | (careful & hybrid)


def _attention(t: Transformer, machine: Machine, c: Constants, shape: Shape, blocks: Floats) -> tuple[Floats, Floats]:
    """Causal scores and values, and Mamba-2 scans, of one rank. [s]"""
    heads = np.asarray(t.heads) / np.asarray(shape.tensor_parallel)
    width = np.asarray(t.query_dim) + np.asarray(t.value_dim)
    # Narrow heads keep tensor cores less busy, wide ones more.
    narrow = (width / 256.0) ** np.asarray(c.narrow_heads)
    peak = np.asarray(machine.peak_bf16_flop_s)
    rate = np.minimum(np.asarray(c.attention) * narrow, 0.95) * peak
    queries = np.asarray(shape.micro_batch) * np.asarray(shape.seq_len) / shape.context_parallel
    layers = (np.asarray(t.attention_layers) + np.asarray(t.mtp_layers)) / blocks
    fused = 2.0 * heads * width * queries * t.attended_keys(np.minimum(shape.seq_len, shape.document_len)) / rate
    scores = heads * queries * np.asarray(shape.seq_len)
    plain = 2.0 * scores * width / (peak * c.gemm_bf16 * 0.7)
    plain = plain + _SCORE_BYTES * scores / (np.asarray(machine.hbm_bytes_s) * c.hbm)
    share = np.asarray(shape.unfused)
    forward = layers * (share * plain + (1.0 - share) * fused)
    again = share * 2.0 + (1.0 - share) * 2.5 / np.asarray(c.attention_backward)
    scan = t.mamba_flops_per_token() * shape.tokens / np.asarray(shape.tensor_parallel) / blocks
    scan = scan / (peak * c.mamba)
    return forward + scan, again * forward + 2.5 * scan


def _elementwise_bytes(
    t: Transformer, shape: Shape, tp: Floats, etp: Floats, blocks: Floats, gated: Floats
) -> Floats:
    """HBM traffic of norms, residuals, rotary positions and activations in one forward block. [B]"""
    tokens = shape.tokens
    d = np.asarray(t.d_model)
    mixers = np.asarray(t.attention_layers) + np.asarray(t.mamba_layers) + np.asarray(t.dense_layers) + t.moe_layers
    norms = mixers / blocks * 14.0 * tokens * d / shape.norm_split
    qkv = np.asarray(t.heads) * t.query_dim + np.asarray(t.kv_heads) * (np.asarray(t.head_dim) + t.value_dim)
    rotary = np.asarray(t.attention_layers) / blocks * 4.0 * tokens * qkv / tp
    act = 2.0 * np.asarray(t.ff_matrices)
    dense = np.asarray(t.dense_layers) / blocks * act * tokens * np.asarray(t.d_ff) / tp
    shared = np.asarray(t.moe_layers) / blocks * act * tokens * np.asarray(t.shared_d_ff) / tp
    pairs = tokens / tp * np.asarray(t.experts_per_token) * etp * np.asarray(shape.expert_load)
    # Routed experts weigh their output by the router's probability: one more pass.
    experts = np.asarray(t.moe_layers) / blocks * 2.0 * gated * act * pairs * np.asarray(t.expert_d_ff) / etp
    mamba = np.asarray(t.mamba_layers) / blocks * 24.0 * tokens * np.asarray(t.mamba_inner) / tp
    return norms + rotary + dense + shared + experts + mamba


def _kernels(t: Transformer, blocks: Floats, shape: Shape) -> Floats:
    """Kernels that the host launches for one forward block. [count]

    An assumption from the operators of Megatron-LM: unfused attention takes a dozen more (scores, mask, softmax, dropout and copies).
    """
    attention = 14.0 + 12.0 * np.asarray(shape.unfused) + np.where(np.asarray(shape.tensor_parallel) > 1, 4.0, 0.0)
    return (
        attention * np.asarray(t.attention_layers)
        + 16.0 * np.asarray(t.mamba_layers)
        + 8.0 * np.asarray(t.dense_layers)
        + 20.0 * np.asarray(t.moe_layers)
    ) / blocks
