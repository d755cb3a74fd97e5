"""Serving as a fluid: demand, autoscaling, priority of paid over free, shedding, latency, work for idle racks at night.

Each workload sees demand [token/s] on the 5-minute grid and the racks that are up at each site. How many engines it
needs is demand over an engine's rate plus a margin that grows with the square root of their number (the many-server
law), so that waits stay within the target.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import maximum_filter1d

from gigaforge.operations.intervals import Array
from gigaforge.operations.latency import LatencyTarget, latency
from gigaforge.operations.queueing import wait_exceeds

__all__ = ["ServingPolicy", "ServingWindow", "engines_needed", "serve"]


@dataclass(frozen=True, slots=True)
class ServingPolicy:
    """How a serving pool is run.

    Attributes
    ----------
    autoscale : str
        ``none``: every rack stays on; ``reactive``: by the highest demand of the last hour; ``forecast``: by the same
        time a day ago scaled to today's level, too.
    headroom : float
        Racks beyond what demand needs. [fraction]
    start_s : float
        To bring an engine up (load weights, warm up). [s]
    paid_share : float
        Share of demand that is never shed while anything free can be. [fraction]
    request_s, patience_s : float
        Mean time a request holds its slot, and wait that still meets the latency target. [s]
    slots_per_rack : float
        Requests that one rack serves at once. [count]
    backfill : bool
        Racks that demand does not need run work that may stop at any time.
    idle_share : float
        Power of an idle rack over its full power. [fraction]
    ttft_target_s, tpot_target_s : float
        What requests are promised, on the mean; NaN where nothing is. [s]
    output_tokens : float
        Of a request; with the operating point's time per token it replaces `request_s`. [token]

    """

    autoscale: str = "reactive"
    headroom: float = 0.05
    start_s: float = 600.0
    paid_share: float = 0.2
    request_s: float = 8.0
    patience_s: float = 1.0
    slots_per_rack: float = 1000.0
    backfill: bool = True
    idle_share: float = 0.35
    ttft_target_s: float = math.nan
    tpot_target_s: float = math.nan
    output_tokens: float = math.nan

    def at_point(self, ttft_s: float, tpot_s: float, tokens_per_s: float) -> tuple[ServingPolicy, LatencyTarget]:
        """The policy on racks of an operating point, and its latency.

        By Little's law a rack that yields so many tokens/s, each request one token every TPOT, holds their product in
        requests; a request stays for its output tokens, and may wait for what the TTFT target leaves.
        """
        target = LatencyTarget(ttft_s, tpot_s, self.ttft_target_s, self.tpot_target_s, self.patience_s)
        if math.isnan(tpot_s) or tpot_s <= 0.0:
            return self, target
        hold = self.request_s if math.isnan(self.output_tokens) else max(self.output_tokens * tpot_s, 1e-3)
        left = self.ttft_target_s - ttft_s
        patience = self.patience_s if math.isnan(left) else max(left, 0.0)
        slots = max(tokens_per_s * tpot_s, 1e-3)
        return replace(self, request_s=hold, slots_per_rack=slots, patience_s=patience), target


@dataclass(frozen=True)
class ServingWindow:
    """One workload in one window. Rates in tokens/s, each (bin,); racks and power by (site, bin).

    ``needed`` and ``active`` racks; ``late`` share of the served that missed a latency target; ``backfill`` racks
    lent out; ``usable`` capacity of the active racks by pool [token/s]; ``use`` share of it that served;
    ``ttft_s, tpot_s`` mean latency [s]; ``short`` shed although every rack allocated had been up [token/s].
    """

    demand: Array
    served_paid: Array
    served_free: Array
    shed: Array
    late: Array
    needed: Array
    active: Array
    backfill: Array
    power_w: Array
    usable: Array
    use: Array
    ttft_s: Array
    tpot_s: Array
    short: Array


def engines_needed(rate: Array | float, engine_rate: float, slots: float, request_s: float, patience_s: float,
                   late_share: float = 0.01) -> Array:  # fmt: skip
    """Fewest engines that keep late requests within a share.

    Parameters
    ----------
    rate : array
        Requests [1/s].
    engine_rate : float
        Requests that one busy engine completes [1/s].
    slots : float
        Requests in flight in one engine; ``slots / request_s`` is its rate when slots bind.
    request_s, patience_s : float
        Time that a request holds a slot, wait that still meets the target [s].
    late_share : float
        Allowed share of late requests [fraction].

    Returns
    -------
    array
        Engines, not rounded.

    Notes
    -----
    All engines' slots form one pool of servers; its wait follows Halfin and Whitt (`wait_exceeds`). Solved by
    bisection on the utilisation, vectorised over rates.

    """
    demand = np.atleast_1d(np.asarray(rate, dtype=np.float64))
    low, high = np.full(demand.shape, 1e-6), np.ones(demand.shape)
    for _ in range(40):
        middle = 0.5 * (low + high)
        servers = np.maximum(demand / (engine_rate * middle) * slots, 1e-9)
        late = wait_exceeds(servers, middle, request_s, patience_s) > late_share
        low, high = np.where(late, low, middle), np.where(late, middle, high)
    return np.asarray(demand / (engine_rate * low))


def _margin(policy: ServingPolicy, racks: float) -> float:
    """Largest utilisation that keeps late requests within 1 % for a pool of this size [fraction]."""
    slots = policy.slots_per_rack
    if racks <= 0:
        return 1.0
    need = engines_needed(racks * 0.98, 1.0, slots, policy.request_s, policy.patience_s)
    return float(np.clip(0.98 * racks / need[0], 0.05, 1.0))


def _scaled(demand: Array, policy: ServingPolicy, step_s: float) -> Array:
    """Demand that the autoscaler prepares for."""
    if policy.autoscale == "none":
        return np.full(demand.shape, np.inf)
    lag = max(1, math.ceil(policy.start_s / step_s))
    hour = max(1, round(3600.0 / step_s))
    recent = maximum_filter1d(demand, hour, origin=(hour - 1) // 2, mode="nearest")
    seen = np.concatenate(
        (np.full(min(lag, demand.size), demand[0]), recent[:-lag] if lag < demand.size else recent[:0])
    )
    if policy.autoscale == "reactive":
        return seen
    day = round(86400.0 / step_s)
    if demand.size <= day:
        return seen
    trend = np.convolve(demand, np.ones(day) / day, mode="full")[: demand.size]
    level = np.ones(demand.size)
    level[day:] = np.clip(
        trend[day - 1 : -1] / np.maximum(trend[np.maximum(np.arange(day, demand.size) - day, day - 1)], 1e-9),
        0.5,
        2.0,
    )
    before = np.concatenate((demand[:day], demand[:-day])) * level
    ahead = maximum_filter1d(before, 2 * lag + 1, mode="nearest")
    # a surprise is still met by what was just seen, without the hour's memory
    now = np.concatenate((np.full(min(lag, demand.size), demand[0]), demand[:-lag]))
    return np.asarray(np.maximum(ahead, now))


def serve(demand: Array, up: Array, rate: Array, full_power_w: Array, backfill_power_w: Array, policy: ServingPolicy,
          step_s: float, promise: LatencyTarget | None = None, racks: Array | None = None) -> ServingWindow:  # fmt: skip
    """Serve one workload for one window.

    Parameters
    ----------
    demand : (bin,) array
        [token/s]
    up : (pool, bin) array
        Racks up, by pool (a site and system).
    rate : (pool,) array
        One rack's tokens/s at full use.
    full_power_w, backfill_power_w : (pool,) arrays
        One rack's IT power serving at full use and running backfill [W].
    policy : ServingPolicy
        Autoscaling, priorities, latency target.
    step_s : float
        Bin [s].
    promise : LatencyTarget, optional
        Of the operating points behind the pools; default the policy's patience alone.
    racks : (pool,) array, optional
        Allocated, up or not; default the most ever up.

    """
    capacity = rate @ up
    safe = _margin(policy, float(up.sum(axis=0).mean()))
    target = _scaled(demand, policy, step_s) * (1.0 + policy.headroom) / safe
    share = np.clip(np.divide(target, capacity, out=np.ones_like(target), where=capacity > 0.0), 0.02, 1.0)
    usable = capacity * share
    paid = np.minimum(demand * policy.paid_share, usable)
    free = np.minimum(demand * (1.0 - policy.paid_share), usable - paid)
    served = paid + free
    use = np.divide(served, usable, out=np.zeros_like(served), where=usable > 0.0)
    active = up * share
    slots = active.sum(axis=0) * policy.slots_per_rack
    speed = latency(promise or LatencyTarget(patience_s=policy.patience_s), slots, use, policy.request_s)
    late = np.where(served > 0.0, speed.late, 0.0)
    lent = up - active if policy.backfill and policy.autoscale != "none" else np.zeros_like(up)
    busy = policy.idle_share + (1.0 - policy.idle_share) * use
    idle = (up - active - lent) * policy.idle_share
    power = full_power_w[:, None] * (active * busy + idle) + backfill_power_w[:, None] * lent
    mean_rate = np.divide(capacity, up.sum(axis=0), out=np.zeros_like(capacity), where=up.sum(axis=0) > 0)
    needed = np.divide(demand / safe, mean_rate, out=np.zeros_like(demand), where=mean_rate > 0.0)
    whole = float(rate @ (up.max(axis=1) if racks is None else racks)) if rate.size else 0.0
    return ServingWindow(demand, paid, free, np.maximum(demand - served, 0.0), late, needed, active, lent, power,
                         rate[:, None] * active, use, speed.ttft_s, speed.tpot_s, np.maximum(demand - whole, 0.0))  # fmt: skip
