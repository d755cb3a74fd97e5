"""What to commit now that is good in most futures: a two-stage stochastic programme, and what it is worth.

First stage: orders of systems, by site, until the plan after the next is made. Second stage, in each future: what
arrives of them, what is cancelled at the loss of the deposit, and everything later. The value of the stochastic solution
and the expected value of perfect information are those of Birge and Louveaux, Introduction to Stochastic Programming,
chapter 4. Racks are divisible here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
from scipy import sparse

from gigaforge.buildout.highs import quiet_highs, run_highs
from gigaforge.buildout.problem import Array
from gigaforge.buildout.programme import USD
from gigaforge.buildout.risk.policy import Policy
from gigaforge.buildout.risk.relaxed import Replan
from gigaforge.buildout.risk.template import Numbers
from gigaforge.errors import GigaforgeError
from gigaforge.units import format_quantity

__all__ = ["TwoStage", "two_stage"]


@dataclass(frozen=True)
class TwoStage:
    """What committing with many futures in mind is worth.

    Attributes
    ----------
    futures : int
        How many were planned for at once, of equal weight.
    here_and_now_usd, middle_usd, wait_and_see_usd : float
        Mean objective over the futures: with the orders that are best over all of them, with those that are best for the
        middle future, and with orders that know each future [USD].
    orders, middle_orders : array
        Racks ordered now, divisible; shape (S, K, committed quarters).
    quarters : list of str
        Quarters of delivery that are ordered now.
    block : int
        Racks in a block, as systems are really bought.

    """

    futures: int
    here_and_now_usd: float
    middle_usd: float
    wait_and_see_usd: float
    orders: Array
    middle_orders: Array
    quarters: list[str]
    block: int = 1

    @property
    def stochastic_value_usd(self) -> float:
        """Value of the stochastic solution: what planning for all futures adds to planning for the middle one [USD]."""
        return self.here_and_now_usd - self.middle_usd

    @property
    def information_value_usd(self) -> float:
        """Expected value of perfect information [USD]."""
        return self.wait_and_see_usd - self.here_and_now_usd

    def sentences(self, systems: list[str]) -> list[str]:
        """The result in words, systems as people write them."""
        before, after = self.middle_orders.sum(axis=(0, 2)), self.orders.sum(axis=(0, 2))
        worth = (
            f"Orders that are good in {self.futures} futures at once are worth "
            f"{format_quantity(self.stochastic_value_usd, 'money')} more on average than those best for the middle future "
            f"(the value of the stochastic solution); knowing the future would be worth "
            f"{format_quantity(self.information_value_usd, 'money')} more."
        )
        out = [worth]
        for k, system in enumerate(systems):
            if max(before[k], after[k]) < 0.5:
                continue
            change = after[k] - before[k]
            against = f"{abs(change):,.0f} {'more' if change > 0 else 'fewer'} than" if abs(change) >= 0.5 else "as"
            arriving = self.orders[:, k].sum(axis=0)
            when = [f"{n:,.0f} in {q}" for n, q in zip(arriving, self.quarters, strict=True) if n >= 0.5]
            dated = f", to come {', '.join(when)}" if when else ""
            out.append(f"Order {after[k]:,.0f} {system} now{dated}: {against} for the middle future alone.")
        blocks = f"; order the nearest whole blocks of {self.block}" if self.block > 1 else ""
        return [*out, f"Racks are divisible here, as in the worth of the orders{blocks}."] if out[1:] else out

    def to_dict(self, systems: list[str], labels: list[str]) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "futures": self.futures,
            "here_and_now_usd": self.here_and_now_usd,
            "middle_usd": self.middle_usd,
            "wait_and_see_usd": self.wait_and_see_usd,
            "stochastic_value_usd": self.stochastic_value_usd,
            "information_value_usd": self.information_value_usd,
            "orders": _by_system(systems, self.orders),
            "middle_orders": _by_system(systems, self.middle_orders),
            "block": self.block,
            "sentences": self.sentences(labels),
        }


def _by_system(systems: list[str], orders: Array) -> dict[str, float]:
    """Racks, to a tenth of one: the interior-point method leaves dust."""
    return dict(zip(systems, (np.round(orders.sum(axis=(0, 2)), 1) + 0.0).tolist(), strict=True))


@dataclass(frozen=True)
class _Future:
    """One future as a programme of its own with orders given: rows, then one for each order, then supply that fails."""

    matrix: Any
    cost: Array
    lower: Array
    upper: Array
    row_lower: Array
    row_upper: Array
    orders: Any  # rows of the orders


def two_stage(policy: Policy, futures: int = 8, watch: Callable[[str, int, int], None] | None = None) -> TwoStage:
    """Plan orders for the first futures of a study at once.

    Parameters
    ----------
    policy : Policy
        Prepared; its first plan is the one for the middle future.
    futures : int
        2 to 64; the programme grows with them.
    watch : callable (what, done, all), optional
        Told how far it is.

    """
    worlds, template = policy.worlds, policy.template
    futures = min(futures, len(worlds.draws))
    step = policy.step + (1 if worlds.problem.scenario.finance.deposit > 0 else 0)
    window = template.columns["add"][..., :step]
    there = window >= 0
    columns = window[there]
    tracks = [worlds.tracks(i) for i in range(futures)]
    numbers = [template.numbers(worlds.problem_of(t)) for t in tracks]
    tell = watch or (lambda *_: None)
    wait = []
    for i, n in enumerate(numbers):
        tell("two stages: each future by itself", i, futures)
        wait.append(_worth(template, n, policy))
    known = worlds.problem_of(worlds.beliefs(tracks[0], 0))
    made = [
        _future(policy, n, worlds.problem_of(t), known.supply, columns, there)
        for n, t in zip(numbers, tracks, strict=True)
    ]
    middle_all = policy.first.wanted if policy.first else np.zeros(template.columns["add"].shape)
    middle = middle_all[..., :step][there]
    tell("two stages: all futures at once", 0, 0)
    best = _orders(made, _limits(policy, known.supply, there), len(columns))
    values = []
    for number, y in enumerate((best, middle)):
        worth = []
        for i, f in enumerate(made):
            tell("two stages: what the orders are worth", number * futures + i, 2 * futures)
            worth.append(_evaluate(f, y))
        values.append(float(np.mean(worth)))
    block, shape = worlds.problem.scenario.block, window.shape

    def racks(y: Array) -> Array:
        out = np.zeros(shape)
        out[there] = y * block
        return out

    return TwoStage(
        futures,
        max(values)
        * USD,  # the programme over all futures is solved to a tolerance; the middle's orders are among its choices
        values[1] * USD,
        max(float(np.mean(wait)), *values) * USD,
        racks(best if values[0] >= values[1] else middle),
        racks(middle),
        [str(q) for q in worlds.problem.quarters[: shape[2]]],
        block,
    )


def _worth(template: Any, numbers: Numbers, policy: Policy) -> float:
    x = Replan(template, numbers, numbers.lower, numbers.upper, policy.basis).best()
    count = template.shape[1]
    return float(numbers.cost @ x[:count] + np.array([c for _, _, c in template.slack]) @ x[count:])


def _future(policy: Policy, n: Numbers, truth: Any, believed: Array, columns: Any, there: Any) -> _Future:
    """Orders = what arrives + what the supplier fails to deliver (free) + what is cancelled (the deposit is lost)."""
    t, count = policy.template, len(columns)
    rows, size = t.shape
    body = sparse.csc_array((n.data, t.places, t.starts), shape=t.shape)
    slack = sparse.csc_array(
        ([v for _, v, _ in t.slack], ([r for r, _, _ in t.slack], range(len(t.slack)))), shape=(rows, len(t.slack))
    )
    link = sparse.csc_array((np.ones(count), (np.arange(count), columns)), shape=(count, size))
    _, k, q = np.nonzero(there)
    line = truth.line_of[k]
    pairs, which = np.unique(line * there.shape[2] + q, return_inverse=True)
    failing = sparse.csc_array((np.ones(count), (which, np.arange(count))), shape=(len(pairs), count))
    short = np.maximum(believed - truth.supply, 0.0) / truth.scenario.block
    failed = short[pairs // there.shape[2], pairs % there.shape[2]]
    one = sparse.eye_array(count, format="csc")
    matrix = sparse.block_array(
        [[body, slack, None, None], [link, None, one, one], [None, None, failing, None]], format="csc"
    )
    s, _, _ = np.nonzero(there)
    own = np.array([tenure != "cloud" for tenure in truth.tenures], dtype=float)[s]
    price = truth.rack_price_usd[k, q] * truth.scenario.block / USD * truth.discount[q]
    fee = truth.scenario.finance.deposit * price * own + 1e-6
    infinity = highspy.kHighsInf
    free = np.full(count, infinity)
    lower = np.concatenate([n.lower, np.zeros(len(t.slack) + 2 * count)])
    upper = np.concatenate([n.upper, np.full(len(t.slack), infinity), free, free])
    cost = np.concatenate([n.cost, [c for _, _, c in t.slack], np.zeros(count), -fee])
    row_lower = np.concatenate([np.where(t.less, -infinity, n.rhs), np.zeros(count), np.full(len(pairs), -infinity)])
    row_upper = np.concatenate([np.where(t.more, infinity, n.rhs), np.zeros(count), failed])
    return _Future(matrix, cost, lower, upper, row_lower, row_upper, slice(rows, rows + count))


def _limits(policy: Policy, supply: Array, there: Any) -> tuple[Any, Array]:
    """Orders of a line in a quarter stay within what it is believed to supply: rows over orders, and their limits."""
    p = policy.worlds.problem
    _, k, q = np.nonzero(there)
    pairs, which = np.unique(p.line_of[k] * there.shape[2] + q, return_inverse=True)
    rows = sparse.csc_array((np.ones(len(k)), (which, np.arange(len(k)))), shape=(len(pairs), len(k)))
    return rows, np.floor(supply[pairs // there.shape[2], pairs % there.shape[2]] / p.scenario.block)


def _orders(futures: list[_Future], limits: tuple[Any, Array], count: int) -> Array:
    """The orders that are best on average: all futures in one programme, by the interior-point method."""
    weight = 1.0 / len(futures)
    blocks: list[list[Any]] = []
    for i, f in enumerate(futures):
        taken = sparse.csc_array(
            (-np.ones(count), (np.arange(f.orders.start, f.orders.stop), np.arange(count))),
            shape=(f.matrix.shape[0], count),
        )
        blocks.append([taken, *[f.matrix if j == i else None for j in range(len(futures))]])
    blocks.append([limits[0], *[None] * len(futures)])
    infinity = highspy.kHighsInf
    x = _solve(
        sparse.block_array(blocks, format="csc"),
        np.concatenate([np.zeros(count), *[f.cost * weight for f in futures]]),
        np.concatenate([np.zeros(count), *[f.lower for f in futures]]),
        np.concatenate([np.full(count, infinity), *[f.upper for f in futures]]),
        np.concatenate([*[f.row_lower for f in futures], np.full(len(limits[1]), -infinity)]),
        np.concatenate([*[f.row_upper for f in futures], limits[1]]),
        method="ipm",
    )[0]
    return np.maximum(x[:count], 0.0)


def _evaluate(future: _Future, orders: Array) -> float:
    """Objective of one future with orders given."""
    row_lower, row_upper = future.row_lower.copy(), future.row_upper.copy()
    row_lower[future.orders] = row_upper[future.orders] = orders
    return _solve(future.matrix, future.cost, future.lower, future.upper, row_lower, row_upper, method="choose")[1]


def _solve(
    matrix: Any, cost: Array, lower: Array, upper: Array, row_lower: Array, row_upper: Array, *, method: str
) -> tuple[Array, float]:
    lp = highspy.HighsLp()
    lp.num_row_, lp.num_col_ = matrix.shape
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = cost, lower, upper
    lp.row_lower_, lp.row_upper_ = row_lower, row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
    lp.sense_ = highspy.ObjSense.kMaximize
    highs = quiet_highs()
    for option, setting in (("output_flag", False), ("threads", 1), ("solver", method), ("random_seed", 0)):
        highs.setOptionValue(option, setting)
    if method == "ipm":
        highs.setOptionValue("run_crossover", "off")  # orders and their worth are evaluated exactly afterwards
    highs.passModel(lp)
    run_highs(highs)
    if highs.getModelStatus() not in (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kUnknown):
        raise GigaforgeError(
            f"the two-stage programme was not solved ({highs.modelStatusToString(highs.getModelStatus())})"
        )
    return np.asarray(highs.getSolution().col_value), float(highs.getInfo().objective_function_value)
