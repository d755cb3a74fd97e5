"""The next generation at a plan's prices: one general design, one for each phase, and the trade-off between dollars and joules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from gigaforge.codesign.hardware.design import Designs
from gigaforge.codesign.hardware.evolve import Evolution, evolve
from gigaforge.codesign.hardware.past import ratios
from gigaforge.codesign.hardware.score import Question, Scorer, cost_interval
from gigaforge.codesign.hardware.technologies import technology
from gigaforge.codesign.hardware.technology import Technology
from gigaforge.codesign.hardware.work import ServingWork
from gigaforge.errors import NoAnswerError
from gigaforge.executor import SerialExecutor, map_ordered

__all__ = ["NextGeneration", "next_generation", "phase", "technology_of"]

_TECHNOLOGY_OF: Final = {
    "ampere": "n7-hbm2e", "hopper": "n4-hbm3", "blackwell": "n4p-hbm3e", "blackwell ultra": "n4p-hbm3e", "rubin": "n3-hbm4",
    "rubin ultra": "n3-hbm4",
}  # fmt: skip


def technology_of(generation: str) -> Technology | None:
    """The technology that a shipped generation is built in; None for one that has no figures here."""
    name = _TECHNOLOGY_OF.get(generation)
    return None if name is None else technology(name)


def phase(work: Any) -> str:
    """Which specialised design a work belongs to."""
    return work.phase if isinstance(work, ServingWork) else "training"


@dataclass(frozen=True)
class NextGeneration:
    """The answer to "what should the next generation look like?".

    Attributes
    ----------
    question : Question
        What was asked.
    reference, reference_usd, reference_joules
        The shipped platform's design, and what the mix costs on it [USD], [J].
    general : Evolution
        One design for all work.
    special : mapping of phase to Evolution
        One for each phase that the mix has.
    pareto : Evolution or None
        Between dollars and joules, where asked.
    table : list of dict
        Cost of every work on every design, relative to the reference.
    interval : (float, float)
        80 % interval of the general design's cost, as factors: the cost model's figures.

    """

    question: Question
    reference: Designs
    reference_usd: float
    reference_joules: float
    general: Evolution
    special: Mapping[str, Evolution]
    pareto: Evolution | None
    table: list[dict[str, Any]]
    interval: tuple[float, float]

    @property
    def relative_usd(self) -> float:
        """Cost of the mix on the general design over that on the reference."""
        return float(self.general.scores.usd[0]) / self.reference_usd

    @property
    def specialised_usd(self) -> float:
        """Cost of the mix with every phase on its own design, over that on the reference."""
        own = sum(float(e.scores.usd[0]) for e in self.special.values())
        return own / self.reference_usd

    def to_dict(self) -> dict[str, Any]:
        """For JSON and the report."""
        out: dict[str, Any] = {
            "technology": self.question.technology.name,
            "prices": self.question.economics.source,
            "reference": {"design": self.reference.row(0), "words": self.reference.words(0)},
            "general": _described(self.general, self.reference_usd),
            "special": {name: _described(e, self.reference_usd) for name, e in self.special.items()},
            "specialised_usd": self.specialised_usd,
            "interval": list(self.interval),
            "by_work": self.table,
            "evaluated": self.general.evaluated + sum(e.evaluated for e in self.special.values()),
        }
        if self.pareto is not None:
            p = self.pareto
            keep = np.unique(np.linspace(0, len(p.designs) - 1, 24).astype(int))
            out["pareto"] = [
                {
                    "usd": float(p.scores.usd[i]) / self.reference_usd,
                    "joules": float(p.scores.joules[i]) / self.reference_joules,
                    "words": p.designs.words(int(i)),
                    "design": p.designs.row(int(i)),
                }
                for i in keep
            ]
        return out


def _described(e: Evolution, reference_usd: float) -> dict[str, Any]:
    costs = e.scores.costs.row(0)
    return {
        "design": e.designs.row(0),
        "words": e.designs.words(0),
        "usd": float(e.scores.usd[0]) / reference_usd,
        "ranges": {name: list(ends) for name, ends in e.ranges.items()},
        "at_limit": list(e.at_limit),
        "ratios": ratios(e.designs),
        "costs": {k: v for k, v in costs.items() if k not in ("possible", "host_w", "fabric_w")},
    }


def next_generation(
    question: Question,
    reference: Designs,
    built_in: Technology,
    *,
    specialised: bool = True,
    pareto: bool = False,
    seed: int = 0,
    population: int = 100,
    generations: int = 26,
    executor: Executor | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> NextGeneration:
    """Search the general and the specialised designs of a question.

    Parameters
    ----------
    question : Question
        Technology, work, prices, limits.
    reference : Designs
        A shipped design to compare with.
    built_in : Technology
        Its own.
    specialised, pareto : bool
        Whether to search a design for each phase; the front of dollars against joules.
    seed, population, generations : int
        As `gigaforge.codesign.hardware.evolve`.
    executor : Executor, optional
        Where to search the specialised designs; default in this process.
    tell : callable
        Told what is being searched.

    Raises
    ------
    NoAnswerError
        No design does the work within the limits, or the reference does not.

    """
    now = Scorer(replace(question, technology=built_in, limits=type(question.limits)()))
    today = now.score(reference, enforce=False)
    if not np.isfinite(today.usd[0]):
        raise NoAnswerError(
            f"the reference ({reference.words(0)}) cannot do all of the work, so nothing can be compared with it"
        )

    size = (seed, population, generations)
    tell("searching the general design")
    general = _search(question, "usd", *size)
    start = general.designs.take(slice(0, 12))
    phases = list(dict.fromkeys(phase(w) for w in question.works))
    names = phases if specialised and len(phases) > 1 else []
    asked: list[tuple[Any, ...]] = [
        (question.only(*(w.name for w in question.works if phase(w) == name)), "usd", *size, start) for name in names
    ]
    if pareto:
        asked.append((question, "both", *size, start))
    if asked:
        what = [f"designs for {' and '.join(names)}"] * bool(names) + ["designs between dollars and joules"] * pareto
        tell(f"searching {', '.join(what)}")
    found = list(map_ordered(_search, asked, executor or SerialExecutor()))
    special = dict(zip(names, found, strict=False))
    front = found[-1] if pareto else None
    scorer = Scorer(question)
    scorer.probe(general.designs.take(slice(0, 1)))
    best = general.designs.take(slice(0, 1))
    interval = cost_interval(scorer, best, float(scorer.score(best).usd[0]))
    return NextGeneration(
        question, reference, float(today.usd[0]), float(today.joules[0]), general, special, front,
        _by_work(question, today.usd_by_work[0], general, special), interval,
    )  # fmt: skip


def _search(
    question: Question,
    objective: Literal["usd", "both"],
    seed: int,
    population: int,
    generations: int,
    known: Designs | None = None,
) -> Evolution:
    return evolve(
        question, objective=objective, seed=seed, population=population, generations=generations, known=known
    )


def _by_work(
    question: Question, today: Any, general: Evolution, special: Mapping[str, Evolution]
) -> list[dict[str, Any]]:
    """Cost of each work on the design for its phase and on the general one, over that on the reference."""
    designs: Sequence[tuple[str, Evolution]] = [("general", general), *special.items()]
    rows = []
    for name, found in designs:
        score = Scorer(question).score(found.designs.take(slice(0, 1)), enforce=False)
        for w, work in enumerate(question.works):
            usd = float(score.usd_by_work[0, w] / today[w])
            label = "general" if name == "general" else f"made for {name}"
            rows.append({"work": work.name, "design": label, "usd": usd if np.isfinite(usd) else None})
    return rows
