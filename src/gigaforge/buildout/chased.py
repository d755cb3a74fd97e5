"""Which quarters chase tokens per joule, and which tokens per dollar: what a rack's tokens are paid with.

At the plan's prices the tokens of a rack at work are worth its capital, the power that it holds and the energy that it burns.
Where power is the larger part, a watt saved is worth more than a token per second lost; where capital is, the other way round.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gigaforge.buildout.plan import Plan
from gigaforge.buildout.pricing import point_prices
from gigaforge.buildout.problem import Problem
from gigaforge.buildout.programme import GW, USD
from gigaforge.buildout.solver import Relaxation
from gigaforge.quarters import SECONDS_PER_QUARTER

__all__ = ["chased", "chosen_points"]


def chased(problem: Problem, relaxation: Relaxation) -> list[dict[str, Any]]:
    """Of what the work of each quarter is worth, the shares of power held, energy and capital; quarters without work left out.

    Returns
    -------
    list of dict
        ``quarter, power, energy, capital`` [fraction], ``usd`` (worth of the quarter's work, today's dollars) and ``chases``:
        "tokens per joule" where power and energy are the larger part, else "tokens per dollar".

    """
    p, block = problem, float(problem.scenario.block)
    prices = point_prices(p, relaxation)
    room = prices.power * (p.pue_peak * block / GW)[:, None]  # (S, T) per W held by a block
    joule = p.energy_usd_per_j * p.pue_quarter * SECONDS_PER_QUARTER * block / USD * prices.dollar
    parts = np.zeros((3, len(p.quarters)))  # power, energy, capital
    for name, dims, k, held, drawn in (
        ("serve", ("point", "site", "quarter"), p.point_system, p.point_held_w, p.point_power_w),
        ("train", ("job", "site", "quarter"), p.train_system, p.train_held_w, p.train_power_w),
    ):
        if name not in relaxation.values or not len(k):
            continue
        racks = relaxation.values[name].transpose(*dims).values
        parts[0] += np.einsum("pst,st,p->t", racks, room, held)
        parts[1] += np.einsum("pst,st,p->t", racks, joule, drawn)
        own = prices.racks[:, k].transpose(1, 0, 2) - room[None] * p.rack_it_w[k][:, None, None]
        own = own - joule[None] * p.rack_idle_w[k][:, None, None]
        parts[2] += (racks * np.maximum(own, 0.0)).sum(axis=(0, 1))
    total = parts.sum(axis=0)
    out = []
    for t in np.flatnonzero(total > 1e-9):
        power, energy, capital = (float(x) for x in parts[:, t] / total[t])
        what = "tokens per joule" if power + energy > capital else "tokens per dollar"
        out.append(
            {"quarter": str(p.quarters[t]), "power": power, "energy": energy, "capital": capital,
             "usd": float(total[t]) * USD, "chases": what}
        )  # fmt: skip
    return out


def chosen_points(plan: Plan, limit_w: dict[str, float]) -> list[dict[str, Any]]:
    """Racks at work by quarter, system, kind of work and power cap.

    Parameters
    ----------
    limit_w : dict
        System to its own limit per accelerator [W].

    """
    known = {p.id: p for p in (*plan.problem.points, *plan.problem.training_points)}
    rows: dict[tuple[str, str, str, float], float] = {}
    for quarter, name, racks in plan.tables["allocation"][["quarter", "point", "racks"]].to_numpy().tolist():
        point = known[name]
        key = (quarter, point.system, point.kind, point.cap_w)
        rows[key] = rows.get(key, 0.0) + racks
    return [
        {"quarter": q, "system": s, "kind": kind, "cap_w": cap, "share": cap / limit_w[s], "racks": racks}
        for (q, s, kind, cap), racks in sorted(rows.items())
    ]
