"""Training runs inside the programme: at two linked sites at once, later than their deadline, awaited by a tranche."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gigaforge.buildout.problem import Array
from gigaforge.quarters import SECONDS_PER_QUARTER

if TYPE_CHECKING:
    from gigaforge.buildout.programme import Builder

__all__ = ["late_runs", "span_ends", "spanned_runs", "wait_for_run"]


def span_ends(b: Builder, pairs: list[int]) -> xr.DataArray:
    """Which two sites each pair joins, as ones. Shape (pair, site)."""
    joined = np.array([[s in (b.pairs[i].first, b.pairs[i].second) for s in range(len(b.p.sites))] for i in pairs])
    return xr.DataArray(joined.astype(float), coords={"pair": pairs, "site": b.i["site"]}, dims=["pair", "site"])


def spanned_runs(b: Builder, possible: NDArray[np.bool_]) -> Any:
    """Whether a run is at two linked sites at once, on one kind of system."""
    p = b.p
    b.pairs = [span for span in p.spans if span.allowed]
    if not b.pairs:
        return None
    b.extend("pair", list(range(len(b.pairs))))
    fits = np.array([possible[s.run, s.first] & possible[s.run, s.second] for s in b.pairs], dtype=float)
    upper = b.data(fits, "pair", "system")
    return b.variable("spanned", "pair", "system", integer=True, upper=upper)


def late_runs(b: Builder, window: Array) -> None:
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
    cost = np.array([p.scenario.training[r].slip_cost for r in late]) * SECONDS_PER_QUARTER / b.USD
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
