"""The loop: design again as the roadmap moves, with what is bought already fixed.

A planner counts on what ships, on the runs that begin within half a year, and on today's prices of tokens, racks, energy and cloud
capacity: they move later, and nobody promised how. Each quarter in which a new platform ships, a further run comes into sight, or
a price has moved by a tenth since the last design, prices and points are exchanged again; earlier purchases stay as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from gigaforge.buildout.coordinate import coordinate
from gigaforge.buildout.pricing import Index, point_prices, restrict
from gigaforge.buildout.problem import Array, Past, Problem
from gigaforge.buildout.programme import USD, build
from gigaforge.buildout.solver import Relaxation, SolverOptions, relax
from gigaforge.errors import NoAnswerError

__all__ = ["Event", "at_todays_prices", "events_of", "redesign"]

_MOVED: Final = 0.10
"""Change of a price since the last design at which a planner designs again (assumption: what contracts are reopened for)."""
_SIGHT: Final = 2
"""Quarters before its start in which a training run becomes part of the plan (assumption: half a year of preparation)."""


@dataclass(frozen=True)
class Event:
    """One re-design.

    Attributes
    ----------
    quarter, what : str
        When, and what is new.
    kept : float or None
        Value of the plan as it stood at the new prices, which ignores what else is new [USD]; None where it cannot be paid.
    replanned, redesigned : float
        With the news: with the points known before and the fastest on what is new, and with all points [USD].
    points : int
        Points at work after it.
    mw_usd, rack_usd : float
        Price of a MW held for racks in the quarter at the dearest site, and of a further rack of the dearest line [USD].

    """

    quarter: str
    what: str
    kept: float | None
    replanned: float
    redesigned: float
    points: int
    mw_usd: float
    rack_usd: float


def events_of(problem: Problem) -> list[tuple[int, list[str]]]:
    """Quarters in which something becomes known, and what: platforms by their first delivery, runs by their start, prices."""
    found: dict[int, list[str]] = {}
    for line, supply in zip(problem.lines, problem.supply, strict=True):
        if supply.any():
            found.setdefault(int(np.argmax(supply > 0)), []).append(f"{line} ships")
    for r, run in enumerate(problem.runs):
        first = max(int(np.argmax(problem.run_window[r])) - _SIGHT, 0)
        found.setdefault(first, []).append(f"{run} comes into sight")
    series, seen = _price_series(problem), 0
    for t in range(1, len(problem.quarters)):
        moved = [(name, v[t] / v[seen] - 1.0) for name, v in series.items() if v[seen] > 0]
        far = [(name, change) for name, change in moved if abs(change) >= _MOVED]
        if t in found or far:
            shown = [(name, change) for name, change in moved if abs(change) >= 0.5 * _MOVED]
            found.setdefault(t, []).extend(f"{name} {100 * change:+.0f} %" for name, change in shown)
            seen = t
    return sorted(found.items())


def _price_series(p: Problem) -> dict[str, Array]:
    """The prices that a planner watches, by name: tokens of each workload, racks of each line, energy over all sites."""
    out = {f"price of {w} tokens": p.token_usd[i] for i, w in enumerate(p.workloads)}
    for i, line in enumerate(p.lines):
        sold = np.flatnonzero(p.supply[i] > 0)
        price = p.rack_price_usd[p.line_of == i].mean(axis=0)
        if sold.size:  # not sold yet or any more is no news
            t = np.clip(np.arange(len(price)), sold[0], sold[-1])
            out[f"price of {line}"] = price[t]
    return out | {"price of energy": p.energy_usd_per_j.mean(axis=0)}


def at_todays_prices(problem: Problem, t: int) -> Problem:
    """The problem as a planner sees it who takes the prices of quarter t to stay."""

    def stay(values: Array) -> Array:
        return np.concatenate(
            [values[..., :t], np.repeat(values[..., t : t + 1], values.shape[-1] - t, axis=-1)], axis=-1
        )

    p = problem
    return replace(
        p,
        token_usd=stay(p.token_usd),
        rack_price_usd=stay(p.rack_price_usd),
        energy_usd_per_j=stay(p.energy_usd_per_j),
        cloud_usd_per_rack=stay(p.cloud_usd_per_rack),
    )


def redesign(
    problem: Problem,
    points: Index,
    jobs: Index,
    *,
    options: SolverOptions | None = None,
    tolerance: float = 1e-3,
    watch: Callable[[str], None] | None = None,
) -> list[Event]:
    """Play the horizon through: at each event know more, fix what is bought, and exchange prices and points again.

    Relaxed plans (racks divisible), so that differences are not the solver's gap.

    Parameters
    ----------
    problem : Problem
        With all candidates.
    points, jobs : array of int
        The fastest points, with which each exchange begins.
    options, tolerance
        Of the relaxed programmes, and gap at which an exchange ends [fraction].
    watch : callable
        Told of each event.

    Returns
    -------
    list of Event
        The first is the plan of the first quarter; an event at which no plan keeps all promises is left out.

    """
    p = problem
    out: list[Event] = []
    standing: Relaxation | None = None
    known_then: Problem | None = None
    mine, work = points, jobs
    for t, news in events_of(p):
        what = ", ".join(news)
        if watch:
            watch(f"{p.quarters[t]}: {what}")
        now = _as_known(p, t, standing)
        try:
            before = relax(build(restrict(now, mine, work)).model, options)
            if not before.feasible:
                continue
            exchange = coordinate(now, mine, work, tolerance=tolerance, options=options)
        except NoAnswerError:
            continue
        kept: float | None = before.objective * USD
        if standing is not None and known_then is not None:
            kept = _kept(restrict(known_then, mine, work), p, t, standing, options)
        racks_of = [exchange.relaxation.values[n] for n in ("serve", "train") if n in exchange.relaxation.values]
        used = sum(int((racks.sum(["site", "quarter"]) > 1e-6).sum()) for racks in racks_of)
        prices = point_prices(exchange.problem, exchange.relaxation)
        supply = [exchange.relaxation.duals[f"platforms.{line}.supply|supply"].values[t] for line in p.lines]
        out.append(
            Event(
                str(p.quarters[t]), what, kept, before.objective * USD, exchange.relaxation.objective * USD, used,
                float(prices.power[:, t].max()) * USD / 1e3, float(max(supply)) * USD / float(p.scenario.block),
            )
        )  # fmt: skip
        standing, known_then = exchange.relaxation, now
        # What stands may need the caps that it was bought for.
        mine, work = np.union1d(points, exchange.points), np.union1d(jobs, exchange.jobs)
    return out


def _kept(then: Problem, whole: Problem, t: int, standing: Relaxation, options: SolverOptions | None) -> float | None:
    """Value of all purchases as they stood, run as well as can be with what was known then, at the prices of quarter t [USD]."""
    priced = at_todays_prices(whole, t)
    names = ("token_usd", "rack_price_usd", "energy_usd_per_j", "cloud_usd_per_rack")
    block = float(whole.scenario.block)
    added, retired = (_read(standing, name) * block for name in ("add", "retire"))
    fixed = replace(
        then,
        past=Past(added, retired, np.zeros_like(added)),
        **{name: getattr(priced, name) for name in names},
    )
    found = relax(build(fixed).model, options)
    return found.objective * USD if found.feasible else None


def _as_known(problem: Problem, t: int, standing: Relaxation | None) -> Problem:
    """The problem as a planner knows it in quarter t, at today's prices, with earlier purchases fixed."""
    p = at_todays_prices(problem, t)
    later = np.array([bool(s.any()) and int(np.argmax(s > 0)) > t for s in p.supply])
    can = p.can_host & ~later[p.line_of][None, :, None]
    ahead = np.array([int(np.argmax(w)) - _SIGHT > t for w in p.run_window], dtype=bool)
    known = replace(
        p,
        supply=np.where(later[:, None], 0.0, p.supply),
        can_host=can,
        run_tokens=np.where(ahead, 0.0, p.run_tokens) if p.runs else p.run_tokens,
    )
    if standing is None or t == 0:
        return known
    block = float(p.scenario.block)
    added, retired = (_read(standing, name)[..., :t] * block for name in ("add", "retire"))
    return replace(known, past=Past(added, retired, np.zeros_like(added)))


def _read(relaxation: Relaxation, name: str) -> Array:
    values = relaxation.values[name].transpose("site", "system", "quarter").values
    return np.asarray(np.maximum(values, 0.0), dtype=float)
