"""Which sites and quarters chase tokens per joule, which tokens per dollar, and which tokens per rack: told by prices.

What a rack at work makes is worth what it takes: power held, energy, and the rent of the rack. Among the ways to run one rack
the plan chooses by the first two against the price of tokens, so the share of power in a token's worth is what the plan pays in
tokens for a watt saved: at a share *s* it gives up *s* per cent of a rack's tokens for one per cent of its power. At *s* = 1 the
best point is that of most tokens per joule, at *s* = 0 the fastest. The point of most tokens per dollar is that at which power has
the share that it has in the bill: what the watts cost (lease or building, staff, energy) over that and what the rack costs.

So a plan chases tokens per joule where power is dearer against racks than on the bill, tokens per rack where racks are, and
tokens per dollar where both are as dear as they cost. Scarce megawatts make the first, a scarce supply the second; a rack that
is old, whose tokens sell for less than its price once promised, is cheap against the power that it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from gigaforge.buildout.plan import Plan
from gigaforge.buildout.pricing import Index, point_prices
from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.programme import GW, USD
from gigaforge.buildout.solver import Relaxation
from gigaforge.quarters import SECONDS_PER_QUARTER

__all__ = ["DOLLAR", "JOULE", "RACK", "by_quarter", "chased", "chosen_points", "rack_bill", "rack_capital", "watt_bill",
           "watt_capital"]  # fmt: skip

JOULE, DOLLAR, RACK = "tokens per joule", "tokens per dollar", "tokens per rack"
_CLEAR: Final = 1.1
"""Power against racks, at the plan's prices over the bill's, from which on one of the two is called dearer."""
_SUMS: Final = ("usd", "power_usd", "energy_usd", "capital_usd", "bill_power_usd", "bill_capital_usd",
                "held", "held_for_dollars", "held_for_joules", "nameplate")  # fmt: skip


def chased(problem: Problem, relaxation: Relaxation, candidates: Problem | None = None) -> list[dict[str, Any]]:
    """What the work of each site and quarter is paid with, at the plan's prices and on the bill; without work left out.

    Parameters
    ----------
    problem, relaxation
        A problem and its own relaxed plan.
    candidates : Problem
        The same with all points, among which those of most tokens per dollar and per joule are looked for; default
        `problem`.

    Returns
    -------
    list of dict
        ``quarter, site``; ``usd`` (worth of the work) and its parts ``power_usd, energy_usd, capital_usd``, and the bill
        ``bill_power_usd`` (energy included), ``bill_capital_usd`` [USD, today's]; ``power, energy, capital`` (shares of the
        worth) and ``bill`` (share of power and energy on the bill) [fraction]; ``dearer``: power against racks, at the plan's
        prices over the bill's [1]; ``mw_usd, mw_bill_usd`` (a MW held for the quarter) [USD]; ``held, held_for_dollars,
        held_for_joules``: power that racks at work hold over their nameplate, as planned and at the points of most tokens
        per dollar and per joule [fraction]; ``chases``.

    """
    p, whole = problem, candidates or problem
    block = float(p.scenario.block)
    prices = point_prices(p, relaxation)
    room = prices.power * (p.pue_peak * block / GW)[:, None]  # (S, T) per W held by a block
    joule = p.energy_usd_per_j * p.pue_quarter * SECONDS_PER_QUARTER * block / USD * prices.dollar
    bill = watt_bill(p) * (p.pue_peak * block / USD)[:, None] * p.discount  # (S, T) per W held by a block
    rack = rack_bill(p) * block / USD * p.discount  # (S, K, T) per block
    sums = {name: np.zeros((len(p.sites), len(p.quarters))) for name in _SUMS}
    for racks, own, every in _at_work(p, whole, relaxation):
        k, held, drawn = own.system, own.held, own.drawn
        rent = prices.racks[:, k].transpose(1, 0, 2) - room[None] * p.rack_it_w[k][:, None, None]
        rent = np.maximum(rent - joule[None] * p.rack_idle_w[k][:, None, None], 0.0)
        sums["power_usd"] += np.einsum("pst,st,p->st", racks, room, held)
        sums["energy_usd"] += np.einsum("pst,st,p->st", racks, joule, drawn)
        sums["capital_usd"] += (racks * rent).sum(axis=0)
        sums["bill_power_usd"] += np.einsum("pst,st,p->st", racks, bill, held)
        sums["bill_power_usd"] += np.einsum("pst,st,p->st", racks, joule, drawn)
        sums["bill_capital_usd"] += np.einsum("pst,pst->st", racks, rack[:, k].transpose(1, 0, 2))
        sums["nameplate"] += np.einsum("pst,p->st", racks, p.rack_it_w[k])
        sums["held"] += np.einsum("pst,p->st", racks, held)
        for name, best in _best_held(own, every, bill, joule, rack).items():
            sums[name] += np.einsum("pst,pst->st", racks, best)
    sums["usd"] = sums["power_usd"] + sums["energy_usd"] + sums["capital_usd"]
    mw, mw_bill = prices.power * USD / 1e3, watt_bill(p) * p.discount * 1e6
    return [
        {"quarter": str(p.quarters[t]), "site": p.sites[s], **_row({n: float(v[s, t]) for n, v in sums.items()}),
         "mw_usd": float(mw[s, t]), "mw_bill_usd": float(mw_bill[s, t])}
        for t, s in np.argwhere(sums["usd"].T > 1e-9)
    ]  # fmt: skip


def by_quarter(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same by quarter, all sites together; ``sites`` counts those that chase each."""
    out = []
    for quarter in dict.fromkeys(r["quarter"] for r in rows):
        mine = [r for r in rows if r["quarter"] == quarter]
        total = dict.fromkeys(_SUMS, 0.0)
        for r in mine:
            for name in _SUMS:
                scale = r["nameplate"] if name.startswith("held") else 1.0 if name == "nameplate" else 1 / USD
                total[name] += r[name] * scale
        counts = {what: sum(r["chases"] == what for r in mine) for what in (JOULE, DOLLAR, RACK)}
        out.append({"quarter": quarter, **_row(total), "sites": counts})
    return out


