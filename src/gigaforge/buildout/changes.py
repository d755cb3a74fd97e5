"""Small changes of a scenario as changes of its programme: a megawatt, a rack, a dollar, a token, faster or thriftier platforms.

Quarters that are over cannot change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from scipy import sparse

from gigaforge.buildout.problem import Array
from gigaforge.buildout.programme import GW, PETA, USD
from gigaforge.buildout.slopes import Change, Slopes

__all__ = ["Changes"]

_LESS: Final = 0.01
"""Of all watts, and"""
_LIGHTER_W: Final = 100.0
"""of each rack's: steps by which a changed programme is stated. Its coefficients are linear in watts, so any would do."""


class Changes:
    """Changes of one relaxed programme, each per unit.

    Parameters
    ----------
    slopes : Slopes
        That they are put to.

    """

    def __init__(self, slopes: Slopes) -> None:
        self._slopes, self._p, self._base = slopes, slopes.problem, slopes.base
        self._ahead = np.arange(len(self._p.quarters)) >= self._p.quarters_over

    def power(self, site: str, since: int = 0) -> Change:
        """One MW more of grid power in every quarter from `since` on in which the site has any."""
        live = (self._p.energised_w[self._p.sites.index(site)] > 0) & self._ahead
        live[:since] = False
        return self._limit(f"sites.{site}.power|energised", 1e6 / GW * live)

    def supply(self, line: str, only: int | None = None) -> Change:
        """One rack more in every quarter of a line's supply, or in one quarter."""
        live = (self._p.supply[self._p.lines.index(line)] > 0) & self._ahead
        if only is not None:
            live = np.arange(len(live)) == only
        return self._limit(f"platforms.{line}.supply|supply", live / self._p.scenario.block)

    def energised(self, site: str, quarter: int) -> Change:
        """One MW more of grid power in one quarter alone."""
        return self._limit(f"sites.{site}.power|energised", 1e6 / GW * (np.arange(len(self._ahead)) == quarter))

    def cash(self, quarter: int = 0) -> Change:
        """A million dollars more in a quarter."""
        return self._limit("finance|cash", 1e6 / USD * (np.arange(len(self._ahead)) == quarter))

    def demand(self, workload: str, tokens: Array) -> Change:
        """So many more output tokens of demand; what is not served of them is priced as all that is not. Shape (quarter,)."""
        p, w = self._p, self._p.workloads.index(workload)
        price = np.array([s.shortfall_penalty for s in p.scenario.serving])
        all_of_it = float((price[:, None] * p.demand * p.discount).sum())
        cost = np.zeros(len(self._base.cost))
        if all_of_it:  # one column carries the price of all demand
            one = self._base.columns["one"].ravel()
            cost[one] = self._base.cost[one] * price[w] * float((tokens * p.discount).sum()) / all_of_it
        return Change(self._limit(f"serving.{workload}.demand|demand", tokens / PETA).rhs, cost)

    def tokens(self, system: str, shares: Mapping[str, float] | None = None) -> Change:
        """1 % more tokens of all points of a system at the same power; with `shares`, so many times that by work."""
        p, k = self._p, self._p.systems.index(system)
        factor = np.zeros(len(self._base.cost))
        for w, work in enumerate(p.workloads):
            self._mark(factor, "serve", 1, (p.point_system == k) & (p.point_workload == w), shares, work)
        for r, run in enumerate(p.runs):
            self._mark(factor, "train", 0, (p.train_system == k) & (p.train_run == r), shares, run)
        rows = [f"|serve {w}" for w in p.workloads] + [
            name for r in p.runs for name in (f"training.{r}|work", f"training.{r}|spanned work {r}")
        ]
        return self._scaled(rows, 0.01 * factor)

    def counted(self, system: str) -> Change:
        """1 % more power that each rack of a system counts towards the commitment."""
        return self._scaled(["|deployed"], 0.01 * self._of_system(["added"], system))

    def watts(self, system: str) -> Change:
        """1 % less power held and burnt by a system's racks: nameplate, caps and draw alike; what they count stays."""
        return self._part(self._thriftier, 0.01 / _LESS * self._of_system(["online", "serve", "train"], system))

    def drawn(self, system: str) -> Change:
        """One W less held and burnt by each rack of a system, whatever it does; what it counts stays."""
        return self._part(self._lighter, self._of_system(["online"], system) / _LIGHTER_W)

    @cached_property
    def _thriftier(self) -> Change:
        """All systems with all their watts a hundredth less."""
        p, f = self._p, 1 - _LESS
        held = {n: getattr(p, n) * f for n in ("rack_it_w", "point_held_w", "train_held_w")}
        burnt = {n: getattr(p, n) * f for n in ("rack_idle_w", "point_power_w", "train_power_w")}
        return self._slopes.difference(replace(p, **held, **burnt))

    @cached_property
    def _lighter(self) -> Change:
        """All racks with some watts less, idle or at work."""
        watts = ("rack_it_w", "rack_idle_w", "point_held_w", "point_power_w", "train_held_w", "train_power_w")
        return self._slopes.difference(replace(self._p, **{n: getattr(self._p, n) - _LIGHTER_W for n in watts}))

    def _limit(self, rule: str, more: Array) -> Change:
        """More of a rule's right-hand side. Shape (quarter,)."""
        rhs = np.zeros(len(self._base.rhs))
        if rule in self._base.constraints:
            rows = self._base.constraints[rule].ravel()
            kept = rows >= 0
            rhs[rows[kept]] = np.asarray(more, dtype=float)[kept]
        return Change(rhs)

    def _mark(
        self, factor: Array, variable: str, axis: int, mine: Any, shares: Mapping[str, float] | None, work: str
    ) -> None:
        """Note by column how many times 1 % its yield changes."""
        columns = np.compress(mine, self._base.columns[variable], axis=axis)
        factor[columns[columns >= 0]] = 1.0 if shares is None else shares.get(work, 0.0)

    def _of_system(self, variables: Iterable[str], system: str) -> Array:
        """Ones at a system's columns of variables."""
        p, k, out = self._p, self._p.systems.index(system), np.zeros(len(self._base.cost))
        chosen = {"serve": (1, p.point_system == k), "train": (0, p.train_system == k)}
        for name in variables:
            if name in self._base.columns:
                axis, mine = chosen.get(name, (1, np.arange(len(p.systems)) == k))
                columns = np.compress(mine, self._base.columns[name], axis=axis)
                out[columns[columns >= 0]] = 1.0
        return out

    def _scaled(self, rules: Iterable[str], factor: Array) -> Change:
        """Coefficients of columns times a factor added in some rules."""
        rows = np.zeros(len(self._base.rhs))
        for rule in rules:
            if rule in self._base.constraints:
                places = self._base.constraints[rule].ravel()
                rows[places[places >= 0]] = 1.0
        return Change(matrix=(sparse.diags_array(rows) @ self._base.matrix @ sparse.diags_array(factor)).tocsc())

    def _part(self, change: Change, factor: Array) -> Change:
        """A change of coefficients, each column's times a factor."""
        assert change.cost is not None
        return Change(None, change.cost * factor, (change.matrix @ sparse.diags_array(factor)).tocsc())
