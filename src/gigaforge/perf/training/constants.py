"""The calibrated constants of the training model, and where each one comes from.

A constant's value is a default times a product of deviations: of the chip's generation and the precision, of the chip,
of the software family. Deviations are fitted with shrinkage (see `gigaforge.perf.calibration.training`), so that what
nobody measured falls back to its generation, its family, the default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Self

import numpy as np

from gigaforge.perf.arrays import Array

__all__ = ["FAMILIES", "SPECS", "Constants", "Key", "Spec", "constants_of", "software_families", "software_family"]


@dataclass(frozen=True)
class Key:
    """What the constants of one run depend on."""

    chip: str
    generation: str
    precision: str
    software: str


@dataclass(frozen=True)
class Spec:
    """One constant: its default, the levels at which it may deviate and how far (prior standard deviation of the log,
    or of the log-odds for fractions), and what it is.
    """

    default: float
    levels: Mapping[str, float]
    fraction: bool = False
    what: str = ""
    table: Mapping[str, float] = field(default_factory=dict)


def _s(
    default: float, what: str, *, fraction: bool = False, table: Mapping[str, float] | None = None, **levels: float
) -> Spec:
    return Spec(default, levels, fraction, what, table or {})


SPECS: Final[dict[str, Spec]] = {
    # Compute
    "gemm": _s(
        0.72,
        "sustained share of peak of a large matrix multiplication",
        generation_precision=0.15,
        chip_precision=0.06,
        software=0.06,
        table={
            "ampere.bf16": 0.82,
            "hopper.bf16": 0.74,
            "hopper.fp8": 0.66,
            "blackwell.bf16": 0.70,
            "blackwell.fp8": 0.64,
            "blackwell.nvfp4": 0.50,
            "blackwell ultra.bf16": 0.70,
            "blackwell ultra.fp8": 0.66,
            "blackwell ultra.nvfp4": 0.40,
        },
    ),
    "k0": _s(160.0, "prologue of the inner dimension [elements]", precision=0.3, generation=0.3),
    "wave": _s(0.30, "share of one wave of tiles lost at the end", one=0.5),
    "attention": _s(
        0.50,
        "share of the bf16 peak in causal attention, head dimension 128",
        generation=0.2,
        generation_software=0.25,
        table={
            "ampere": 0.52,
            "ampere.flash1": 0.33,
            "hopper.flash2": 0.36,
            "blackwell.flash2": 0.20,
            "blackwell ultra.flash2": 0.20,
            "hopper": 0.55,
            "blackwell": 0.55,
            "blackwell ultra": 0.68,
        },
    ),
    "narrow_heads": _s(0.35, "exponent of attention's efficiency in the width of a head", generation=0.3),
    "attention_backward": _s(0.80, "backward over forward efficiency of attention", generation=0.15),
    "hbm": _s(0.80, "share of HBM bandwidth in element-wise kernels", one=0.1),
    "elementwise": _s(1.0, "element-wise traffic over the fused ideal", one=0.3, software=0.3),
    "quantise": _s(1.0, "traffic of precision conversion over one pass each way", precision=0.4),
    "launch": _s(5.0e-6, "host time per kernel launched [s]", one=0.3, software=0.4),
    # Communication
    "scale_up": _s(0.75, "share of scale-up bandwidth in collectives", one=0.1, fraction=True),
    "scale_out": _s(0.70, "share of scale-out bandwidth in collectives", fraction=True, one=0.4, software=0.4),
    "tp_exposed": _s(0.60, "share of tensor-parallel communication not hidden", fraction=True, one=0.5, software=0.5),
    "cp_exposed": _s(0.40, "share of context-parallel communication not hidden", fraction=True, one=0.5),
    "ep_exposed": _s(0.70, "share of expert all-to-all not hidden", fraction=True, one=0.5, software=0.7),
    "pp_exposed": _s(0.50, "share of pipeline sends not hidden", fraction=True, one=0.5, software=0.5),
    "dp_hidden": _s(
        0.80, "share of the backward pass that hides gradient reduction", fraction=True, one=0.5, software=0.8
    ),
    "fsdp_hidden": _s(0.85, "share of compute that hides parameter gathering", fraction=True, one=0.5, software=0.5),
    "contention": _s(0.15, "slow-down of compute by hidden communication, per second of it", one=0.4),
    # Mixture of experts
    "moe_efficiency": _s(0.80, "grouped over plain matrix multiplication", fraction=True, one=0.4, software=0.4),
    "moe_traffic": _s(1.5, "permutation traffic over one copy each way", one=0.3, software=0.5),
    "moe_quantise": _s(1.5, "precision conversion of grouped over plain multiplications", one=0.4, software=0.3),
    "moe_gated": _s(
        1.0,
        "traffic of gated experts' activation and conversion over separate passes",
        software=0.4,
        generation_software=0.5,
    ),
    "moe_fixed": _s(
        200e-6, "router, sort and synchronisation of one expert layer, forward [s]", one=0.4, software=0.7
    ),
    "mamba": _s(0.15, "share of the bf16 peak in the Mamba-2 scan", one=0.5),
    # The step
    "optimizer": _s(1.3, "optimizer traffic over the ideal", one=0.3),
    "straggler": _s(0.004, "step lengthened per doubling of systems", one=0.4, software=0.4),
    "fixed": _s(8e-3, "host time of one step: data, logging, clipping [s]", one=0.2, software=0.3),
    "selective": _s(0.20, "share of the forward pass repeated by selective recompute", software=0.3, one=0.3),
    "full_recompute": _s(1.0, "cost of recomputation over the forward pass", software=0.05, one=0.05),
    # Memory
    "memory_fixed": _s(3.0e9, "context, communicators, workspace [B]", one=0.3, software=0.4),
    "memory_activations": _s(1.0, "activations over the accounted ones", one=0.1, software=0.2),
    "memory_logits": _s(10.0, "bytes of logits and loss per token and vocabulary entry", one=0.2, software=0.3),
}

FAMILIES: Final[tuple[tuple[str, str], ...]] = (
    (r"mcore mlperf|\(.*nemo\)|nemo/megatron-core", "mlperf"),
    (r"megatron-bridge.*26\.0[6-9]", "megatron-bridge-2606"),
    (r"megatron-bridge.*(26\.02\.01|26\.04)", "megatron-bridge-2604"),
    (r"megatron-bridge", "megatron-bridge-2509"),
    (r"automodel", "automodel"),
    (r"nemo", "nemo"),
    (r"megatron-deepspeed|deepspeed|gpt-neox", "megatron-deepspeed"),
    (r"sail-sg", "sail"),
    (r"megatron-lm 2021|megatron-lm fork", "megatron-2021"),
    (r"megatron", "megatron-core"),
    (r"torchtitan|torchao|fsdp2|olmo", "torchtitan"),
    (r"composer|llm-foundry", "composer"),
    (r"fms-fsdp", "fms-fsdp"),
    (r"internevo", "internevo"),
    (r"maxtext|pax|jax", "jax"),
    (r"nanotron", "nanotron"),
)


FLASH1: Final = ("internevo",)
"""InternEvo's figures are from FlashAttention 1 (https://github.com/InternLM/InternEvo/blob/develop/doc/en/install.md),
a third of an A100's peak (https://arxiv.org/abs/2307.08691)."""
FLASH2: Final = ("composer", "torchtitan", "fms-fsdp", "nanotron")
"""Families whose attention is FlashAttention-2, written for Ampere: 335 TFLOP/s on H100 (https://arxiv.org/abs/2307.08691),
half of what the later kernels of cuDNN and FlashAttention-3 reach (https://arxiv.org/abs/2407.08608)."""
PRIOR_WIDTH: Final = 1.4
"""Over all prior standard deviations: 1 and 2 give left-out errors within half a point (docs/training-accuracy.md)."""
STACKS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("mlperf", "nemo", "megatron-core", "megatron-bridge-2509", "megatron-bridge-2604", "megatron-bridge-2606"),
        "stack-megatron",
    ),
    **dict.fromkeys(("torchtitan", "composer", "fms-fsdp", "automodel"), "stack-fsdp"),
    **dict.fromkeys(("vtrain", "megatron-deepspeed", "megatron-2021", "zero-bubble", "sail"), "stack-2021"),
}
"""Families that share code; what a family's runs do not tell is taken from its stack."""


