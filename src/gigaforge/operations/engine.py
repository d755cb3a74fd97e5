"""The engine: windows in order, each solved as a whole, results streamed out, state small enough to write down.

Order inside a window: failures and repair (each site), training runs, serving (all sites of a workload together),
research, power (each site), then the books. Memory holds one window, whatever the horizon.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gigaforge.operations.books import Books
from gigaforge.operations.fleet import Fleet, ServingWorkload, hall_shares
from gigaforge.operations.gang import GangShape
from gigaforge.operations.intervals import Array
from gigaforge.operations.latency import LatencyTarget, latency
from gigaforge.operations.repair import Crew
from gigaforge.operations.research import PoolState
from gigaforge.operations.serving import ServingPolicy, ServingWindow, serve
from gigaforge.operations.sitepower import KINDS, Loads, SiteWindow, run_site
from gigaforge.operations.spares import Lack
from gigaforge.operations.streams import stream
from gigaforge.operations.traffic import demand_factor
from gigaforge.operations.training import GangState
from gigaforge.operations.window import (
    GroupWindow,
    SiteFailures,
    run_research,
    run_training,
    site_failures,
    site_spares,
    up_racks,
)

__all__ = ["RunState", "WindowResult", "fresh_state", "run_window", "run_windows"]


@dataclass
class RunState:
    """What passes from window to window."""

    window: int
    crews: list[Crew]
    gangs: list[GangState]
    pools: list[PoolState]
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
        crews=[Crew.fresh() for _ in fleet.sites],
        gangs=[GangState() for _ in fleet.groups],
        pools=[PoolState() for _ in fleet.groups],
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
    length = fleet.length_s(window)
    edges = np.linspace(0.0, length, round(length / fleet.step_s) + 1)
    offsets = fleet.offsets()
    failures: list[SiteFailures] = []
    groups: list[GroupWindow | None] = [None] * len(fleet.groups)
    for s in range(len(fleet.sites)):
        members = [g for g, group in enumerate(fleet.groups) if group.site == s and group.racks.max(initial=0) > 0]
        found = site_failures(fleet, s, members, offsets, window, seed, state.crews[s])
        state.crews[s] = found.crew
        failures.append(found)
        spares = site_spares(fleet, members, found, window)
        for g in members:
            if fleet.groups[g].racks[window] > 0:
                groups[g] = _run_group(fleet, g, found, spares, window, seed, state, edges, int(offsets[g]))
            else:
                state.gangs[g], state.pools[g] = GangState(), PoolState()
    serving = [(w, _serve(fleet, w, groups, window, seed)) for w in fleet.serving]
    sites = [_power(fleet, s, groups, serving, window, seed, state) for s in range(len(fleet.sites))]
    _throttle(groups, sites)
    serving = [(w, _capped(fleet, w, r, groups, sites, window)) for w, r in serving]
    _account_serving(fleet, groups, serving, sites)
    state.books.add(fleet, window, groups, serving, sites, failures)
    state.window += 1
    return WindowResult(window, edges, groups, serving, sites, failures, time.perf_counter() - begun)


def _run_group(
    fleet: Fleet, g: int, failures: SiteFailures, spares: dict[int, tuple[GangShape, Lack]], window: int, seed: int,
    state: RunState, edges: Array, first_rack: int,
) -> GroupWindow:  # fmt: skip
    group = fleet.groups[g]
    if group.kind == "training":
        done, state.gangs[g] = run_training(fleet, g, failures, spares[g], window, seed, state.gangs[g], edges)
        return done
    if group.kind == "research":
        done, state.pools[g] = run_research(fleet, g, first_rack, failures, window, seed, state.pools[g], edges)
        return done
    racks = int(group.racks[window])
    up, down_s = up_racks(failures, g, racks, edges, weighted=True)
    none = np.zeros(up.size)
    return GroupWindow(group, racks, up, down_s, none, none.copy(), none.copy(), active=racks)


def pools(fleet: Fleet, workload: str, groups: list[GroupWindow | None]) -> list[int]:
    """Groups that serve a workload now."""
    return [
        g for g, group in enumerate(fleet.groups)
        if group.kind == "serving" and group.workload == workload and groups[g] is not None
    ]  # fmt: skip


def _serve(
    fleet: Fleet, workload: ServingWorkload, groups: list[GroupWindow | None], window: int, seed: int
) -> ServingWindow:
    bins = round(fleet.length_s(window) / fleet.step_s)
    rng = stream(seed, "demand", workload.name, fleet.key(window))
    factor = demand_factor(rng, workload.shape, fleet.since_monday_s(window), bins, fleet.step_s)
    mine = pools(fleet, workload.name, groups)
    up = np.array([found.up for g in mine if (found := groups[g]) is not None]).reshape(len(mine), bins)
    rate = np.array([fleet.groups[g].tokens_per_s[window] for g in mine])
    full = np.array([fleet.groups[g].full_w[window] for g in mine])
    policy, target = _at_points(fleet, workload, mine, window)
    racks = np.array([float(fleet.groups[g].racks[window]) for g in mine])
    return serve(workload.demand[window] * factor, up, rate, full, full, policy, fleet.step_s, target, racks)


def _at_points(
    fleet: Fleet, workload: ServingWorkload, mine: list[int], window: int
) -> tuple[ServingPolicy, LatencyTarget]:
    """The policy at the pools' operating points, weighted by what each can serve."""
    groups = [fleet.groups[g] for g in mine]
    racks = np.array([float(g.racks[window]) for g in groups])
    weight = racks * np.array([g.tokens_per_s[window] for g in groups])
    if not mine or weight.sum() <= 0.0:
        return workload.policy.at_point(math.nan, math.nan, 0.0)
    ttft, tpot = np.average([g.latency_s(window) for g in groups], axis=0, weights=weight).tolist()
    return workload.policy.at_point(ttft, tpot, float(weight.sum() / racks.sum()))


