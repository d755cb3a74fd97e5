"""What is installed: racks bought in whole blocks, retired between two lives, and the supply they come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from gigaforge.buildout.problem import Array, Problem, owners_of
from gigaforge.buildout.programme.builder import Builder, lagged, previous

__all__ = ["early_retirements", "installation", "most_online"]


def installation(b: Builder) -> None:
    """Racks come in whole blocks out of their line's supply; what is online follows from those added and retired."""
    p, dims = b.p, ("site", "system", "quarter")
    most, power = _room(p)
    if not b.tight:
        most = np.where(np.any(p.can_host, axis=2, keepdims=True), 1e6, np.zeros_like(most))
        power = np.full_like(most, 1e6)
    least, most_added = _past(b, "added", np.minimum(most, power))
    b.add = b.variable("add", *dims, integer=True, lower=least, upper=most_added)
    total = b.data(np.minimum(np.cumsum(most, axis=2), power) + (p.past is not None), *dims)
    # Systems retire between the end of their economic life and the end of their service life.
    old = np.cumsum(most, axis=2) * (np.arange(len(p.quarters)) >= p.economic_quarters)
    least, most_retired = _past(b, "retired", old)
    b.retire = b.variable("retire", *dims, integer=True, lower=least, upper=most_retired)
    b.online = b.variable("online", *dims, upper=total)
    b.rule("", "online", b.online == previous(b.online) + b.add - b.retire)
    life = p.service_quarters
    b.added = b.variable("added", *dims)
    b.retired = b.variable("retired", *dims)
    b.rule("", "added", b.added == previous(b.added) + b.add)
    b.rule("", "retired", b.retired == previous(b.retired) + b.retire)
    early = b.data(early_retirements(p) / b.block, *dims)
    b.rule("", "economic life", b.retired <= lagged(b.added, p.economic_quarters) + early)
    if life < len(p.quarters):
        ahead = {"quarter": slice(p.quarters_over, None)}
        broken = np.zeros((len(p.sites), len(p.systems)))  # blocks that no whole retirement can empty
        if p.past is not None:
            broken[(p.past.added - p.past.retired).sum(axis=2) % b.block > 0] = 1.0
        aged = lagged(b.added, life).isel(**ahead) - b.data(broken, "site", "system")
        kept = b.retired.isel(**ahead) >= aged
        b.rule("finance.service_life_years", "retire", kept)
    b.bought = _bought(b)
    lines = xr.DataArray(np.array(p.lines)[p.line_of], coords={"system": b.index["system"]}, name="line")
    bought = b.bought.sum("site").groupby(lines).sum()
    available = b.data(_whole(p.supply / b.block, p), "line", "quarter")
    available = available.sel(line=bought.coords["line"])  # which grouping sorts
    b.rule("platforms.{line}.supply", "supply", bought <= available)


def _bought(b: Builder) -> Any:
    """Blocks delivered and paid for: those added, but for racks that come out of stock.

    Stock is what was delivered and not deployed in quarters that are over. Its racks are paid for; they may stand at any
    site of their owner, as any system of their line. In the past, where all is fixed, racks that went into stock are
    negative ones out of it.
    """
    p, dims = b.p, ("site", "system", "quarter")
    past = p.past
    if past is None or np.array_equal(past.bought, past.added):
        return 1 * b.add
    owner, kept = owners_of(p.tenures), past.bought - past.added
    least, most = np.zeros(p.can_host.shape), np.zeros(p.can_host.shape)
    pools = []
    for who in np.unique(owner):
        for line in range(len(p.lines)):
            sites, systems = np.flatnonzero(owner == who), np.flatnonzero(p.line_of == line)
            most[np.ix_(sites, systems)] = kept[np.ix_(sites, systems)].sum()
            pools.append((sites, systems))
    least[..., : past.quarters] = most[..., : past.quarters] = -kept
    draw = b.variable("draw", *dims, integer=True, lower=b.data(least, *dims), upper=b.data(most, *dims))  # racks
    for number, (sites, systems) in enumerate(pools):
        if kept[np.ix_(sites, systems)].any():
            b.rule("", f"stock {number}", draw.isel(site=sites, system=systems).sum() <= 0)
    ahead = {"quarter": slice(past.quarters, None)}
    b.rule("", "deployed from stock", draw.isel(**ahead) <= b.add.isel(**ahead) * b.block)
    return b.add - draw * (1 / b.block)


def _past(b: Builder, field: str, most: Array) -> tuple[xr.DataArray, xr.DataArray]:
    """Bounds of racks added or retired: what happened already is fixed (racks may then be no whole blocks)."""
    least = np.zeros_like(most)
    if b.p.past is not None:
        done = getattr(b.p.past, field) / b.block
        most = most.copy()
        most[..., : b.p.past.quarters] = least[..., : b.p.past.quarters] = done if b.tight else np.rint(done)
    dims = ("site", "system", "quarter")
    return b.data(least, *dims), b.data(most, *dims)


def _room(problem: Problem) -> tuple[Array, Array]:
    """Blocks that supply lets in each quarter, and that a site's power can hold at the least. Shape (S, K, T) each."""
    p, block = problem, float(problem.scenario.block)
    blocks = p.supply / block
    if (
        p.past is not None
    ):  # what came may be no whole blocks; what of it was not deployed may be at any time from now on
        over = p.past.quarters
        kept = (p.past.bought - p.past.added).sum(axis=(0, 2))
        stock = np.bincount(p.line_of, weights=kept, minlength=len(p.lines))
        blocks = np.concatenate([np.ceil(blocks[:, :over]), blocks[:, over:] + stock[:, None] / block], axis=1)
    most = np.where(p.can_host, np.floor(blocks[p.line_of])[None, :, :], 0.0)
    held = np.outer(p.pue_peak, p.least_held_w * block)[..., None]
    return most, np.floor(p.energised_w[:, None, :] / held)


def most_online(problem: Problem) -> Array:
    """Most blocks that can be online, whatever is decided. Shape (S, K, T)."""
    most, power = _room(problem)
    return np.minimum(np.cumsum(most, axis=2), power)


def _whole(blocks: Array, problem: Problem) -> Array:
    """Whole blocks of supplies, except where they are what was really bought. Shape (L, T)."""
    over = problem.quarters_over
    return np.concatenate([blocks[:, :over], np.floor(blocks[:, over:])], axis=1)


def early_retirements(problem: Problem) -> Array:
    """Racks of the past retired before the end of their economic life, so far [racks]. Shape (S, K, T)."""
    past, count = problem.past, len(problem.quarters)
    out = np.zeros((len(problem.sites), len(problem.systems), count))
    if past is None:
        return out
    t = np.arange(count)
    retired = np.cumsum(past.retired, axis=2)[..., np.minimum(t, past.quarters - 1)]
    aged = np.cumsum(past.added, axis=2)[..., np.clip(t - problem.economic_quarters, 0, past.quarters - 1)]
    return np.maximum(retired - np.where(t >= problem.economic_quarters, aged, 0.0), 0.0)
