"""What would change the plan: how its value moves with power, supply, cash, demand, and each platform's speed and watts.

Each change is put to the relaxed plan, which is solved again: a little of it to either side for the two one-sided derivatives, and
the whole of it. Prices of single limits say how far they hold too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from gigaforge.buildout.changes import Changes
from gigaforge.buildout.problem import Array, Problem, step_once
from gigaforge.buildout.programme import PETA, USD, build
from gigaforge.buildout.slopes import Change, Slopes
from gigaforge.buildout.solver import Relaxation, SolverOptions, relax
from gigaforge.errors import GigaforgeError
from gigaforge.scenario import step

__all__ = ["Effect", "Marginal", "Marginals", "marginals"]

_NEAR: Final = 0.1
"""Of a MW, a rack, a million dollars: what is gone to either side for a derivative,"""
_NEAR_PERCENT: Final = 0.01
"""and of 1 %. Both are small against any plan, and large against what the solver takes for nothing."""
_LISTED: Final = 24
"""Single limits of each kind, the dearest."""


@dataclass(frozen=True)
class Effect:
    """What a change does to the relaxed plan's value [USD].

    Attributes
    ----------
    more, less : float
        One-sided derivatives per whole change: what a little of it adds, and what a little of its opposite costs; they differ
        where the optimum has a kink. `less` is infinite where no plan is left.
    adds, costs : float
        What the whole change adds and its opposite costs.

    """

    more: float
    less: float
    adds: float
    costs: float


@dataclass(frozen=True)
class Marginal:
    """The price of one limit in one quarter alone, and how far it holds.

    Attributes
    ----------
    kind, name, quarter : str
        "power" of a site, "supply" of a line, "cash", "demand" of a workload.
    unit : str
        Of the limit: "MW", "rack", "USD", "token".
    usd : float
        Present value of a unit within the range in which this price holds [USD].
    more, less : float
        What a little more adds and a little less costs, per unit [USD]. Where today's limit is an end of the range, one of them is
        another price.
    now, low, high : float
        The limit (supply in whole blocks), and the range in which `usd` holds, others unchanged; None without an end.

    """

    kind: str
    name: str
    quarter: str
    unit: str
    usd: float
    more: float
    less: float
    now: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Marginals:
    """What small changes do to the relaxed plan's value [USD].

    Attributes
    ----------
    power : dict
        Site to the effect of a further MW in every quarter in which it has any.
    supply : dict
        Line to the effect of a further rack in every quarter of its supply.
    cash : Effect
        Of a further million dollars at the start.
    demand : dict
        Workload to the effect of 1 % more demand in every quarter.
    speed : dict
        System to the effect of 1 % more tokens of all its points.
    watts : dict
        System to the effect of 1 % less power held and burnt, nameplate, caps and draw alike.
    counted : dict
        System to the effect of 1 % more power that each rack counts towards the commitment.
    rows : list of Marginal
        Single limits, the dearest of each kind.

    """

    power: dict[str, Effect]
    supply: dict[str, Effect]
    cash: Effect
    demand: dict[str, Effect]
    speed: dict[str, Effect]
    watts: dict[str, Effect]
    counted: dict[str, Effect]
    rows: list[Marginal]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: derivatives by kind (of cash per dollar), and ``less``, ``adds``, ``costs`` shaped like them."""
        kinds = {k: v for k, v in vars(self).items() if k not in ("rows", "cash")}

        def of(part: str) -> dict[str, Any]:
            plain = {k: {n: _plain(getattr(e, part)) for n, e in v.items()} for k, v in kinds.items()}
            cash = _plain(getattr(self.cash, part))
            return {**plain, "cash": None if cash is None else cash / 1e6}

        rows = [{k: _plain(v) if isinstance(v, float) else v for k, v in asdict(r).items()} for r in self.rows]
        return {**of("more"), **{part: of(part) for part in ("less", "adds", "costs")}, "rows": rows}


def marginals(problem: Problem, options: SolverOptions | None = None) -> tuple[Marginals, Slopes]:
    """Ask the relaxed plan of a problem what small changes do to it.

    Returns
    -------
    Marginals
    Slopes
        The relaxed plan in the solver, for further questions. Variables are bounded by named limits alone there, so that every
        limit moves with its statement.

    Raises
    ------
    GigaforgeError
        No plan satisfies the problem, or the solver ran out of time.

    """
    p = problem
    programme = build(p, tight=False)
    relaxation = relax(programme.model, options, ranging=True)
    if not relaxation.feasible:
        raise GigaforgeError(
            f"{p.scenario.name}: no plan satisfies this scenario, so no change of it is worth anything"
        )
    slopes = Slopes(p, programme, relaxation, options)
    c = Changes(slopes)

    def effect(change: Change, little: float = _NEAR_PERCENT) -> Effect:
        near, whole = slopes.slope(change, little), slopes.slope(change, 1.0)
        return Effect(near.more * USD, near.less * USD, whole.more * USD, whole.less * USD)

    return Marginals(
        power={s: effect(c.power(s), _NEAR) for s in p.sites},
        supply={n: effect(c.supply(n), _NEAR) for n in p.lines},
        cash=effect(c.cash(), _NEAR),
        demand={w: effect(c.demand(w, 0.01 * p.demand[i])) for i, w in enumerate(p.workloads)},
        speed={s: effect(c.tokens(s)) for s in p.systems},
        watts={s: effect(c.watts(s)) for s in p.systems},
        counted={s: effect(c.counted(s)) for s in p.systems},
        rows=_single(p, relaxation, slopes, c),
    ), slopes


