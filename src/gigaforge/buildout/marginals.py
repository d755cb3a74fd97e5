"""What would change the plan: how its value moves with power, supply, cash, demand, and each platform's speed and watts.

All from one relaxed plan by the envelope theorem: what a small change of a coefficient adds is the price of its row times the
quantity that uses it (Fiacco, "Introduction to Sensitivity and Stability Analysis in Nonlinear Programming", 1983, chapter 3).
The prices of rows also say how far they hold.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gigaforge.buildout.pricing import PointPrices, point_prices
from gigaforge.buildout.problem import Array, Problem, step_once
from gigaforge.buildout.programme import GW, PETA, USD, build
from gigaforge.buildout.solver import Relaxation, SolverOptions, relax
from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.scenario import step

__all__ = ["Marginal", "Marginals", "marginals"]


@dataclass(frozen=True)
class Marginal:
    """The price of one limit in one quarter, and how far it holds.

    Attributes
    ----------
    kind, name, quarter : str
        "power" of a site, "supply" of a line, "cash", "demand" of a workload.
    unit : str
        Of the limit: "MW", "rack", "USD", "token".
    usd : float
        Present value of one more unit [USD].
    now, low, high : float
        The limit, and the range in which the price holds, others unchanged; None without an end.

    """

    kind: str
    name: str
    quarter: str
    unit: str
    usd: float
    now: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Marginals:
    """Derivatives of the relaxed plan's value [USD].

    Attributes
    ----------
    power : dict
        Site to USD per further MW in every quarter.
    supply : dict
        Line to USD per further rack in every quarter of its supply.
    cash : float
        USD per further dollar at the start.
    demand : dict
        Workload to USD per 1 % more demand in every quarter.
    speed : dict
        System to USD per 1 % more tokens of all its points.
    watts : dict
        System to USD per 1 % less power held and burnt, nameplate, caps and draw alike.
    counted : dict
        System to USD per 1 % more power that each rack counts towards the commitment.
    rows : list of Marginal
        Single limits, dearest first.

    """

    power: dict[str, float]
    supply: dict[str, float]
    cash: float
    demand: dict[str, float]
    speed: dict[str, float]
    watts: dict[str, float]
    counted: dict[str, float]
    rows: list[Marginal]

    def to_dict(self, rows: int = 24) -> dict[str, Any]:
        """Plain values for JSON, with so many single limits of each kind."""
        kinds = dict.fromkeys(r.kind for r in self.rows)
        kept = [r for kind in kinds for r in [r for r in self.rows if r.kind == kind][:rows]]
        plain = {k: _whole_zero(v) for k, v in vars(self).items() if k != "rows"}
        return {**plain, "rows": [asdict(r) for r in kept]}


def marginals(problem: Problem, options: SolverOptions | None = None) -> Marginals:
    """Differentiate the relaxed plan of a problem.

    Variables are bounded by named limits alone here, so that no price hides in a bound.
    """
    p = problem
    relaxation = relax(build(p, tight=False).model, options, ranging=True)
    prices = point_prices(p, relaxation)
    spent = (
        np.array([w.shortfall_penalty for w in p.scenario.serving])[:, None] * p.discount / USD
    )  # per token, as dual
    demand = _rows(relaxation, [f"serving.{w}.demand|demand" for w in p.workloads], len(p.quarters)) / PETA
    wanted = (demand - spent.reshape(demand.shape)) * p.demand if p.workloads else np.zeros((0, len(p.quarters)))
    power = _rows(relaxation, [f"sites.{s}.power|energised" for s in p.sites], len(p.quarters))
    supply = _rows(relaxation, [f"platforms.{n}.supply|supply" for n in p.lines], len(p.quarters))
    return Marginals(
        power=dict(zip(p.sites, (power.sum(axis=1) * USD / GW * 1e6).tolist(), strict=True)),
        supply=dict(
            zip(p.lines, ((supply * (p.supply > 0)).sum(axis=1) * USD / p.scenario.block).tolist(), strict=True)
        ),
        cash=float(_rows(relaxation, ["finance|cash"], len(p.quarters))[0, 0]),
        demand=dict(zip(p.workloads, (0.01 * USD * wanted.sum(axis=1)).tolist(), strict=True)),
        speed=dict(zip(p.systems, (0.01 * USD * _speed(p, relaxation, prices)).tolist(), strict=True)),
        watts=dict(zip(p.systems, (-0.01 * USD * _watts(p, relaxation, prices)).tolist(), strict=True)),
        counted=dict(zip(p.systems, (0.01 * USD * _counted(p, relaxation)).tolist(), strict=True)),
        rows=_single(p, relaxation),
    )


def _rows(relaxation: Relaxation, names: list[str], count: int) -> Array:
    duals = [relaxation.duals.get(n) for n in names]
    return np.array([np.zeros(count) if d is None else np.asarray(d.values, dtype=float).reshape(-1) for d in duals])


def _serve(relaxation: Relaxation) -> Array:
    return np.asarray(relaxation.values["serve"].transpose("site", "point", "quarter").values, dtype=float)


def _train(relaxation: Relaxation) -> Array:
    return np.asarray(relaxation.values["train"].transpose("job", "site", "quarter").values, dtype=float)


def _speed(p: Problem, relaxation: Relaxation, prices: PointPrices) -> Array:
    """Value of a relative increase of every point's tokens, by system."""
    out, block = np.zeros(len(p.systems)), float(p.scenario.block)
    if p.workloads:
        worth = prices.tokens[p.point_workload] * p.point_tokens * block / PETA
        np.add.at(out, p.point_system, np.einsum("spt,pt->p", _serve(relaxation), worth))
    if p.runs:
        worth = prices.work[p.train_run, :, p.train_system] * (p.train_rate * block / PETA)[:, None]
        np.add.at(out, p.train_system, np.einsum("jst,js->j", _train(relaxation), worth))
    return out


