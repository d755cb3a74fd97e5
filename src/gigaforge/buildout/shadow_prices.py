"""Shadow prices of a plan: what one more unit of each scarce thing would really add to its relaxation.

A dual says so only where it is the one that is right; where several are, the relaxed plan is asked (`gigaforge.buildout.slopes`).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from gigaforge.buildout.changes import Changes
from gigaforge.buildout.problem import Array
from gigaforge.buildout.programme import USD, Programme
from gigaforge.buildout.slopes import Change, Slopes
from gigaforge.buildout.solver import Relaxation, SolverOptions

__all__ = ["shadow_prices"]

_NEAR: Final = 0.1
"""Of a MW, a rack, a million dollars: what is gone for a derivative,"""
_DEMAND: Final = 1e-4
"""and of a quarter's demand."""


def shadow_prices(
    programme: Programme, relaxation: Relaxation, options: SolverOptions | None = None
) -> dict[str, Any]:
    """What one more unit of each scarce thing would add to the plan's value today.

    From the relaxed programme (racks divisible), in present-value dollars.

    Returns
    -------
    dict
        ``power``: site -> USD by quarter that one more MW of grid power adds by being energised from that quarter on and not
        from the next one on: what is once leased or built is paid for to the end, so a MW of one quarter alone has no worth that
        could be added up. The sum from a quarter on is what a MW more from then on adds. ``supply``: line -> USD per system;
        ``cash``: USD today that an extra USD in the quarter would let the plan do (0 while cash is not scarce; what it
        would earn lying idle is not counted); ``demand``: workload -> USD per output token of demand, less than nothing
        where more of it could only be left unserved at its price.

    """
    return _Asked(programme, relaxation, options).prices()


class _Asked:
    """A relaxation that is asked only what its duals leave open: nothing adds more than any right dual says."""

    def __init__(self, programme: Programme, relaxation: Relaxation, options: SolverOptions | None) -> None:
        self.p, self.relaxation = programme.problem, relaxation
        self.slopes = Slopes(self.p, programme, relaxation, options)
        self.changes = Changes(self.slopes)
        self.unit = USD if self.p.scenario.objective in ("npv", "cost") else 1.0
        self.over = self.p.quarters_over

    def prices(self) -> dict[str, Any]:
        """All of them."""
        p = self.p
        return {
            "power": {s: self._power(s).tolist() for s in p.sites},
            "supply": {n: self._supply(n).tolist() for n in p.lines},
            "cash": self._cash().tolist(),
            "demand": {w: self._demand(w).tolist() for w in p.workloads},
        }

    def _dual(self, rule: str) -> Array:
        dual = self.relaxation.duals.get(rule)
        count = len(self.p.quarters)
        return np.zeros(count) if dual is None else np.abs(np.asarray(dual.values, dtype=float)).reshape(-1)

    def _priced(self, dual: Array) -> list[int]:
        """Quarters to come in which a unit more may add something."""
        return [int(t) for t in np.flatnonzero(dual > 1e-12) if t >= self.over]

    def _adds(self, change: Change, units: float = _NEAR) -> float:
        return max(self.slopes.more(change, units), 0.0) * self.unit

    def _supply(self, line: str) -> Array:
        """A rack more in each quarter alone."""
        out = np.zeros(len(self.p.quarters))
        for t in self._priced(self._dual(f"platforms.{line}.supply|supply")):
            out[t] = self._adds(self.changes.supply(line, t))
        return out

    def _power(self, site: str) -> Array:
        """What a MW more adds by coming in each quarter and not in the next."""
        count = len(self.p.quarters)
        dual = self._dual(f"sites.{site}.power|energised")
        most = np.cumsum(dual[::-1])[::-1]  # no less than what a MW from each quarter on adds
        since = np.zeros(count + 1)
        known = {count: 0.0}

        def ask(t: int) -> float:
            if t not in known:
                known[t] = self._adds(self.changes.power(site, t)) if most[t] > 1e-12 else 0.0
            return known[t]

        # The later it comes the less it adds: where both ends of a span add the same, so does all between.
        spans = [(self.over, count)]
        while spans:
            first, last = spans.pop()
            a, b = ask(first), ask(last)
            since[first], since[last] = a, b
            if last - first > 1:
                if abs(a - b) <= 1e-9 * max(abs(a), 1.0):
                    since[first:last] = a
                else:
                    middle = (first + last) // 2
                    spans += [(first, middle), (middle, last)]
        return np.maximum(since[:-1] - since[1:], 0.0) * (np.arange(count) >= self.over)

    def _cash(self) -> Array:
        """A dollar beyond its own worth."""
        # An empty purse is a bound of cash: what it costs in a quarter, a dollar more in any earlier one would have saved.
        bound = self.relaxation.reduced.get("cash")
        purse = self._dual("finance|cash")
        if bound is not None:
            purse = np.cumsum(np.abs(np.asarray(bound.values, dtype=float)).reshape(-1)[::-1])[::-1]
        for t in self._priced(purse):
            purse[t] = min(purse[t], self._adds(self.changes.cash(t)) / self.unit * USD / 1e6)
        return np.asarray(purse * self.unit / USD)

    def _demand(self, workload: str) -> Array:
        """A token more of demand in each quarter: what serving it adds, less the price of leaving it unserved."""
        step = _DEMAND * self.p.demand[self.p.workloads.index(workload)]
        out, priced = np.zeros(len(step)), self._priced(self._dual(f"serving.{workload}.demand|demand"))
        for t in np.flatnonzero(step > 0):
            change = self.changes.demand(workload, step * (np.arange(len(step)) == t))
            unserved = 0.0 if change.cost is None else float(change.cost.sum()) * self.unit
            served = self._adds(Change(change.rhs), 1.0) if t in priced else 0.0
            out[t] = (served + unserved) / step[t] if t >= self.over else 0.0
        return out