def grouped_dispatch(software: str) -> float:
    """1 where a family sends a token once to each domain that holds its experts (DeepEP and HybridEP, in NeMo's containers
    since 25.07: https://docs.nvidia.com/nemo/megatron-bridge/latest/training/moe-optimization.html), 0 where NCCL's
    all-to-all sends one copy for each expert.
    """
    return float(software.startswith(("megatron-bridge", "automodel")))


def software_family(text: str) -> str:
    """Family of a software's printed name (the first pattern that matches), else ``"other"``."""
    low = text.lower()
    if low in STACKS:
        return low
    for pattern, family in FAMILIES:
        if family == low or re.search(pattern, low):
            return family
    return "other"


def software_families() -> tuple[str, ...]:
    """Names that a job's software may have; ``megatron-bridge`` is the newest of its releases."""
    return tuple(dict.fromkeys(["megatron-bridge", *(family for _, family in FAMILIES), *STACKS, "other"]))


def deviations(name: str, key: Key) -> list[tuple[str, float]]:
    """Names and prior standard deviations of the deviations that apply to one constant of one run."""
    group = {"mxfp8": "fp8"}.get(key.precision, key.precision)
    at = {
        "one": f"{name}",
        "generation": f"{name}.{key.generation}",
        "generation_precision": f"{name}.{key.generation}.{group}",
        "precision": f"{name}.{key.precision}",
        "chip_precision": f"{name}.{key.chip}.{key.precision}",
        "software": f"{name}.{key.software}",
        "stack": f"{name}.{STACKS.get(key.software, 'stack-other')}",
        "generation_software": f"{name}.{key.generation}.{key.software}",
    }
    levels = dict(SPECS[name].levels)
    if "software" in levels:
        levels["stack"] = 0.8 * levels["software"]
    return [(at[level], PRIOR_WIDTH * sd) for level, sd in levels.items()]


