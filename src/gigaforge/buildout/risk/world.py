"""One possible world a sample: what turns out in each quarter, and what planners believe before they see it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from gigaforge.buildout.problem import Array, Problem, problem_from
from gigaforge.buildout.risk.distributions import Distribution, distribution
from gigaforge.buildout.risk.sampling import correlation_root, uniforms
from gigaforge.buildout.risk.targets import Target, match, target
from gigaforge.catalog import Catalog, load_catalog
from gigaforge.errors import InputError, did_you_mean
from gigaforge.scenario.uncertainty import Correlation, Risk, Uncertain
from gigaforge.scenario.vary import vary

__all__ = ["Variable", "Worlds", "check_statements"]

_BY_QUARTER = ("power", "supply", "price", "demand", "prices", "performance")


@dataclass(frozen=True)
class Variable:
    """One uncertain figure, or one draw common to several.

    Attributes
    ----------
    name : str
        Its path, with * where one draw stands for all.
    first : int
        Column of its first draw among all draws; a walk has one a year.
    count : int
        Its draws.

    """

    name: str
    stated: Uncertain
    distribution: Distribution
    targets: tuple[Target, ...]
    first: int
    count: int

    @cached_property
    def median(self) -> float:
        """What planners count on until they know better."""
        return self.distribution.median

    @property
    def delay(self) -> bool:
        """Whether its value is a shift in quarters."""
        return self.targets[0].delay

    @property
    def figure(self) -> bool:
        """Whether it moves the scenario itself."""
        return self.targets[0].figure


def check_statements(risk: Risk, where: str) -> None:
    """Refuse what is wrong in itself, before any work: distributions without support, correlations that cannot be.

    Of wildcards one figure stands for each: correlations that these few cannot have no more of them can.
    """
    for v in risk.variables:
        if v.shape != "calibration":
            distribution(v, where=where)
    names = [v.what for v in risk.variables]
    pairs = _Pairs(where)
    for c in risk.correlations:
        for what in c.between:
            if not any(_stands_for(name, what) for name in names):
                raise _stranger(what, names, where)
        one = [v for v in risk.variables if v.what == c.between[0]]
        if c.between[0] == c.between[1] and ("*" not in c.between[0] or any(v.common for v in one)):
            raise InputError(
                f"{c.between[0]} with itself {c.value:g}: a figure goes with itself entirely; name two figures, or one with * "
                "(without common: true) for each of a kind with the others",
                f"{where}: risk.correlations",
            )
        a, b = sorted(names.index(what) if what in names else -1 for what in c.between)
        if 0 <= a < b:
            pairs.add(a, b, c)
    correlation_root(names, pairs.values, where)


def _stands_for(name: str, what: str) -> bool:
    """Whether a variable is the figure, or has it among those of its kind."""
    before, star, after = name.partition("*")
    return name == what or bool(star and what.startswith(before) and what.endswith(after))


def _stranger(what: str, names: list[str], where: str) -> InputError:
    hint = did_you_mean(what, names)
    return InputError(
        f"{what!r} is not among the variables{hint} (they are {', '.join(names)})", f"{where}: risk.correlations"
    )


class _Pairs:
    """Correlations by pair of draws; two that say different things of one pair are refused."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.values: dict[tuple[int, int], float] = {}
        self._said: dict[tuple[int, int], Correlation] = {}

    def add(self, one: int, two: int, c: Correlation) -> None:
        """State one."""
        pair = min(one, two), max(one, two)
        before = self._said.setdefault(pair, c)
        if before.value != c.value:
            raise InputError(
                f"{' with '.join(before.between)} {before.value:g} contradicts {' with '.join(c.between)} {c.value:g}: "
                "keep one of the two",
                f"{self.where}: risk.correlations",
            )
        self.values[pair] = c.value


