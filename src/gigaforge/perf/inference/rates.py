"""What a forward pass needs to know of a machine and a precision, as numbers or as arrays with one row per case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self

import numpy as np

from gigaforge.perf.arrays import Array
from gigaforge.perf.hardware import Hardware, precision_family
from gigaforge.perf.kernels import PRECISIONS, Precision, compute_precision
from gigaforge.perf.parameters import constants, has_constants
from gigaforge.perf.power import bandwidth_factor, clock_factor

__all__ = ["PrecisionPlan", "Rates", "usual_cache"]


@dataclass(frozen=True)
class PrecisionPlan:
    """Which part of a model is held and computed in which precision.

    Attributes
    ----------
    experts, linears : str
        Feed-forward blocks (routed, shared and dense); attention projections and head.
    kv : str
        KV cache, ``"bf16"`` or ``"fp8"``.

    """

    experts: str
    linears: str
    kv: str

    @classmethod
    def of(cls, precision: str, *, moe: bool, kv: str | None = None, linears: str | None = None) -> Self:
        """What serving stacks do with a checkpoint, where nothing else is said: fp4 mixtures keep attention in bf16 (NVIDIA's
        DeepSeek-R1-NVFP4 and GLM-4.7-NVFP4), dense models do not; fp4 implies an fp8 cache.
        """
        cache = kv or ("fp8" if precision in ("nvfp4", "fp8") else "bf16")
        kept = "bf16" if moe and precision in ("nvfp4", "mxfp4", "int4") else precision
        return cls(precision, linears or kept, cache)


def usual_cache(precision: str, software: str, hardware: Hardware) -> str | None:
    """Cache that runs have where nothing says: fp8 with fp4 and plain fp8 weights; with block-scaled fp8 weights too under
    TensorRT-LLM and on chips with fp4 arithmetic, as InferenceX's scripts launch DeepSeek-R1
    (https://github.com/SemiAnalysisAI/InferenceX, benchmarks/dsr1_fp8_*); else none to speak of, which means bf16.
    """
    block = precision == "fp8_block" and (software.startswith(("trtllm", "mlperf")) or "fp4" in hardware.peak_flop_s)
    return "fp8" if block or precision in ("fp8", "nvfp4") else None


@dataclass(frozen=True)
class Rates:
    """Peaks, bandwidths and fitted kernel constants; see `gigaforge.perf.kernels` for the laws they enter.

    `peak_linear`, `peak_experts`, `peak_attention`, `peak_bf16` in FLOP/s; `bandwidth`, `scale_up`, `scale_out` in
    byte/s; ``*_weight`` and ``*_activation`` in byte per element; `t0_*` in s; the rest unitless.
    """

    peak_linear: Array
    peak_experts: Array
    peak_attention: Array
    peak_bf16: Array
    bandwidth: Array
    multiprocessors: Array
    scale_up: Array
    scale_out: Array
    domain: Array
    linear_weight: Array
    linear_activation: Array
    linear_eta_c: Array
    linear_k0: Array
    linear_eta_m: Array
    quantise_bytes: Array
    ff_peak: Array
    ff_weight: Array
    ff_activation: Array
    ff_eta_c: Array
    ff_k0: Array
    ff_eta_m: Array
    ff_quantise_bytes: Array
    experts_weight: Array
    experts_activation: Array
    experts_eta_c: Array
    experts_k0: Array
    experts_eta_m: Array
    experts_pad: Array
    kv_element: Array
    prefill_eta_64: Array
    prefill_eta_128: Array
    prefill_eta_256: Array
    decode_eta_m: Array
    decode_eta_c: Array
    latent_eta_m: Array
    latent_eta_c: Array

    @classmethod
    def of(cls, hardware: Hardware, plan: PrecisionPlan) -> Self:
        """Gather the constants of one machine at one precision plan.

        Raises
        ------
        InputError
            The chip lacks the arithmetic of the plan.

        """
        hardware = sustained(hardware)
        linear, experts = compute_precision(hardware, plan.linears), compute_precision(hardware, plan.experts)
        where = (hardware.chip, hardware.generation)
        gemm = constants("gemm", *where, linear.kernel)
        ff = constants("gemm", *where, experts.kernel)
        grouped = constants("grouped_gemm", *where, experts.grouped_kernel or experts.kernel)
        fp8_cache = plan.kv == "fp8"
        prefill = constants("attention_prefill", *where, "bf16")
        cache = "fp8" if fp8_cache else "bf16"
        decode = constants("attention_decode", *where, cache)
        latent = constants("mla_decode", *where, cache)
        return cls(
            peak_linear=_peak(hardware, linear),
            peak_experts=_peak(hardware, experts),
            peak_attention=hardware.peak_flop_s["bf16"],
            peak_bf16=hardware.peak_flop_s["bf16"],
            bandwidth=hardware.hbm_bandwidth_bytes_s,
            multiprocessors=hardware.multiprocessors,
            scale_up=hardware.scale_up_bytes_s,
            scale_out=hardware.scale_out_bytes_s,
            domain=float(hardware.nvlink_domain),
            linear_weight=linear.weight_bytes,
            linear_activation=linear.activation_bytes,
            linear_eta_c=gemm["eta_c"],
            linear_k0=gemm["k0"],
            linear_eta_m=gemm["eta_m"],
            quantise_bytes=_quantise_bytes(linear, gemm["eta_q"]),
            ff_peak=_peak(hardware, experts),
            ff_weight=experts.weight_bytes,
            ff_activation=experts.activation_bytes,
            ff_eta_c=ff["eta_c"],
            ff_k0=ff["k0"],
            ff_eta_m=ff["eta_m"],
            ff_quantise_bytes=_quantise_bytes(experts, ff["eta_q"]),
            experts_weight=experts.weight_bytes,
            experts_activation=experts.activation_bytes,
            experts_eta_c=grouped["eta_c"],
            experts_k0=grouped["k0"],
            experts_eta_m=grouped["eta_m"],
            experts_pad=grouped["pad"],
            kv_element=1.0 if fp8_cache else 2.0,
            prefill_eta_64=prefill["eta_64"],
            prefill_eta_128=prefill["eta_128"],
            prefill_eta_256=prefill["eta_256"],
            decode_eta_m=decode["eta_m"],
            decode_eta_c=decode["eta_c"],
            latent_eta_m=latent["eta_m"],
            latent_eta_c=latent["eta_c"],
        )

    @classmethod
    def stack(cls, several: Sequence[Rates]) -> Self:
        """One `Rates` of arrays, shape (several,)."""
        numbers: dict[str, Any] = {
            f.name: np.array([getattr(r, f.name) for r in several], dtype=np.float64) for f in fields(cls)
        }
        return cls(**numbers)

    def at_clock(self, factor: Array) -> Self:
        """The same machine at a share of the boost clock: tensor cores in proportion, HBM once the clock is too low for it."""
        slower: dict[str, Any] = {name: getattr(self, name) * factor for name in _CLOCKED}
        return replace(self, bandwidth=self.bandwidth * bandwidth_factor(factor), **slower)

    def take(self, index: Any) -> Self:
        """Rows of stacked rates (NumPy indexing)."""
        numbers: dict[str, Any] = {f.name: np.asarray(getattr(self, f.name))[index] for f in fields(self)}
        return type(self)(**numbers)


_CLOCKED: Final = ("peak_linear", "peak_experts", "peak_attention", "peak_bf16", "ff_peak")

_BOARD_W_PER_FLOP_S: Final = {"hopper": 700.0 / 989e12, "ampere": 400.0 / 312e12}
"""Board power over dense bf16 peak of the SXM boards whose sustained rates the constants were fitted to."""
_ACHIEVED: Final = 0.80
"""Fastest bf16 matrix product over peak of the chips whose kernels the constants were fitted to (H100 0.80, B200 0.78:
https://github.com/stas00/ml-engineering/blob/master/compute/accelerator/README.md)."""


def sustained(hardware: Hardware) -> Hardware:
    """The clock that a chip keeps under tensor load, for chips whose own kernels the constants do not know.

    Where the fastest measured matrix product is known, its share of peak over that of the chips that stand for it (MI300X
    reaches 0.51, MI325X with a third more power 0.60). Else boards with less power per peak than their generation's SXM
    (PCIe, NVL) run at the clock that their power allows.
    """
    peak = np.asarray(hardware.peak_flop_s["bf16"])
    reference = _BOARD_W_PER_FLOP_S.get(hardware.generation)
    factor: Any = 1.0
    if np.all(np.isfinite(hardware.achieved_flop_s)) and not has_constants(hardware.chip):
        factor = np.minimum(hardware.achieved_flop_s / peak / _ACHIEVED, 1.0)
    elif reference is not None:
        here = np.asarray(hardware.power_limit_w) / peak
        factor = clock_factor(hardware, np.minimum(here / reference, 1.0) * hardware.power_limit_w)
    else:
        return hardware
    return replace(hardware, peak_flop_s={k: v * factor for k, v in hardware.peak_flop_s.items()})


_FUSED: Final = 0.4
"""Share of the stand-alone quantisation kernel that is left when norms and activations write fp8 or fp4 themselves
(assumption: the fused kernels still read and write once, without the extra pass for the scale)."""


def _quantise_bytes(kind: Precision, eta: float) -> float:
    """HBM bytes per activation element that quantising costs, over the efficiency of doing it."""
    passes = {"bf16": 0.0, "fp8": 2.0}.get(kind.kernel, 1.0)
    return _FUSED * (2.0 * passes + kind.activation_bytes) / eta if passes else 0.0


_PEAK: Final = {name: precision_family(p.kernel) for name, p in PRECISIONS.items()}


def _peak(hardware: Hardware, kind: Precision) -> Array:
    family = "bf16" if kind.kernel == "bf16" else _PEAK[kind.name]
    return hardware.peak_flop_s[family]