def _row(sums: dict[str, float]) -> dict[str, Any]:
    """Shares and the verdict from sums in the objective's unit."""
    worth, watts = sums["usd"], sums["power_usd"] + sums["energy_usd"]
    paid = sums["bill_power_usd"] + sums["bill_capital_usd"]
    # A cloud's rent has its watts in it: nothing on the bill, and nothing to be dearer than unless they are scarce.
    planned = watts / max(sums["capital_usd"], 1e-9 * worth)
    billed = sums["bill_power_usd"] / max(sums["bill_capital_usd"], 1e-9 * worth)
    dearer = 1.0 if watts <= 1e-9 * worth else planned / max(billed, 1e-6)
    return {
        **{name: sums[name] * USD for name in _SUMS if name.endswith("usd")},
        **{name: sums[name] / sums["nameplate"] for name in _SUMS if name.startswith("held")},
        "nameplate": sums["nameplate"],
        **{part: sums[f"{part}_usd"] / worth for part in ("power", "energy", "capital")},
        "bill": sums["bill_power_usd"] / paid if paid else 0.0,
        "dearer": min(dearer, 1e3),
        "chases": JOULE if dearer > _CLEAR else RACK if dearer < 1 / _CLEAR else DOLLAR,
    }


def watt_capital(p: Problem) -> Array:
    """Yearly cost of the building, for each W of facility power and quarter: depreciation and return [USD]. Shape (S,)."""
    f = p.scenario.finance
    return np.asarray(p.facility_usd_per_w * (1 / f.facility_life_years + f.discount_rate / 2) / 4)


def watt_bill(p: Problem) -> Array:
    """What a W of facility power held costs in a quarter: lease or the building's yearly cost, staff [USD]. Shape (S, T)."""
    staffed = np.array([t != "cloud" for t in p.tenures]) * p.scenario.operations.staff * SECONDS_PER_QUARTER
    return np.asarray((p.lease_usd_per_w + watt_capital(p) + staffed)[:, None] - p.curtailment_usd_per_w)


def rack_capital(p: Problem) -> Array:
    """Depreciation of a rack and return on it in a quarter, at that quarter's price; none in a cloud [USD]. Shape (S, K, T)."""
    f = p.scenario.finance
    owned = np.array([t != "cloud" for t in p.tenures], dtype=float)
    return np.asarray(
        owned[:, None, None] * p.rack_price_usd[None] * (1 / f.system_life_years + f.discount_rate / 2) / 4
    )


def rack_bill(p: Problem) -> Array:
    """What a rack costs in a quarter: its capital and maintenance, or its rent in a cloud [USD]. Shape (S, K, T)."""
    owned = np.array([t != "cloud" for t in p.tenures], dtype=float)
    upkeep = owned[:, None, None] * p.rack_price_usd[None] * p.scenario.operations.maintenance / 4
    return np.asarray(rack_capital(p) + upkeep + p.cloud_usd_per_rack)


class _Points(NamedTuple):
    """Of serving or training points: W held and drawn, tokens by quarter, kind of work, system; shapes (P,), tokens (P, T)."""

    held: Array
    drawn: Array
    tokens: Array
    work: Index
    system: Index


def _at_work(p: Problem, whole: Problem, relaxation: Relaxation) -> Iterator[tuple[Array, _Points, _Points]]:
    """Serving, then training: racks at work, shape (point, site, quarter); the plan's points and all."""
    for name, dims in (("serve", ("point", "site", "quarter")), ("train", ("job", "site", "quarter"))):
        if name in relaxation.values and relaxation.values[name].size:
            racks = np.asarray(relaxation.values[name].transpose(*dims).values)
            yield racks, _points(p, name), _points(whole, name)


def _points(p: Problem, name: str) -> _Points:
    if name == "serve":
        return _Points(p.point_held_w, p.point_power_w, p.point_tokens, p.point_workload, p.point_system)
    rate = np.repeat(p.train_rate[:, None], len(p.quarters), axis=1)
    return _Points(p.train_held_w, p.train_power_w, rate, p.train_run, p.train_system)


def _best_held(own: _Points, every: _Points, bill: Array, joule: Array, rack: Array) -> dict[str, Array]:
    """W held at the points of most tokens per dollar and per joule, for each own point's work and system. Shapes (P, S, T)."""
    shape = (len(own.held), *bill.shape)
    out = {"held_for_dollars": np.zeros(shape), "held_for_joules": np.zeros(shape)}
    pairs = np.column_stack([own.system, own.work])
    for k, w in np.unique(pairs, axis=0).tolist():
        rows = np.flatnonzero((every.system == k) & (every.work == w))
        held = every.held[rows, None, None]
        usd = rack[None, :, k] + bill[None] * held + joule[None] * every.drawn[rows, None, None]
        tokens = np.broadcast_to(every.tokens[rows, None, :], usd.shape)
        mine = np.flatnonzero((pairs == (k, w)).all(axis=1))
        out["held_for_dollars"][mine] = every.held[rows][(tokens / usd).argmax(axis=0)]
        out["held_for_joules"][mine] = every.held[rows][(tokens / held).argmax(axis=0)]
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
