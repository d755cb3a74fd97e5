"""Operating points: the ways to run a workload on a system that a plan chooses among."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["OperatingPoint"]


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
        The strategy in words, e.g. ``"TP8 EP72, decode batch 512"``.
    strategy : dict
        The degrees of parallelism, batch and precision.
    tokens_per_s_per_rack : float
        Output tokens (serving) or trained tokens (training) per second and system [token/s].
    it_power_w_per_rack : float
        IT power of the system while it does so, its share of the network included [W].
    racks_per_unit : int
        Systems that one replica needs (serving), or that the estimate was made for (training).
    max_racks : float
        Most systems on which a training run keeps at least 90 % of this efficiency.
    ttft_s, tpot_s : float
        Latency met [s]; NaN for training.
    mfu : float
        Model FLOP/s over dense peak [fraction]; NaN for serving.
    low, high : float
        80 % interval of the yield, as factors around one.

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
    mfu: float = float("nan")
    low: float = 1.0
    high: float = 1.0
    strategy: dict[str, int | float | str] = field(default_factory=dict)
