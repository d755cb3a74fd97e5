"""What one more gigabyte, terabyte per second or watt in every accelerator of a platform is worth to the plan.

The yield's response is found by running each work again, at its best layout and batch, on the platform with that number a little
lower and a little higher. What that is worth is asked of the plan where there is one to ask (`Measured`); else it is the price of what
the platform yields and draws times the quantities in use (the envelope theorem), which is right where the prices are the only right
ones. Capacity of HBM, which acts in steps, is asked stack by stack too
(`gigaforge.codesign.hardware.capacity`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gigaforge.codesign.hardware.capacity import CapacityStep, capacity_steps, tried
from gigaforge.codesign.hardware.cost import cost
from gigaforge.codesign.hardware.design import Designs, design_of
from gigaforge.codesign.hardware.technology import Technology
from gigaforge.codesign.hardware.work import Candidates, ServingWork, Work
from gigaforge.codesign.prices import Prices
from gigaforge.errors import NoAnswerError
from gigaforge.executor import SerialExecutor, map_ordered
from gigaforge.perf.hardware import Hardware
from gigaforge.quarters import SECONDS_PER_QUARTER

__all__ = ["UNITS", "Measured", "Platform", "Sensitivity", "elasticities", "sensitivities"]

Array = NDArray[np.float64]

UNITS: Final[dict[str, tuple[str, str, float]]] = {
    "bf16_flop_s": ("dense FLOP/s", "100 TFLOP/s bf16", 1e14),
    "hbm_bytes": ("HBM capacity", "GB", 1e9),
    "hbm_bandwidth_bytes_s": ("HBM bandwidth", "TB/s", 1e12),
    "scale_up_bytes_s": ("NVLink bandwidth", "100 GB/s", 1e11),
    "scale_out_bytes_s": ("scale-out bandwidth", "10 GB/s", 1e10),
    "power_limit_w": ("power limit (a faster clock)", "W", 1.0),
    "power_drawn_w": ("power drawn (less of it)", "W", 1.0),
}
"""By parameter: what it is called, in which unit its worth is given, and that unit in SI."""

_STEP: Final = 0.05
"""Relative step of a difference: wide enough to see past a single layout, narrow enough to be a slope."""
_FINE: Final = 20
"""Bisections of the batch, so that its rounding stays far below the step's effect."""


@dataclass(frozen=True)
class Platform:
    """One system of the plan.

    Attributes
    ----------
    hardware : Hardware
        As the catalogue has it, peaks at the chip's own limit.
    cap_w : float or None
        Power limit of a configuration below the chip's own (Max-Q) [W].
    technology : Technology or None
        In which a change of it is costed.

    """

    hardware: Hardware
    cap_w: float | None = None
    technology: Technology | None = None


@dataclass(frozen=True)
class Measured:
    """A plan that can be asked what small changes of a platform add to its value.

    Attributes
    ----------
    yields : callable (system, {workload: share}) -> float
        Derivative [USD] with the yields of a system's works, each growing in proportion to its share; all of them by 100 % with
        shares of 1.
    watt : callable (system) -> float
        USD for each W less that a rack holds and burns, idle or at work.

    """

    yields: Callable[[str, Mapping[str, float]], float]
    watt: Callable[[str], float]


