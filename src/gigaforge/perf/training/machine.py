"""The machine as training sees it: one number per quantity and strategy, at the job's precision."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from gigaforge.perf.arrays import Array
from gigaforge.perf.hardware import Hardware, precision_family

__all__ = ["Machine"]


@dataclass(frozen=True)
class Machine:
    """Arrays that broadcast against the strategies, per accelerator.

    Parameters
    ----------
    peak_flop_s, peak_bf16_flop_s : Array
        Dense, at the job's precision and in bf16 (attention, router, head). [FLOP/s]
    element_bytes : Array
        Of a matrix multiplication's operands: 2 (bf16), 1 (fp8), 0.5 (fp4). [B]
    hbm_bytes, hbm_bytes_s : Array
        [B], [B/s]
    scale_up_bytes_s, scale_out_bytes_s : Array
        One direction. [B/s]
    domain : Array
        Accelerators in one scale-up network. [count]
    multiprocessors : Array
        [count]
    power_limit_w, idle_w, overhead_w : Array
        Per accelerator; overhead is the host, switches and fans. [W]
    oversubscription, pod : Array
        Of the fat tree beyond `pod` accelerators (1: full bisection). [unitless], [count]
    site_bytes_s, site_accelerators, site_latency_s : Array
        Links between sites: per accelerator, accelerators of one site, one way. [B/s], [count], [s]

    """

    peak_flop_s: Array
    peak_bf16_flop_s: Array
    element_bytes: Array
    hbm_bytes: Array
    hbm_bytes_s: Array
    scale_up_bytes_s: Array
    scale_out_bytes_s: Array
    domain: Array
    multiprocessors: Array
    power_limit_w: Array
    idle_w: Array
    overhead_w: Array
    oversubscription: Array = 1.0
    pod: Array = np.inf
    site_bytes_s: Array = np.inf
    site_accelerators: Array = np.inf
    site_latency_s: Array = 0.0

    @classmethod
    def of(cls, hardware: Hardware, precision: str) -> Self:
        """Read the hardware at one precision; `InputError` if the chip lacks it."""
        return cls(
            peak_flop_s=hardware.peak(precision),
            peak_bf16_flop_s=hardware.peak("bf16"),
            element_bytes={"bf16": 2.0, "fp8": 1.0, "fp4": 0.5}[precision_family(precision)],
            hbm_bytes=hardware.hbm_bytes,
            hbm_bytes_s=hardware.hbm_bandwidth_bytes_s,
            scale_up_bytes_s=hardware.scale_up_bytes_s,
            scale_out_bytes_s=hardware.scale_out_bytes_s,
            domain=float(hardware.nvlink_domain),
            multiprocessors=hardware.multiprocessors,
            power_limit_w=hardware.power_limit_w,
            idle_w=hardware.idle_w,
            overhead_w=hardware.overhead_w,
            oversubscription=hardware.oversubscription,
            pod=hardware.pod,
            site_bytes_s=hardware.site_bytes_s,
            site_accelerators=hardware.site_accelerators,
            site_latency_s=hardware.site_latency_s,
        )

    @classmethod
    def stack(cls, several: list[Machine]) -> Self:
        """One of arrays, shape (several,)."""
        return cls(**{f.name: np.array([getattr(m, f.name) for m in several], dtype=float) for f in fields(cls)})

    def take(self, index: Any) -> Self:
        """Rows of a stacked machine."""
        return type(self)(**{f.name: np.asarray(getattr(self, f.name))[index] for f in fields(self)})