def default_value(name: str, key: Key) -> float:
    """The constant before any deviation."""
    spec = SPECS[name]
    group = {"mxfp8": "fp8"}.get(key.precision, key.precision)
    kernel = "flash2" if key.software in FLASH2 else "flash1" if key.software in FLASH1 else ""
    for k in (f"{key.generation}.{kernel}", f"{key.generation}.{group}", key.generation):
        if k in spec.table:
            return spec.table[k]
    return spec.default


@dataclass(frozen=True)
class Constants:
    """All constants, each a number or one per strategy. Names and meaning: `SPECS`."""

    gemm: Array
    gemm_bf16: Array
    k0: Array
    wave: Array
    attention: Array
    narrow_heads: Array
    attention_backward: Array
    hbm: Array
    elementwise: Array
    quantise: Array
    launch: Array
    scale_up: Array
    scale_out: Array
    tp_exposed: Array
    cp_exposed: Array
    ep_exposed: Array
    pp_exposed: Array
    dp_hidden: Array
    fsdp_hidden: Array
    contention: Array
    moe_efficiency: Array
    moe_traffic: Array
    moe_quantise: Array
    moe_gated: Array
    moe_fixed: Array
    mamba: Array
    optimizer: Array
    straggler: Array
    fixed: Array
    selective: Array
    full_recompute: Array
    memory_fixed: Array
    memory_activations: Array
    memory_logits: Array

    def take(self, index: Any) -> Self:
        """Rows, where constants are arrays."""
        return type(self)(**{f.name: np.asarray(getattr(self, f.name))[index] for f in fields(self)})


def combine(name: str, default: Array, deviation: Array) -> Array:
    """Value of a constant from its default and the sum of its deviations."""
    spec = SPECS[name]
    if spec.fraction:
        odds = np.log(np.asarray(default) / (1.0 - np.asarray(default))) + deviation
        return 1.0 / (1.0 + np.exp(-odds))
    value = np.asarray(default) * np.exp(deviation)
    return np.minimum(value, 0.98) if name in {"gemm", "attention", "mamba", "hbm"} else value


def constants_of(key: Key, theta: Mapping[str, float]) -> Constants:
    """Constants of one run from the fitted deviations (those absent are zero)."""
    values = {name: _value(name, key, theta) for name in SPECS}
    return Constants(gemm_bf16=_value("gemm", replace(key, precision="bf16"), theta), **values)


def _value(name: str, key: Key, theta: Mapping[str, float]) -> float:
    total = sum(theta.get(k, 0.0) for k, _ in deviations(name, key))
    return float(combine(name, default_value(name, key), total))