@dataclass(frozen=True)
class Sensitivity:
    """Worth of one unit more of one parameter, in every accelerator of one platform.

    Attributes
    ----------
    system, parameter, unit : str
        Which; the unit in words (`UNITS`).
    today : float
        What the platform has, in that unit.
    usd, low, high : float
        Added to the plan's value [present-value USD], with the 80 % interval of the yields' own error where known.
    usd_per_accelerator : float
        Over the accelerators of this platform that the plan buys.
    elasticity : mapping of workload to float
        Relative change of the yield over that of the parameter.
    cost_usd : float
        Present-value cost of the unit per accelerator, in silicon, memory and packaging at the maker's mark-up and in
        power; NaN without a technology.
    steps : list of CapacityStep
        For HBM capacity: what other capacities are worth, since the slope sees none that lies further off.

    """

    system: str
    parameter: str
    unit: str
    today: float
    usd: float
    low: float
    high: float
    usd_per_accelerator: float
    elasticity: Mapping[str, float]
    cost_usd: float
    steps: list[CapacityStep] = field(default_factory=list)

    @property
    def net_usd_per_accelerator(self) -> float:
        """Worth less cost, per accelerator."""
        return self.usd_per_accelerator - self.cost_usd

    def to_dict(self) -> dict[str, Any]:
        """For JSON; a cost that is not known is None."""
        known = np.isfinite(self.cost_usd)
        return {
            "system": self.system,
            "parameter": self.parameter,
            "unit": self.unit,
            "today": self.today,
            "plan_usd": self.usd,
            "plan_usd_low": self.low,
            "plan_usd_high": self.high,
            "usd_per_accelerator": self.usd_per_accelerator,
            "cost_usd_per_accelerator": self.cost_usd if known else None,
            "net_usd_per_accelerator": self.net_usd_per_accelerator if known else None,
            "elasticity": dict(self.elasticity),
        } | ({"steps": [s.to_dict() for s in self.steps]} if self.steps else {})  # fmt: skip


_NUMBERS: Final = ("bf16_flop_s", "hbm_bytes", "hbm_bandwidth_bytes_s", "scale_up_bytes_s", "scale_out_bytes_s")


def _moved(hardware: Hardware, factors: Mapping[str, Array]) -> Hardware:
    """One machine as a grid: each number times a factor, shape (design,)."""
    size = len(next(iter(factors.values())))
    grid: dict[str, Any] = {
        name: np.full(size, float(getattr(hardware, name)))
        for name in (
            "hbm_bytes", "hbm_bandwidth_bytes_s", "scale_up_bytes_s", "scale_out_bytes_s", "multiprocessors",
            "power_limit_w", "idle_w", "system_power_w", "overhead_power_w",
        )
    }  # fmt: skip
    peaks = {k: np.full(size, float(v)) for k, v in hardware.peak_flop_s.items()}
    for name, factor in factors.items():
        if name == "bf16_flop_s":
            peaks = {k: v * factor for k, v in peaks.items()}
            grid["multiprocessors"] = grid["multiprocessors"] * factor
        else:
            grid[name] = grid[name] * factor
    return replace(hardware, peak_flop_s=peaks, **grid)


def elasticities(work: Work, platform: Platform, ways: Candidates | None = None) -> dict[str, float]:
    """Relative change of a work's yield over that of each parameter (`UNITS` but the power drawn).

    More power limit is a one-sided slope below today's limit, since nothing is known of the chip above it.

    Raises
    ------
    NoAnswerError
        The work does not run on this platform.

    """
    names = list(_NUMBERS)
    count = 2 * len(names) + 2
    factors = {name: np.ones(count) for name in names}
    for i, name in enumerate(names):
        factors[name][2 * i], factors[name][2 * i + 1] = 1 - _STEP, 1 + _STEP
    limit = platform.cap_w or float(platform.hardware.power_limit_w)
    cap = np.full(count, limit)
    cap[-1] = limit * (1 - _STEP)
    ways = ways or work.candidates(platform.hardware)
    if isinstance(work, ServingWork):
        work = replace(work, steps=_FINE)
    tokens = work.output(_moved(platform.hardware, factors), ways, cap).tokens_per_s
    if not np.all(tokens > 0):
        raise NoAnswerError(f"{work.name} does not run on {platform.hardware.name} with a little less of everything")
    log = np.log(tokens)
    span = np.log1p(_STEP) - np.log1p(-_STEP)
    out = {name: float(log[2 * i + 1] - log[2 * i]) / span for i, name in enumerate(names)}
    return out | {"power_limit_w": float(log[-2] - log[-1]) / -np.log1p(-_STEP)}


