"""The engine: windows in order, each solved as a whole, results streamed out, state small enough to write down.

Order inside a window: failures and repair (each site), training runs, serving (all sites of a workload together),
research, power (each site), then the books. Memory holds one window, whatever the horizon.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gigaforge.operations.books import Books
from gigaforge.operations.fleet import Fleet, ServingWorkload
from gigaforge.operations.intervals import Array
from gigaforge.operations.repair import Crew
from gigaforge.operations.serving import ServingWindow, serve
from gigaforge.operations.sitepower import Loads, SiteWindow, run_site
from gigaforge.operations.streams import stream
from gigaforge.operations.traffic import demand_factor
from gigaforge.operations.training import GangState
from gigaforge.operations.window import GroupWindow, SiteFailures, run_training, site_failures, up_racks

__all__ = ["RunState", "WindowResult", "fresh_state", "run_window", "run_windows"]

RESEARCH_LOSS_S = 1800.0  # assumption: a failure costs a small job half an hour of work and queueing


@dataclass
class RunState:
    """What passes from window to window."""

    window: int
    crews: list[Crew]
    gangs: list[GangState]
    charge_j: list[float]
    books: Books


@dataclass(frozen=True)
class WindowResult:
    """One window's arrays, for sinks."""

    index: int
    edges: Array
    groups: list[GroupWindow | None]
    serving: list[tuple[ServingWorkload, ServingWindow]]
    sites: list[SiteWindow]
    failures: list[SiteFailures]
    wall_s: float = field(default=0.0)


def fresh_state(fleet: Fleet) -> RunState:
    """The state before the first window: all up, batteries full."""
    return RunState(
        window=0,
        crews=[Crew.fresh(s.technicians, s.parts) for s in fleet.sites],
        gangs=[GangState() for _ in fleet.groups],
        charge_j=[s.storage.energy_j if s.storage else 0.0 for s in fleet.sites],
        books=Books(fleet),
    )


def run_windows(
    fleet: Fleet, seed: int, state: RunState, sink: Callable[[WindowResult, RunState], Any] | None = None
) -> RunState:
    """Run all windows that are left; the sink sees each as soon as it is done."""
    while state.window < fleet.windows:
        result = run_window(fleet, seed, state)
        if sink is not None:
            sink(result, state)
    return state


def run_window(fleet: Fleet, seed: int, state: RunState) -> WindowResult:
    """Advance the state by one window."""
    begun = time.perf_counter()
    window = state.window
    edges = np.linspace(0.0, fleet.window_s, round(fleet.window_s / fleet.step_s) + 1)
    offsets = fleet.offsets()
    failures: list[SiteFailures] = []
    groups: list[GroupWindow | None] = [None] * len(fleet.groups)
    for s in range(len(fleet.sites)):
        members = [g for g, group in enumerate(fleet.groups) if group.site == s and group.racks.max(initial=0) > 0]
        found = site_failures(fleet, s, members, offsets, window, seed, state.crews[s])
        state.crews[s] = found.crew
        failures.append(found)
        for g in members:
            if fleet.groups[g].racks[window] > 0:
                groups[g] = _run_group(fleet, g, found, window, seed, state, edges)
            else:
                state.gangs[g] = GangState()
    serving = [(w, _serve(fleet, w, groups, window, seed)) for w in fleet.serving]
    sites = [_power(fleet, s, groups, serving, window, seed, state) for s in range(len(fleet.sites))]
    _throttle(groups, sites)
    serving = [(w, _capped(fleet, w, r, groups, sites)) for w, r in serving]
    state.books.add(fleet, window, groups, serving, sites, failures)
    state.window += 1
    return WindowResult(window, edges, groups, serving, sites, failures, time.perf_counter() - begun)