def _watts(p: Problem, relaxation: Relaxation, prices: PointPrices) -> Array:
    """Value of a relative increase of all power that a system's racks hold and burn, by system (negative)."""
    block = float(p.scenario.block)
    online = np.asarray(relaxation.values["online"].transpose("site", "system", "quarter").values, dtype=float)
    price = p.energy_usd_per_j * p.pue_quarter * SECONDS_PER_QUARTER * block / USD * prices.dollar  # (S, T) per W
    room = prices.power * (p.pue_peak * block / GW)[:, None]  # (S, T) per W
    out = -np.einsum("skt,st,k->k", online, room, p.rack_it_w)
    out = out - np.einsum("skt,st,k->k", online, price, p.rack_idle_w)
    if p.workloads:
        k, serve = p.point_system, _serve(relaxation)
        spare, extra = p.rack_it_w[k] - p.point_held_w, p.point_power_w - p.rack_idle_w[k]
        np.add.at(out, k, np.einsum("spt,st,p->p", serve, room, spare))
        np.subtract.at(
            out, k, np.einsum("spt,st,p,sp->p", serve, price, extra, p.serving_price_factor[:, p.point_workload])
        )
    if p.runs:
        k, train = p.train_system, _train(relaxation)
        np.add.at(out, k, np.einsum("jst,st,j->j", train, room, p.rack_it_w[k] - p.train_held_w))
        np.subtract.at(out, k, np.einsum("jst,st,j->j", train, price, p.train_power_w - p.rack_idle_w[k]))
    return np.asarray(out)


def _counted(p: Problem, relaxation: Relaxation) -> Array:
    """Value of a relative increase of what a system's racks count as deployed, by system."""
    added = np.asarray(relaxation.values["added"].transpose("site", "system", "quarter").values, dtype=float)
    deployed = relaxation.duals["|deployed"].values  # of "deployed - installed = -backlog"
    return np.asarray(np.einsum("t,skt,sk->k", deployed, added, p.deployed_w_per_rack) * float(p.scenario.block) / GW)


def _single(p: Problem, relaxation: Relaxation) -> list[Marginal]:
    """Every limit of the scenario with a price, dearest first within its kind."""
    block = float(p.scenario.block)
    kinds = [
        *(
            ("power", s, f"sites.{s}.power|energised", "MW", 1e3, p.energised_w[i] / 1e6)
            for i, s in enumerate(p.sites)
        ),
        *(("supply", n, f"platforms.{n}.supply|supply", "rack", block, p.supply[i]) for i, n in enumerate(p.lines)),
        *(("demand", w, f"serving.{w}.demand|demand", "token", PETA, p.demand[i]) for i, w in enumerate(p.workloads)),
        ("cash", "cash", "finance|cash", "USD", USD, np.full(len(p.quarters), np.nan)),
    ]
    out = []
    for kind, name, row, unit, scale, now in kinds:
        if row not in relaxation.duals:
            continue
        dual = np.asarray(relaxation.duals[row].values, dtype=float).reshape(-1)
        low, high = (np.asarray(r.values, dtype=float).reshape(-1) * scale for r in relaxation.ranges[row])
        for t in np.flatnonzero(dual > 1e-9 * max(dual.max(initial=0.0), 1e-9)):
            usd = float(dual[t]) * USD / scale
            # Cash has no limit of its own: its range is of dollars more or fewer in the quarter.
            at, shift = (0.0, _fixed(p, int(t))) if kind == "cash" else (float(now[t]), 0.0)
            out.append(
                Marginal(kind, name, str(p.quarters[t]), unit, usd, at, _end(low[t] - shift), _end(high[t] - shift))
            )
    return sorted(out, key=lambda m: (m.kind, -m.usd * max(m.now, 1.0)))


def _fixed(p: Problem, t: int) -> float:
    """The right-hand side of a quarter's cash row [USD]."""
    f, investment = p.scenario.finance, p.scenario.investment
    total = step_once(f.other_funding, p) + (step_once(investment.upfront, p) if investment else 0.0)
    return float((total - step(f.dividends, p.quarters))[t] + (f.opening_cash if t == 0 else 0.0))


def _whole_zero(value: Any) -> Any:
    """The same without negative zeros."""
    return {k: v + 0.0 for k, v in value.items()} if isinstance(value, dict) else value + 0.0


def _end(value: float) -> float | None:
    return float(value) + 0.0 if math.isfinite(value) and abs(value) < 1e29 else None
