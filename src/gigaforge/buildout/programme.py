"""The build-out programme as mathematics: what to install where and when, run what, and pay with what.

Decisions by site s, system k, quarter t (in blocks of racks): ``add``, ``retire``, ``online``; racks given to serving
points (``serve``) and training points (``train``); facility power held and paid for (``built``); tokens served, tranches
released, debt and cash. Units inside: blocks, GW, billions of dollars, 10^15 tokens: a well-scaled matrix.

Every constraint's name begins with the statement of the scenario that it carries (before "|"), so that an
infeasible scenario can be explained in its own words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import linopy
import numpy as np
import pandas as pd
import xarray as xr

from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.programme_runs import late_runs, span_ends, spanned_runs
from gigaforge.buildout.programme_terms import profit_tax, system_payments
from gigaforge.buildout.spans import Span
from gigaforge.buildout.tranches import state_tranches
from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.scenario import step

__all__ = ["GW", "PETA", "USD", "Programme", "build", "most_online"]

_DEAR = 10.0  # under the objective "cost", a broken promise counts this many times
GW, USD, PETA = 1e9, 1e9, 1e15  # one unit of power, money and tokens in the matrix


@dataclass(frozen=True)
class Programme:
    """The model and the expressions that a plan is read from."""

    problem: Problem
    model: linopy.Model
    flows: dict[str, Any]
    net_present_value: Any


def previous(variable: Any) -> Any:
    """Value one quarter before; zero before the first."""
    return lagged(variable, 1)


def lagged(variable: Any, quarters: int) -> Any:
    """Value some quarters before; zero before the first."""
    return (1 * variable).shift(quarter=quarters).fillna(0)


def _frame(problem: Problem) -> dict[str, pd.Index]:
    """The labels of each dimension."""
    return {
        "site": pd.Index(problem.sites, name="site"),
        "system": pd.Index(problem.systems, name="system"),
        "quarter": pd.RangeIndex(len(problem.quarters), name="quarter"),
        "line": pd.Index(problem.lines, name="line"),
        "workload": pd.Index(problem.workloads, name="workload"),
        "run": pd.Index(problem.runs, name="run"),
        "point": pd.RangeIndex(len(problem.points), name="point"),
        "job": pd.RangeIndex(len(problem.training_points), name="job"),
    }


class Builder:
    """Adds one subject after another to the model; each method reads as its paragraph of the docstring."""

    GW, USD = GW, USD
    debt: Any = None
    tranches: Any = None
    tranche: Any = None
    slip: Any = None
    delivered_total: Any = None
    construction: Any = None
    pairs: list[Span]
    settlement: Any = 0  # instalments still owed at the end, in today's money

    def __init__(self, problem: Problem, *, tight: bool) -> None:
        linopy.options["semantics"] = "v1"
        self.p = problem
        self.tight = tight
        self.m = linopy.Model()
        self.i = _frame(problem)
        self.block = float(problem.scenario.block)
        self.flows: dict[str, Any] = {}
        self.penalties: list[Any] = []

    def data(self, values: Array, *dims: str) -> xr.DataArray:
        return xr.DataArray(values, coords={d: self.i[d] for d in dims}, dims=dims)

    def variable(self, name: str, *dims: str, **options: Any) -> Any:
        return self.m.add_variables(coords=[self.i[d] for d in dims], name=name, **{"lower": 0.0, **options})

    def lag(self, variable: Any, quarters: int) -> Any:
        return lagged(variable, quarters)

    def extend(self, dim: str, labels: list[Any]) -> None:
        """A further dimension."""
        self.i[dim] = pd.Index(labels, name=dim)

    def rule(self, statement: str, name: str, condition: Any, **options: Any) -> None:
        self.m.add_constraints(condition, name=f"{statement}|{name}", **options)

    # -- what is installed -------------------------------------------------------------------------------------

    def installation(self) -> None:
        p, dims = self.p, ("site", "system", "quarter")
        most, power = _room(p)
        if not self.tight:
            most = np.where(np.any(p.can_host, axis=2, keepdims=True), 1e6, np.zeros_like(most))
            power = np.full_like(most, 1e6)
        least, most_added = self._past("added", np.minimum(most, power))
        self.add = self.variable("add", *dims, integer=True, lower=least, upper=most_added)
        total = self.data(np.minimum(np.cumsum(most, axis=2), power) + (p.past is not None), *dims)
        # Systems retire between the end of their economic life and the end of their service life.
        old = np.cumsum(most, axis=2) * (np.arange(len(p.quarters)) >= p.economic_quarters)
        least, most_retired = self._past("retired", old)
        self.retire = self.variable("retire", *dims, integer=True, lower=least, upper=most_retired)
        self.online = self.variable("online", *dims, upper=total)
        self.rule("", "online", self.online == previous(self.online) + self.add - self.retire)
        life = p.service_quarters
        self.added = self.variable("added", *dims)
        self.retired = self.variable("retired", *dims)
        self.rule("", "added", self.added == previous(self.added) + self.add)
        self.rule("", "retired", self.retired == previous(self.retired) + self.retire)
        early = self.data(early_retirements(p) / self.block, *dims)
        self.rule("", "economic life", self.retired <= lagged(self.added, p.economic_quarters) + early)
        if life < len(p.quarters):
            ahead = {"quarter": slice(p.past.quarters if p.past else 0, None)}
            broken = np.zeros((len(p.sites), len(p.systems)))  # blocks that no whole retirement can empty
            if p.past is not None:
                broken[(p.past.added - p.past.retired).sum(axis=2) % self.block > 0] = 1.0
            aged = lagged(self.added, life).isel(**ahead) - self.data(broken, "site", "system")
            kept = self.retired.isel(**ahead) >= aged
            self.rule("finance.service_life_years", "retire", kept)
        for line, label in enumerate(p.lines):
            systems = [p.systems[k] for k in np.flatnonzero(p.line_of == line)]
            bought = self.add.sel(system=systems).sum(["site", "system"])
            available = self.data(_whole(p.supply[line] / self.block, p), "quarter")
            self.rule(f"platforms.{label}.supply", "supply", bought <= available)

    def _past(self, field: str, most: Array) -> tuple[xr.DataArray, xr.DataArray]:
        """Bounds of racks added or retired: what happened already is fixed (racks may then be no whole blocks)."""
        least = np.zeros_like(most)
        if self.p.past is not None:
            done = getattr(self.p.past, field) / self.block
            most = most.copy()
            most[..., : self.p.past.quarters] = least[..., : self.p.past.quarters] = (
                done if self.tight else np.rint(done)
            )
        dims = ("site", "system", "quarter")
        return self.data(least, *dims), self.data(most, *dims)

    def power(self) -> None:
        """Facility power held for everything online stays within what is paid for, and that within what is energised.

        A rack holds its nameplate, and less while it works at a point with a cap.
        """
        p = self.p
        self.built = self.variable("built", "site", "quarter")
        energised = self.data(p.energised_w / GW, "site", "quarter")
        per_block = self.data(np.outer(p.pue_peak, p.rack_it_w) * self.block / GW, "site", "system")
        needed = (self.online * per_block).sum("system")
        for spared in self._spared():
            needed = needed - spared
        for site in p.sites:
            built = self.built.sel(site=site)
            self.rule("", f"power {site}", needed.sel(site=site) <= built)
            self.rule(f"sites.{site}.power", "energised", built <= energised.sel(site=site))
        self.rule("", "built stays", self.built >= previous(self.built))

    def _spared(self) -> list[Any]:
        """Facility power that caps leave free, by site and quarter [GW]."""
        p, scale, out = self.p, self.block / GW, []
        if p.workloads and (spare := p.rack_it_w[p.point_system] - p.point_held_w).any():
            out.append((self.serve * self.data(np.outer(p.pue_peak, spare) * scale, "site", "point")).sum("point"))
        if p.runs and (spare := p.rack_it_w[p.train_system] - p.train_held_w).any():
            out.append((self.train * self.data(np.outer(p.pue_peak, spare) * scale, "site", "job")).sum("job"))
        return out

    def commitment(self) -> None:
        """Deployed power counts all that was ever accepted; a milestone missed is priced or forbidden."""
        p, c = self.p, self.p.scenario.commitment
        per_block = self.data(p.deployed_w_per_rack * self.block / GW, "site", "system")
        self.deployed = self.variable("deployed", "quarter")
        backlog = np.zeros(len(p.quarters))  # installed and not accepted yet; taken as accepted from now on
        if p.past is not None:
            backlog[: p.past.quarters] = p.past.not_accepted_w.sum(axis=(0, 1)) / GW
        installed = (self.added * per_block).sum(["site", "system"])
        self.rule("", "deployed", self.deployed == installed - self.data(backlog, "quarter"))
        for milestone in c.milestones:
            t = milestone.by - p.quarters[0]
            statement = f"commitment.milestones.{milestone.by}"
            if c.late_penalty is None:
                self.rule(statement, "milestone", self.deployed.isel(quarter=t) >= milestone.power / GW)
        if c.late_penalty is not None and c.milestones:
            due = step({m.by: m.power for m in c.milestones}, p.quarters) / GW
            self.late = self.variable("late", "quarter", upper=self.data(due, "quarter"))
            self.rule("", "late", self.late + self.deployed >= self.data(due, "quarter"))
            per_gw = c.late_penalty * SECONDS_PER_QUARTER * GW / USD
            self.penalties.append((self.late * self.data(p.discount * per_gw, "quarter")).sum())

    # -- what it does ------------------------------------------------------------------------------------------

    def serving(self) -> None:
        p = self.p
        self.served: Any
        if not p.workloads:
            self.served = None
            return
        can = np.asarray(p.can_host.any(axis=2))[:, p.point_system]
        dims = ("site", "point", "quarter")
        mask = self.data(np.broadcast_to(can[:, :, None], (*can.shape, len(p.quarters))).astype(float), *dims)
        self.serve = self.variable("serve", *dims, upper=mask * 1e6)
        self.served = self.variable("served", "workload", "quarter")
        demand = self.data(p.demand / PETA, "workload", "quarter")
        for w, workload in enumerate(p.workloads):
            points = np.flatnonzero(p.point_workload == w)
            rate = self.data(p.point_tokens * self.block / PETA, "point", "quarter").isel(point=points)
            capacity = (self.serve.isel(point=points) * rate).sum(["site", "point"])
            served = self.served.sel(workload=workload)
            self.rule("", f"serve {workload}", served * float(p.peak_to_mean[w]) <= capacity)
            self.rule(f"serving.{workload}.demand", "demand", served <= demand.sel(workload=workload))
        # What is not served is penalised: the price of all demand, a constant, less that of what is served.
        price = np.array([w.shortfall_penalty for w in p.scenario.serving])[:, None] * p.discount * PETA / USD
        all_of_it = float((price * p.demand / PETA).sum())
        one = self.m.add_variables(
            lower=1.0, upper=1.0, name="one"
        )  # carries a constant: linopy's objective has none
        self.penalties.append(one * all_of_it)
        self.penalties.append((self.served * self.data(-price, "workload", "quarter")).sum())

    def training(self) -> None:
        """A run gets its work done in its window, on one kind of system at one site."""
        p = self.p
        if not p.runs:
            return
        dims = ("run", "site", "system")
        most = np.where(p.run_rate > 0, p.run_max_racks / self.block, 0.0)[:, None, :] * p.run_sites[:, :, None]
        if self.tight:
            limit = np.minimum(most[..., None], most_online(p)[None]) * p.run_window[:, None, None, :]
            enough = (limit.sum(axis=3) * self.block * p.run_rate[:, None, :]) >= p.run_tokens[:, None, None] * (
                1 - 1e-6
            )
        else:
            limit = most[..., None] * p.run_window[:, None, None, :]
            enough = limit.any(axis=3)
        # No bound but "only there" below: a bound of a variable's own would hide part of its price.
        upper = self.data(np.where((limit > 0)[p.train_run, :, p.train_system], 1e6, 0.0), "job", "site", "quarter")
        self.train = self.variable("train", "job", "site", "quarter", upper=upper)
        self.chosen = self.variable("chosen", *dims, integer=True, upper=self.data(enough.astype(float), *dims))
        rate = self.data(p.train_rate * self.block / PETA, "job")
        spanned = spanned_runs(self, limit.any(axis=3))
        for r, run in enumerate(p.runs):
            statement = f"training.{run}"
            jobs = np.flatnonzero(p.train_run == r)
            systems = sorted({int(k) for k in p.train_system[jobs]})
            here = self.train.isel(job=jobs)
            group = xr.DataArray(
                np.array(p.systems)[p.train_system[jobs]], coords={"job": self.i["job"][jobs]}, name="system"
            )
            done = _by_system(here * rate.isel(job=jobs), group, p).isel(system=systems).sum("quarter")
            at: Any = self.chosen.sel(run=run).isel(system=systems)
            needed = float(p.run_tokens[r] / PETA)
            self.rule(statement, "work", done >= at * needed)
            places = self.chosen.sel(run=run).sum(["site", "system"])
            pairs = [i for i, span in enumerate(self.pairs) if span.run == r]
            if pairs:
                both = spanned.sel(pair=pairs).isel(system=systems)
                places = places + both.sum(["pair", "system"])
                # The exchange between sites makes the same work take longer.
                share = np.array([self.pairs[i].efficiency for i in pairs])
                more = xr.DataArray(needed / share, coords={"pair": pairs}, dims="pair")
                self.rule(statement, f"spanned work {run}", done.sum("site") >= (both * more).sum("pair"))
                at = at + (both * span_ends(self, pairs)).sum("pair")
            self.rule(statement, "one place", places == 1)
            at_once = _by_system(here, group, p).isel(system=systems)
            together = self.data(limit, *dims, "quarter").isel(run=r, system=systems)
            self.rule(statement, "only there", at_once <= at * together)
        late_runs(self, limit)

    def capacity(self) -> None:
        """Racks in use are online; those added in a quarter work half of it."""
        p = self.p
        used: Any = 0
        if p.workloads:
            group = xr.DataArray(
                np.array(p.systems)[p.point_system], coords={"point": self.i["point"]}, name="system"
            )
            used = used + _by_system(self.serve, group, p)
        if p.runs:
            group = xr.DataArray(np.array(p.systems)[p.train_system], coords={"job": self.i["job"]}, name="system")
            used = used + _by_system(self.train, group, p)
        if p.workloads or p.runs:
            free: Any = self.online - 0.5 * self.add
            if (self.p.work_share < 1).any():
                free = free * self.data(self.p.work_share, "site", "quarter")
            self.rule("", "racks in use", used <= free)

    # -- what it costs -----------------------------------------------------------------------------------------

    def money(self) -> None:
        p, o = self.p, self.p.scenario.operations
        owned = self.data(np.array([t != "cloud" for t in p.tenures], dtype=float), "site")
        price = self.data(p.rack_price_usd * self.block / USD, "system", "quarter")
        self.delivered = self.variable("delivered", "quarter")
        self.rule("", "delivered", self.delivered == (self.add * price * owned).sum(["site", "system"]))
        system_payments(self)
        cost = self.data(p.facility_usd_per_w * GW / USD, "site")
        self.flows["facility_construction"] = ((self.built - previous(self.built)) * cost).sum("site")
        lease = self.data(p.lease_usd_per_w * GW / USD, "site")
        self.flows["site_lease"] = (self.built * lease).sum("site")
        rent = self.data(p.cloud_usd_per_rack * self.block / USD, "site", "system", "quarter")
        self.flows["cloud_capacity"] = (self.online * rent).sum(["site", "system"])
        self.flows["energy"] = self._energy()
        kept = (
            self.online * owned * self.data(p.rack_price_usd[:, 0] * self.block / USD * o.maintenance / 4, "system")
        )
        self.flows["maintenance"] = kept.sum(["site", "system"])
        staff = self.data(
            np.array([t != "cloud" for t in p.tenures]) * o.staff * SECONDS_PER_QUARTER * GW / USD, "site"
        )
        self.flows["staff"] = (self.built * staff).sum("site")
        if p.curtailment_usd_per_w.any():
            credit = self.data(p.curtailment_usd_per_w * GW / USD, "site", "quarter")
            self.flows["curtailment_credit"] = (self.built * credit).sum("site") * -1.0
        income: Any = None
        if self.served is not None:
            per_unit = self.data(p.token_usd * PETA / USD, "workload", "quarter")
            income = (self.served * per_unit).sum("workload")
        self.income = income

    def _energy(self) -> Any:
        """Cost of energy: idle power of all racks, and what work adds to it, at the PUE of the quarter."""
        p = self.p
        price = p.energy_usd_per_j * p.pue_quarter * SECONDS_PER_QUARTER * self.block / USD  # (S, T)
        idle = self.data(np.einsum("st,k->skt", price, p.rack_idle_w), "site", "system", "quarter")
        total = (self.online * idle).sum(["site", "system"])
        if p.workloads:
            extra = (p.point_power_w - p.rack_idle_w[p.point_system]) * p.serving_price_factor[:, p.point_workload]
            cost = self.data(np.einsum("st,sp->spt", price, extra), "site", "point", "quarter")
            total = total + (self.serve * cost).sum(["site", "point"])
        if p.runs:
            extra = p.train_power_w - p.rack_idle_w[p.train_system]
            each = self.data(np.einsum("st,j->jst", price, extra), "job", "site", "quarter")
            total = total + (self.train * each).sum(["job", "site"])
        return total

    def financing(self) -> None:
        """Tranches, debt, tax and a purse that is never negative."""
        p, f, investment = self.p, self.p.scenario.finance, self.p.scenario.investment
        if f.debt is not None:
            limit = self.data(step(f.debt.limit, p.quarters) / USD, "quarter")
            self.debt = self.variable("debt", "quarter", upper=limit)
        self.cash = self.variable("cash", "quarter")
        if f.interest_on_cash:
            self.flows["interest_received"] = lagged(self.cash, 1) * (-f.interest_on_cash / 4)
        profit_tax(self)
        spent: Any = sum(self.flows.values(), 0)
        fixed = _funding(
            f.opening_cash, step_once(f.other_funding, p), step_once(investment.upfront, p) if investment else 0
        ) - step(f.dividends, p.quarters)
        balance: Any = -1 * spent if self.income is None else self.income - spent
        released = state_tranches(self)
        if released is not None:
            balance = balance + released - lagged(released, 1)
            if investment and investment.carry:
                worth = investment.carry / 4 * p.discount
                self.penalties.append((released * self.data(-worth, "quarter")).sum())
        if self.debt is not None and f.debt is not None:
            interest = previous(self.debt) * (f.debt.interest / 4)
            balance = balance + self.debt - previous(self.debt) - interest
        self.rule("finance", "cash", self.cash == previous(self.cash) + balance + self.data(fixed / USD, "quarter"))

    def objective(self) -> Any:
        """Net present value to the operator, or one of its alternatives."""
        p, f = self.p, self.p.scenario.finance
        discount = self.data(p.discount, "quarter")
        spent: Any = sum(self.flows.values(), 0)
        cost = (spent * discount).sum() - self._salvage() + self.settlement
        income: Any = 0 if self.income is None else (self.income * discount).sum()
        if self.debt is not None and f.debt is not None:
            last = len(p.quarters) - 1
            service = previous(self.debt) * (1 + f.debt.interest / 4) - self.debt
            cost = cost + (service * discount).sum()
            cost = cost + self.debt.isel(quarter=last) * (p.discount_end * (1 + f.debt.interest / 4))
        penalty: Any = sum(self.penalties, 0)
        value = income - cost
        kind = p.scenario.objective
        worth = value - penalty
        if kind == "cost":
            # Least cost of what is promised: missing it must never be the cheap way out.
            worth = -1 * cost - _DEAR * penalty
            if self.served is not None:
                worth = worth + self._lost_revenue_avoided() * _DEAR
        elif kind == "tokens" and self.served is not None:
            worth = self.served.sum() + value * 1e-3
        elif kind == "earliest":
            reach = self.variable("towards", "quarter", upper=p.scenario.commitment.power / GW)
            self.rule("", "towards", reach - self.deployed <= 0)
            worth = reach.sum() * 100.0 + value * 1e-3
        self.m.add_objective(worth, sense="max")
        return value

    def _lost_revenue_avoided(self) -> Any:
        """Revenue of what is served, discounted: what leaving it unserved would lose."""
        per_unit = self.data(self.p.token_usd * self.p.discount[None, :] * PETA / USD, "workload", "quarter")
        return ((1 * self.served) * per_unit).sum()

    def _salvage(self) -> Any:
        """Book value, straight line, of systems and buildings at the end of the horizon, discounted from there."""
        p, f = self.p, self.p.scenario.finance
        age = len(p.quarters) - np.arange(len(p.quarters)) - 0.5
        left = np.clip(1 - age / (4 * f.system_life_years), 0, None)
        own = np.array([t != "cloud" for t in p.tenures], dtype=float)
        book = own[:, None, None] * p.rack_price_usd[None] * left * self.block / USD * p.discount_end
        total = (self.add * self.data(book, "site", "system", "quarter")).sum()
        stay = np.clip(1 - age / (4 * f.facility_life_years), 0, None)
        worth = self.data(np.outer(p.facility_usd_per_w, stay) * GW / USD * p.discount_end, "site", "quarter")
        return total + ((self.built - previous(self.built)) * worth).sum()


def _room(problem: Problem) -> tuple[Array, Array]:
    """Blocks that supply lets in each quarter, and that a site's power can hold at the least. Shape (S, K, T) each."""
    p, block = problem, float(problem.scenario.block)
    most = np.where(p.can_host, np.floor(p.supply[p.line_of] / block)[None, :, :], 0.0)
    held = np.outer(p.pue_peak, p.least_held_w * block)[..., None]
    return most, np.floor(p.energised_w[:, None, :] / held)


