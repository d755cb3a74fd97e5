"""How good a design is for a mix of work: dollars and joules for the whole mix, at given prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigaforge.codesign.hardware.cost import Costs, cost
from gigaforge.codesign.hardware.design import PARAMETERS, Designs
from gigaforge.codesign.hardware.economics import Economics
from gigaforge.codesign.hardware.technology import Technology
from gigaforge.codesign.hardware.work import Candidates, Work
from gigaforge.errors import InputError, NoAnswerError
from gigaforge.perf.hardware import Hardware
from gigaforge.units import format_quantity

__all__ = ["Limits", "Question", "Scorer", "Scores", "Ways"]

Array = NDArray[np.float64]
Ways = dict[tuple[str, int], Candidates | None]
"""Ways to run each work, by its name and the NVLink domain; None where there is none."""


@dataclass(frozen=True)
class Limits:
    """Ranges of parameters that a design may take, by the names of `PARAMETERS`; what is not named is the technology's.

    Raises
    ------
    InputError
        An unknown parameter or an empty range.

    """

    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    package_usd: float = float("inf")
    silicon_mm2: float = float("inf")

    def __post_init__(self) -> None:
        for name, (low, high) in self.ranges.items():
            if name not in PARAMETERS:
                raise InputError(f"unknown parameter {name!r}; known: {', '.join(PARAMETERS)}", "limits")
            if not low <= high or not low > 0:
                words, dimension = PARAMETERS[name]
                a, b = (format_quantity(v, dimension) for v in (low, high))
                raise InputError(
                    f"the range of {words}, {a} to {b}, is empty; give a positive low not above high", name
                )
        if not (self.package_usd > 0 and self.silicon_mm2 > 0):
            raise InputError("a limit on cost or silicon must be above zero", "limits")

    def within(self, technology: Technology) -> dict[str, tuple[float, float]]:
        """The ranges inside the technology's validity.

        Raises
        ------
        InputError
            A range lies outside of what the cost model covers.

        """
        out = {}
        for name, (least, most) in technology.ranges.items():
            low, high = self.ranges.get(name, (least, most))
            if low < least * (1 - 1e-9) or high > most * (1 + 1e-9):
                words, dimension = PARAMETERS[name]
                a, b, c, d = (format_quantity(v, dimension) for v in (low, high, least, most))
                raise InputError(
                    f"the range of {words}, {a} to {b}, leaves the cost model's validity in {technology.name}, {c} to {d}; "
                    "narrow it or take another technology",
                    name,
                )
            out[name] = (low, high)
        self._possible(technology, out)
        return out

    def _possible(self, technology: Technology, ranges: Mapping[str, tuple[float, float]]) -> None:
        """Refuse ranges and a cost within which nothing can be built at all."""
        low, high = ranges["nvlink_domain"]
        if not any(low <= d <= high for d in technology.domains):
            there = ", ".join(map(str, technology.domains))
            raise InputError(
                f"no NVLink domain from {low:g} to {high:g} exists in {technology.name}; there are {there}",
                "nvlink_domain",
            )
        least = Designs.from_table(np.array([[ranges[name][0] for name in PARAMETERS]]))
        cheapest = float(cost(least, technology).package_usd[0])
        if cheapest > self.package_usd:
            a, b = (format_quantity(usd, "money") for usd in (self.package_usd, cheapest))
            raise InputError(
                f"no package can be made for {a} in {technology.name}: the least in these ranges costs {b}",
                "package_usd",
            )


@dataclass(frozen=True)
class Question:
    """What the next accelerator is for.

    Attributes
    ----------
    technology : Technology
        What can be built.
    works, amounts : sequences
        What is to be done, and how much of each the mix holds [token].
    economics : Economics
        What having and running it costs.
    limits : Limits
        Ranges and limits of the design.

    """

    technology: Technology
    works: Sequence[Work]
    amounts: Sequence[float]
    economics: Economics
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.works or len(self.works) != len(self.amounts):
            raise InputError(
                f"{len(self.works)} works and {len(self.amounts)} amounts; one of each is needed", "works"
            )
        if len({w.name for w in self.works}) < len(self.works):
            raise InputError("two works have one name; ways to run them are kept by name", "works")
        if not all(a > 0 for a in self.amounts):
            raise InputError("every amount of work must be above zero", "amounts")
        self.limits.within(self.technology)

    def only(self, *names: str) -> Question:
        """The same question for some of the works."""
        keep = [i for i, w in enumerate(self.works) if w.name in names]
        return replace(self, works=[self.works[i] for i in keep], amounts=[self.amounts[i] for i in keep])


@dataclass(frozen=True)
class Scores:
    """Of designs; arrays of shape (design,) and (design, work).

    Attributes
    ----------
    possible : array of bool
        Can be built, and does all the work.
    usd, joules : array
        For the mix [USD], [J]; infinite where impossible.
    usd_by_work, tokens_per_s : array
        By work [USD], [token/s].
    costs : Costs
        Area, power and price.

    """

    possible: NDArray[np.bool_]
    usd: Array
    joules: Array
    usd_by_work: Array
    tokens_per_s: Array
    costs: Costs

    def take(self, index: Any) -> Scores:
        """Rows (NumPy indexing)."""
        arrays = {f.name: getattr(self, f.name)[index] for f in fields(self) if f.name != "costs"}
        return Scores(**arrays, costs=self.costs.take(index))


class Scorer:
    """Scores designs of one question; remembers which layouts and strategies are worth trying, by NVLink domain."""

    def __init__(self, question: Question, like: Scorer | None = None) -> None:
        self.question = question
        self.evaluated = 0
        self._ways: Ways = {} if like is None else like.ways
        self._chosen: dict[tuple[str, int], NDArray[np.int64]] = {}

    @property
    def ways(self) -> Ways:
        """Ways tried, by name of the work and NVLink domain."""
        return dict(self._ways)

    def add(self, ways: Ways) -> None:
        """Try further ways, found by another scorer of the same works."""
        for key, found in ways.items():
            known = self._ways.get(key)
            self._ways[key] = known if found is None else found if known is None else _union(known, found)

    def hardware(self, designs: Designs, domain: int) -> tuple[Hardware, Costs]:
        """What the performance model sees, and the costs."""
        t = self.question.technology
        costs = cost(designs, t)
        return designs.hardware(t, costs.full_power_w, costs.host_w, costs.fabric_w, domain), costs

    def probe(self, design: Designs) -> None:
        """Look for ways to run the works around a design, and add them to those tried."""
        domain = int(design.nvlink_domain[0])
        grid, _ = self.hardware(design.take(slice(0, 1)), domain)
        machine = _single(grid)
        for work in self.question.works:
            try:
                self.add({(work.name, domain): work.candidates(machine)})
            except NoAnswerError:
                self._ways.setdefault((work.name, domain), None)

    def candidates(self, design: Designs, work: int) -> Candidates:
        """The ways to run one work that are best somewhere around a design; `NoAnswerError` if there is none."""
        grid, _ = self.hardware(design, int(design.nvlink_domain[0]))
        return self.question.works[work].candidates(_single(grid))

    def prune(self) -> None:
        """Forget the ways that no design of the last scoring chose."""
        for key, chosen in self._chosen.items():
            ways = self._ways[key]
            if ways is not None:
                self._ways[key] = ways._replace(ways=ways.ways.take(np.unique(chosen)))
        self._chosen.clear()

    def score(self, designs: Designs, *, enforce: bool = True) -> Scores:
        """Dollars and joules for the mix; designs of a domain without a probe are probed at their first one.

        Parameters
        ----------
        designs : Designs
            To score.
        enforce : bool
            False prices what cannot be built too, as a what-if of the figures needs.

        """
        q, n, many = self.question, len(designs), len(self.question.works)
        tokens, power = np.zeros((n, many)), np.zeros((n, many))
        for domain in np.unique(designs.nvlink_domain.astype(int)):
            rows = np.flatnonzero(designs.nvlink_domain.astype(int) == domain)
            here = designs.take(rows)
            if any((work.name, int(domain)) not in self._ways for work in q.works):
                self.probe(here)
            hardware, costs = self.hardware(here, int(domain))
            capped = costs.power_w < costs.full_power_w * (1 - 1e-9)
            cap = costs.power_w if np.any(capped) else None
            for w, work in enumerate(q.works):
                ways = self._ways[work.name, int(domain)]
                if ways is None:
                    continue
                out = work.output(hardware, ways, cap)
                tokens[rows, w], power[rows, w] = out.tokens_per_s, out.power_w
                self._chosen[work.name, int(domain)] = out.choice
                self.evaluated += len(rows) * _count(ways)
        costs = cost(designs, q.technology)
        per_s = costs.rack_usd * q.economics.capital_per_s + costs.rack_power_w * q.economics.watt_usd_per_s
        possible = (costs.possible | (not enforce)) & (tokens > 0).all(axis=1)
        possible &= (not enforce) | (
            (costs.package_usd <= q.limits.package_usd) & (costs.die_mm2 * costs.dies <= q.limits.silicon_mm2)
        )
        seconds = np.asarray(q.amounts) / np.where(tokens > 0, tokens, 1.0)
        usd = np.where(possible[:, None], seconds * (per_s[:, None] + power * q.economics.joule_usd), np.inf)
        joules = np.where(possible, (seconds * power).sum(axis=1), np.inf)
        return Scores(possible, usd.sum(axis=1), joules, usd, tokens, costs)


def cost_interval(scorer: Scorer, design: Designs, usd: float) -> tuple[float, float]:
    """80 % interval of a design's cost of the mix from the cost model's uncertain figures, as factors.

    Each figure moves to both ends of its range, one at a time; the moves add as independent errors do (in logarithms,
    root of the sum of squares).
    """
    up = down = 0.0
    for _, low, high in scorer.question.technology.ends():
        for end in (low, high):
            moved = Scorer(replace(scorer.question, technology=end), like=scorer)
            step = float(np.log(moved.score(design, enforce=False).usd[0] / usd))
            up, down = up + max(step, 0.0) ** 2, down + min(step, 0.0) ** 2
    return float(np.exp(-np.sqrt(down))), float(np.exp(np.sqrt(up)))


def _single(grid: Hardware) -> Hardware:
    """The first machine of a grid, as numbers."""

    def first(value: Any) -> Any:
        return float(np.ravel(value)[0]) if isinstance(value, np.ndarray) else value

    numbers = {f.name: first(getattr(grid, f.name)) for f in fields(Hardware) if f.name != "peak_flop_s"}
    return Hardware(**numbers, peak_flop_s={k: first(v) for k, v in grid.peak_flop_s.items()})


def _count(ways: Candidates) -> int:
    return int(ways.ways.size) if hasattr(ways.ways, "size") else len(ways.ways)


def _union(a: Candidates, b: Candidates) -> Candidates:
    """Both sets of ways, each once."""
    names = list(vars(a.ways))
    columns = {n: np.concatenate([getattr(a.ways, n), getattr(b.ways, n)]) for n in names}
    table = np.stack([np.asarray(columns[n], dtype=float) for n in names], axis=1)
    _, first = np.unique(table, axis=0, return_index=True)
    keep = np.sort(first)
    return Candidates(a.domain, type(a.ways)(**{n: columns[n][keep] for n in names}))
