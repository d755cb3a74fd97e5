"""One quarter of one fleet: failures and repair at each site, then runs, serving, research, and last the power."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from gigaforge.operations.checkpoint import best_interval_s
from gigaforge.operations.failures import concatenate, draw_outages, draw_window
from gigaforge.operations.fleet import Fleet, Group
from gigaforge.operations.gang import (
    STOPS,
    GangShape,
    incomplete,
    interruptions,
    missing_replicas,
    slow_members,
)
from gigaforge.operations.intervals import Array, IntArray, Mask, bin_integrals
from gigaforge.operations.modes import FailureTable, RackClass, lost_share
from gigaforge.operations.policy import TrainingPolicy
from gigaforge.operations.ramps import ramp_need
from gigaforge.operations.repair import Crew, Down, mend
from gigaforge.operations.research import Hits, PoolState, run_pool
from gigaforge.operations.spares import Lack, lacking, pool_members, site_shapes
from gigaforge.operations.streams import stream
from gigaforge.operations.training import GangState, GangWindow, Interruptions, run_gang

__all__ = [
    "GroupWindow",
    "SiteFailures",
    "best_interval",
    "run_research",
    "run_training",
    "site_failures",
    "site_spares",
    "up_racks",
]


@dataclass(frozen=True)
class SiteFailures:
    """Failures and repairs of one site in one window.

    ``start_s, end_s, owner, share, mode, rack``: down times (carried ones too), the group they belong to, the share of
    the rack that serving loses, what took it out, and which rack of the site it is.
    """

    down: Down
    start_s: Array
    end_s: Array
    owner: IntArray
    share: Array
    mode: IntArray
    rack: IntArray
    crew: Crew


@dataclass
class GroupWindow:
    """What one group did in one window, on the grid.

    Attributes
    ----------
    up : (bin,) array
        Racks in service, mean over the bin (serving: capacity in racks).
    running : (bin,) array
        Share of the bin in which the gang ran (training), or of racks that worked.
    tokens : (bin,) array
        Kept [token].
    power_w : (bin,) array
        IT power [W].
    accounts : dict
        Rack-seconds by account.
    stops : dict
        Interruptions by kind, and how many of each rolled the whole run back.
    jobs, waited_s : int, float
        Jobs started (research), and how long they waited, in all. [s]

    """

    group: Group
    racks: int
    up: Array
    down_rack_s: float
    tokens: Array
    power_w: Array
    running: Array
    accounts: dict[str, float] = field(default_factory=dict)
    active: int = 0
    spares: int = 0
    interval_s: float = 0.0
    interruptions: int = 0
    stops: dict[str, list[int]] = field(default_factory=dict)
    jobs: int = 0
    waited_s: float = 0.0


def best_interval(rack: RackClass, policy: TrainingPolicy, shape: GangShape, table: FailureTable) -> float:
    """Work between snapshots: given, or the optimum at the rate of failures that roll the run back [s]."""
    plan = policy.checkpoint
    if plan.interval_s is not None:
        return plan.interval_s
    rate = table.interrupt_rate(rack) * shape.active
    if policy.mode != "synchronous":
        rate *= policy.fallback
    return best_interval_s(rate, plan.blocking_s, plan.shortest_s, 6 * 3600.0)


def site_failures(
    fleet: Fleet, index: int, members: list[int], offsets: IntArray, window: int, seed: int, crew: Crew
) -> SiteFailures:
    """Draw, thin and repair one site's failures in one window."""
    site, table, length = fleet.sites[index], fleet.table, fleet.length_s(window)
    times = (window * fleet.window_s, window * fleet.window_s + length)
    crew = _still_there(crew, fleet, members, offsets, window)
    parts = [
        draw_window(seed, (fleet.groups[g].name,), times, fleet.groups[g].cohorts[window], table, fleet.groups[g].rack,
                    window_index=fleet.key(window), since_s=fleet.since_s(window), first_rack=int(offsets[g]), group=g)
        for g in members
    ]  # fmt: skip
    outages = draw_outages(
        seed, (site.name,), length, [(int(offsets[g]), int(fleet.groups[g].racks[window])) for g in members], table,
        {"pod": site.pod_racks, "hall": site.hall_racks}, window_index=fleet.key(window),
    )  # fmt: skip
    if outages.size:
        outages.group[:] = np.array(members, dtype=np.int64)[outages.group]
        parts.append(outages)
    crew = crew.staffed(_at(site.technicians, window), _at(site.parts, window))
    down, technicians, shelf, cured = mend(concatenate(parts), crew, table.repair)
    return _with_carried(down, crew, fleet, members, offsets, technicians, shelf, cured, length)


