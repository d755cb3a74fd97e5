"""What is installed: racks bought in whole blocks, retired between two lives, and the supply they come from."""

from __future__ import annotations

import numpy as np
import xarray as xr

from gigaforge.buildout.problem import Array, Problem
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
        ahead = {"quarter": slice(p.past.quarters if p.past else 0, None)}
        broken = np.zeros((len(p.sites), len(p.systems)))  # blocks that no whole retirement can empty
        if p.past is not None:
            broken[(p.past.added - p.past.retired).sum(axis=2) % b.block > 0] = 1.0
        aged = lagged(b.added, life).isel(**ahead) - b.data(broken, "site", "system")
        kept = b.retired.isel(**ahead) >= aged
        b.rule("finance.service_life_years", "retire", kept)
    lines = xr.DataArray(np.array(p.lines)[p.line_of], coords={"system": b.index["system"]}, name="line")
    bought = b.add.sum("site").groupby(lines).sum()
    available = b.data(_whole(p.supply / b.block, p), "line", "quarter")
    available = available.sel(line=bought.coords["line"])  # which grouping sorts
    b.rule("platforms.{line}.supply", "supply", bought <= available)


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
    most = np.where(p.can_host, np.floor(p.supply[p.line_of] / block)[None, :, :], 0.0)
    held = np.outer(p.pue_peak, p.least_held_w * block)[..., None]
    return most, np.floor(p.energised_w[:, None, :] / held)


def most_online(problem: Problem) -> Array:
    """Most blocks that can be online, whatever is decided. Shape (S, K, T)."""
    most, power = _room(problem)
    return np.minimum(np.cumsum(most, axis=2), power)


def _whole(blocks: Array, problem: Problem) -> Array:
    """Whole blocks of supplies, except where they are what was really bought. Shape (L, T)."""
    over = problem.past.quarters if problem.past else 0
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
