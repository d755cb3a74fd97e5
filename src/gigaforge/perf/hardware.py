"""What the performance model knows of a machine: a handful of SI numbers, each a float or an array that broadcasts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gigaforge.errors import InputError
from gigaforge.perf.arrays import Array

if TYPE_CHECKING:
    from gigaforge.catalog import Accelerator, System

__all__ = ["Hardware", "chip_key", "precision_family"]


_FAMILY: Final = {
    "bf16": "bf16", "fp16": "bf16", "w4a16": "bf16", "int4": "bf16", "w8a16": "bf16",
    "fp8": "fp8", "fp8_block": "fp8", "mxfp8": "fp8", "int8": "fp8", "w4a8": "fp8",
    "fp4": "fp4", "nvfp4": "fp4", "mxfp4": "fp4",
}  # fmt: skip
_CHIP: Final = re.compile(r"^(a100|h100|h200|h800|gh200|b200|gb200|b300|gb300|mi3\d\dx|l40s)(?!-(nvl|pcie))")
_GENERATION: Final = {"blackwell-ultra": "blackwell ultra", "rubin-ultra": "rubin ultra"}


def precision_family(precision: str) -> str:
    """Which peak rate a precision computes at: ``"bf16"``, ``"fp8"`` or ``"fp4"``.

    Raises
    ------
    InputError
        Unknown precision.

    """
    try:
        return _FAMILY[precision]
    except KeyError:
        known = ", ".join(_FAMILY)
        raise InputError(f"unknown precision {precision!r}; known: {known}", "precision") from None


def chip_key(name: str) -> str:
    """Calibration key of an accelerator: ``"h100-sxm"`` → ``"h100"``; PCIe and NVL boards keep their own name."""
    match = _CHIP.match(name.lower())
    return match.group(1) if match else name.lower()


@dataclass(frozen=True)
class Hardware:
    """One system (node or rack), every number per accelerator unless said otherwise.

    Attributes
    ----------
    name, chip, generation : str
        System name; calibration key (`chip_key`); lower-case generation, e.g. ``"blackwell ultra"``. A chip without
        constants of its own is predicted from its generation's, and a new generation from the last one measured.
    accelerators, nvlink_domain : int
        Accelerators in the system; accelerators that share one scale-up network.
    peak_flop_s : mapping of precision family to array
        Dense peaks, ``"bf16"``, ``"fp8"``, ``"fp4"``; a family the chip lacks is absent. [FLOP/s]
    hbm_bytes, hbm_bandwidth_bytes_s : array
        [byte], [byte/s]
    scale_up_bytes_s, scale_out_bytes_s : array
        One direction. [byte/s]
    multiprocessors : array
        SMs or compute units.
    power_limit_w, idle_w : array
        [W]
    system_power_w, overhead_power_w : array
        IT power of the whole system at full load, and its share of switches, storage and management. [W]
    achieved_flop_s : array
        Fastest dense bf16 matrix product that anybody measured; not a number where nobody did. [FLOP/s]
    oversubscription, pod : array
        Of the fat tree beyond `pod` accelerators (1: full bisection). [unitless], [count]
    site_bytes_s, site_accelerators, site_latency_s : array
        Links between sites: per accelerator, accelerators of one site, one way. [byte/s], [count], [s]

    """

    name: str
    chip: str
    generation: str
    accelerators: int
    nvlink_domain: int
    peak_flop_s: Mapping[str, Array]
    hbm_bytes: Array
    hbm_bandwidth_bytes_s: Array
    scale_up_bytes_s: Array
    scale_out_bytes_s: Array
    multiprocessors: Array
    power_limit_w: Array
    idle_w: Array
    system_power_w: Array
    overhead_power_w: Array
    achieved_flop_s: Array = np.nan
    oversubscription: Array = 1.0
    pod: Array = np.inf
    site_bytes_s: Array = np.inf
    site_accelerators: Array = np.inf
    site_latency_s: Array = 0.0

    def peak(self, precision: str) -> Array:
        """Dense peak at a precision. [FLOP/s]

        Raises
        ------
        InputError
            The chip does not compute in this precision.

        """
        family = precision_family(precision)
        if family not in self.peak_flop_s:
            has = ", ".join(self.peak_flop_s)
            raise InputError(f"{self.name} has no {family} arithmetic (it has {has})", f"precision {precision}")
        return self.peak_flop_s[family]

    def supports(self, precision: str) -> bool:
        """Whether the chip computes in this precision."""
        return precision_family(precision) in self.peak_flop_s

    def with_power_limit(self, power_limit_w: Array) -> Hardware:
        """The same machine at another power limit per accelerator. [W]"""
        return replace(self, power_limit_w=power_limit_w)

    @property
    def overhead_w(self) -> Array:
        """IT power that is not the accelerators', per accelerator: host, fans, switches, storage. [W]"""
        rest = self.system_power_w - self.accelerators * np.asarray(self.power_limit_w, dtype=np.float64)
        out: Array = (np.maximum(rest, 0.0) + self.overhead_power_w) / self.accelerators
        return out

    @classmethod
    def from_catalog(cls, system: System, accelerator: Accelerator) -> Hardware:
        """Take the numbers out of the catalogue.

        Raises
        ------
        InputError
            A figure that the performance model needs is missing; the message names it.

        """
        peaks = {k: f.value for k in ("bf16", "fp8", "fp4") if (f := getattr(accelerator, k)) is not None}
        if "bf16" not in peaks:
            raise InputError(_unpublished(accelerator), f"accelerator {accelerator.name}")
        power = system.accelerator_power or accelerator.power
        limit = _need(power, "power", accelerator.name)
        idle = accelerator.idle_power.value if accelerator.idle_power else _IDLE_SHARE * limit
        system_power = system.power.value if system.power else system.accelerators * limit * _SYSTEM_SHARE
        units = accelerator.multiprocessors or peaks["bf16"] / _FLOP_S_PER_MULTIPROCESSOR
        out_fig = system.scale_out_bandwidth
        return cls(
            name=system.name,
            chip=chip_key(accelerator.name),
            generation=_GENERATION.get(accelerator.generation.lower(), accelerator.generation.lower()),
            accelerators=system.accelerators,
            nvlink_domain=system.nvlink_domain,
            peak_flop_s=peaks,
            hbm_bytes=_need(accelerator.hbm_capacity, "hbm_capacity", accelerator.name),
            hbm_bandwidth_bytes_s=_need(accelerator.hbm_bandwidth, "hbm_bandwidth", accelerator.name),
            scale_up_bytes_s=_need(accelerator.scale_up_bandwidth, "scale_up_bandwidth", accelerator.name),
            scale_out_bytes_s=out_fig.value if out_fig else _SCALE_OUT_BYTES_S,
            multiprocessors=float(units),
            power_limit_w=limit,
            idle_w=idle,
            system_power_w=system_power,
            overhead_power_w=system.overhead_power.value if system.overhead_power else 0.0,
            achieved_flop_s=accelerator.bf16_achieved.value if accelerator.bf16_achieved else np.nan,
        )