def _at(numbers: IntArray | None, window: int) -> int | None:
    return None if numbers is None else int(numbers[window])


def _still_there(crew: Crew, fleet: Fleet, members: list[int], offsets: IntArray, window: int) -> Crew:
    """Forget carried racks that have left their group."""
    if crew.down_rack.size == 0:
        return crew
    first = offsets[members]
    count = np.array([fleet.groups[g].racks[window] for g in members])
    at = np.searchsorted(first, crew.down_rack, side="right") - 1
    at = np.maximum(at, 0)
    keep = crew.down_rack - first[at] < count[at]
    return replace(crew, down_rack=crew.down_rack[keep], down_until_s=crew.down_until_s[keep],
                   down_share=crew.down_share[keep], down_mode=crew.down_mode[keep])  # fmt: skip


def _with_carried(down: Down, crew: Crew, fleet: Fleet, members: list[int], offsets: IntArray, technicians: list[float],
                  shelf: list[float], cured: IntArray, length: float) -> SiteFailures:  # fmt: skip
    events, table = down.events, fleet.table
    first = offsets[members]
    owner = np.array(members, dtype=np.int64)[
        np.maximum(np.searchsorted(first, crew.down_rack, side="right") - 1, 0)
    ] if crew.down_rack.size else np.empty(0, dtype=np.int64)  # fmt: skip
    share = np.ones(events.size)
    if events.size:
        classes = np.array([[lost_share(m, fleet.groups[g].rack) for m in table.modes] + [1.0] * len(table.outages)
                            for g in range(len(fleet.groups))])  # fmt: skip
        share = classes[events.group, events.mode]
    out = down.end_s > down.start_s
    start = np.concatenate((np.zeros(crew.down_rack.size), down.start_s[out]))
    end = np.concatenate((crew.down_until_s, down.end_s[out]))
    shares = np.concatenate((crew.down_share, share[out]))
    late = down.end_s > length
    old = crew.down_until_s > length
    rack = np.concatenate((crew.down_rack[old], events.rack[late]))
    until = np.concatenate((crew.down_until_s[old], down.end_s[late])) - length
    last = _latest(rack, until)
    after = Crew([t - length for t in technicians], [t - length for t in shelf], rack[last], until[last],
                 np.concatenate((crew.down_share[old], share[late]))[last], cured,
                 np.concatenate((crew.down_mode[old], events.mode[late]))[last])  # fmt: skip
    return SiteFailures(down, start, end, np.concatenate((owner, events.group[out])), shares,
                        np.concatenate((crew.down_mode, events.mode[out])),
                        np.concatenate((crew.down_rack, events.rack[out])), after)  # fmt: skip


def _latest(rack: IntArray, until: Array) -> IntArray:
    """One entry a rack: its last return."""
    order = np.lexsort((until, rack))
    last = np.append(np.diff(rack[order]) != 0, True) if rack.size else np.empty(0, dtype=np.bool_)
    return np.asarray(order[last], dtype=np.int64)


def up_racks(failures: SiteFailures, group: int, racks: int, edges: Array, *, weighted: bool) -> tuple[Array, float]:
    """Racks in service in each bin, and rack-seconds down (whole racks)."""
    mine = failures.owner == group
    start, end = failures.start_s[mine], np.minimum(failures.end_s[mine], edges[-1])
    whole = float((end - start).sum())
    lost = bin_integrals(edges, start, end, failures.share[mine] if weighted else None)
    return np.clip(racks - lost / np.diff(edges), 0.0, None), whole


