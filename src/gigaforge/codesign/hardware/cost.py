"""What a design takes in silicon, power and money, by technology.

References
----------
.. [1] Gross dies per wafer: π(d/2)²/A - πd/√(2A), C.-K. Hwang, Die yield, https://en.wikipedia.org/wiki/Die_yield_calculator.
.. [2] Yield: B. T. Murphy, Cost-size optima of monolithic integrated circuits, Proc. IEEE 52 (1964), ((1 - e^-AD)/AD)².

"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from gigaforge.codesign.hardware.design import Designs
from gigaforge.codesign.hardware.technology import Technology

__all__ = ["Costs", "cost", "die_yield", "dies_per_wafer"]

Array = NDArray[np.float64]

_WAFER_MM: Final = 300.0
_INTERPOSER: Final = 1.2
"""Interposer over what stands on it (assumption: edges and gaps; H100's 1,540 mm² on about 1,800 mm²)."""


@dataclass(frozen=True)
class Costs:
    """Per accelerator; arrays of shape (design,).

    Attributes
    ----------
    possible : array of bool
        Dies, stacks, heat and power are within what the technology can.
    die_mm2, dies : array
        Area of one die [mm²]; how many. 0 where none fits.
    stacks : array
        HBM stacks, whole ones.
    full_power_w, power_w : array
        Draw at full load without a limit; with the design's limit [W].
    host_w, fabric_w, rack_power_w : array
        Share of host and NVLink switches, of scale-out, and nameplate IT power in all [W].
    die_usd, hbm_usd, packaging_usd, package_usd : array
        To make [USD]: silicon, memory, advanced packaging; all of them with test and assembly.
    accelerator_usd, rack_usd : array
        Price of the package; of an accelerator's share of the whole system and its network [USD].

    """

    possible: NDArray[np.bool_]
    die_mm2: Array
    dies: Array
    stacks: Array
    full_power_w: Array
    power_w: Array
    host_w: Array
    fabric_w: Array
    rack_power_w: Array
    die_usd: Array
    hbm_usd: Array
    packaging_usd: Array
    package_usd: Array
    accelerator_usd: Array
    rack_usd: Array

    def take(self, index: Any) -> Self:
        """Rows (NumPy indexing)."""
        return type(self)(**{k: v[index] for k, v in vars(self).items()})

    def row(self, i: int) -> dict[str, float | bool]:
        """One design's numbers."""
        return {k: bool(v[i]) if v.dtype == bool else float(v[i]) for k, v in vars(self).items()}


def dies_per_wafer(die_mm2: Array) -> Array:
    """Whole dies on a 300 mm wafer, at least a fraction of one [1]_."""
    area = np.maximum(die_mm2, 1.0)
    gross = np.pi * (_WAFER_MM / 2) ** 2 / area - np.pi * _WAFER_MM / np.sqrt(2 * area)
    return np.asarray(np.maximum(gross, 0.1))


def die_yield(die_mm2: Array, technology: Technology) -> Array:
    """Share of dies that work once defects in redundant units are switched off [2]_."""
    expected = np.maximum(die_mm2, 1e-9) * (1 - technology.redundant_share.value) * technology.defects_per_mm2.value
    return np.asarray(np.square(-np.expm1(-expected) / expected))


def cost(designs: Designs, technology: Technology, *, whole_stacks: bool = True) -> Costs:
    """Area, power and price of designs.

    The figures hold inside the technology's ranges; `Designs.check` refuses what is outside.

    Parameters
    ----------
    whole_stacks : bool
        False counts a slower or emptier stack in part, so that what a little more costs is a slope and no step.

    """
    t, d = technology, designs
    stacks = np.maximum(np.maximum(d.hbm_bandwidth_bytes_s / t.stack_bytes_s[1], d.hbm_bytes / t.stack_bytes[1]), 1.0)
    if whole_stacks:
        stacks = np.ceil(stacks - 1e-6)
    rest = (
        d.bf16_flop_s * t.compute_mm2_per_flop_s.value
        + stacks * t.stack_mm2.value
        + d.scale_up_bytes_s * t.link_mm2_per_byte_s.value
    )
    room = t.die_mm2_max - t.uncore_mm2.value
    dies = np.maximum(np.ceil(rest / room - 1e-9), 1.0)
    fits = dies <= t.dies_max
    area = rest / dies + t.uncore_mm2.value
    silicon = area * dies
    full = (
        silicon * t.static_w_per_mm2.value
        + d.bf16_flop_s * t.compute_j_per_flop.value
        + d.hbm_bandwidth_bytes_s * t.hbm_j_per_byte.value
        + d.scale_up_bytes_s * t.link_j_per_byte.value
    )
    power = np.minimum(d.power_w, full)
    reach = np.log2(np.maximum(d.nvlink_domain, 2.0)) / np.log2(max(t.domains))
    host = t.host_w.value + d.scale_up_bytes_s * t.switch_w_per_byte_s.value * reach
    fabric = d.scale_out_bytes_s * t.fabric_w_per_byte_s.value
    rack_power = power + host + fabric
    die_usd = dies * t.wafer_usd.value / (dies_per_wafer(area) * die_yield(area, t))
    hbm_usd = d.hbm_bytes * t.hbm_usd_per_byte.value
    packaging = _INTERPOSER * (silicon + stacks * t.stack_package_mm2) * t.package_usd_per_mm2.value
    package = (die_usd + hbm_usd + packaging) * (1 + t.test_share.value)
    accelerator = package * t.markup.value
    rack = (
        accelerator
        + t.host_usd.value
        + d.scale_up_bytes_s * t.scale_up_usd_per_byte_s.value * reach
        + d.scale_out_bytes_s * t.scale_out_usd_per_byte_s.value
        + rack_power * t.cooling_usd_per_w.value
    )
    possible = (
        fits
        & (stacks <= t.stacks_max * (1 + 1e-9))
        & (d.hbm_bytes >= stacks * t.stack_bytes[0] * (1 - 1e-9))
        & (d.hbm_bandwidth_bytes_s >= stacks * t.stack_bytes_s[0] * (1 - 1e-9))
        & (power <= t.power_w[1] * (1 + 1e-9))
        & (power <= silicon * t.watts_per_mm2_max)
    )
    return Costs(
        possible, np.where(fits, area, 0.0), np.where(fits, dies, 0.0), stacks, full, power, host, fabric, rack_power,
        die_usd, hbm_usd, packaging, package, accelerator, rack,
    )  # fmt: skip
