"""The whole set of operating points as a table: what each yields, draws, promises and costs per hour, and which are Pareto.

A plan runs a few points; what it chose among is what a reader compares them with. Costs are those of the bill that the plan's
own choices are held against (`gigaforge.buildout.chased`): prices of each quarter, capital spread over its life with a return.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gigaforge.buildout.chased import rack_bill, rack_capital, watt_bill, watt_capital
from gigaforge.buildout.problem import Array, Problem
from gigaforge.catalog import Catalog
from gigaforge.quarters import SECONDS_PER_QUARTER

__all__ = ["candidate_table", "pareto"]

_HOURS = SECONDS_PER_QUARTER / 3600.0


def candidate_table(
    problem: Problem, catalog: Catalog, rack_quarters: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Every operating point of a problem with its yield, power, latency and costs per hour of one rack.

    Parameters
    ----------
    problem : Problem
        With all candidates, e.g. `CoDesign.problem`.
    catalog : Catalog
        Says how many accelerators share a scale-up (NVLink) domain.
    rack_quarters : mapping
        Point to the racks times quarters that a plan runs it.

    Returns
    -------
    pandas.DataFrame
        ``id, workload, kind, system, model, layout, precision``; ``cap_w`` (per accelerator), ``held_w_per_rack``,
        ``it_power_w_per_rack``; ``tokens_per_s_per_rack`` with the ends of its 80 % interval ``tokens_per_s_low,
        tokens_per_s_high``, ``domain_accelerators, tokens_per_s_per_domain``; ``ttft_s, tpot_s`` and their targets; ``mfu``;
        ``capital_usd_per_hour`` (rack, and the building of an owned site: depreciation and return),
        ``running_usd_per_hour`` (maintenance, lease, staff, energy; a cloud's rent), ``tokens_per_joule`` (IT energy),
        ``tokens_per_usd``; ``can_stand``; ``pareto``; ``rack_quarters``; ``tokens_per_s_by_quarter``; ``strategy`` (JSON).
        Costs are means over the quarters and own or leased sites where the system can be installed (clouds, where only they can),
        of all sites from its first delivery for a system that no site can host (``can_stand`` false). A serving point's yield, latency and draw are those of its best quarter.

    """
    p = problem
    points = [*p.points, *p.training_points]
    system = np.concatenate([p.point_system, p.train_system]).astype(int)
    held = np.concatenate([p.point_held_w, p.train_held_w])
    drawn = np.array([q.it_power_w_per_rack for q in points])
    capital, running = _hourly(p, system, held, drawn)
    tokens = np.array([q.tokens_per_s_per_rack for q in points])
    domain = np.array([catalog.system(name).nvlink_domain for name in p.systems], dtype=float)
    frame = pd.DataFrame(
        {
            **{n: [getattr(q, n) for q in points] for n in ("id", "workload", "kind", "system", "model", "layout")},
            "precision": [q.precision for q in points],
            "cap_w": [q.cap_w for q in points],
            "held_w_per_rack": held,
            "it_power_w_per_rack": drawn,
            "tokens_per_s_per_rack": tokens,
            "tokens_per_s_low": tokens * [q.low for q in points],
            "tokens_per_s_high": tokens * [q.high for q in points],
            "domain_accelerators": domain[system],
            "tokens_per_s_per_domain": tokens * domain[system] / p.accelerators[system],
            **{
                n: [getattr(q, n) for q in points]
                for n in ("ttft_s", "tpot_s", "ttft_target_s", "tpot_target_s", "mfu")
            },
            "capital_usd_per_hour": capital,
            "running_usd_per_hour": running,
            "tokens_per_joule": tokens / drawn,
            "tokens_per_usd": 3600.0 * tokens / (capital + running),
            "can_stand": _hosted(p)[system],
            "pareto": _on_front(p, system, held, drawn),
            "rack_quarters": [float((rack_quarters or {}).get(q.id, 0.0)) for q in points],
            "tokens_per_s_by_quarter": [list(q.tokens_per_s_by_quarter) for q in points],
            "strategy": [json.dumps(q.strategy, sort_keys=True) for q in points],
        }
    )
    return frame.sort_values(["workload", "system"], kind="stable", ignore_index=True)


def pareto(tokens: Array, *burdens: Array) -> NDArray[np.bool_]:
    """Rows that no other matches in every quarter at no more of each burden, and beats in one.

    Parameters
    ----------
    tokens : array
        Shape (row, quarter).
    burdens : arrays
        Shape (row,): power held, power drawn.

    """
    out = np.ones(len(tokens), dtype=bool)
    for i in range(len(tokens)):
        as_good = (tokens >= tokens[i]).all(axis=1)
        better = (tokens > tokens[i]).any(axis=1)
        for burden in burdens:
            as_good &= burden <= burden[i]
            better |= burden < burden[i]
        out[i] = not (as_good & better).any()
    return out


def _on_front(p: Problem, system: NDArray[np.int_], held: Array, drawn: Array) -> NDArray[np.bool_]:
    """The Pareto set of each work on each system; racks of one system cost the same but for what they hold and draw."""
    rate = np.repeat(p.train_rate[:, None], len(p.quarters), axis=1)
    tokens = np.concatenate([p.point_tokens, rate])
    work = np.concatenate([p.point_workload, len(p.workloads) + p.train_run])
    out = np.zeros(len(system), dtype=bool)
    for k, w in np.unique(np.column_stack([system, work]), axis=0).tolist():
        rows = np.flatnonzero((system == k) & (work == w))
        out[rows] = pareto(tokens[rows], held[rows], drawn[rows])
    return out


def _hourly(p: Problem, system: NDArray[np.int_], held: Array, drawn: Array) -> tuple[Array, Array]:
    """Capital and running cost of one rack at each point [USD/h]. Shape (point,)."""
    cloud = np.array([t == "cloud" for t in p.tenures])
    ships = (np.cumsum(p.supply, axis=1) > 0)[p.line_of]
    can = np.where(_hosted(p)[None, :, None], p.can_host, ships[None])
    ours = can & ~cloud[:, None, None]
    where = np.where(ours.any(axis=(0, 2))[None, :, None], ours, can).astype(float)
    count = where.sum(axis=(0, 2))
    share = where / np.where(count > 0, count, np.nan)[None, :, None]

    def rack(values: Array) -> Array:
        return np.asarray(np.einsum("skt,skt->k", share, values) / _HOURS)

    def watt(values: Array) -> Array:  # per W of IT power
        return np.asarray(np.einsum("skt,st->k", share, values) / _HOURS)

    peak = p.pue_peak[:, None]
    building = np.broadcast_to(watt_capital(p)[:, None], p.energy_usd_per_j.shape)
    capital = rack(rack_capital(p))[system] + watt(building * peak)[system] * held
    running = rack(rack_bill(p) - rack_capital(p))[system]
    running = running + watt((watt_bill(p) - building) * peak)[system] * held
    running = running + watt(p.energy_usd_per_j * p.pue_quarter * SECONDS_PER_QUARTER)[system] * drawn
    return capital, running


def _hosted(p: Problem) -> NDArray[np.bool_]:
    """Systems that some site can host. Shape (system,)."""
    return np.asarray(p.can_host.any(axis=(0, 2)))