@dataclass(frozen=True)
class _Limits:
    """The limits of one name, a quarter each; `scale` is of a unit of the rule's right-hand side in `unit`."""

    kind: str
    name: str
    rule: str
    unit: str
    scale: float
    now: Array

    def change(self, c: Changes, t: int, units: float) -> Change:
        """So many units more in one quarter."""
        if self.kind == "power":
            return _times(c.energised(self.name, t), units)
        if self.kind == "supply":
            return _times(c.supply(self.name, t), units)
        if self.kind == "cash":
            return _times(c.cash(t), units / 1e6)
        return c.demand(self.name, units * (np.arange(len(self.now)) == t))


def _limits(p: Problem) -> Iterator[_Limits]:
    """Every limit of the scenario."""
    block = float(p.scenario.block)
    for i, s in enumerate(p.sites):
        yield _Limits("power", s, f"sites.{s}.power|energised", "MW", 1e3, p.energised_w[i] / 1e6)
    for i, n in enumerate(p.lines):
        yield _Limits("supply", n, f"platforms.{n}.supply|supply", "rack", block, p.supply[i] // block * block)
    for i, w in enumerate(p.workloads):
        yield _Limits("demand", w, f"serving.{w}.demand|demand", "token", PETA, p.demand[i])
    yield _Limits("cash", "cash", "finance|cash", "USD", USD, np.full(len(p.quarters), np.nan))


def _single(p: Problem, relaxation: Relaxation, slopes: Slopes, c: Changes) -> list[Marginal]:
    """The dearest limits with a price, dearest first within their kind."""
    priced: dict[str, list[tuple[float, _Limits, int, float]]] = {}
    over = p.quarters_over
    for limit in _limits(p):
        if limit.rule not in relaxation.duals:
            continue
        dual = np.asarray(relaxation.duals[limit.rule].values, dtype=float).reshape(-1)
        for t in np.flatnonzero(dual > 1e-9 * max(dual.max(initial=0.0), 1e-9)):
            usd = float(dual[t]) * USD / limit.scale
            known = limit.kind == "cash" or limit.now[t] > 0  # what a quarter has none of is no limit to have more of
            if t >= over and known:
                size = 1.0 if limit.kind == "cash" else max(float(limit.now[t]), 1.0)
                priced.setdefault(limit.kind, []).append((usd * size, limit, int(t), usd))
    out = []
    for kind in sorted(priced):
        for _, limit, when, usd in sorted(priced[kind], key=lambda row: -row[0])[:_LISTED]:
            out.append(_row(p, relaxation, slopes, c, limit, when, usd))
    return out


def _row(
    p: Problem, relaxation: Relaxation, slopes: Slopes, c: Changes, limit: _Limits, t: int, usd: float
) -> Marginal:
    """One limit's prices and range."""
    low, high = (
        float(np.asarray(r.values, dtype=float).reshape(-1)[t]) * limit.scale for r in relaxation.ranges[limit.rule]
    )
    # Cash has no limit of its own: its range is of dollars more or fewer in the quarter.
    now, shift = (0.0, _fixed(p, t)) if limit.kind == "cash" else (float(limit.now[t]), 0.0)
    units = {"demand": 1e-4 * now, "cash": 1e5}.get(limit.kind, _NEAR)
    change = limit.change(c, t, units)
    found = slopes.slope(change, 1.0)
    # What more demand costs as such, unserved, is no part of the dual.
    wanted = 0.0 if change.cost is None else -float(change.cost.sum()) * USD / units
    return Marginal(
        limit.kind, limit.name, str(p.quarters[t]), limit.unit, usd - wanted, found.more * USD / units,
        found.less * USD / units, now, _end(low - shift), _end(high - shift),
    )  # fmt: skip


def _times(change: Change, units: float) -> Change:
    assert change.rhs is not None
    return Change(change.rhs * units)


def _fixed(p: Problem, t: int) -> float:
    """The right-hand side of a quarter's cash row [USD]."""
    f, investment = p.scenario.finance, p.scenario.investment
    total = step_once(f.other_funding, p) + (step_once(investment.upfront, p) if investment else 0.0)
    return float((total - step(f.dividends, p.quarters))[t] + (f.opening_cash if t == 0 else 0.0))


def _plain(value: float) -> float | None:
    """For JSON: no negative zero; None where no plan is left."""
    return value + 0.0 if math.isfinite(value) else None


def _end(value: float) -> float | None:
    return float(value) + 0.0 if math.isfinite(value) and abs(value) < 1e29 else None