def _capacities(platform: Platform) -> Array:
    """HBM capacities to ask for, over today's. Shape (capacity,)."""
    t = platform.technology
    return tried(None if t is None else float(cost(design_of(platform.hardware).change(power_w=np.inf), t).stacks[0]))


def _responses(work: Work, platform: Platform) -> tuple[dict[str, float], Array]:
    """`elasticities`, and the yield at other capacities over today's, shape (capacity,)."""
    ways = work.candidates(platform.hardware)
    slopes = elasticities(work, platform, ways)
    factors = np.append(_capacities(platform), 1.0)
    limit = platform.cap_w or float(platform.hardware.power_limit_w)
    fine = replace(work, steps=_FINE) if isinstance(work, ServingWork) else work
    hardware = _moved(platform.hardware, {"hbm_bytes": factors})
    tokens = fine.output(hardware, ways, np.full(len(factors), limit)).tokens_per_s
    return slopes, np.asarray(tokens[:-1] / tokens[-1])


def sensitivities(
    prices: Prices,
    platforms: Mapping[str, Platform],
    works: Mapping[str, Work],
    *,
    error: tuple[float, float] = (0.8, 1.25),
    measured: Measured | None = None,
    executor: Executor | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Sensitivity]:
    """Worth of each parameter of each platform that the plan uses, dearest platform first.

    Parameters
    ----------
    prices : Prices
        The plan's prices and quantities.
    platforms : mapping of system to Platform
        Those to look at.
    works : mapping of workload to Work
        What each workload of the plan asks of an accelerator; runs that ask the same may share one.
    error : (float, float)
        80 % interval of yields, as factors.
    measured : Measured, optional
        The plan itself; default its prices.
    executor : Executor, optional
        Where to run the works again; default in this process.
    tell : callable
        Told how many are done.

    """
    used = {
        (w, s): works[w]
        for (w, s), racks in prices.racks_used.items()
        if s in platforms and np.any(racks) and w in works and _accelerators(prices, s, platforms[s].hardware)
    }
    asked = {(work.name, s): (work, platforms[s]) for (_, s), work in used.items()}
    slopes: dict[tuple[str, str], dict[str, float]] = {}
    capacities: dict[tuple[str, str], Array] = {}
    for key, found in zip(asked, map_ordered(_responses, asked.values(), executor or SerialExecutor()), strict=True):
        slopes[key], capacities[key] = found
        tell(f"sensitivities of the plan to its platforms: {len(slopes)} of {len(asked)} works")
    out: list[Sensitivity] = []
    for system, platform in platforms.items():
        mine = {w: work for (w, s), work in used.items() if s == system}
        if not mine:
            continue
        if measured is None:
            worth = {w: _worth(prices, w, system, work, platform) for w, work in mine.items()}
        else:
            worth = {w: measured.yields(system, {w: 1.0}) for w in mine}
        slope = {w: slopes[work.name, system] for w, work in mine.items()}
        accelerators = _accelerators(prices, system, platform.hardware)
        rows = [_one(prices, system, platform, p, worth, slope, accelerators, error, measured) for p in UNITS]
        steps = capacity_steps(
            _capacities(platform), {w: capacities[work.name, system] for w, work in mine.items()}, worth,
            float(platform.hardware.hbm_bytes), accelerators,
            partial(_price, prices, system, platform, "hbm_bytes"),
        )  # fmt: skip
        out += [replace(row, steps=steps) if row.parameter == "hbm_bytes" else row for row in rows]
    total: dict[str, float] = {}
    for s in out:
        total[s.system] = total.get(s.system, 0.0) + abs(s.usd)
    return sorted(out, key=lambda s: (-total[s.system], list(UNITS).index(s.parameter)))


