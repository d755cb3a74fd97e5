"""An operating point: one way to run one workload on one system, and what it yields and draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, overload

from gigaforge.perf.hardware import Hardware

__all__ = ["OperatingPoint", "PointSet", "Unable", "full_power_w", "rack_power_w"]


@dataclass(frozen=True)
class OperatingPoint:
    """One way to run one workload on one system.

    Attributes
    ----------
    id : str
        Unique: ``workload/system/number``.
    workload, kind, system, model : str
        What runs where; kind is "serving" or "training".
    layout : str
        The strategy in words, e.g. ``"12 GPUs, attention DP 12, EP 12, batch 768"``.
    tokens_per_s_per_rack : float
        Output tokens (serving, the best quarter) or trained tokens (training) per second and system [token/s].
    it_power_w_per_rack : float
        IT power of the system while it does so, its share of the network included [W].
    racks_per_unit : int
        Systems that one replica needs (serving), or that the estimate was made for (training).
    max_racks : float
        Most systems that a training run can use: its gang, times the gangs of its experiments.
    ttft_s, tpot_s : float
        Mean latency [s]; NaN for training.
    ttft_target_s, tpot_target_s, output_tokens : float
        What the workload promises [s], and the mean answer over the horizon [token]; NaN for training.
    mfu : float
        Model FLOP/s over dense peak [fraction]; NaN for serving.
    step_s : float
        One optimizer step of the gang [s]; NaN for serving.
    low, high : float
        80 % interval of the yield, as factors around one.
    tokens_per_s_by_quarter : tuple of float
        Serving: the yield at each quarter's lengths of prompt and answer, 0 where targets are missed [token/s].
    cap_w : float
        Power cap of each accelerator, kept by its firmware; NaN: the configuration's own limit [W].
    held_w_per_rack : float
        IT power that a site holds for one system at work here: no more than its caps let it draw. NaN: its nameplate,
        network share included [W].
    strategy : dict
        The degrees of parallelism, batch and precision.

    """

    id: str
    workload: str
    kind: Literal["serving", "training"]
    system: str
    model: str
    layout: str
    tokens_per_s_per_rack: float
    it_power_w_per_rack: float
    racks_per_unit: int = 1
    max_racks: float = float("inf")
    ttft_s: float = float("nan")
    tpot_s: float = float("nan")
    ttft_target_s: float = float("nan")
    tpot_target_s: float = float("nan")
    output_tokens: float = float("nan")
    mfu: float = float("nan")
    step_s: float = float("nan")
    low: float = 1.0
    high: float = 1.0
    tokens_per_s_by_quarter: tuple[float, ...] = ()
    cap_w: float = float("nan")
    held_w_per_rack: float = float("nan")
    strategy: dict[str, int | float | str | bool] = field(default_factory=dict)

    @property
    def precision(self) -> str:
        """One of those that the workload allows; empty where nobody says."""
        return str(self.strategy.get("precision", ""))


@dataclass(frozen=True)
class Unable:
    """A workload that a system has no point for, and why.

    Attributes
    ----------
    workload, kind, system : str
        As `OperatingPoint`.
    reason : str
        To follow the system's name: ``"it computes in bf16 and fp8, and precision allows nvfp4 only"``.

    """

    workload: str
    kind: Literal["serving", "training"]
    system: str
    reason: str


@dataclass(frozen=True)
class PointSet(Sequence[OperatingPoint]):
    """Operating points as a sequence, and what a search found none for.

    Attributes
    ----------
    points : sequence of OperatingPoint
    unable : sequence of Unable
        Workloads and systems without any.

    """

    points: Sequence[OperatingPoint]
    unable: Sequence[Unable] = ()

    @overload
    def __getitem__(self, index: int) -> OperatingPoint: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[OperatingPoint]: ...
    def __getitem__(self, index: int | slice) -> OperatingPoint | Sequence[OperatingPoint]:
        return self.points[index]

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[OperatingPoint]:
        return iter(self.points)


def full_power_w(hardware: Hardware) -> float:
    """IT power of one system at full load, its share of the network included [W]."""
    return float(hardware.system_power_w) + float(hardware.overhead_power_w)


def rack_power_w(hardware: Hardware, accelerator_w: float) -> float:
    """IT power of one system whose accelerators draw so much: everything else as at full load [W]."""
    spared = hardware.accelerators * (float(hardware.power_limit_w) - accelerator_w)
    return max(full_power_w(hardware) - spared, 0.2 * full_power_w(hardware))
