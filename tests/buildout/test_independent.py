"""The programme's optimum against the same problem written down a second time, by hand, for SciPy's solver."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from gigaforge.buildout.problem import Problem, problem_from
from gigaforge.buildout.programme import USD, build
from gigaforge.buildout.solver import SolverOptions, relax, solve
from gigaforge.quarters import SECONDS_PER_QUARTER
from tests.buildout.small import catalog, points, scenario

GW, PETA = 1e9, 1e15


class Rows:
    """Variables by name and rows of coefficients, collected one at a time."""

    def __init__(self) -> None:
        self.at: dict[tuple[Any, ...], int] = {}
        self.cost: list[float] = []
        self.upper: list[float] = []
        self.whole: list[int] = []
        self.entries: list[tuple[int, int, float]] = []
        self.low: list[float] = []
        self.high: list[float] = []

    def variable(self, *name: Any, upper: float = np.inf, whole: bool = False) -> None:
        self.at[name] = len(self.cost)
        self.cost.append(0.0)
        self.upper.append(upper)
        self.whole.append(int(whole))

    def row(self, terms: list[tuple[float, tuple[Any, ...]]], low: float, high: float) -> None:
        self.entries += [(len(self.low), self.at[name], value) for value, name in terms]
        self.low.append(low)
        self.high.append(high)


def by_hand(p: Problem) -> Rows:
    """Stocks instead of flows: racks online are written as sums of purchases; money as sums to date."""
    m, f, o = Rows(), p.scenario.finance, p.scenario.operations
    block, sites, systems, time = p.scenario.block, range(len(p.sites)), range(len(p.systems)), range(len(p.quarters))
    life, service = p.economic_quarters, p.service_quarters
    assert service >= len(p.quarters), "nobody retires within these horizons"
    assert life >= len(p.quarters)
    own = [tenure != "cloud" for tenure in p.tenures]
    for s in sites:
        for t in time:
            m.variable("built", s, t, upper=p.energised_w[s, t] / GW)
            for k in systems:
                most = p.supply[p.line_of[k], t] // block if p.can_host[s, k, t] else 0
                m.variable("add", s, k, t, upper=most, whole=True)
            for i in range(len(p.points)):
                can = p.can_host[s, p.point_system[i]].any()
                m.variable("serve", s, i, t, upper=np.inf if can else 0.0)
    for t in time:
        for w in range(len(p.workloads)):
            m.variable("served", w, t, upper=p.demand[w, t] / PETA)
        m.variable("late", t)
        m.variable("debt", t, upper=f.debt.limit[next(iter(f.debt.limit))] / USD if f.debt else 0.0)
        m.variable("tranches", t, upper=p.tranche_count, whole=True)
    due = np.zeros(len(p.quarters))
    for milestone in p.scenario.commitment.milestones:
        due[milestone.by - p.quarters[0] :] = milestone.power / GW
    price = p.rack_price_usd * block / USD
    penalty = (p.scenario.commitment.late_penalty or 0.0) * SECONDS_PER_QUARTER * GW / USD
    age = len(p.quarters) - np.arange(len(p.quarters)) - 0.5
    left = np.clip(1 - age / (4 * f.system_life_years), 0, None) * p.discount_end
    stays = np.clip(1 - age / (4 * f.facility_life_years), 0, None) * p.discount_end
    money: list[list[tuple[float, tuple[Any, ...]]]] = [
        [] for _ in time
    ]  # operator's flows by quarter, before finance
    for t in time:
        for w in range(len(p.workloads)):
            money[t].append((p.token_usd[w, t] * PETA / USD, ("served", w, t)))
        for s in sites:
            staff = own[s] * o.staff * SECONDS_PER_QUARTER * GW / USD
            money[t].append((-p.lease_usd_per_w[s] * GW / USD - staff, ("built", s, t)))
            build_usd = p.facility_usd_per_w[s] * GW / USD
            money[t].append((-build_usd, ("built", s, t)))
            if t:
                money[t].append((build_usd, ("built", s, t - 1)))
            energy = p.energy_usd_per_j[s, t] * p.pue_quarter[s, t] * SECONDS_PER_QUARTER * block / USD
            for k in systems:
                if own[s]:
                    money[t].append((-price[k, t] * (1 - f.deposit * (t > 0)), ("add", s, k, t)))
                    if t + 1 in time:
                        money[t].append((-price[k, t + 1] * f.deposit, ("add", s, k, t + 1)))
                keep = own[s] * price[k, 0] * o.maintenance / 4
                keep += p.cloud_usd_per_rack[s, k, t] * block / USD + energy * p.rack_idle_w[k]
                money[t] += [(-keep, ("add", s, k, u)) for u in range(t + 1)]
            for i in range(len(p.points)):
                extra = p.point_power_w[i] - p.rack_idle_w[p.point_system[i]]
                factor = p.serving_price_factor[s, p.point_workload[i]]
                money[t].append((-energy * extra * factor, ("serve", s, i, t)))
    for t in time:
        for value, name in money[t]:
            m.cost[m.at[name]] += value * p.discount[t]
        m.cost[m.at["late", t]] -= penalty * p.discount[t]
        interest = f.debt.interest / 4 if f.debt else 0.0
        m.cost[m.at["debt", t]] += p.discount[t]
        after = p.discount[t + 1] if t + 1 in time else p.discount_end
        m.cost[m.at["debt", t]] -= (1 + interest) * after
        for s in sites:
            for k in systems:
                m.cost[m.at["add", s, k, t]] += own[s] * price[k, t] * left[t]
            worth = p.facility_usd_per_w[s] * GW / USD
            m.cost[m.at["built", s, t]] += worth * (stays[t] - (stays[t + 1] if t + 1 in time else 0.0))
    for t in time:
        sofar = [(value, name) for u in range(t + 1) for value, name in money[u]]
        interest = f.debt.interest / 4 if f.debt else 0.0
        sofar += [(-interest, ("debt", u)) for u in range(t)] + [(1.0, ("debt", t))]
        sofar.append((p.tranche_usd / USD, ("tranches", t)))
        m.row(sofar, -f.opening_cash / USD, np.inf)  # the purse is never empty
        deployed = [
            (p.deployed_w_per_rack[s, k] * block / GW, ("add", s, k, u))
            for s in sites
            for k in systems
            for u in range(t + 1)
        ]
        m.row([*deployed, (1.0, ("late", t))], due[t], np.inf)
        m.row([*deployed, (-p.tranche_w / GW, ("tranches", t))], 0.0, np.inf)
        if t:
            m.row([(1.0, ("tranches", t)), (-1.0, ("tranches", t - 1))], 0.0, np.inf)
        for line in range(len(p.lines)):
            mine = [(1.0, ("add", s, k, t)) for s in sites for k in systems if p.line_of[k] == line]
            m.row(mine, 0.0, p.supply[line, t] // block)
        for w in range(len(p.workloads)):
            capacity = [
                (p.point_tokens[i, t] * block / PETA, ("serve", s, i, t))
                for s in sites for i in range(len(p.points)) if p.point_workload[i] == w
            ]  # fmt: skip
            m.row([*capacity, (-float(p.peak_to_mean[w]), ("served", w, t))], 0.0, np.inf)
        for s in sites:
            power = [
                (-p.pue_peak[s] * p.rack_it_w[k] * block / GW, ("add", s, k, u))
                for k in systems
                for u in range(t + 1)
            ]
            m.row([(1.0, ("built", s, t)), *power], 0.0, np.inf)
            if t:
                m.row([(1.0, ("built", s, t)), (-1.0, ("built", s, t - 1))], 0.0, np.inf)
            for k in systems:
                racks = [(1.0 if u < t else 0.5, ("add", s, k, u)) for u in range(t + 1)]
                work = [(-1.0, ("serve", s, i, t)) for i in range(len(p.points)) if p.point_system[i] == k]
                m.row([*racks, *work], 0.0, np.inf)
    return m


def middling(**changes: Any) -> Problem:
    stated = scenario(training=[], **changes)
    return problem_from(stated, catalog(), [q for q in points() if q.kind == "serving"])


CASES: list[dict[str, Any]] = [
    {},
    {"finance": {"discount_rate": "12 %", "opening_cash": "$3B"}},
    {"sites": [{"site": "north"}, {"site": "cloud"}], "block": 4},
]


@pytest.mark.parametrize("case", CASES, ids=["debt and tranches", "little cash", "two sites, small blocks"])
def test_the_relaxed_optimum_is_that_of_a_programme_written_by_hand(case: dict[str, Any]) -> None:
    p = middling(**case)
    m = by_hand(p)
    row, column, value = (np.array(x) for x in zip(*m.entries, strict=True))
    a = sparse.csr_array((value, (row, column)), shape=(len(m.low), len(m.cost)))
    low, high = np.array(m.low), np.array(m.high)
    below, above = np.isfinite(high), np.isfinite(low)
    stacked = sparse.vstack([a[below], -a[above]])
    found = linprog(
        -np.array(m.cost), stacked, np.concatenate([high[below], -low[above]]), bounds=[(0, u) for u in m.upper]
    )
    ours = relax(build(p, tight=False).model)
    one = penalty_of_all(p)
    assert found.status == 0
    assert ours.objective == pytest.approx(-found.fun - one, rel=1e-6)


def penalty_of_all(p: Problem) -> float:
    """The constant that the programme carries: the price of all demand, were none served."""
    price = np.array([w.shortfall_penalty for w in p.scenario.serving])[:, None] * p.discount
    return float((price * p.demand).sum() / USD)


@pytest.mark.slow
def test_the_whole_optimum_is_that_of_a_programme_written_by_hand() -> None:
    p = middling(horizon={"first": "2026-Q3", "last": "2028-Q2"}, commitment={"power": "1 GW", "milestones": [
        {"power": "0.2 GW", "by": "2026-Q4"}, {"power": "1 GW", "by": "2028-Q1"}], "late_penalty": "$20/kW-month"})  # fmt: skip
    m = by_hand(p)
    row, column, value = (np.array(x) for x in zip(*m.entries, strict=True))
    a = sparse.csr_array((value, (row, column)), shape=(len(m.low), len(m.cost)))
    options = {"mip_rel_gap": 1e-4, "time_limit": 120}
    found = milp(-np.array(m.cost), integrality=np.array(m.whole), bounds=Bounds(0, np.array(m.upper)),
                 constraints=LinearConstraint(a, np.array(m.low), np.array(m.high)), options=options)  # fmt: skip
    ours = solve(build(p).model, SolverOptions(gap=1e-4, time_limit_s=120))
    assert ours.objective == pytest.approx(-found.fun - penalty_of_all(p), rel=4e-4)