_IDLE_SHARE: Final = 0.12
"""Idle board power over its limit where the catalogue gives none (H100 idles near 70-120 W of 700 W: nvidia-smi
figures in https://github.com/stas00/ml-engineering/blob/master/compute/accelerator/README.md vary by clock state)."""
_SYSTEM_SHARE: Final = 1.5
"""System power over its accelerators' limits where none is given (DGX H100: 10.2 kW for 8 x 700 W is 1.8; DGX B200:
14.3 kW for 8 x 1,000 W is 1.8; GB200 NVL72: 120 kW for 72 x 1,200 W is 1.4)."""
_FLOP_S_PER_MULTIPROCESSOR: Final = 15.2e12
"""Dense bf16 per multiprocessor where the count is not published (B200: 2,250 TFLOP/s over 148)."""
_SCALE_OUT_BYTES_S: Final = 50e9
"""400 Gb/s per accelerator where a system gives none (https://docs.nvidia.com/dgx/dgxh100-user-guide/)."""


def _unpublished(accelerator: Accelerator) -> str:
    """Why there is no rate to compute with."""
    if accelerator.status in {"announced", "announced_only"}:
        return "is announced, and its bf16 rate is not published yet; take another or give it in your own catalogue"
    return "its bf16 peak rate is missing; give it in your own catalogue (--catalog)"


def _need(figure: Any, field: str, owner: str) -> float:
    if figure is None:
        raise InputError(f"{field} is missing; the performance model cannot do without it", f"accelerator {owner}")
    return float(figure.value)
