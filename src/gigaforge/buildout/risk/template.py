"""The programme compiled once, its numbers exchanged in place: what makes thousands of re-plans possible.

Stating the programme takes a second, solving it again from a near-by basis a tenth of one. Which entries of the matrix,
the objective and the right-hand side follow which figure is not written down a second time but learnt: the programme is
stated with figures changed, once everywhere alike and once differently in every place, and the differences tell slope
and place. One more statement with everything changed at once checks that this holds. Figures that never meet in one
entry are learnt together; where the check fails, each is learnt by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Final

import highspy
import numpy as np
from scipy import sparse

from gigaforge.buildout.labels import Index
from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.programme import PETA
from gigaforge.buildout.risk.compiled import Compiled, Reshaped, Stated, compiled
from gigaforge.errors import GigaforgeError

__all__ = ["EXCHANGEABLE", "Numbers", "Template"]

# Fields of a problem that enter linearly, or (supply) in one known place.
EXCHANGEABLE: Final = frozenset({
    "energised_w", "supply", "demand", "token_usd", "rack_price_usd", "facility_usd_per_w", "lease_usd_per_w",
    "cloud_usd_per_rack", "energy_usd_per_j", "point_tokens", "train_rate", "run_tokens",
})  # fmt: skip
_WITHOUT_EFFECT: Final = frozenset({"availability", "train_goodput", "products"})  # inside other fields already
# What a purse that cannot pay, a run that cannot finish and a binding milestone that is missed cost in the search: more
# than anything they could buy. They are reported, not counted as money.
_CASH_SHORT: Final = 20.0  # per dollar
_RUN_SHORT: Final = 500.0  # [billion dollars] a whole run
_MILESTONE_SHORT: Final = 200.0  # [billion dollars per GW]
_POWER_SHORT: Final = 500.0  # [billion dollars per GW and quarter]


@dataclass(frozen=True)
class Numbers:
    """One problem's figures in the template's places: non-zeros of the matrix column by column, and the rest."""

    data: Array
    cost: Array
    value: Array
    rhs: Array
    lower: Array
    upper: Array


@dataclass(frozen=True)
class _Slope:
    """How one part of `Numbers` follows an array of the problem: ``part[place] += slope * (new - old)[element]``."""

    part: str
    place: Index
    element: Index
    slope: Array


class Template:
    """A relaxed programme whose numbers can be exchanged.

    Parameters
    ----------
    problem : Problem
        The scenario as stated.
    exchanged : set of str
        Fields of `Problem` whose values will differ, of `EXCHANGEABLE`.
    restated : sequence of Stated
        Extremes of other figures than those fields: a problem that differs in them is stated anew in the template's places.

    Attributes
    ----------
    columns, rows : dict
        Name of a variable or constraint to its positions, shaped as declared; -1 where there is none.
    slack : list of (row, coefficient, cost)
        Columns after all others that make every re-plan possible, at a price.

    """

    def __init__(
        self,
        problem: Problem,
        exchanged: set[str] | frozenset[str] = EXCHANGEABLE,
        restated: Sequence[Stated] = (),
    ) -> None:
        self.problem, self.exchanged = problem, frozenset(exchanged)
        stated = Stated(problem)
        keep = stated.needed()
        for other in restated:
            keep = keep.with_those_of(other.needed())
        first = stated.on(keep)
        self.keep, self._also = keep, [other.on(keep) for other in restated]
        self.columns, self.rows = first.columns, first.constraints
        self.lower, self.upper, self.shape = first.lower, first.upper, first.matrix.shape
        self.less, self.more = first.sense == "<", first.sense == ">"
        self.slack = self._slacks()
        changed = sorted(self.exchanged - {"supply"})
        for groups in (_together(changed), [[f] for f in changed]):
            if self._learnt(first, groups):
                return
        raise GigaforgeError("the programme does not follow its figures linearly; please report it")

    def _learnt(self, first: Compiled, groups: list[list[str]]) -> bool:
        """Learn what follows what, a group of figures at a time; whether a check bears it out."""
        stated = [[compiled(p, first.keep) for p in _probe(self.problem, group)] for group in groups]
        # A place that is zero today and not tomorrow must exist: the pattern is that of all probes together.
        pattern = abs(first.matrix)
        for pair in stated:
            pattern = pattern + abs(pair[0].matrix)
        for other in self._also:
            pattern = pattern + abs(other.matrix)
        pattern = pattern.tocsc()
        pattern.sort_indices()
        self.starts, self.places = pattern.indptr.astype(np.int32), pattern.indices.astype(np.int32)
        self.base = self._numbers_of(first, pattern)
        self.slopes: dict[str, list[_Slope]] = {}
        for group, pair in zip(groups, stated, strict=True):
            self.slopes |= _learn(self.problem, group, self.base, *(self._numbers_of(c, pattern) for c in pair))
        return self._holds(first, pattern)

    @property
    def _pattern(self) -> Any:
        """The matrix's places, as ones."""
        return sparse.csc_array((np.ones(len(self.places)), self.places, self.starts), shape=self.shape)

    def _numbers_of(self, c: Compiled, pattern: Any) -> Numbers:
        """Figures on a pattern that holds all of the matrix's places."""
        tiny = 1e-300
        padded = (c.matrix + pattern * tiny).tocsc()  # the pattern's places, the matrix's values
        padded.sort_indices()
        data = np.where(np.abs(padded.data) < 1e-200, 0.0, padded.data)
        if len(data) != pattern.nnz:
            raise Reshaped
        return Numbers(data, c.cost, c.value, c.rhs, c.lower, c.upper)

    def _holds(self, first: Compiled, pattern: Any) -> bool:
        rng = np.random.default_rng(0)
        changed = {}
        for field in self.exchanged - {"supply"}:
            old = getattr(self.problem, field)
            changed[field] = old * rng.uniform(0.8, 1.25, old.shape)
        problem = replace(self.problem, **changed)
        truth, ours = self._numbers_of(compiled(problem, first.keep), pattern), self.numbers(problem)
        one = self.columns.get("one")  # carries a constant, of no consequence
        for part in ("data", "cost", "value", "rhs"):
            difference = np.abs(getattr(truth, part) - getattr(ours, part))
            if part == "cost" and one is not None:
                difference[one.ravel()] = 0.0
            if (difference > 1e-7 * np.maximum(np.abs(getattr(truth, part)), 1e-3)).any():
                return False
        return True

    def _slacks(self) -> list[tuple[int, float, float]]:
        rows = [(int(r), -1.0, -_CASH_SHORT) for r in self.rows["finance|cash"].ravel()]
        for r, run in enumerate(self.problem.runs):
            work = float(self.problem.run_tokens[r]) / PETA
            for name, found in self.rows.items():
                if name.startswith(f"training.{run}|") and name.split("|")[1] in ("work", f"spanned work {run}"):
                    rows.extend((int(i), 1.0, -_RUN_SHORT / work) for i in found.ravel() if i >= 0)
        for name, found in self.rows.items():
            if name.endswith("|milestone"):
                rows.extend((int(i), 1.0, -_MILESTONE_SHORT) for i in found.ravel() if i >= 0)
            elif name.endswith(".power|energised"):
                rows.extend((int(i), -1.0, -_POWER_SHORT) for i in found.ravel() if i >= 0)
        return rows

    # -- exchanging numbers --------------------------------------------------------------------------------------

    def fits(self, problem: Problem) -> bool:
        """Whether a problem differs from the template's in exchanged figures alone."""
        free = self.exchanged | _WITHOUT_EFFECT
        mine = self.problem
        return all(
            _same(getattr(problem, f.name), getattr(mine, f.name)) for f in fields(Problem) if f.name not in free
        )

    def numbers(self, problem: Problem) -> Numbers:
        """A problem's figures in the template's places."""
        theirs, ours = problem.scenario, self.problem.scenario
        if theirs is not ours and theirs != ours:
            return self._stated_anew(problem)
        out = Numbers(*(getattr(self.base, f.name).copy() for f in fields(Numbers)))
        for field, slopes in self.slopes.items():
            change = (getattr(problem, field) - getattr(self.problem, field)).ravel()
            if not change.any():
                continue
            for s in slopes:
                np.add.at(getattr(out, s.part), s.place, s.slope * change[s.element])
        if problem.supply is not self.problem.supply:
            for line, name in enumerate(self.problem.lines):
                rows = self.rows[f"platforms.{name}.supply|supply"].ravel()
                out.rhs[rows[rows >= 0]] = np.floor(problem.supply[line] / problem.scenario.block)[rows >= 0]
        return out

    def _stated_anew(self, problem: Problem) -> Numbers:
        try:
            return self._numbers_of(compiled(problem, self.keep), self._pattern)
        except Reshaped:
            raise GigaforgeError(
                "a figure between the ends of its distribution changes the form of the programme; narrow it, or compare "
                "scenarios with `gigaforge compare`"
            ) from None

    # -- solving -------------------------------------------------------------------------------------------------

    def pass_to(self, highs: Any, numbers: Numbers, lower: Array, upper: Array) -> None:
        """Give a solver the programme: the template's columns, then one slack a row of `slack`."""
        fixed, (count, extra), infinity = self._fixed, (self.shape[1], len(self.slack)), highspy.kHighsInf
        highs.passModel(
            count + extra,
            self.shape[0],
            len(fixed["index"]),
            int(highspy.MatrixFormat.kColwise),
            int(highspy.ObjSense.kMaximize),
            0.0,
            np.concatenate([numbers.cost, fixed["slack_cost"]]),
            np.concatenate([lower, np.zeros(extra)]),
            np.concatenate([upper, np.full(extra, infinity)]),
            np.where(self.less, -infinity, numbers.rhs),
            np.where(self.more, infinity, numbers.rhs),
            fixed["start"],
            fixed["index"],
            np.concatenate([numbers.data, fixed["slack_value"]]),
            fixed["kind"],
        )

    @cached_property
    def _fixed(self) -> dict[str, Any]:
        """What of the solver's input no numbers change."""
        rows, values, costs = (list(side) for side in zip(*self.slack, strict=True))
        more = self.starts[-1] + 1 + np.arange(len(rows), dtype=np.int32)
        return {
            "slack_cost": np.array(costs),
            "slack_value": np.array(values),
            "start": np.concatenate([self.starts, more]).astype(np.int32),
            "index": np.concatenate([self.places, rows]).astype(np.int32),
            "kind": np.zeros(self.shape[1] + len(rows), dtype=np.int32),  # all continuous
        }

    def unfinished(self, x: Array, run: int) -> float:
        """Work of a run that an answer leaves undone, as a share of the template's."""
        return float(x[self.shape[1] + self._work_slacks[run]].sum() / (self.problem.run_tokens[run] / PETA))

    @cached_property
    def _work_slacks(self) -> list[Index]:
        """Slacks of each run's work, as positions among the slacks."""
        rows = np.array([row for row, _, _ in self.slack])
        # Where a run may span two sites, one rule counts all of its work, wherever it is placed.
        kinds = [(f"training.{run}|spanned work {run}", f"training.{run}|work") for run in self.problem.runs]
        mine = [next(self.rows[k].ravel() for k in names if k in self.rows) for names in kinds]
        return [np.flatnonzero(np.isin(rows, found[found >= 0])).astype(np.int32) for found in mine]

    def choices(self, run: int) -> Index:
        """Columns that say where a run is: each site and system, then each pair of linked sites; -1 left out."""
        spanned = self.columns.get("spanned")
        pairs = [span for span in self.problem.spans if span.allowed]
        both = [spanned[i] for i, span in enumerate(pairs) if span.run == run] if spanned is not None else []
        found = np.concatenate([self.columns["chosen"][run].ravel(), *both])
        return np.asarray(found[found >= 0], dtype=np.int32)


