"""Electrical power of an accelerator at a load, and what a cap on it does to the clock.

References
----------
.. [1] Board power of sustained kernels on H200, B200 and GB200 published with ai-dynamo/aiconfigurator (commit
   095f58a), https://github.com/ai-dynamo/aiconfigurator: an active board draws 0.2-0.3 of its limit before any work;
   streaming HBM at full rate 0.7 of it; tensor cores at 0.35-0.4 of their dense peak reach the limit.
.. [2] MLPerf Inference v5.1 closed power (8 x B200, server): 9.0-10.4 kW at the wall under LLM load,
   https://github.com/mlcommons/inference_results_v5.1.

"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gigaforge.perf.arrays import Array
from gigaforge.perf.hardware import Hardware

__all__ = ["active_power_w", "bandwidth_factor", "clock_factor", "demand_power_w", "least_cap_w", "system_power_w"]

_ACTIVE_SHARE: Final = 0.25
"""Of the limit, clocks up and nothing running [1]_."""
_MEMORY_SHARE: Final = 0.50
"""Of the limit, added by HBM at its full rate [1]_."""
_COMPUTE_SHARE: Final = 1.25
"""Of the limit, times the square root of the compute utilisation: 0.25 + 1.25·√0.36 = 1 [1]_."""
_NODE_SHARE, _RACK_SHARE, _NODE_SIZE = 0.42, 0.85, 16
"""Share of the nameplate beside the accelerators that full load draws, in an air-cooled node and in a rack; what is a node."""
_STATIC_SHARE: Final = 0.15
"""Of the limit, what no clock changes: leakage, regulators, idle HBM (assumption: a board idles at 0.1-0.15 of its limit)."""
_HBM_SHARE: Final = 0.20
"""Of the limit, HBM itself at its full rate, which has a clock of its own (assumption: five to eight stacks at 20-30 W; the
rest of what streaming adds, up to `_MEMORY_SHARE`, is cache and crossbar on the core's clock)."""
_VOLTAGE_KNEE: Final = 0.55
"""Clock over boost below which the voltage falls no further: dynamic power goes as f³ above and as f below (assumption: the
knee of published frequency sweeps of A100 and H100 lies near 1.0-1.1 GHz)."""
_CLOCK_FLOOR: Final = 0.35
"""Lowest clock over the boost clock that a cap can force (H100 SXM: 345-660 of 1,980 MHz; assumption: middle)."""
_STREAM_CLOCK: Final = 0.50
"""Clock over boost below which too few requests are in flight to fill HBM, so that its rate falls with the clock (assumption:
memory-bound kernels hold their speed down to about half clock)."""
_BALANCED: Final = 0.5
"""HBM utilisation assumed where a caller knows none."""


def demand_power_w(hardware: Hardware, compute_utilisation: Array, memory_utilisation: Array) -> NDArray[np.float64]:
    """Power that the board would draw without its limit. [W]

    Parameters
    ----------
    hardware : Hardware
        The machine.
    compute_utilisation, memory_utilisation : array
        Achieved over dense peak FLOP/s, and over HBM bandwidth, from 0 to 1. [unitless]

    """
    share = (
        _ACTIVE_SHARE
        + _MEMORY_SHARE * np.asarray(memory_utilisation)
        + _COMPUTE_SHARE * np.sqrt(np.maximum(compute_utilisation, 0.0))
    )
    return np.asarray(hardware.power_limit_w * share)


def active_power_w(
    hardware: Hardware, compute_utilisation: Array, memory_utilisation: Array, cap_w: Array | None = None
) -> NDArray[np.float64]:
    """Power of one accelerator at a load, never above its limit nor the cap, never below idle. [W]"""
    limit = hardware.power_limit_w if cap_w is None else np.minimum(hardware.power_limit_w, cap_w)
    demand = demand_power_w(hardware, compute_utilisation, memory_utilisation)
    return np.asarray(np.clip(demand, hardware.idle_w, np.maximum(limit, hardware.idle_w)))


def clock_factor(
    hardware: Hardware, cap_w: Array, full_w: Array | None = None, memory_utilisation: Array = _BALANCED
) -> NDArray[np.float64]:
    """Clock under a power cap over the clock without it, for work that draws `full_w` uncapped. [unitless]

    Power is a part that no clock changes (leakage, HBM) and a dynamic one, ``f·V²``: as ``f³`` while the voltage follows the
    clock, as ``f`` below the knee where it cannot. Never below the lowest clock.

    Parameters
    ----------
    hardware : Hardware
        The machine.
    cap_w : array
        Cap per accelerator. [W]
    full_w : array, optional
        Power of this work without the cap; default the board's limit. [W]
    memory_utilisation : array
        Achieved over peak HBM bandwidth of this work. [unitless]

    """
    limit = np.asarray(hardware.power_limit_w)
    full = np.minimum(limit if full_w is None else full_w, limit)
    fixed = (_STATIC_SHARE + _HBM_SHARE * np.clip(memory_utilisation, 0.0, 1.0)) * limit
    share = np.clip((np.asarray(cap_w) - fixed) / np.maximum(full - fixed, 1e-9), 0.0, 1.0)
    clock = np.where(share >= _VOLTAGE_KNEE**3, np.cbrt(share), share / _VOLTAGE_KNEE**2)
    return np.asarray(np.where(np.asarray(cap_w) >= full, 1.0, np.clip(clock, _CLOCK_FLOOR, 1.0)))


def bandwidth_factor(clock: Array) -> NDArray[np.float64]:
    """Share of the HBM rate that is left at a share of the boost clock. [unitless]"""
    return np.asarray(np.minimum(1.0, np.asarray(clock) / _STREAM_CLOCK))


def least_cap_w(hardware: Hardware) -> NDArray[np.float64]:
    """Lowest cap that the slowest clock can keep at full load, never below idle; a lower one would not be kept. [W]"""
    fixed = _STATIC_SHARE + _HBM_SHARE * _BALANCED
    share = fixed + (1.0 - fixed) * _VOLTAGE_KNEE**2 * _CLOCK_FLOOR
    return np.asarray(np.maximum(share * np.asarray(hardware.power_limit_w), hardware.idle_w))


def system_power_w(hardware: Hardware, accelerator_w: Array) -> NDArray[np.float64]:
    """IT power of a whole system whose accelerators draw this much. [W]

    What is not accelerator (host, fans, supplies, NVSwitch) draws a share of its nameplate: a node's nameplate leaves room
    for fans and supplies that steady load does not use (MLPerf [2]_: 8 x B200 at 9.6-10.4 kW of 14.3 kW), a rack's is close
    to the sum of its parts (assumption). Switches and storage draw nearly theirs at any load.
    """
    load = np.clip(accelerator_w / hardware.power_limit_w, 0.0, 1.0)
    nameplate = np.maximum(hardware.system_power_w - hardware.accelerators * np.asarray(hardware.power_limit_w), 0.0)
    share = (_NODE_SHARE if hardware.accelerators <= _NODE_SIZE else _RACK_SHARE) * (0.75 + 0.25 * load)
    rest = nameplate * share + hardware.overhead_power_w * (0.85 + 0.15 * load)
    return np.asarray(hardware.accelerators * accelerator_w + rest)
