"""How long one kernel takes: closed laws with constants fitted per chip and precision to published measurements.

All laws work on arrays that broadcast. A kernel never runs above the peak rate or the memory bandwidth: efficiencies
are at most one and only overheads are added (tested).

References
----------
.. [1] ai-dynamo/aiconfigurator, measured kernels (commit 095f58a, Apache-2.0),
   https://github.com/ai-dynamo/aiconfigurator. The constants in ``data/kernels.json`` are least-squares fits to them
   (soft-L1 on log ratios); errors on held-back shapes are given there.

"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gigaforge.errors import InputError
from gigaforge.perf.arrays import Array
from gigaforge.perf.hardware import Hardware, precision_family
from gigaforge.perf.parameters import constants

__all__ = [
    "PRECISIONS",
    "Precision",
    "attention_decode_s",
    "attention_prefill_s",
    "compute_precision",
    "gemm_s",
    "grouped_gemm_s",
    "memory_bound_s",
    "weight_only",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Precision:
    """How a precision stores weights and which kernel constants and arithmetic it uses.

    Attributes
    ----------
    weight_bytes : float
        Per weight, block scales included. [byte]
    activation_bytes : float
        Per activation as the GEMM reads it. [byte]
    kernel, grouped_kernel : str
        Keys of the kernel constants of linear layers and of experts (empty: the same).
    weight_only : bool
        Weights are unpacked to bf16 where the chip lacks the arithmetic (w4a16), so any chip runs it.

    """

    name: str
    weight_bytes: float
    activation_bytes: float
    kernel: str
    grouped_kernel: str = ""
    weight_only: bool = False


PRECISIONS: Final[dict[str, Precision]] = {
    p.name: p
    for p in (
        Precision("bf16", 2.0, 2.0, "bf16"),
        Precision("fp16", 2.0, 2.0, "bf16"),
        Precision("fp8", 1.0, 1.0, "fp8"),
        Precision("fp8_block", 1.0 + 4 / 128**2, 1.0 + 4 / 128, "fp8_block"),
        Precision("mxfp8", 1.0 + 1 / 32, 1.0 + 1 / 32, "fp8_block"),
        Precision("nvfp4", 0.5 + 1 / 16, 0.5 + 1 / 16, "nvfp4"),
        Precision("mxfp4", 0.5 + 1 / 32, 1.0, "nvfp4", "mxfp4", weight_only=True),
        Precision("int4", 0.5 + 2 / 128, 2.0, "bf16", weight_only=True),
        Precision("w8a16", 1.0, 2.0, "bf16", weight_only=True),
    )
}


def weight_only(precision: str, hardware: Hardware) -> str:
    """What runs a checkpoint on a chip without its arithmetic: weights stay packed and are unpacked to bf16 ("w8a16", "mxfp4").

    A precision that the chip computes in, or that is weight-only already, comes back as it is. The figure is that of
    Marlin-type kernels, which vLLM and SGLang fall back to (https://docs.vllm.ai/en/latest/features/quantization/).
    """
    kind = PRECISIONS.get(precision)
    if kind is None or kind.weight_only or hardware.supports(precision):
        return precision
    return "mxfp4" if kind.weight_bytes < 1.0 else "w8a16"


def compute_precision(hardware: Hardware, precision: str) -> Precision:
    """How this chip runs a precision: as it is, or weights unpacked to bf16 (mxfp4 on Hopper).

    Raises
    ------
    InputError
        The precision is unknown, or the chip lacks its arithmetic.

    """
    if precision not in PRECISIONS:
        raise InputError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}", "precision")
    kind = PRECISIONS[precision]
    if hardware.supports(precision):
        return kind
    if kind.weight_only:
        return Precision(precision, kind.weight_bytes, 2.0, "bf16", kind.grouped_kernel, weight_only=True)
    hardware.peak(precision)  # raises, naming what the chip has
    raise AssertionError


def _peak(hardware: Hardware, precision: Precision) -> Array:
    return hardware.peak_flop_s[precision_family("bf16" if precision.kernel == "bf16" else precision.kernel)]


def _smooth_max(a: Array, b: Array) -> Floats:
    """(a⁴ + b⁴)^(1/4): two overlapping limits, never below either."""
    first, second = np.square(a), np.square(b)
    return np.asarray(np.sqrt(np.sqrt(first * first + second * second)))


def gemm_s(hardware: Hardware, precision: str, m: Array, n: Array, k: Array) -> Floats:
    """Time of one linear layer y[m,n] = x[m,k]·W[n,k] in one closed form. [s]

    ``t0 + t_q + ((2·max(m,64)·n·(k+k0) / (P·η_c) · wave)⁴ + (bytes/(BW·η_m))⁴)^(1/4)``: tensor-core time with
    the loop's prologue k0 and the part-filled last wave, HBM time of weights and activations, quantisation t_q of the
    activations, launch t0. A search over tiles and split-K gains 2-3 points of median error at forty times the cost.

    Parameters
    ----------
    hardware : Hardware
        The machine.
    precision : str
        A key of `PRECISIONS`.
    m, n, k : array
        Tokens, output and input width. [unitless]

    """
    kind = compute_precision(hardware, precision)
    c = constants("gemm", hardware.chip, hardware.generation, kind.kernel)
    bandwidth = hardware.hbm_bandwidth_bytes_s
    rows = np.maximum(m, 64.0)
    tiles = rows * n / (128.0 * 128.0 * np.asarray(hardware.multiprocessors))
    wave = 1.0 + 0.25 / np.maximum(tiles, 0.25)
    compute = 2.0 * rows * n * (k + c["k0"]) / (_peak(hardware, kind) * c["eta_c"]) * wave
    memory = (n * k * kind.weight_bytes + m * k * kind.activation_bytes + 2.0 * m * n) / (bandwidth * c["eta_m"])
    return np.asarray(c["t0_s"] + _quantise_s(kind, c, bandwidth, m, k) + _smooth_max(compute, memory))


def _quantise_s(kind: Precision, c: dict[str, float], bandwidth: Array, m: Array, k: Array) -> Array:
    """Reading bf16 activations and writing them back quantised; fp8 reads them twice for its scale. [s]"""
    if kind.kernel == "bf16":
        return 0.0
    passes = 2.0 if kind.kernel == "fp8" else 1.0
    out: Array = m * k * (2.0 * passes + kind.activation_bytes) / (bandwidth * c["eta_q"])
    return out


def grouped_gemm_s(
    hardware: Hardware,
    precision: str,
    pairs: Array,
    active_experts: Array,
    d_model: Array,
    expert_d_ff: Array,
    matrices: int = 3,
) -> Floats:
    """Time of the routed experts of the most loaded rank: gate+up and down as two grouped GEMMs. [s]

    Parameters
    ----------
    hardware : Hardware
        The machine.
    precision : str
        A key of `PRECISIONS`.
    pairs : array
        Token-expert pairs on this rank. [unitless]
    active_experts : array
        Distinct experts that these pairs touch. [unitless]
    d_model, expert_d_ff : array
        Widths on this rank. [unitless]
    matrices : int
        Weight matrices per expert: 3 (SwiGLU) or 2.

    """
    kind = compute_precision(hardware, precision)
    c = constants("grouped_gemm", hardware.chip, hardware.generation, kind.grouped_kernel or kind.kernel)
    bandwidth = hardware.hbm_bandwidth_bytes_s
    each = np.maximum(pairs / np.maximum(active_experts, 1e-9), 1.0)
    rows = np.maximum(active_experts, 1e-9) * np.maximum(each + c["pad"] * np.minimum(each, 64.0), 32.0)
    rate = _peak(hardware, kind) * c["eta_c"]
    weights = matrices * d_model * expert_d_ff
    compute = 2.0 * rows * (weights + matrices * expert_d_ff * c["k0"]) / rate
    traffic = active_experts * weights * kind.weight_bytes + pairs * (
        (2 * d_model + (matrices + 1) * expert_d_ff) * kind.activation_bytes
    )
    memory = traffic / (bandwidth * c["eta_m"])
    permute = 4.0 * pairs * d_model * c["c_a"] / bandwidth
    return np.asarray(c["t0_s"] + _smooth_max(compute, memory) + permute)


def attention_prefill_s(
    hardware: Hardware,
    precision: str,
    sequences: Array,
    new_tokens: Array,
    past_tokens: Array,
    heads: Array,
    kv_heads: Array,
    head_dim: Array,
    value_dim: Array | None = None,
    window: Array = np.inf,
) -> Floats:
    """Causal attention of new tokens over themselves and a cached prefix, with RoPE and the write of K and V. [s]

    Parameters
    ----------
    hardware : Hardware
        The machine.
    sequences, new_tokens, past_tokens : array
        Sequences in the batch, tokens each adds, tokens each has cached. [unitless]
    heads, kv_heads, head_dim, value_dim : array
        On this rank; `value_dim` defaults to `head_dim`.
    window : array
        Sliding window (infinite: full attention). [token]
    precision : str
        Of the attention arithmetic, ``"bf16"`` or ``"fp8"``.

    """
    kind = "fp8" if precision_family(precision) == "fp8" and "fp8" in hardware.peak_flop_s else "bf16"
    c = constants("attention_prefill", hardware.chip, hardware.generation, kind)
    value = head_dim if value_dim is None else value_dim
    eta = _head_efficiency(c, head_dim)
    causal = new_tokens * (past_tokens + 0.5 * (new_tokens + 128.0))
    pairs = np.minimum(causal, new_tokens * np.asarray(window, dtype=np.float64))
    compute = 2.0 * sequences * heads * pairs * (head_dim + value) / (hardware.peak_flop_s[kind] * eta)
    width = 2.0 if kind == "bf16" else 1.0
    keys = kv_heads * (head_dim + value) * (new_tokens + past_tokens) * width
    touched = sequences * (2.0 * heads * (head_dim + value) * new_tokens + keys)
    before = sequences * new_tokens * (head_dim * (2 * c["c_q"] * heads + 4 * c["c_kv"] * kv_heads))
    bandwidth = hardware.hbm_bandwidth_bytes_s
    return np.asarray(c["t0_s"] + _smooth_max(compute, touched / bandwidth) + before / bandwidth)


def _head_efficiency(c: dict[str, float], head_dim: Array) -> Array:
    """Share of peak reached by head dimension 64, 128 and 256, interpolated. [unitless]"""
    points = np.log([64.0, 128.0, 256.0])
    return np.exp(np.interp(np.log(head_dim), points, np.log([c["eta_64"], c["eta_128"], c["eta_256"]])))


def attention_decode_s(
    hardware: Hardware,
    kv_bytes_per_token: Array,
    flop_per_token: Array,
    sequences: Array,
    context: Array,
    precision: str = "bf16",
    kind: str = "attention_decode",
) -> Floats:
    """One new token per sequence against its cache: HBM stream of the cache or tensor cores (MLA), and launch. [s]

    Parameters
    ----------
    hardware : Hardware
        The machine.
    kv_bytes_per_token : array
        Cache bytes of one token in this layer on this rank. [byte]
    flop_per_token : array
        FLOPs that one query token spends on one cached token in this layer on this rank. [FLOP]
    sequences, context : array
        [unitless]
    precision : str
        Of the cache, ``"bf16"`` or ``"fp8"``.
    kind : str
        ``"attention_decode"`` or ``"mla_decode"``.

    """
    cache = "fp8" if precision_family(precision) == "fp8" else "bf16"
    c = constants(kind, hardware.chip, hardware.generation, cache)
    peak = hardware.peak_flop_s["bf16"]
    memory = sequences * context * kv_bytes_per_token / (hardware.hbm_bandwidth_bytes_s * c["eta_m"])
    compute = sequences * context * flop_per_token / (peak * c["eta_c"])
    return np.asarray(c["t0_s"] + _smooth_max(memory, compute))


def memory_bound_s(hardware: Hardware, moved_bytes: Array, kernels: Array = 1.0) -> Floats:
    """Element-wise work: bytes through HBM at the stream's efficiency, and one launch per kernel. [s]"""
    return np.asarray(moved_bytes / (hardware.hbm_bandwidth_bytes_s * 0.85) + kernels * 2e-6)