def _steps(old: Array, field: str) -> Array:
    """A change of every element that leaves what is impossible (zero) so; power may come where there was none."""
    return np.full(old.shape, max(float(old.max(initial=0.0)), 1.0)) if field == "energised_w" else old


def _together(fields_: list[str]) -> list[list[str]]:
    """Groups of figures of which no two should meet in one entry: energy is paid beside rents and prices."""
    groups = [[f for f in fields_ if f != "energy_usd_per_j"], [f for f in fields_ if f == "energy_usd_per_j"]]
    return [g for g in groups if g]


def _probe(problem: Problem, group: list[str]) -> tuple[Problem, Problem]:
    """The group's figures changed everywhere alike, and by amounts that tell the element."""
    total = sum(getattr(problem, f).size for f in group)
    alike: dict[str, Any] = {}
    coded: dict[str, Any] = {}
    before = 0
    for field in group:
        old = getattr(problem, field)
        code = 1 + (before + np.arange(old.size).reshape(old.shape)) / (total + 1)
        step = _steps(old, field)
        alike[field], coded[field] = old + step, old + step * code
        before += old.size
    return replace(problem, **alike), replace(problem, **coded)


def _learn(
    problem: Problem, group: list[str], base: Numbers, alike: Numbers, coded: Numbers
) -> dict[str, list[_Slope]]:
    steps = [_steps(getattr(problem, f), f).ravel() for f in group]
    ends = np.cumsum([0, *(len(s) for s in steps)])
    step = np.concatenate(steps)
    out: dict[str, list[_Slope]] = {f: [] for f in group}
    for part in ("data", "cost", "value", "rhs"):
        before = getattr(base, part)
        one, two = getattr(alike, part) - before, getattr(coded, part) - before
        place = np.flatnonzero(np.abs(one) > 1e-12 * np.maximum(np.abs(before), 1e-3))
        element = np.rint((two[place] / one[place] - 1) * (step.size + 1)).astype(np.int64)
        inside = (element >= 0) & (element < step.size)
        place, element = place[inside], element[inside]
        slope = one[place] / np.where(step[element] == 0, 1.0, step[element])
        for field, start, end in zip(group, ends[:-1], ends[1:], strict=True):
            mine = (element >= start) & (element < end)
            if mine.any():
                where = (element[mine] - start).astype(np.int32)
                out[field].append(_Slope(part, place[mine].astype(np.int32), where, slope[mine]))
    return out


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)