def _accelerators(prices: Prices, system: str, hardware: Hardware) -> float:
    """Accelerators of a system that the plan buys."""
    bought = prices.racks_bought.get(system)
    racks = float(np.sum(bought)) if bought is not None else 0.0
    if not racks:
        series = [v for (_, s), v in prices.racks_used.items() if s == system]
        racks = float(np.max(np.sum(series, axis=0))) if series else 0.0
    return racks * hardware.accelerators


def _worth(prices: Prices, workload: str, system: str, work: Work, platform: Platform) -> float:
    """Present value of the capacity that a platform's racks give a workload. [USD]"""
    made = prices.tokens_made.get((workload, system))
    if made is None:
        ways = work.candidates(platform.hardware)
        cap = np.full(1, platform.cap_w) if platform.cap_w else None
        rate = float(work.output(_moved(platform.hardware, {"hbm_bytes": np.ones(1)}), ways, cap).tokens_per_s[0])
        made = prices.racks_used[workload, system] * rate * platform.hardware.accelerators * SECONDS_PER_QUARTER
    return float(np.sum(prices.token_usd[workload] * made))


def _one(
    prices: Prices,
    system: str,
    platform: Platform,
    parameter: str,
    worth: Mapping[str, float],
    slope: Mapping[str, Mapping[str, float]],
    accelerators: float,
    error: tuple[float, float],
    measured: Measured | None,
) -> Sensitivity:
    _, unit, size = UNITS[parameter]
    h = platform.hardware
    if parameter == "power_drawn_w":
        if measured is None:
            online = prices.racks_online.get(system, np.zeros(len(prices.quarters)))
            watt = prices.watt_usd[system] + prices.joule_usd[system] * SECONDS_PER_QUARTER
            usd = float(np.sum(online * watt)) * h.accelerators
        else:
            usd = measured.watt(system) * h.accelerators
        limit = platform.cap_w or float(h.power_limit_w)
        return Sensitivity(system, parameter, unit, limit, usd, usd, usd, usd / accelerators, {}, 0.0)
    if parameter == "power_limit_w":
        today = platform.cap_w or float(h.power_limit_w)
    elif parameter == "bf16_flop_s":
        today = float(h.peak_flop_s["bf16"])
    else:
        today = float(getattr(h, parameter))
    own = {w: slope[w][parameter] for w in slope}
    relative = sum(worth[w] * own[w] for w in worth) if measured is None else measured.yields(system, own)
    usd = relative * size / today
    ends = sorted((usd * error[0], usd * error[1]))
    return Sensitivity(
        system,
        parameter,
        unit,
        today / size,
        usd,
        ends[0],
        ends[1],
        usd / accelerators,
        own,
        _price(prices, system, platform, parameter, size),
    )


def _price(prices: Prices, system: str, platform: Platform, parameter: str, size: float) -> float:
    """Present-value cost of a unit more per accelerator. [USD]"""
    online = prices.racks_online.get(system)
    weight = np.ones(len(prices.quarters)) if online is None or not np.any(online) else online / np.max(online)
    bought = prices.racks_bought.get(system)
    dollar = prices.mean(
        prices.dollar_usd * prices.discount, bought if bought is not None and np.any(bought) else None
    )
    watt = float(np.sum(weight * (prices.watt_usd[system] + prices.joule_usd[system] * SECONDS_PER_QUARTER)))
    if parameter == "power_limit_w":
        return watt
    if platform.technology is None:
        return float("nan")
    base = design_of(platform.hardware).change(power_w=np.inf)
    more = base.change(**{parameter: getattr(base, parameter) + size})
    both = Designs.from_table(np.concatenate([base.table(), more.table()]))
    c = cost(both, platform.technology, whole_stacks=False)
    return float(np.diff(c.rack_usd)[0]) * dollar + float(np.diff(c.full_power_w + c.host_w + c.fabric_w)[0]) * watt
