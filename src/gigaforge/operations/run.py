"""Simulate: one fleet once, many times, or under two policies."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from gigaforge.errors import InputError
from gigaforge.executor import map_ordered, open_executor
from gigaforge.operations.build import fleet_of
from gigaforge.operations.changes import with_changes, with_policy
from gigaforge.operations.engine import RunState, WindowResult, fresh_state, run_windows
from gigaforge.operations.fleet import Fleet
from gigaforge.operations.intervals import Array
from gigaforge.operations.plan_input import fleet_of_plan
from gigaforge.operations.result import SimulationResult
from gigaforge.operations.sink import FolderSink, HourlySink, load_state
from gigaforge.operations.spec import FleetSpec, load_fleet_spec

__all__ = [
    "Comparison",
    "Replications",
    "compare",
    "load_fleet",
    "replicate",
    "simulate",
    "simulate_fleet",
    "simulate_plan",
    "with_changes",
    "with_policy",
]

Progress = Callable[[int, int], None]


def load_fleet(path: Path | str, *, years: float | None = None, first: str = "", **options: Any) -> Fleet:
    """Read a plan folder or a fleet YAML.

    Raises
    ------
    InputError
        Neither is there, or what is there is wrong.

    """
    path = Path(path)
    if path.is_dir():
        return fleet_of_plan(path, years=years, first=first, **options)
    if path.suffix.lower() in (".yaml", ".yml"):
        spec = load_fleet_spec(path)
        if first:
            raise InputError(f"is for plans; {path} says when it begins itself (start: {spec.start})", "--from")
        return fleet_of(spec if years is None else spec.model_copy(update={"years": _checked_years(years)}))
    if not path.exists():
        raise InputError("no such plan folder or fleet YAML", str(path))
    raise InputError("is neither a plan folder nor a fleet YAML", str(path))


def _checked_years(years: float) -> float:
    if not 0 < years <= 30:
        raise InputError(f"{years:g} years; more than 0 and at most 30 are expected", "--years")
    return years


def simulate(fleet: Fleet, seed: int = 0, *, out: Path | str | None = None, events: bool = False,
             progress: Progress | None = None) -> SimulationResult:  # fmt: skip
    """Simulate a fleet once.

    Parameters
    ----------
    fleet : Fleet
        From `load_fleet`, or built.
    seed : int
        The same seed gives the same result to the last digit.
    out : path, optional
        Folder for the 5-minute tables. A folder with the state of a stopped run of the same fleet and seed is
        continued.
    events : bool
        Write every failure, too.
    progress : function (done, all), optional
        Called after each quarter.

    """
    if seed < 0:
        raise InputError(f"{seed} is below zero; seeds are whole numbers from 0", "--seed")
    wall, cpu = time.perf_counter(), time.process_time()
    hourly = HourlySink(fleet)
    folder = None if out is None else FolderSink(Path(out), fleet, seed, events=events)
    state = (load_state(Path(out), fleet, seed) if out is not None else None) or fresh_state(fleet)
    if out is not None:
        hourly.restore(Path(out), state.window)

    def sink(result: WindowResult, now: RunState) -> None:
        hourly(result, now)
        if folder is not None:
            folder(result, now)
        if progress is not None:
            progress(now.window, fleet.windows)

    run_windows(fleet, seed, state, sink)
    result = SimulationResult(
        fleet,
        seed,
        state.books,
        hourly.table(),
        time.perf_counter() - wall,
        time.process_time() - cpu,
        "" if out is None else str(out),
    )
    result.check()
    return result


def simulate_fleet(fleet: FleetSpec | Fleet, seed: int = 0, **options: Any) -> SimulationResult:
    """Simulate a specification or a resolved fleet; options as in `simulate`."""
    return simulate(fleet if isinstance(fleet, Fleet) else fleet_of(fleet), seed, **options)


def simulate_plan(plan_dir: Path | str, years: float | None = None, seed: int = 0, *, first: str = "", out: Path | str | None = None,
                  progress: Progress | None = None, **plan_options: Any) -> SimulationResult:  # fmt: skip
    """Simulate what a plan folder deploys, as allocated.

    Parameters
    ----------
    plan_dir : path
        With ``plan.json`` and its tables.
    years : float, optional
        Default the whole plan.
    first : str
        First quarter (default the first with racks).
    seed, out, progress
        As in `simulate`.
    **plan_options
        ``catalog``, ``table``, ``policies`` as in `gigaforge.operations.plan_input.fleet_of_plan`.

    """
    return simulate(
        fleet_of_plan(plan_dir, years=years, first=first, **plan_options), seed, out=out, progress=progress
    )


@dataclass(frozen=True)
class Replications:
    """Headline figures of several runs.

    ``values``: figure name to (replication,) array. Means with 95 % half-widths through `interval`.
    """

    seeds: tuple[int, ...]
    values: dict[str, Array]

    def interval(self, name: str) -> tuple[float, float]:
        """Mean and half-width of its 95 % confidence interval (Student)."""
        return _interval(self.values[name])


def _interval(values: Array) -> tuple[float, float]:
    n = values.size
    if n < 2:
        return float(values.mean()), math.inf
    return float(values.mean()), float(stdtrit(n - 1, 0.975) * values.std(ddof=1) / math.sqrt(n))


_HEADLINES = ("goodput", "availability", "energy_j", "pue", "peak_power_w", "tokens_served", "tokens_trained", "slo_violations",
              "cost_usd", "events")  # fmt: skip


def _headlines(fleet: Fleet, seed: int) -> dict[str, float]:
    result = SimulationResult(
        fleet, seed, run_windows(fleet, seed, fresh_state(fleet)).books, HourlySink(fleet).table(), 0.0, 0.0
    )
    summary = result.summary()
    return {name: math.nan if summary[name] is None else float(summary[name]) for name in _HEADLINES}


def replicate(
    fleet: Fleet, count: int, *, seed: int = 0, workers: int | None = 1, scheduler: str = ""
) -> Replications:
    """Run a fleet with seeds ``seed`` to ``seed + count - 1``; the answer does not depend on the workers."""
    if count < 1:
        raise InputError(f"{count} replications; at least 1 is needed", "--replications")
    seeds = tuple(range(seed, seed + count))
    with open_executor(workers, scheduler) as executor:
        rows = list(map_ordered(_headlines, [(fleet, s) for s in seeds], executor))
    return Replications(seeds, {name: np.array([r[name] for r in rows]) for name in _HEADLINES})


@dataclass(frozen=True)
class Comparison:
    """Two policies under the same failures, weather and demand.

    ``difference``: second minus first, mean and 95 % half-width of the paired differences; ``alone``: the half-width
    that independent runs would give.
    """

    first: Replications
    second: Replications
    difference: dict[str, tuple[float, float]]
    alone: dict[str, float]

    @property
    def same(self) -> bool:
        """Whether every pair gave the same figures to the last digit: the change had no effect."""
        return all(
            np.array_equal(self.first.values[n], self.second.values[n], equal_nan=True) for n in self.first.values
        )


def compare(first: Fleet, second: Fleet, *, replications: int = 10, seed: int = 0, workers: int | None = 1,
            scheduler: str = "") -> Comparison:  # fmt: skip
    """Compare two fleets with common random numbers.

    Each use of chance has its own stream, keyed by names: groups, workloads and sites of the same name see the same
    failures, demand and weather in both, so differences are the policies'.
    """
    a = replicate(first, replications, seed=seed, workers=workers, scheduler=scheduler)
    b = replicate(second, replications, seed=seed, workers=workers, scheduler=scheduler)
    difference = {name: _interval(b.values[name] - a.values[name]) for name in _HEADLINES}
    alone = {name: math.hypot(a.interval(name)[1], b.interval(name)[1]) for name in _HEADLINES}
    return Comparison(a, b, difference, alone)
