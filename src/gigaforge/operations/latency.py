"""Latency under load: what an operating point promises at full batch, the wait for a slot, and a power cap on top.

An operating point's TTFT and TPOT hold for a full batch. With less load a decode step is shorter, but the weights are
read whatever the batch, so a part of it stays; throttled racks take longer in proportion. A request first waits until
a slot is free: all slots of the active racks are one pool of servers (`gigaforge.operations.queueing`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from gigaforge.operations.intervals import Array
from gigaforge.operations.queueing import delay_probability, wait_exceeds

__all__ = ["FIXED_SHARE", "Latency", "LatencyTarget", "latency"]

FIXED_SHARE: Final = 0.5  # assumption: half of a full batch's step is reading weights and communication
_BUSY: Final = 0.9999


@dataclass(frozen=True, slots=True)
class LatencyTarget:
    """What requests are promised and what the operating point gives at full batch, each a mean [s].

    NaN where unknown: without a TTFT target a wait longer than ``patience_s`` is late, without a TPOT target no
    request is late for slow tokens.
    """

    ttft_s: float = math.nan
    tpot_s: float = math.nan
    ttft_target_s: float = math.nan
    tpot_target_s: float = math.nan
    patience_s: float = 1.0


@dataclass(frozen=True)
class Latency:
    """Mean time to first token, mean time per token, and the share of requests that miss a target, each (bin,).

    Times are NaN where no rack serves or the operating point's own is unknown.
    """

    ttft_s: Array
    tpot_s: Array
    late: Array


def latency(target: LatencyTarget, slots: Array, use: Array, request_s: float, pace: Array | float = 1.0) -> Latency:
    """Latency and late share of a pool.

    Parameters
    ----------
    target : LatencyTarget
        The operating point and what is promised.
    slots : (bin,) array
        Requests that the active racks hold at once.
    use : (bin,) array
        Share of them that is busy [fraction].
    request_s : float
        How long a request holds its slot at full batch [s].
    pace : (bin,) array or float
        Of racks under a power cap [fraction].

    """
    busy = np.minimum(use, _BUSY)
    load = (FIXED_SHARE + (1.0 - FIXED_SHARE) * np.minimum(use, 1.0)) / np.maximum(pace, 1e-3)
    first, token = load * target.ttft_s, load * target.tpot_s
    hold = request_s / np.maximum(pace, 1e-3)
    wait = delay_probability(slots, busy) * hold / np.maximum(slots * (1.0 - busy), 1e-9)
    patience = np.full_like(load, target.patience_s)
    if not math.isnan(target.ttft_target_s):
        patience = np.maximum(target.ttft_target_s - np.nan_to_num(first), 0.0)
    late = wait_exceeds(slots, busy, hold, patience)
    if not math.isnan(target.tpot_target_s):
        late = np.where(token > target.tpot_target_s * (1.0 + 1e-6), 1.0, late)
    serves = slots > 0.0
    return Latency(np.where(serves, first + wait, math.nan), np.where(serves, token, math.nan), late)
