"""Why this system here and now: what a rack earns and costs at the plan's prices, and what the next best lacks.

A rack bought at a site in a quarter is a set of columns of the programme: bought once, online until it retires. Its
reduced cost, what buying one more would change the plan's value by, is the sum over the rules that it meets of
coefficient times price; grouped by subject it reads as an account. The prices are duals of the relaxed programme.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.decisions import Decisions
from gigaforge.buildout.labels import labels_by_rule, positions
from gigaforge.buildout.problem import Problem
from gigaforge.buildout.programme import USD, Programme
from gigaforge.buildout.solver import Relaxation
from gigaforge.units import format_quantity

__all__ = ["Account", "RackAccounts", "reasons"]

_MOST = 8
# Rule (after "|") -> subject of the account. What is left cancels between the columns of one rack.
_SUBJECTS = {
    "racks in use": "work",
    "deployed": "commitment",
    "delivered": "systems",
    "power": "power",
    "supply": "supply",
    "cash": "running",
    "economic life": "retiring",
    "retire": "retiring",
}


@dataclass(frozen=True)
class Account:
    """What one more rack changes the plan's value by today, by subject [USD].

    ``work`` that it does, ``commitment`` that it serves, price of ``systems`` less book value at the end, ``power`` and
    buildings, ``running`` costs and rent, what scarce ``supply`` and ``retiring`` take.
    """

    parts: dict[str, float]

    @property
    def total_usd(self) -> float:
        """The reduced cost: about zero for what the plan buys, below zero for what it does not [USD]."""
        return sum(self.parts.values())


class RackAccounts:
    """Accounts of racks at the prices of a relaxed programme."""

    def __init__(self, programme: Programme, relaxation: Relaxation) -> None:
        self.p = programme.problem
        self.model = programme.model
        matrices: Any = self.model.matrices
        self.matrix = matrices.A.tocsc()
        self.cost = np.asarray(matrices.c, dtype=float)
        self.column = positions(np.asarray(matrices.vlabels))
        size = int(np.max(matrices.clabels)) + 1
        by_label, group_of = np.zeros(size), np.full(size, -1)
        self.groups: list[str] = []
        for name, rule in labels_by_rule(self.model).items():
            dual, labels = relaxation.duals[name], rule.values.ravel()
            known = labels >= 0
            by_label[labels[known]] = np.asarray(dual.values, dtype=float).ravel()[known]
            group_of[labels[known]] = len(self.groups)
            self.groups.append(name)
        rows = np.asarray(matrices.clabels)
        self.price, self.group = by_label[rows], group_of[rows]
        self.unit = USD if self.p.scenario.objective in ("npv", "cost") else 1.0

    def _labels(self, name: str) -> NDArray[np.int_]:
        return np.asarray(self.model.variables[name].labels.values)

    def account(self, s: int, k: int, t: int) -> Account:
        """One rack of system `k` bought for site `s` in quarter `t`."""
        end = t + self.p.service_quarters
        names = [("add", [t]), ("added", range(t, len(self.p.quarters)))]
        names.append(("online", range(t, min(end, len(self.p.quarters)))))
        if end < len(self.p.quarters):
            names += [("retire", [end]), ("retired", range(end, len(self.p.quarters)))]
        parts: dict[str, float] = defaultdict(float)
        for name, quarters in names:
            labels = self._labels(name)
            for u in quarters:
                self._add_column(int(labels[s, k, u]), "running" if name == "online" else "systems", parts)
        scale = self.unit / self.p.scenario.block
        return Account({subject: float(value * scale) for subject, value in parts.items() if subject})

    def _add_column(self, label: int, subject: str, parts: dict[str, float]) -> None:
        column = self.column[label]
        if column < 0:
            return
        parts[subject] += self.cost[column]
        start, stop = self.matrix.indptr[column], self.matrix.indptr[column + 1]
        for row, value in zip(self.matrix.indices[start:stop], self.matrix.data[start:stop], strict=True):
            group = self.group[row]
            if group >= 0:
                parts[_subject(self.groups[group])] -= value * self.price[row]


def _subject(rule: str) -> str:
    return _SUBJECTS.get(rule.split("|", 1)[-1], "")


def reasons(programme: Programme, decisions: Decisions, relaxation: Relaxation) -> list[dict[str, Any]]:
    """The largest purchases of the plan, each with its account, its next best alternative and a sentence.

    Returns
    -------
    list of dict
        ``quarter, site, system, racks, per_rack_usd{subject: USD}, alternative, alternative_usd_per_mw, sentence``,
        in order of quarters.

    """
    accounts = RackAccounts(programme, relaxation)
    made = [_reason(accounts, decisions, *place) for place in _largest(programme.problem, decisions)]
    return sorted(made, key=lambda r: (r["quarter"], r["site"]))


def _largest(p: Problem, d: Decisions) -> list[tuple[int, int, int]]:
    """The largest purchase of each system, then of each site, by power."""
    power = d.bought * p.rack_it_w[None, :, None]
    power[..., : p.quarters_over] = 0.0  # what happened was not this plan's choice
    order = np.argsort(-power, axis=None, kind="stable")
    chosen: list[tuple[int, int, int]] = []
    systems: set[int] = set()
    sites: set[int] = set()
    for flat in order[: int((power > 0).sum())]:
        s, k, t = (int(i) for i in np.unravel_index(flat, power.shape))
        if k not in systems or s not in sites:
            chosen.append((s, k, t))
            systems.add(k)
            sites.add(s)
        if len(chosen) == _MOST:
            break
    return chosen


def _reason(accounts: RackAccounts, d: Decisions, s: int, k: int, t: int) -> dict[str, Any]:
    p = accounts.p
    account = accounts.account(s, k, t)
    other, lost, why = _next_best(accounts, account, s, k, t)
    racks = float(d.bought[s, k, t])
    sentence = _sentence(p, account, (s, k, t), racks) + why
    return {
        "quarter": str(p.quarters[t]),
        "site": p.sites[s],
        "system": p.systems[k],
        "racks": racks,
        "per_rack_usd": dict(account.parts),
        "alternative": other,
        "alternative_usd_per_mw": lost,
        "sentence": sentence,
    }


def _facility_mw(p: Problem, s: int, k: int) -> float:
    return float(p.rack_it_w[k] * p.pue_peak[s]) / 1e6


def _next_best(accounts: RackAccounts, mine: Account, s: int, k: int, t: int) -> tuple[str | None, float | None, str]:
    """The other system that would change the plan's value least per MW here and now, and what stands in its way."""
    p = accounts.p
    here = mine.total_usd / _facility_mw(p, s, k)
    could = [j for j in range(len(p.systems)) if j != k and p.can_host[s, j, t]]
    ranked = sorted(
        ((accounts.account(s, j, t).total_usd / _facility_mw(p, s, j) - here, j) for j in could), reverse=True
    )
    barred = _barred(p, s, k, t)
    if not ranked:
        return None, None, f" Nothing else could stand there then: {barred}." if barred else ""
    gain, j = ranked[0]
    name = p.systems[j]
    if gain > -1e3:
        told = f" {name} would do as well there"
        if p.line_of[j] != p.line_of[k]:
            told += ", to the prices at which its supply is used up elsewhere"
    else:
        told = f" {name}, the next best, would be worth {format_quantity(-gain, 'money')} less for each MW: {_because(p, accounts, s, k, j, t)}"
    return name, float(gain), f"{told}.{f' Not to be had there then: {barred}.' if barred else ''}"