def _power(fleet: Fleet, s: int, groups: list[GroupWindow | None], serving: list[tuple[ServingWorkload, ServingWindow]],
           window: int, seed: int, state: RunState) -> SiteWindow:  # fmt: skip
    bins = round(fleet.length_s(window) / fleet.step_s)
    drawn: dict[int, dict[str, Array]] = {}
    for g, found in enumerate(groups):
        if found is not None and found.group.site == s and found.group.kind != "serving":
            drawn[g] = {found.group.kind: found.power_w}
    for workload, result in serving:
        for row, g in enumerate(pools(fleet, workload.name, groups)):
            if fleet.groups[g].site == s:
                lent = fleet.groups[g].full_w[window] * result.backfill[row]
                drawn[g] = {"backfill": lent, "serving": result.power_w[row] - lent}
    halls = None
    if fleet.sites[s].feeder_w is not None:
        halls = [(count, _loads(drawn, share, bins)) for share, count in hall_shares(fleet, s, window).items()]
    loads = _loads(drawn, tuple((g, 1.0) for g in drawn), bins)
    done = run_site(fleet, s, window, seed, loads, state.charge_j[s], halls)
    state.charge_j[s] = done.charge_j
    return done


def _loads(drawn: dict[int, dict[str, Array]], share: tuple[tuple[int, float], ...], bins: int) -> Loads:
    """Sum of parts of the groups' powers, by kind [W]."""
    load = {name: np.zeros(bins) for name in KINDS}
    for g, part in share:
        for kind, power in drawn.get(g, {}).items():
            load[kind] += part * power
    return Loads(**load)


def _throttle(groups: list[GroupWindow | None], sites: list[SiteWindow]) -> None:
    """Slow training and research where power was short, and book it."""
    for found in groups:
        if found is None or found.group.kind == "serving":
            continue
        pace = sites[found.group.site].pace[found.group.kind]
        full = max(found.accounts["productive"], 0.0)  # below zero where a rollback undid an earlier window's work
        kept = found.tokens * pace
        work = found.tokens if found.tokens.sum() > 0.0 else found.running
        share = float((work * pace).sum()) / float(work.sum()) if work.sum() > 0.0 else 1.0
        share = min(max(share, 0.0), 1.0)
        found.tokens = kept
        found.accounts["power"] = full * (1.0 - share)
        found.accounts["productive"] -= full * (1.0 - share)


def _account_serving(fleet: Fleet, groups: list[GroupWindow | None], serving: list[tuple[ServingWorkload, ServingWindow]],
                     sites: list[SiteWindow]) -> None:  # fmt: skip
    """Rack time of serving groups: at work, ready for more, lent to other work, off, down, or held back by power."""
    step = fleet.step_s
    for workload, result in serving:
        for row, g in enumerate(pools(fleet, workload.name, groups)):
            found, pace = groups[g], sites[fleet.groups[g].site].pace
            if found is None:
                continue
            active, lent = result.active[row], result.backfill[row]
            busy = active * pace["serving"] * result.use
            spared = active * (1.0 - pace["serving"]) + lent * (1.0 - pace["backfill"])
            total = float(found.up.sum()) * step
            parts = {"productive": busy, "headroom": active * pace["serving"] - busy, "backfill": lent * pace["backfill"],
                     "power": spared, "idle": found.up - active - lent}  # fmt: skip
            found.accounts = {name: float(value.sum()) * step for name, value in parts.items()}
            found.accounts["repair"] = found.racks * step * found.up.size - total


def _capped(fleet: Fleet, workload: ServingWorkload, result: ServingWindow, groups: list[GroupWindow | None],
            sites: list[SiteWindow], window: int) -> ServingWindow:  # fmt: skip
    """Shed what throttled serving racks cannot carry, free before paid."""
    mine = pools(fleet, workload.name, groups)
    pace = np.array([sites[fleet.groups[g].site].pace["serving"] for g in mine])
    if not mine or bool((pace >= 1.0).all()):
        return result
    usable = (result.usable * pace).sum(axis=0)
    paid = np.minimum(result.served_paid, usable)
    free = np.minimum(result.served_free, usable - paid)
    use = np.divide(paid + free, usable, out=np.zeros_like(usable), where=usable > 0.0)
    policy, target = _at_points(fleet, workload, mine, window)
    slots = result.active.sum(axis=0) * policy.slots_per_rack
    mean = np.divide(usable, result.usable.sum(axis=0), out=np.ones_like(usable), where=usable > 0.0)
    speed = latency(target, slots, use, policy.request_s, mean)
    late = np.where(paid + free > 0.0, speed.late, 0.0)
    return replace(result, served_paid=paid, served_free=free, shed=np.maximum(result.demand - paid - free, 0.0), use=use,
                   late=np.where(mean < 1.0, late, result.late), ttft_s=speed.ttft_s, tpot_s=speed.tpot_s)  # fmt: skip
