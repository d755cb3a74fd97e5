"""Training runs: work done in a window at one place, at two linked sites at once, later than the deadline, awaited."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gigaforge.buildout.problem import Array
from gigaforge.buildout.programme.builder import PETA, USD, Builder, by_system
from gigaforge.buildout.programme.installation import most_online
from gigaforge.quarters import SECONDS_PER_QUARTER

__all__ = ["training", "wait_for_run"]


def training(b: Builder) -> None:
    """A run gets its work done in its window, on one kind of system at one site."""
    p = b.p
    if not p.runs:
        return
    dims = ("run", "site", "system")
    most = np.where(p.run_rate > 0, p.run_max_racks / b.block, 0.0)[:, None, :] * p.run_sites[:, :, None]
    if b.tight:
        limit = np.minimum(most[..., None], most_online(p)[None]) * p.run_window[:, None, None, :]
        enough = (limit.sum(axis=3) * b.block * p.run_rate[:, None, :]) >= p.run_tokens[:, None, None] * (1 - 1e-6)
    else:
        limit = most[..., None] * p.run_window[:, None, None, :]
        enough = limit.any(axis=3)
    # No bound but "only there" below: a bound of a variable's own would hide part of its price.
    upper = b.data(np.where((limit > 0)[p.train_run, :, p.train_system], 1e6, 0.0), "job", "site", "quarter")
    b.train = b.variable("train", "job", "site", "quarter", upper=upper)
    b.chosen = b.variable("chosen", *dims, integer=True, upper=b.data(enough.astype(float), *dims))
    spanned = _spanned_runs(b, limit.any(axis=3))
    for r in range(len(p.runs)):
        _run(b, r, limit, spanned)
    _late_runs(b, limit)


def _run(b: Builder, r: int, limit: Array, spanned: Any) -> None:
    """One run's work and place; `limit` is the most blocks at once, of shape (run, site, system, quarter)."""
    p = b.p
    rate = b.data(p.train_rate * b.block / PETA, "job")
    run, statement = p.runs[r], f"training.{p.runs[r]}"
    jobs = np.flatnonzero(p.train_run == r)
    systems = sorted({int(k) for k in p.train_system[jobs]})
    here = b.train.isel(job=jobs)
    group = xr.DataArray(
        np.array(p.systems)[p.train_system[jobs]], coords={"job": b.index["job"][jobs]}, name="system"
    )
    done = by_system(here * rate.isel(job=jobs), group, p).isel(system=systems).sum("quarter")
    at: Any = b.chosen.sel(run=run).isel(system=systems)
    needed = float(p.run_tokens[r] / PETA)
    b.rule(statement, "work", done >= at * needed)
    places = b.chosen.sel(run=run).sum(["site", "system"])
    pairs = [i for i, span in enumerate(b.pairs) if span.run == r]
    if pairs:
        both = spanned.sel(pair=pairs).isel(system=systems)
        places = places + both.sum(["pair", "system"])
        # The exchange between sites makes the same work take longer.
        share = np.array([b.pairs[i].efficiency for i in pairs])
        more = xr.DataArray(needed / share, coords={"pair": pairs}, dims="pair")
        # What is placed counts here too: a run half at one place and half at two must not do the same half twice.
        work = (at * needed).sum("site") + (both * more).sum("pair")
        b.rule(statement, f"spanned work {run}", done.sum("site") >= work)
        at = at + (both * _span_ends(b, pairs)).sum("pair")
    b.rule(statement, "one place", places == 1)
    at_once = by_system(here, group, p).isel(system=systems)
    together = b.data(limit, "run", "site", "system", "quarter").isel(run=r, system=systems)
    b.rule(statement, "only there", at_once <= at * together)


def _span_ends(b: Builder, pairs: list[int]) -> xr.DataArray:
    """Which two sites each pair joins, as ones. Shape (pair, site)."""
    joined = np.array([[s in (b.pairs[i].first, b.pairs[i].second) for s in range(len(b.p.sites))] for i in pairs])
    return xr.DataArray(joined.astype(float), coords={"pair": pairs, "site": b.index["site"]}, dims=["pair", "site"])


def _spanned_runs(b: Builder, possible: NDArray[np.bool_]) -> Any:
    """Whether a run is at two linked sites at once, on one kind of system."""
    p = b.p
    b.pairs = [span for span in p.spans if span.allowed]
    if not b.pairs:
        return None
    b.extend("pair", list(range(len(b.pairs))))
    fits = np.array([possible[s.run, s.first] & possible[s.run, s.second] for s in b.pairs], dtype=float)
    upper = b.data(fits, "pair", "system")
    return b.variable("spanned", "pair", "system", integer=True, upper=upper)


def _late_runs(b: Builder, window: Array) -> None:
    """A run that works beyond its deadline is late, at a price for every quarter."""
    p = b.p
    late = [r for r, run in enumerate(p.scenario.training) if run.latest is not None and run.latest > run.end]
    b.slip = None
    if not late:
        return
    time = np.arange(len(p.quarters))
    may = np.array([p.run_window[r] & (time > p.run_due[r]) for r in late], dtype=float)
    b.extend("late", [p.runs[r] for r in late])
    b.slip = b.variable("slip", "late", "quarter", integer=True, upper=b.data(may, "late", "quarter"))
    for i, r in enumerate(late):
        run, most = p.runs[r], float(window[r].max())
        for t in np.flatnonzero(may[i]):
            jobs = np.flatnonzero(p.train_run == r)
            racks = b.train.isel(job=jobs).isel(quarter=t, drop=True).sum(["job", "site"])
            now = b.slip.sel(late=run, drop=True).isel(quarter=t, drop=True)
            b.rule(f"training.{run}", f"late {t}", racks <= now * (2 * most))
            if t > p.run_due[r] + 1:
                b.rule(
                    "",
                    f"late stays {run} {t}",
                    now <= b.slip.sel(late=run, drop=True).isel(quarter=t - 1, drop=True),
                )
    cost = np.array([p.scenario.training[r].slip_cost for r in late]) * SECONDS_PER_QUARTER / USD
    b.penalties.append((b.slip * b.data(np.outer(cost, p.discount), "late", "quarter")).sum())


def wait_for_run(b: Builder, mine: Any, run: str, label: str) -> None:
    """A tranche waits for a run to end: not before its deadline, nor while it is late."""
    p = b.p
    r = p.runs.index(run)
    for t in range(len(p.quarters)):
        if t < p.run_due[r]:
            b.rule("investment.conditions", f"run {label} {t}", mine.isel(quarter=t, drop=True) <= 0)
        elif b.slip is not None and t + 1 < len(p.quarters) and p.run_window[r, t + 1]:
            still = b.slip.sel(late=run, drop=True).isel(quarter=t + 1, drop=True)
            b.rule("investment.conditions", f"run {label} {t}", mine.isel(quarter=t, drop=True) <= 1 - still)