class Worlds:
    """All the worlds of a study: how uncertain figures are drawn, and what problem each draw makes.

    Parameters
    ----------
    problem : Problem
        The scenario as stated.
    risk : Risk
        Its uncertain figures.
    count : int
        Samples.
    seed : int
        Of the draws.
    where : str
        File, for messages.
    catalog : Catalog, optional
        For figures that move the scenario itself, whose problem is then made anew; default: the shipped one.

    Raises
    ------
    InputError
        A path that is no figure, a distribution without support, correlations that cannot be.

    """

    def __init__(
        self,
        problem: Problem,
        risk: Risk,
        count: int,
        seed: int,
        where: str = "risk",
        catalog: Catalog | None = None,
    ) -> None:
        self.problem, self.risk, self.seed, self.where, self.catalog = problem, risk, seed, where, catalog
        self.draws = uniforms(count, self._root(), seed)

    @cached_property
    def variables(self) -> list[Variable]:
        """Every uncertain figure, in the order stated."""
        out: list[Variable] = []
        column = 0
        taken: dict[str, str] = {}
        for v in self.risk.variables:
            paths = match(self.problem, v.what, self.where)
            for path in paths:
                if path in taken:
                    raise InputError(
                        f"{path} is in both {taken[path]!r} and {v.what!r}", f"{self.where}: risk.variables"
                    )
                taken[path] = v.what
            for group in [paths] if v.common else [[p] for p in paths]:
                made = self._variable(v, group, column)
                out.append(made)
                column += made.count
        return out

    def _variable(self, v: Uncertain, paths: list[str], column: int) -> Variable:
        targets = tuple(target(self.problem, p) for p in paths)
        if targets[0].delay and v.pattern != "constant":
            raise InputError(f"{v.what}: a delay happens once; pattern {v.pattern!r} is for factors", f"{self.where}: risk.variables")  # fmt: skip
        if targets[0].figure and v.pattern != "constant":
            raise InputError(
                f"{v.what}: pattern {v.pattern!r} is for figures by quarter ({', '.join(_BY_QUARTER)}); "
                "this one holds throughout: leave pattern out",
                f"{self.where}: risk.variables",
            )
        interval = _interval(self.problem, paths) if v.shape == "calibration" else None
        years = -(-len(self.problem.quarters) // 4)
        count = years if v.pattern == "walk" else 1
        return Variable(
            v.what if v.common else paths[0],
            v,
            distribution(v, interval=interval, where=self.where),
            targets,
            column,
            count,
        )

    def _root(self) -> Array:
        names: list[str] = []
        for v in self.variables:
            names += [v.name] * v.count
        pairs = _Pairs(self.where)
        for c in self.risk.correlations:
            sides = []
            for what in c.between:
                found = [v for v in self.variables if what in (v.name, v.stated.what)]
                if not found:
                    raise _stranger(what, [v.name for v in self.variables], self.where)
                sides.append(found)
            for a in sides[0]:
                for b in sides[1]:
                    for i in range(max(a.count, b.count)):
                        one, two = a.first + min(i, a.count - 1), b.first + min(i, b.count - 1)
                        if one != two and (a.count == b.count or i == 0):
                            pairs.add(one, two, c)
        return correlation_root(names, pairs.values, self.where)

    # -- what turns out, and what is believed ----------------------------------------------------------------------

    def values(self, index: int) -> dict[str, Array]:
        """Each variable's draws in one world, as values."""
        row = self.draws[index]
        return {v.name: v.distribution.quantile(row[v.first : v.first + v.count]) for v in self.variables}

    def tracks(self, index: int) -> list[Array]:
        """Each variable's truth by quarter: factors, or the delay. Shape (T,) each."""
        time = np.arange(len(self.problem.quarters))
        values = self.values(index)
        out: list[Array] = []
        for v in self.variables:
            drawn = values[v.name]
            if v.stated.pattern == "walk":
                out.append(np.asarray(np.cumprod(drawn)[time // 4], dtype=np.float64))
            elif v.stated.pattern == "ramp":
                out.append(np.asarray(drawn[0] ** ((time + 0.5) / len(time)), dtype=np.float64))
            else:
                out.append(np.full(len(time), drawn[0]))
        return out

    def beliefs(self, tracks: list[Array], now: int) -> list[Array]:
        """What planners think at the start of quarter `now`: the past as it was, the rest as far as it shows."""
        return [self._belief(v, track, now) for v, track in zip(self.variables, tracks, strict=True)]

    def _belief(self, v: Variable, truth: Array, now: int) -> Array:
        median = v.median
        time = np.arange(len(truth))
        first = min(t.first for t in v.targets)
        if v.stated.known == "start" or now > self._known(v, first):
            if v.stated.pattern == "constant":
                return truth
        elif v.delay:
            # It has not come yet, so it is at least as late as that.
            return np.full(len(truth), max(median, float(now - first + 1) if now > first else 0.0))
        if v.stated.known == "start":
            return truth
        if v.stated.pattern == "walk":
            level = truth[now - 1] if now else 1.0
            year = (now - 1) // 4 if now else -1
            ahead = level * median ** (time // 4 - year)
        elif v.stated.pattern == "ramp":
            ahead = np.full(len(truth), truth[now - 1]) if now else median ** ((time + 0.5) / len(time))
        else:
            ahead = np.full(len(truth), median)
        return np.where(time < now, truth, ahead)

    def _known(self, v: Variable, first: int) -> int:
        if v.stated.known in ("seen", "start"):
            return first
        assert not isinstance(v.stated.known, str)
        return v.stated.known - self.problem.quarters[0] - 1

    def problem_of(self, tracks: list[Array]) -> Problem:
        """The problem that these tracks make of the scenario's."""
        problem = self._restated(tracks)
        arrays = _Arrays(problem)
        for v, track in zip(self.variables, tracks, strict=True):
            for t in v.targets:
                t.apply(arrays, track)
        changed: dict[str, Any] = {k: a for k, a in arrays.items() if k not in _READ_ONLY}
        return replace(problem, **changed)

    def _restated(self, tracks: list[Array]) -> Problem:
        """The problem with the scenario's own figures varied; as it is where none differs."""
        scenario = self.problem.scenario
        for v, track in zip(self.variables, tracks, strict=True):
            amount = float(track[0])
            if v.figure and amount != (0.0 if v.delay else 1.0):
                for t in v.targets:
                    scenario = vary(scenario, t.path, amount)
        if scenario is self.problem.scenario:
            return self.problem
        points = [*self.problem.points, *self.problem.training_points]
        made = problem_from(scenario, self.catalog or load_catalog(), points)
        return replace(made, past=self.problem.past)

    def extremes(self) -> list[tuple[Variable, Problem]]:
        """The problem with each figure of the scenario at the ends of its distribution, all else as stated."""
        out = []
        still = [np.full(len(self.problem.quarters), 0.0 if v.delay else 1.0) for v in self.variables]
        for i, v in enumerate(self.variables):
            for value in v.distribution.quantile(np.array([0.001, 0.999])) if v.figure else ():
                moved = [*still[:i], np.full_like(still[i], value), *still[i + 1 :]]
                out.append((v, self._restated(moved)))
        return out

    @cached_property
    def touched(self) -> set[str]:
        """Fields of the problem that some variable changes."""
        out: set[str] = set()
        for v in self.variables:
            for t in v.targets:
                arrays = _Arrays(self.problem)
                t.apply(arrays, np.full(len(self.problem.quarters), 3.0 if t.delay else 1.5))
                out |= {k for k in arrays if k not in _READ_ONLY}
        return out

    def __getstate__(self) -> dict[str, Any]:
        kept = {k: v for k, v in self.__dict__.items() if k not in ("variables", "touched")}
        return kept if any(v.figure for v in self.variables) else {**kept, "catalog": None}


_READ_ONLY = ("point_system", "train_system")


class _Arrays(dict[str, Array]):
    """Copies of a problem's arrays, made when first asked for."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self._problem, self._names = problem, {f.name for f in fields(Problem)}

    def __missing__(self, name: str) -> Array:
        self[name] = getattr(self._problem, name).copy()
        return self[name]


def _interval(problem: Problem, paths: list[str]) -> tuple[float, float]:
    """Median 80 % interval of the operating points that a performance path stands for."""
    if not paths[0].startswith("performance"):
        return (0.0, 0.0)
    name = paths[0].partition(".")[2]
    points = [*problem.points, *problem.training_points]
    mine = [p for p in points if name in ("", p.kind, p.workload, p.system)]
    return float(np.median([p.low for p in mine])), float(np.median([p.high for p in mine]))
