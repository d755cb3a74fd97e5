"""Hot spares as a pool: runs on like racks at one site lend each other what they do not need.

A run uses its own spares first and borrows others' idle ones; the lender's own failure calls them back. Larger runs
borrow first, ties in the order of the fleet. Everything is a step function over the site's failures and returns, so
one sort answers for all runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gigaforge.operations.fleet import Fleet, gang_shape
from gigaforge.operations.gang import GangShape
from gigaforge.operations.intervals import Array
from gigaforge.operations.queueing import spares_needed

__all__ = ["Lack", "Steps", "lacking", "pool_members", "site_shapes"]


@dataclass(frozen=True)
class Steps:
    """A step function: ``value`` from ``start`` to ``end``, each (piece,), zero elsewhere. [s]"""

    start: Array
    end: Array
    value: Array


@dataclass(frozen=True)
class Lack:
    """One run: racks it lacks after its own and borrowed spares, and racks borrowed (lent where negative)."""

    missing: Steps
    borrowed: Steps


def pool_members(fleet: Fleet, members: list[int], window: int) -> list[list[int]]:
    """Training groups of a site that share a pool: like racks, where the site shares spares."""
    pools: dict[str, list[int]] = {}
    for g in members:
        group = fleet.groups[g]
        if group.kind == "training" and group.racks[window] > 0:
            alone = "" if fleet.sites[group.site].share_spares else group.name
            pools.setdefault(f"{group.rack.name}\n{alone}", []).append(g)
    return list(pools.values())


def site_shapes(fleet: Fleet, members: list[int], window: int) -> dict[int, GangShape]:
    """Spares of each run of a site: as many as the pool needs, shared out in proportion to what each would keep alone.

    Runs with a given number keep it.
    """
    shapes = {}
    for pool in pool_members(fleet, members, window):
        alone = {g: gang_shape(fleet.groups[g], window, fleet.table) for g in pool}
        shapes.update(alone)
        free = [g for g in pool if fleet.groups[g].policies[window].spares is None]
        if len(free) < 2:
            continue
        wanted = {g: alone[g].spares for g in free}
        together = _together(fleet, free, window)
        scale = min(1.0, together / max(sum(wanted.values()), 1))
        for g in free:
            shapes[g] = _rounded(alone[g], math.ceil(wanted[g] * scale - 1e-9))
    return shapes


def _together(fleet: Fleet, pool: list[int], window: int) -> int:
    """Spares of runs pooled: the cover of synchronous ones, the mean of the others."""
    down = {g: fleet.table.mean_down_s(fleet.groups[g].rack) * float(fleet.groups[g].racks[window]) for g in pool}
    policies = {g: fleet.groups[g].policies[window] for g in pool}
    strict = [g for g in pool if policies[g].mode == "synchronous"]
    covered = max((policies[g].spare_cover for g in strict), default=0.0)
    needed = spares_needed(sum(down[g] for g in strict), covered) if strict else 0
    return needed + round(sum(down[g] for g in pool if g not in strict))


def _rounded(shape: GangShape, spares: int) -> GangShape:
    """A shape with other spares; what is left of whole replicas joins them."""
    replica = max(shape.replica_racks, 1)
    extra = (shape.racks - spares) % replica if shape.racks > replica else 0
    return GangShape(shape.racks, min(spares + extra, shape.racks - 1), shape.replica_racks)


def lacking(length_s: float, downs: Sequence[tuple[Array, Array]], shapes: Sequence[GangShape]) -> list[Lack]:
    """What each run of a pool lacks and borrows over a window.

    Parameters
    ----------
    length_s : float
        Window [s].
    downs : sequence of (start, end)
        Down times of each run's racks, those carried in too [s].
    shapes : sequence of GangShape
        Racks and spares of each.

    """
    times = np.concatenate([np.concatenate((np.clip(a, 0.0, length_s), np.clip(b, 0.0, length_s))) for a, b in downs])
    owner = np.concatenate([np.full(2 * a.size, i) for i, (a, _) in enumerate(downs)])
    sign = np.concatenate([np.concatenate((np.ones(a.size), -np.ones(b.size))) for a, b in downs])
    order = np.argsort(times, kind="stable")
    times, owner, sign = times[order], owner[order], sign[order]
    finish = np.append(times[1:], length_s)
    whole = finish > times
    left = [np.cumsum(np.where(owner == i, sign, 0.0))[whole] - shape.spares for i, shape in enumerate(shapes)]
    begin, finish = times[whole], finish[whole]
    lack = [np.maximum(x, 0.0) for x in left]
    idle = [np.maximum(-x, 0.0) for x in left]
    surplus = np.sum(idle, axis=0)
    net = [np.zeros(begin.size) for _ in shapes]
    for i in sorted(range(len(shapes)), key=lambda i: (-shapes[i].racks, i)):
        taken = np.minimum(lack[i], surplus)
        lack[i], surplus, net[i] = lack[i] - taken, surplus - taken, net[i] + taken
    lent = np.sum(net, axis=0)
    for i, free in enumerate(idle):
        given = np.minimum(free, lent)
        net[i], lent = net[i] - given, lent - given
    return [Lack(_steps(begin, finish, a), _steps(begin, finish, b)) for a, b in zip(lack, net, strict=True)]


def _steps(begin: Array, finish: Array, value: Array) -> Steps:
    """Without the zeros, and with equal neighbours joined."""
    keep = value != 0.0
    begin, finish, value = begin[keep], finish[keep], value[keep]
    if begin.size < 2:
        return Steps(begin, finish, value)
    new = (begin[1:] > finish[:-1]) | (value[1:] != value[:-1])
    return Steps(
        begin[np.concatenate(([True], new))],
        finish[np.concatenate((new, [True]))],
        value[np.concatenate(([True], new))],
    )
