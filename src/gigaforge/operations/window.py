"""One quarter of one fleet: failures and repair at each site, then runs, serving, research, and last the power."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from gigaforge.operations.checkpoint import best_interval_s
from gigaforge.operations.failures import concatenate, draw_outages, draw_window
from gigaforge.operations.fleet import Fleet, Group
from gigaforge.operations.gang import (
    GangShape,
    incomplete,
    interruptions,
    missing_replicas,
    slow_members,
)
from gigaforge.operations.intervals import Array, IntArray, bin_integrals
from gigaforge.operations.modes import FailureTable, lost_share
from gigaforge.operations.ramps import ramp_need
from gigaforge.operations.repair import Crew, Down, mend
from gigaforge.operations.spares import Lack, lacking, pool_members, site_shapes
from gigaforge.operations.streams import stream
from gigaforge.operations.training import GangState, GangWindow, run_gang

__all__ = ["GroupWindow", "SiteFailures", "best_interval", "run_training", "site_failures", "site_spares", "up_racks"]


@dataclass(frozen=True)
class SiteFailures:
    """Failures and repairs of one site in one window.

    ``start_s, end_s, owner, share``: down times (carried ones too), the group they belong to, and the share of the
    rack that serving loses.
    """

    down: Down
    start_s: Array
    end_s: Array
    owner: IntArray
    share: Array
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


def best_interval(group: Group, shape: GangShape, table: FailureTable) -> float:
    """Work between snapshots: given, or the optimum at the rate of failures that roll the run back [s]."""
    plan = group.policy.checkpoint
    if plan.interval_s is not None:
        return plan.interval_s
    rate = table.interrupt_rate(group.rack) * shape.active
    if group.policy.mode != "synchronous":
        rate *= group.policy.fallback
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
                    window_index=window, first_rack=int(offsets[g]), group=g)
        for g in members
    ]  # fmt: skip
    outages = draw_outages(
        seed, (site.name,), length, [(int(offsets[g]), int(fleet.groups[g].racks[window])) for g in members], table,
        {"pod": site.pod_racks, "hall": site.hall_racks}, window_index=window,
    )  # fmt: skip
    if outages.size:
        outages.group[:] = np.array(members, dtype=np.int64)[outages.group]
        parts.append(outages)
    down, technicians, shelf, cured = mend(concatenate(parts), crew, table.repair)
    return _with_carried(down, crew, fleet, members, offsets, technicians, shelf, cured, length)


def _still_there(crew: Crew, fleet: Fleet, members: list[int], offsets: IntArray, window: int) -> Crew:
    """Forget carried racks that have left their group."""
    if crew.down_rack.size == 0:
        return crew
    first = offsets[members]
    count = np.array([fleet.groups[g].racks[window] for g in members])
    at = np.searchsorted(first, crew.down_rack, side="right") - 1
    at = np.maximum(at, 0)
    keep = crew.down_rack - first[at] < count[at]
    return Crew(
        crew.technicians, crew.parts, crew.down_rack[keep], crew.down_until_s[keep], crew.down_share[keep], crew.cured
    )


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
    rack = np.concatenate((crew.down_rack[crew.down_until_s > length], events.rack[late]))
    until = np.concatenate((crew.down_until_s[crew.down_until_s > length], down.end_s[late])) - length
    left = np.concatenate((crew.down_share[crew.down_until_s > length], share[late]))
    rack, until, left = _latest(rack, until, left)
    after = Crew([t - length for t in technicians], [t - length for t in shelf], rack, until, left, cured)
    return SiteFailures(down, start, end, np.concatenate((owner, events.group[out])), shares, after)


def _latest(rack: IntArray, until: Array, share: Array) -> tuple[IntArray, Array, Array]:
    """One entry a rack: its last return."""
    order = np.lexsort((until, rack))
    rack, until, share = rack[order], until[order], share[order]
    last = np.append(rack[1:] != rack[:-1], True) if rack.size else np.empty(0, dtype=np.bool_)
    return rack[last], until[last], share[last]


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
    rng = stream(seed, "restart", group.name, window)
    interval = best_interval(group, shape, table)
    policy = replace(group.policy, grid_ramp_s=ramp.ramp_s)
    blocked = incomplete(lacks, policy)
    changed = window > 0 and int(group.racks[window - 1]) not in (0, racks)
    waiting = blocked[0].size > 0 and blocked[0][0] <= 0.0
    forced = np.zeros(1 if changed or waiting else 0)
    hits, restart = interruptions(
        rng, length, (events.time_s[own], events.mode[own], events.dice[own]), down, shape, table, policy, forced,
        blocked[0],
    )  # fmt: skip
    gang = run_gang(
        length, hits, blocked, policy, interval, state,
        missing_replicas(length, hits, restart, lacks, shape, policy),
        slow_members(stream(seed, "slow", group.name, window), length, group.rack, shape.active, table),
    )  # fmt: skip
    done = _on_grid(group, shape, gang, failures, group_index, window, edges, interval, lack,
                    (ramp.hold_w, ramp.burnt_j(hits.stall_s) / length))  # fmt: skip
    return done, gang.state


def _on_grid(group: Group, shape: GangShape, gang: GangWindow, failures: SiteFailures, index: int, window: int, edges: Array,
             interval_s: float, lack: Lack, smoothing_w: tuple[float, float]) -> GroupWindow:  # fmt: skip
    up, down_s = up_racks(failures, index, shape.racks, edges, weighted=False)
    width = np.diff(edges)
    running = np.clip(bin_integrals(edges, gang.start_s, gang.end_s) / width, 0.0, 1.0)
    net = lack.borrowed
    here = np.maximum(up + bin_integrals(edges, net.start, net.end, net.value) / width, 0.0)  # with borrowed ones
    at_work = np.minimum(shape.active * running, here)
    held = smoothing_w[0] * running + smoothing_w[1]
    saving = group.policy.checkpoint.blocking_s / (interval_s + group.policy.checkpoint.blocking_s)
    busy_w = group.full_w * (1.0 - saving) + group.idle_w * saving
    tokens = _spread(edges, gang.start_s, gang.end_s, gang.kept_s) * shape.active * group.tokens_per_s[window]
    length = float(edges[-1])
    accounts = {name: value * shape.active for name, value in gang.accounts.items()}
    accounts["idle"] = shape.spares * length
    return GroupWindow(
        group, shape.racks, up, down_s, tokens, busy_w * at_work + group.idle_w * (here - at_work) + held, running, accounts,
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
