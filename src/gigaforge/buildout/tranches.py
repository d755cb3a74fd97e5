"""When each tranche of the investment is due, by its terms, and what a tranche that never comes lacks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.problem import Array, Problem
from gigaforge.scenario.commitment import Condition, Investment
from gigaforge.units import format_at_most, format_quantity

__all__ = ["counted_w", "due_tranches", "unmet_terms"]


def counted_w(p: Problem, deployed_w: Array) -> Array:
    """Power that counts for tranches: deployed, or accepted some quarters after [W]. Shape (T,)."""
    investment = p.scenario.investment
    lag = investment.acceptance_lag if investment else 0
    return np.concatenate([np.zeros(min(lag, len(deployed_w))), deployed_w[: max(len(deployed_w) - lag, 0)]])


def _earliest(p: Problem, delivered_usd: Array, run_end: dict[str, int | None]) -> NDArray[np.int_]:
    """First quarter that each tranche's conditions allow; the number of quarters where none does. Shape (N,)."""
    investment = p.scenario.investment
    out = np.zeros(p.tranche_count, dtype=int)
    for condition in investment.conditions if investment else []:
        first = _holds_from(p, condition, delivered_usd, run_end)
        out[condition.tranche - 1 :] = np.maximum(out[condition.tranche - 1 :], first)
    return out


def _holds_from(p: Problem, condition: Condition, delivered_usd: Array, run_end: dict[str, int | None]) -> int:
    """First quarter in which a condition holds; the number of quarters where it never does."""
    count = len(p.quarters)
    if condition.not_before is not None:
        return max(condition.not_before - p.quarters[0], 0)
    if condition.purchases is not None:
        enough = np.flatnonzero(delivered_usd >= condition.purchases * (1 - 1e-9))
        return int(enough[0]) if len(enough) else count
    end = run_end.get(condition.run or "")
    return count if end is None else end


def due_tranches(
    p: Problem, deployed_w: Array, delivered_usd: Array, run_end: dict[str, int | None]
) -> NDArray[np.int_]:
    """Tranches released by the end of each quarter: power reached, conditions met, before the long stop. Shape (T,).

    Parameters
    ----------
    p : Problem
        Thresholds and terms.
    deployed_w : (T,) array
        Power on the commitment's basis [W].
    delivered_usd : (T,) array
        Value of systems delivered so far [USD].
    run_end : dict
        Training run to the quarter in which it ends, at the earliest that it is due.

    """
    count, investment = len(p.quarters), p.scenario.investment
    out = np.zeros(count, dtype=int)
    if not p.tranche_count or investment is None:
        return out
    counted, earliest = counted_w(p, deployed_w), _earliest(p, delivered_usd, run_end)
    stop = count if investment.long_stop is None else investment.long_stop - p.quarters[0] + 1
    released = 0  # a tranche never overtakes the one before it
    for number, threshold in enumerate(p.tranche_thresholds_w):
        reached = np.flatnonzero(counted >= threshold * (1 - 1e-9))
        if not len(reached):
            break
        released = max(released, int(reached[0]), int(earliest[number]))
        if released >= min(stop, count):
            break
        out[released:] = number + 1
    return out


def unmet_terms(
    p: Problem, deployed_w: Array, delivered_usd: Array, run_end: dict[str, int | None], released: int
) -> list[str]:
    """What each tranche lacks, in words; empty for the first `released` ones. Parameters otherwise as `due_tranches`.

    Terms that come true after the long stop are named with both dates; a tranche whose own terms are met waits for the
    one before it.
    """
    investment = p.scenario.investment
    if investment is None:
        return []
    out = [""] * min(released, p.tranche_count)
    for number in range(len(out) + 1, p.tranche_count + 1):
        terms = [_power_term(p, investment, deployed_w, float(p.tranche_thresholds_w[number - 1]))]
        conditions = [c for c in investment.conditions if c.tranche <= number]
        terms += [_condition_term(p, c, delivered_usd, run_end) for c in conditions]
        lacking = _lacking(p, investment, terms)
        out.append(lacking or f"its own terms are met, but it waits for tranche {number - 1}")
    return out


_Term = tuple[int, str, str]
"""Quarter in which a term holds (their number where never); in words that it does, and what it lacks."""


def _lacking(p: Problem, investment: Investment, terms: list[_Term]) -> str:
    count = len(p.quarters)
    never = [words for when, _, words in terms if when >= count]
    if never:
        return "; ".join(never)
    stop = investment.long_stop
    late = [words for when, words, _ in terms if stop is not None and p.quarters[0] + when > stop]
    return f"{'; '.join(late)}, after the long stop of {stop}" if late else ""


def _power_term(p: Problem, investment: Investment, deployed_w: Array, threshold_w: float) -> _Term:
    count, lag, asked = len(p.quarters), investment.acceptance_lag, format_quantity(threshold_w, "power")
    hits = np.flatnonzero(deployed_w >= threshold_w * (1 - 1e-9))
    if not len(hits):
        stands = format_at_most(float(deployed_w.max(initial=0.0)), "power")
        return count, "", f"{asked} must be {investment.counts}, and {stands} are deployed by {p.quarters[-1]}"
    deployed = int(hits[0])
    when = deployed + lag
    if investment.counts == "deployed":
        return when, f"{asked} are deployed in {p.quarters[deployed]}", ""
    said = f"{asked} are deployed in {p.quarters[deployed]} and accepted in {p.quarters[0] + when}"
    return when, said, f"{said}, beyond the horizon's end, {p.quarters[-1]}"


def _condition_term(p: Problem, condition: Condition, delivered_usd: Array, run_end: dict[str, int | None]) -> _Term:
    when, last = _holds_from(p, condition, delivered_usd, run_end), p.quarters[-1]
    if condition.not_before is not None:
        said = f"nothing is released before {condition.not_before}"
        return when, said, f"{said}, beyond the horizon's end, {last}"
    if condition.purchases is not None:
        asked = f"systems worth {format_quantity(condition.purchases, 'money')}"
        has = format_quantity(float(delivered_usd[-1]), "money")
        said = f"{asked} are delivered by {p.quarters[0] + when}"
        return when, said, f"{asked} must be delivered, and {has} are by {last}"
    said = f"the run {condition.run} ends in {p.quarters[0] + when}"
    return when, said, f"the run {condition.run} must have ended, which it has not by {last}"
