"""What a year's processes, memories and links can do and cost: the figures behind a hypothetical accelerator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from gigaforge.errors import InputError

__all__ = ["Estimate", "Technology", "between"]


@dataclass(frozen=True)
class Estimate:
    """One figure with its range and where it comes from.

    Attributes
    ----------
    value, low, high : float
        SI units, best and range.
    source : str
        Address, or ``assumption: why``.

    Raises
    ------
    InputError
        The value is outside its range, or nothing says where it comes from.

    """

    value: float
    low: float
    high: float
    source: str

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise InputError(f"{self.value:g} is outside its range {self.low:g} to {self.high:g}", "estimate")
        if not self.source.startswith(("https://", "http://", "assumption:")):
            raise InputError(f"{self.source!r} is neither an address nor 'assumption: why'", "estimate")


@dataclass(frozen=True)
class Technology:
    """Process, memory, link and packaging of one year: what an accelerator's parts take in area, power and money.

    Attributes
    ----------
    name, label : str
        Key; as people write it.
    year : int
        First year of volume shipments.
    precisions : mapping of precision family to float
        Dense rate over the bf16 rate: ``{"bf16": 1, "fp8": 2}``.
    kernels : tuple of str
        Chip and generation whose measured kernel efficiencies stand for a design in this technology.
    multiprocessor_flop_s : float
        Dense bf16 rate of one multiprocessor [FLOP/s].
    wafer_usd, defects_per_mm2 : Estimate
        300 mm wafer [USD]; random defects [1/mm²].
    redundant_share : Estimate
        Of the die, repairable by switching units off (multiprocessors, memory channels) [1].
    die_mm2_max, dies_max : float, int
        Reticle limit; dies that one package joins.
    compute_mm2_per_flop_s : Estimate
        Multiprocessors with registers and level-1 memory, per dense bf16 FLOP/s [mm²·s/FLOP].
    uncore_mm2 : Estimate
        Level-2 memory, crossbar, control, PCIe and media of one die [mm²].
    stack_mm2, link_mm2_per_byte_s : Estimate
        Controller and interface of one HBM stack [mm²]; of NVLink, per one-direction byte/s [mm²·s/B].
    compute_j_per_flop, hbm_j_per_byte, link_j_per_byte : Estimate
        At the load that a board's power limit is set for [J/FLOP], [J/B], [J/B] (one direction counts both ends' share).
    static_w_per_mm2, watts_per_mm2_max : Estimate, float
        Leakage, clocks and level-2 of the die; what cooling can take off it [W/mm²].
    stack_bytes, stack_bytes_s : tuple of float
        Least and most of one HBM stack [B], [B/s].
    stacks_max : int
        Per package.
    hbm_usd_per_byte : Estimate
        [USD/B]
    stack_package_mm2, package_usd_per_mm2, test_share : float, Estimate, Estimate
        Footprint of a stack on the interposer; advanced packaging per interposer area; test, substrate, board and
        assembly over die, memory and packaging [1].
    markup : Estimate
        Price of the packaged accelerator over what it costs to make [1].
    domains : tuple of int
        NVLink domains that exist [accelerators].
    host_usd, scale_up_usd_per_byte_s, scale_out_usd_per_byte_s, cooling_usd_per_w : Estimate
        Price of an accelerator's share: host, memory and chassis [USD]; NVLink switches and cables, by one-direction
        byte/s; NIC, optics and switches; power supplies and cooling inside the rack.
    host_w, switch_w_per_byte_s, fabric_w_per_byte_s : Estimate
        Its share of IT power: host and fans or pumps [W]; NVLink switches; scale-out.
    scale_up_bytes_s, scale_out_bytes_s, bf16_flop_s, power_w : tuple of float
        Range in which these figures hold.

    """

    name: str
    label: str
    year: int
    precisions: dict[str, float]
    kernels: tuple[str, str]
    multiprocessor_flop_s: float
    wafer_usd: Estimate
    defects_per_mm2: Estimate
    redundant_share: Estimate
    die_mm2_max: float
    dies_max: int
    compute_mm2_per_flop_s: Estimate
    uncore_mm2: Estimate
    stack_mm2: Estimate
    link_mm2_per_byte_s: Estimate
    compute_j_per_flop: Estimate
    hbm_j_per_byte: Estimate
    link_j_per_byte: Estimate
    static_w_per_mm2: Estimate
    watts_per_mm2_max: float
    stack_bytes: tuple[float, float]
    stack_bytes_s: tuple[float, float]
    stacks_max: int
    hbm_usd_per_byte: Estimate
    stack_package_mm2: float
    package_usd_per_mm2: Estimate
    test_share: Estimate
    markup: Estimate
    domains: tuple[int, ...]
    host_usd: Estimate
    scale_up_usd_per_byte_s: Estimate
    scale_out_usd_per_byte_s: Estimate
    cooling_usd_per_w: Estimate
    host_w: Estimate
    switch_w_per_byte_s: Estimate
    fabric_w_per_byte_s: Estimate
    scale_up_bytes_s: tuple[float, float]
    scale_out_bytes_s: tuple[float, float]
    bf16_flop_s: tuple[float, float]
    power_w: tuple[float, float]

    @property
    def estimates(self) -> dict[str, Estimate]:
        """All figures with a range, by name."""
        return {f.name: v for f in fields(self) if isinstance(v := getattr(self, f.name), Estimate)}

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Least and most of each parameter of a design in which these figures hold."""
        return {
            "bf16_flop_s": self.bf16_flop_s,
            "hbm_bytes": (self.stack_bytes[0], self.stacks_max * self.stack_bytes[1]),
            "hbm_bandwidth_bytes_s": (self.stack_bytes_s[0], self.stacks_max * self.stack_bytes_s[1]),
            "scale_up_bytes_s": self.scale_up_bytes_s,
            "scale_out_bytes_s": self.scale_out_bytes_s,
            "power_w": self.power_w,
            "nvlink_domain": (float(min(self.domains)), float(max(self.domains))),
        }

    def with_estimate(self, name: str, value: float, source: str) -> Self:
        """The same technology with one figure of one's own.

        Raises
        ------
        InputError
            No such figure.

        """
        if name not in self.estimates:
            raise InputError(f"unknown figure {name!r}; known: {', '.join(self.estimates)}", self.name)
        changes: dict[str, Any] = {name: Estimate(value, value, value, source)}
        return replace(self, **changes)

    def ends(self) -> Iterator[tuple[str, Self, Self]]:
        """Each uncertain figure at the low and at the high end of its range, the others at their best value."""
        for name, estimate in self.estimates.items():
            if estimate.high > estimate.low:
                low, high = (self.with_estimate(name, v, estimate.source) for v in (estimate.low, estimate.high))
                yield name, low, high


def between(value: float, low: float, high: float, source: str) -> Estimate:
    """An `Estimate`, short."""
    return Estimate(value, low, high, source)