def most_online(problem: Problem) -> Array:
    """Most blocks that can be online, whatever is decided. Shape (S, K, T)."""
    most, power = _room(problem)
    return np.minimum(np.cumsum(most, axis=2), power)


def step_once(series: dict[Any, float], problem: Problem) -> Array:
    """Payments in the quarters given, those before the horizon in its first quarter."""
    out = np.zeros(len(problem.quarters))
    for quarter, amount in series.items():
        t = max(quarter - problem.quarters[0], 0)
        if t < len(out):
            out[t] += amount
    return out


def _funding(opening: float, *payments: Any) -> Array:
    total = sum(payments)
    out = np.asarray(total, dtype=float).copy()
    out[0] += opening
    return out


def _whole(blocks: Array, problem: Problem) -> Array:
    """Whole blocks of a supply, except where it is what was really bought."""
    over = problem.past.quarters if problem.past else 0
    return np.concatenate([blocks[:over], np.floor(blocks[over:])])


def early_retirements(problem: Problem) -> Array:
    """Racks of the past retired before the end of their economic life, so far [racks]. Shape (S, K, T)."""
    past, count = problem.past, len(problem.quarters)
    out = np.zeros((len(problem.sites), len(problem.systems), count))
    if past is None:
        return out
    t = np.arange(count)
    retired = np.cumsum(past.retired, axis=2)[..., np.minimum(t, past.quarters - 1)]
    aged = np.cumsum(past.added, axis=2)[..., np.clip(t - problem.economic_quarters, 0, past.quarters - 1)]
    return np.maximum(retired - np.where(t >= problem.economic_quarters, aged, 0.0), 0.0)


def _by_system(serve: Any, group: xr.DataArray, problem: Problem) -> Any:
    """Sum points or jobs into their systems. Shape (site, system, quarter)."""
    total = (1 * serve).groupby(group).sum()
    return total.reindex(system=problem.systems).fillna(0)


def build(problem: Problem, *, tight: bool = True) -> Programme:
    """State the whole programme; `gigaforge.buildout.solver.solve` finds its optimum.

    Parameters
    ----------
    problem : Problem
        What is to be decided.
    tight : bool
        Bound variables by what supply and power allow. Without, every limit is a named constraint alone, so that a
        conflict can be traced to statements of the scenario.

    """
    b = Builder(problem, tight=tight)
    for part in (b.installation, b.commitment, b.serving, b.training, b.power, b.capacity, b.money, b.financing):
        part()
    value = b.objective()
    flows = dict(b.flows)
    if b.income is not None:
        flows["revenue"] = b.income
    return Programme(problem, b.m, flows, value)