def site_spares(
    fleet: Fleet, members: list[int], failures: SiteFailures, window: int
) -> dict[int, tuple[GangShape, Lack]]:
    """Spares of each run of a site and what it lacks beyond them, its own and borrowed ones."""
    shapes, out = site_shapes(fleet, members, window), {}
    for pool in pool_members(fleet, members, window):
        downs = [(failures.start_s[failures.owner == g], failures.end_s[failures.owner == g]) for g in pool]
        lacks = lacking(fleet.length_s(window), downs, [shapes[g] for g in pool])
        out.update({g: (shapes[g], lack) for g, lack in zip(pool, lacks, strict=True)})
    return out


def run_training(
    fleet: Fleet, group_index: int, failures: SiteFailures, spares: tuple[GangShape, Lack], window: int, seed: int,
    state: GangState, edges: Array,
) -> tuple[GroupWindow, GangState]:  # fmt: skip
    """One run through one window; ``spares`` from `site_spares`."""
    group, table, length = fleet.groups[group_index], fleet.table, fleet.length_s(window)
    racks = int(group.racks[window])
    shape, lack = spares
    lacks = (lack.missing.start, lack.missing.end, lack.missing.value)
    ramp = ramp_need(fleet.sites[group.site], group, shape.active, window)
    mine = failures.owner == group_index
    down = (failures.start_s[mine], failures.end_s[mine])
    events = failures.down.events
    own = np.flatnonzero(events.group == group_index)
    rng = stream(seed, "restart", group.name, fleet.key(window))
    interval = best_interval(group.rack, group.policies[window], shape, table)
    policy = replace(group.policies[window], grid_ramp_s=ramp.ramp_s)
    blocked = incomplete(lacks, policy)
    before = window - 1  # a run that changes its size, or its way with failures, stops for it
    changed = window > 0 and group.racks[before] > 0 and (
        int(group.racks[before]) != racks or group.policies[before] != group.policies[window]
    )  # fmt: skip
    waiting = blocked[0].size > 0 and blocked[0][0] <= 0.0
    forced = np.zeros(1 if changed or waiting else 0)
    hits, struck = interruptions(
        rng, length, (events.time_s[own], events.mode[own], events.dice[own]), down, shape, table, policy, forced,
        blocked[0],
    )  # fmt: skip
    gang = run_gang(
        length, hits, blocked, policy, interval, state,
        missing_replicas(length, hits, struck, lacks, shape, policy, _outages(failures, mine, table)),
        slow_members(stream(seed, "slow", group.name, fleet.key(window)), length, group.rack, shape.active, table),
    )  # fmt: skip
    done = _on_grid(group, shape, gang, failures, group_index, window, edges, interval, lack,
                    (ramp.hold_w, ramp.burnt_j(hits.stall_s) / length))  # fmt: skip
    return replace(done, stops=_by_kind(struck.kind, hits, table)), gang.state


def _outages(failures: SiteFailures, mine: Mask, table: FailureTable) -> tuple[Array, Array, IntArray]:
    """Down times of a run's racks that outages took, and which: racks struck together return together."""
    taken = mine & (failures.mode >= len(table.modes))
    end = failures.end_s[taken]
    return failures.start_s[taken], end, np.unique(end, return_inverse=True)[1].astype(np.int64)


def _by_kind(kind: IntArray, hits: Interruptions, table: FailureTable) -> dict[str, list[int]]:
    """Stops of each kind, and how many of them rolled the whole run back."""
    names = [*STOPS[::-1], *(k.kind for k in table.kinds())]
    all_of = np.bincount(kind + len(STOPS), minlength=len(names))
    back = np.bincount(kind[hits.rolls_back] + len(STOPS), minlength=len(names))
    return {name: [int(n), int(b)] for name, n, b in zip(names, all_of, back, strict=True) if n}


