"""Hypothetical accelerators and their systems: parameters, validity, and what the performance model sees of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from gigaforge.codesign.hardware.technology import Technology
from gigaforge.errors import InputError
from gigaforge.perf.hardware import Hardware
from gigaforge.units import format_quantity

__all__ = ["PARAMETERS", "Designs", "design_of"]

Array = NDArray[np.float64]

PARAMETERS: Final[dict[str, tuple[str, str]]] = {
    "bf16_flop_s": ("dense bf16 rate", "flop_rate"),
    "hbm_bytes": ("HBM capacity", "data"),
    "hbm_bandwidth_bytes_s": ("HBM bandwidth", "bandwidth"),
    "scale_up_bytes_s": ("NVLink bandwidth", "bandwidth"),
    "scale_out_bytes_s": ("scale-out bandwidth", "bandwidth"),
    "power_w": ("power limit", "power"),
    "nvlink_domain": ("NVLink domain", "count"),
}
"""What a design is made of: name, words, dimension. FLOP/s in other precisions follow the technology's ratios."""

_IDLE_SHARE: Final = 0.12
"""As `gigaforge.perf.hardware` takes it where nothing is measured."""


@dataclass(frozen=True)
class Designs:
    """Accelerators per package, with their NVLink domain; every field an array, shape (design,).

    Attributes
    ----------
    bf16_flop_s : array
        Dense [FLOP/s].
    hbm_bytes, hbm_bandwidth_bytes_s : array
        [B], [B/s]
    scale_up_bytes_s, scale_out_bytes_s : array
        One direction [B/s].
    power_w : array
        Limit of the package [W]; below what it draws at full load the clock gives way (Max-Q).
    nvlink_domain : array
        Accelerators in one scale-up network.

    """

    bf16_flop_s: Array
    hbm_bytes: Array
    hbm_bandwidth_bytes_s: Array
    scale_up_bytes_s: Array
    scale_out_bytes_s: Array
    power_w: Array
    nvlink_domain: Array

    def __post_init__(self) -> None:
        for name in PARAMETERS:
            value = getattr(self, name)
            if np.ndim(value) != 1 or np.shape(value) != np.shape(self.bf16_flop_s):
                raise InputError("every parameter is an array of shape (design,)", f"designs.{name}")

    @classmethod
    def of(cls, **parameters: Any) -> Self:
        """From numbers or arrays that broadcast, by the names of `PARAMETERS`; `InputError` names what is missing."""
        missing = [name for name in PARAMETERS if name not in parameters]
        unknown = sorted(set(parameters) - set(PARAMETERS))
        if missing or unknown:
            raise InputError(f"missing {missing}, unknown {unknown}; a design has {', '.join(PARAMETERS)}", "design")
        arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(parameters[n], dtype=float)) for n in PARAMETERS))
        return cls(**dict(zip(PARAMETERS, (np.array(a) for a in arrays), strict=True)))

    def __len__(self) -> int:
        return len(self.bf16_flop_s)

    def take(self, index: Any) -> Self:
        """Rows (NumPy indexing)."""
        return type(self)(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def change(self, **parameters: Any) -> Self:
        """The same designs with some parameters replaced."""
        return self.of(**({name: getattr(self, name) for name in PARAMETERS} | parameters))

    def table(self) -> Array:
        """All parameters, shape (design, parameter)."""
        return np.stack([getattr(self, name) for name in PARAMETERS], axis=1)

    @classmethod
    def from_table(cls, table: Array) -> Self:
        """The inverse of `table`."""
        return cls.of(**{name: table[:, i] for i, name in enumerate(PARAMETERS)})

    def row(self, i: int) -> dict[str, float]:
        """One design's numbers."""
        return {name: float(getattr(self, name)[i]) for name in PARAMETERS}

    def words(self, i: int) -> str:
        """One design as people say it."""
        r = self.row(i)
        return (
            f"{r['bf16_flop_s'] / 1e12:,.0f} TFLOP/s bf16, {r['hbm_bytes'] / 1e9:,.0f} GB at "
            f"{r['hbm_bandwidth_bytes_s'] / 1e12:.2f} TB/s, NVLink {r['scale_up_bytes_s'] / 1e9:,.0f} GB/s over "
            f"{r['nvlink_domain']:.0f}, scale-out {r['scale_out_bytes_s'] / 1e9:,.0f} GB/s, {r['power_w']:,.0f} W"
        )

    def check(self, technology: Technology) -> None:
        """Refuse designs outside the range in which the technology's figures hold.

        Raises
        ------
        InputError
            Names the first parameter, its value and the range.

        """
        for name, (low, high) in technology.ranges.items():
            value = getattr(self, name)
            bad = np.flatnonzero(~((value >= low * (1 - 1e-9)) & (value <= high * (1 + 1e-9))))
            if bad.size:
                words, dimension = PARAMETERS[name]
                v, a, b = (format_quantity(float(x), dimension) for x in (value[bad[0]], low, high))
                raise InputError(
                    f"{words} {v} is outside the cost model's validity in {technology.name}, {a} to {b}; "
                    "take a value inside or another technology",
                    name,
                )

    def hardware(
        self, technology: Technology, full_power_w: Array, host_w: Array, fabric_w: Array, domain: int
    ) -> Hardware:
        """What the performance model sees of them: one `Hardware` whose numbers are arrays, shape (design,).

        Parameters
        ----------
        technology : Technology
            Gives rates of other precisions and the chip whose measured efficiencies apply.
        full_power_w : array
            Draw at full load, the limit at which the peaks hold [W].
        host_w, fabric_w : array
            Host and NVLink switches, and scale-out, per accelerator [W].
        domain : int
            Of all of them.

        """
        chip, generation = technology.kernels
        return Hardware(
            name=technology.name,
            # Efficiencies are those measured on the chip; its generation's derating of boards with less power per peak
            # does not apply, since the technology's own energies set the power.
            chip=chip,
            generation=_UNDERATED.get(generation, generation),
            accelerators=domain,
            nvlink_domain=domain,
            peak_flop_s={k: self.bf16_flop_s * ratio for k, ratio in technology.precisions.items()},
            hbm_bytes=self.hbm_bytes,
            hbm_bandwidth_bytes_s=self.hbm_bandwidth_bytes_s,
            scale_up_bytes_s=self.scale_up_bytes_s,
            scale_out_bytes_s=self.scale_out_bytes_s,
            multiprocessors=np.maximum(self.bf16_flop_s / technology.multiprocessor_flop_s, 1.0),
            power_limit_w=full_power_w,
            idle_w=_IDLE_SHARE * full_power_w,
            system_power_w=domain * (full_power_w + host_w),
            overhead_power_w=domain * fabric_w,
        )


_UNDERATED: Final = {"hopper": "hopper-design", "ampere": "ampere-design"}


def design_of(hardware: Hardware) -> Designs:
    """The design of a catalogue system."""
    return Designs.of(
        bf16_flop_s=hardware.peak_flop_s["bf16"],
        hbm_bytes=hardware.hbm_bytes,
        hbm_bandwidth_bytes_s=hardware.hbm_bandwidth_bytes_s,
        scale_up_bytes_s=hardware.scale_up_bytes_s,
        scale_out_bytes_s=hardware.scale_out_bytes_s,
        power_w=hardware.power_limit_w,
        nvlink_domain=float(hardware.nvlink_domain),
    )
