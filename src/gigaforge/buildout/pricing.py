"""What operating points are worth at a plan's prices: reduced costs of every candidate at every site in every quarter.

A point at work on one block of racks in one quarter makes tokens (worth the price of the row that asks for them), takes the
racks' time, frees power by its cap, and burns energy. What is left is what one more block-quarter of it would add to the plan:
positive, and the plan should have it; negative nowhere, and no better plan exists.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.problem import Array, Mask, Problem
from gigaforge.buildout.programme import GW, PETA, USD, most_online
from gigaforge.buildout.solver import Relaxation
from gigaforge.quarters import SECONDS_PER_QUARTER

__all__ = ["PointPrices", "missed_value", "point_prices", "reduced_costs", "restrict"]

Index = NDArray[np.int_]


@dataclass(frozen=True)
class PointPrices:
    """Prices of all that a point makes and takes, in the objective's unit (billions of today's dollars).

    Attributes
    ----------
    tokens : array, shape (W, T)
        Of 10^15 output tokens of serving capacity.
    work : array, shape (R, S, K)
        Of 10^15 trained tokens.
    racks : array, shape (S, K, T)
        Of a block of racks for a quarter.
    together : array, shape (R, S, K, T)
        Of the room that a run's gangs may take.
    power : array, shape (S, T)
        Of a GW of facility power held.
    dollar : array, shape (T,)
        Of 10^9 dollars spent.

    """

    tokens: Array
    work: Array
    racks: Array
    together: Array
    power: Array
    dollar: Array


def point_prices(problem: Problem, relaxation: Relaxation) -> PointPrices:
    """Read the prices out of the duals of the relaxed programme of `problem`, or of any restriction of it."""
    p, duals, count = problem, relaxation.duals, len(problem.quarters)

    size = {"site": len(p.sites), "system": len(p.systems), "quarter": count}

    def of(name: str, *dims: str) -> Array:
        dual = duals.get(name)
        if dual is None:
            return np.zeros([size[d] for d in dims])
        return np.asarray(dual.transpose(*dims).values, dtype=float)

    sites, systems = size["site"], size["system"]
    work = np.zeros((len(p.runs), sites, systems))
    together = np.zeros((*work.shape, count))
    for r, run in enumerate(p.runs):
        here = np.unique(p.train_system[p.train_run == r])
        # "done >= chosen × work": the dual of a ≥ row in a maximum is negative, and its price the other way round.
        # Work at one of two linked sites counts in the rule of both as well.
        rule = f"training.{run}|spanned work {run}"
        both = of(rule, "system") if rule in duals else 0.0
        work[r][:, here] = -of(f"training.{run}|work", "site", "system") - both
        together[r][:, here] = of(f"training.{run}|only there", "site", "system", "quarter")
    spending = p.discount * (1.0 if p.scenario.objective in ("npv", "cost") else 1e-3)
    return PointPrices(
        tokens=np.array([of(f"|serve {w}", "quarter") for w in p.workloads]).reshape(-1, count),
        work=work,
        racks=of("|racks in use", "site", "system", "quarter"),
        together=together,
        power=of("|power", "site", "quarter"),
        # A dollar spent is one less in the purse, and one less of profit to tax.
        dollar=spending + of("finance|cash", "quarter") + of("|profit so far", "quarter"),
    )


def reduced_costs(problem: Problem, prices: PointPrices) -> tuple[Array, Array]:
    """What one more block-quarter of each point would add, and each training point; `-inf` where it cannot be.

    Returns
    -------
    serve : array, shape (S, P, T)
    train : array, shape (J, S, T)

    """
    p, block = problem, float(problem.scenario.block)
    price = p.energy_usd_per_j * p.pue_quarter * SECONDS_PER_QUARTER * block / USD
    energy = price * prices.dollar  # (S, T) per W
    held = p.pue_peak * block / GW  # (S,) per W
    can: Mask = np.asarray(p.can_host.any(axis=2))
    k = p.point_system
    serve = prices.tokens[p.point_workload][None] * (p.point_tokens * block / PETA)[None]
    serve = serve - prices.racks[:, k]
    serve = serve + (prices.power * held[:, None])[:, None, :] * (p.rack_it_w[k] - p.point_held_w)[None, :, None]
    watts = (p.point_power_w - p.rack_idle_w[k]) * p.serving_price_factor[:, p.point_workload]
    serve = serve - energy[:, None, :] * watts[..., None]
    serve = np.where(can[:, k][..., None], serve, -np.inf)

    r, k = p.train_run, p.train_system
    train = (prices.work[r, :, k] * (p.train_rate * block / PETA)[:, None])[..., None]
    train = train - prices.racks[:, k].transpose(1, 0, 2) - prices.together[r, :, k]
    train = train + (prices.power * held[:, None])[None] * (p.rack_it_w[k] - p.train_held_w)[:, None, None]
    train = train - energy[None] * (p.train_power_w - p.rack_idle_w[k])[:, None, None]
    possible = p.run_sites[r][:, :, None] & p.run_window[r][:, None, :] & can[:, k].T[..., None]
    return serve, np.where(possible, train, -np.inf)


def missed_value(problem: Problem, serve: Array, train: Array) -> float:
    """At most this much can be gained by points that the prices did not yet know, in the objective's unit.

    Points share the racks that can be online at a site, so the best of each system, site and quarter on all of them bounds
    what any mix adds (the Lagrangian bound of column generation: Desrosiers and Lübbecke, "A primer in column
    generation", 2005, section 2.1).
    """
    p = problem
    best = np.zeros((len(p.sites), len(p.systems), len(p.quarters)))
    for k in range(len(p.systems)):
        mine = serve[:, p.point_system == k]
        if mine.shape[1]:
            best[:, k] = np.maximum(best[:, k], mine.max(axis=1))
        jobs = train[p.train_system == k]
        if jobs.shape[0]:
            best[:, k] = np.maximum(best[:, k], jobs.max(axis=0))
    return float((best * most_online(p)).sum())


def restrict(problem: Problem, points: Index, jobs: Index, *, alone: bool = False) -> Problem:
    """The problem with some of its operating points.

    Parameters
    ----------
    points, jobs : array of int
        Serving and training points to keep.
    alone : bool
        Tighten limits that follow from the least power of any point to the points kept; without, duals of the restriction
        stay prices for the whole.

    """
    p = problem
    least = p.least_held_w
    if alone:
        least = p.rack_it_w.copy()
        np.minimum.at(least, p.point_system[points], p.point_held_w[points])
        np.minimum.at(least, p.train_system[jobs], p.train_held_w[jobs])
    by_point = ("point_workload", "point_system", "point_tokens", "point_power_w", "point_held_w")
    by_job = (
        "train_run", "train_system", "train_rate", "train_goodput", "train_power_w", "train_held_w", "train_max_racks",
    )  # fmt: skip
    return replace(
        p,
        points=[p.points[i] for i in points],
        training_points=[p.training_points[j] for j in jobs],
        least_held_w=least,
        **{name: getattr(p, name)[points] for name in by_point},
        **{name: getattr(p, name)[jobs] for name in by_job},
    )