def run_research(
    fleet: Fleet, group_index: int, first_rack: int, failures: SiteFailures, window: int, seed: int, state: PoolState, edges: Array
) -> tuple[GroupWindow, PoolState]:  # fmt: skip
    """Jobs on the racks left over, through one window."""
    group, site = fleet.groups[group_index], fleet.sites[fleet.groups[group_index].site]
    racks = int(group.racks[window])
    up, down_s = up_racks(failures, group_index, racks, edges, weighted=False)
    hits = _pool_hits(fleet.table, failures, group_index, first_rack)
    done = run_pool(
        stream(seed, "jobs", group.name, fleet.key(window)),
        edges,
        racks,
        site.pod_racks,
        group.use,
        hits,
        group.jobs,
        state,
    )
    busy = np.minimum(done.busy, up)
    power = busy * group.full_w[window] + (up - busy) * group.idle_w[window]
    accounts = {"productive": done.busy_s - done.rework_s - done.restart_s, "rework": done.rework_s,
                "restart": done.restart_s, "repair": down_s, "idle": racks * float(edges[-1]) - down_s - done.busy_s}  # fmt: skip
    found = GroupWindow(group, racks, up, down_s, busy * fleet.step_s * group.tokens_per_s[window], power, busy / racks, accounts,
                        racks, interruptions=done.interruptions, jobs=done.jobs, waited_s=done.waited_s)  # fmt: skip
    return found, done.state


def _pool_hits(table: FailureTable, failures: SiteFailures, group: int, first_rack: int) -> Hits:
    """Failures and services of a group's racks; those carried in strike at the window's start."""
    events, down = failures.down.events, failures.down
    share = np.array([getattr(k, "interrupts", 1.0) for k in table.kinds()])
    stops = events.dice < share[events.mode]
    own = np.flatnonzero((events.group == group) & (stops | (down.end_s > down.start_s)))
    carried = np.flatnonzero(failures.owner[: failures.owner.size - int((down.end_s > down.start_s).sum())] == group)
    time = np.concatenate((np.zeros(carried.size), events.time_s[own]))
    until = np.concatenate((failures.end_s[carried], down.end_s[own]))
    rack = np.concatenate((failures.rack[carried], events.rack[own])) - first_rack
    drained = np.concatenate((np.ones(carried.size, dtype=np.bool_), ~stops[own]))
    order = np.argsort(time, kind="stable")
    return Hits(time[order], until[order], rack[order], drained[order])


def _on_grid(group: Group, shape: GangShape, gang: GangWindow, failures: SiteFailures, index: int, window: int, edges: Array,
             interval_s: float, lack: Lack, smoothing_w: tuple[float, float]) -> GroupWindow:  # fmt: skip
    up, down_s = up_racks(failures, index, shape.racks, edges, weighted=False)
    width = np.diff(edges)
    running = np.clip(bin_integrals(edges, gang.start_s, gang.end_s) / width, 0.0, 1.0)
    net = lack.borrowed
    here = np.maximum(up + bin_integrals(edges, net.start, net.end, net.value) / width, 0.0)  # with borrowed ones
    at_work = np.minimum(shape.active * running, here)
    held = smoothing_w[0] * running + smoothing_w[1]
    blocking_s, idle_w = group.policies[window].checkpoint.blocking_s, float(group.idle_w[window])
    saving = blocking_s / (interval_s + blocking_s)
    busy_w = float(group.full_w[window]) * (1.0 - saving) + idle_w * saving
    tokens = _spread(edges, gang.start_s, gang.end_s, gang.kept_s) * shape.active * group.tokens_per_s[window]
    length = float(edges[-1])
    accounts = {name: value * shape.active for name, value in gang.accounts.items()}
    accounts["idle"] = shape.spares * length
    return GroupWindow(
        group, shape.racks, up, down_s, tokens, busy_w * at_work + idle_w * (here - at_work) + held, running, accounts,
        shape.active, shape.spares, interval_s, gang.interruptions,
    )  # fmt: skip


def _spread(edges: Array, start: Array, end: Array, amount: Array) -> Array:
    """Amounts spread evenly over their intervals (disjoint, sorted), summed in bins."""
    if start.size == 0:
        return np.zeros(edges.size - 1)
    knots = np.empty(2 * start.size)
    knots[0::2], knots[1::2] = start, end
    level = np.empty(knots.size)
    total = np.cumsum(amount)
    level[0::2], level[1::2] = total - amount, total
    return np.diff(np.interp(edges, knots, level))