def _run_group(
    fleet: Fleet, g: int, failures: SiteFailures, window: int, seed: int, state: RunState, edges: Array
) -> GroupWindow:
    group = fleet.groups[g]
    if group.kind == "training":
        done, state.gangs[g] = run_training(fleet, g, failures, window, seed, state.gangs[g], edges)
        return done
    racks = int(group.racks[window])
    up, down_s = up_racks(failures, g, racks, edges, weighted=True)
    if group.kind == "serving":
        return GroupWindow(
            group, racks, up, down_s, np.zeros(up.size), np.zeros(up.size), np.zeros(up.size), active=racks
        )
    loss = min(1.0, fleet.table.interrupt_rate(group.rack) * RESEARCH_LOSS_S)
    busy = up * group.use
    tokens = busy * (1.0 - loss) * fleet.step_s * group.tokens_per_s[window]
    power = busy * group.full_w + (up - busy) * group.idle_w
    total = racks * fleet.window_s
    worked = float(busy.sum()) * fleet.step_s
    accounts = {"productive": worked * (1.0 - loss), "rework": worked * loss, "idle": total - worked}
    return GroupWindow(group, racks, up, down_s, tokens, power, np.full(up.size, group.use), accounts, active=racks)


def pools(fleet: Fleet, workload: str, groups: list[GroupWindow | None]) -> list[int]:
    """Groups that serve a workload now."""
    return [
        g for g, group in enumerate(fleet.groups)
        if group.kind == "serving" and group.workload == workload and groups[g] is not None
    ]  # fmt: skip


def _serve(
    fleet: Fleet, workload: ServingWorkload, groups: list[GroupWindow | None], window: int, seed: int
) -> ServingWindow:
    bins = round(fleet.window_s / fleet.step_s)
    start = fleet.start.start.weekday() * 86400.0 + window * fleet.window_s
    factor = demand_factor(stream(seed, "demand", workload.name, window), workload.shape, start, bins, fleet.step_s)
    mine = pools(fleet, workload.name, groups)
    up = np.array([found.up for g in mine if (found := groups[g]) is not None]).reshape(len(mine), bins)
    rate = np.array([fleet.groups[g].tokens_per_s[window] for g in mine])
    full = np.array([fleet.groups[g].full_w for g in mine])
    return serve(workload.demand[window] * factor, up, rate, full, full, workload.policy, fleet.step_s)


def _power(fleet: Fleet, s: int, groups: list[GroupWindow | None], serving: list[tuple[ServingWorkload, ServingWindow]],
           window: int, seed: int, state: RunState) -> SiteWindow:  # fmt: skip
    bins = round(fleet.window_s / fleet.step_s)
    load = {name: np.zeros(bins) for name in ("backfill", "research", "training", "serving")}
    for found in groups:
        if found is not None and found.group.site == s and found.group.kind != "serving":
            load[found.group.kind] += found.power_w
    for workload, result in serving:
        for row, g in enumerate(pools(fleet, workload.name, groups)):
            if fleet.groups[g].site == s:
                lent = fleet.groups[g].full_w * result.backfill[row]
                load["backfill"] += lent
                load["serving"] += result.power_w[row] - lent
    done = run_site(fleet, s, window, seed, Loads(**load), state.charge_j[s])
    state.charge_j[s] = done.charge_j
    return done


def _throttle(groups: list[GroupWindow | None], sites: list[SiteWindow]) -> None:
    """Slow training and research where power was short, and book it."""
    for found in groups:
        if found is None or found.group.kind == "serving":
            continue
        pace = sites[found.group.site].pace[found.group.kind]
        full = found.accounts["productive"]
        kept = found.tokens * pace
        share = float(kept.sum()) / float(found.tokens.sum()) if found.tokens.sum() > 0 else 1.0
        found.tokens = kept
        found.accounts["power"] = full * (1.0 - share)
        found.accounts["productive"] = full * share


def _capped(fleet: Fleet, workload: ServingWorkload, result: ServingWindow, groups: list[GroupWindow | None],
            sites: list[SiteWindow]) -> ServingWindow:  # fmt: skip
    """Shed what throttled serving racks cannot carry, free before paid."""
    mine = pools(fleet, workload.name, groups)
    if not mine or all(bool((sites[fleet.groups[g].site].pace["serving"] >= 1.0).all()) for g in mine):
        return result
    pace = np.array([sites[fleet.groups[g].site].pace["serving"] for g in mine])
    usable = (result.usable * pace).sum(axis=0)
    paid = np.minimum(result.served_paid, usable)
    free = np.minimum(result.served_free, usable - paid)
    return ServingWindow(
        result.demand, paid, free, np.maximum(result.demand - paid - free, 0.0), result.late, result.needed, result.active,
        result.backfill, result.power_w, result.usable,
    )  # fmt: skip