def _because(p: Problem, accounts: RackAccounts, s: int, k: int, j: int, t: int) -> str:
    """The subject in which an alternative loses most per MW."""
    a, b = accounts.account(s, k, t).parts, accounts.account(s, j, t).parts
    mine, other = _facility_mw(p, s, k), _facility_mw(p, s, j)
    lost = {n: a.get(n, 0.0) / mine - b.get(n, 0.0) / other for n in {*a, *b}}
    words = {
        "work": "it does less work for its power",
        "commitment": "it counts less towards the commitment",
        "systems": "it costs more for its power",
        "power": "it needs dearer power and buildings",
        "running": "it costs more to run",
        "supply": "its supply is scarcer and better used elsewhere",
        "retiring": "it retires at a worse time",
    }
    worst = max(sorted(lost), key=lambda n: lost[n])
    return f"{words[worst]} ({format_quantity(lost[worst], 'money')} a MW)"


def _barred(p: Problem, s: int, k: int, t: int) -> str:
    """Systems that cannot be there then, and why."""
    out: list[str] = []
    told: set[int] = set()  # what holds for a whole line is said once
    for j, name in enumerate(p.systems):
        if j == k or p.can_host[s, j, t]:
            continue
        line = p.scenario.platforms[p.line_of[j]]
        unfit = next((u["why"] for u in p.unfit if u["site"] == p.sites[s] and u["system"] == name), "")
        if unfit:
            out.append(f"{name} {unfit}")
        elif p.line_of[j] in told or p.line_of[j] == p.line_of[k]:
            continue
        elif p.quarters[t] < line.ships:
            out.append(f"{line.name} ships from {line.ships}")
        elif line.last is not None and p.quarters[t] > line.last:
            out.append(f"{line.name} was last delivered in {line.last}")
        told.add(int(p.line_of[j]))
    return "; ".join(out)


def _sentence(p: Problem, account: Account, place: tuple[int, int, int], racks: float) -> str:
    s, k, t = place
    a = account.parts
    money = [
        (a.get("work", 0.0), "of work", "earns"),
        (a.get("commitment", 0.0), "towards the commitment", "earns"),
        (-a.get("systems", 0.0), "for the system less what it is worth at the end", "costs"),
        (-a.get("power", 0.0), "for power and buildings", "costs"),
        (-a.get("running", 0.0), "to run", "costs"),
        (-a.get("supply", 0.0), "of scarce supply", "costs"),
    ]
    told = {
        verb: ", ".join(
            f"{format_quantity(v, 'money')} {what}" for v, what, kind in money if kind == verb and v > 1e3
        )
        for verb in ("earns", "costs")
    }
    return (
        f"{p.quarters[t]}, {p.sites[s]}: {racks:,.0f} {p.systems[k]}. One rack there earns {told['earns'] or 'nothing'} in "
        f"today's money and takes {told['costs'] or 'nothing'}."
    )
