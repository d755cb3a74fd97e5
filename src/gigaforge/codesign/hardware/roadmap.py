"""The next generation at a plan's prices: one general design, one for each phase, and the trade-off between dollars and joules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from gigaforge.codesign.hardware.converge import Converged, converge
from gigaforge.codesign.hardware.design import Designs
from gigaforge.codesign.hardware.evolve import Evolution, evolve
from gigaforge.codesign.hardware.explained import at_power_limit, other_domains
from gigaforge.codesign.hardware.past import ratios
from gigaforge.codesign.hardware.score import Question, Scorer, Ways, cost_interval
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
    reference_by_phase : mapping of phase to float
        What the work of each costs there [USD].
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
    noise : float
        How far repeated searches of one question end apart, the worst of all questions [fraction]. A specialised design
        that saves no more than this saves nothing that can be told.
    domains : mapping of "general" or phase to list of dict
        Each design over the other NVLink domains (`gigaforge.codesign.hardware.explained.other_domains`).
    reference_name : str
        The reference's system, for words.

    """

    question: Question
    reference: Designs
    reference_usd: float
    reference_by_phase: Mapping[str, float]
    reference_joules: float
    general: Evolution
    special: Mapping[str, Evolution]
    pareto: Evolution | None
    table: list[dict[str, Any]]
    interval: tuple[float, float]
    noise: float
    domains: Mapping[str, list[dict[str, float | None]]]
    reference_name: str = ""

    @property
    def relative_usd(self) -> float:
        """Cost of the mix on the general design over that on the reference."""
        return float(self.general.scores.usd[0]) / self.reference_usd

    @property
    def specialised_usd(self) -> float:
        """Cost of the mix with every phase on its own design, over that on the reference."""
        own = sum(float(e.scores.usd[0]) for e in self.special.values())
        return own / self.reference_usd

    @property
    def saved(self) -> float:
        """What a design for each phase saves of the general one's cost [fraction]."""
        return 1.0 - self.specialised_usd / self.relative_usd if self.special else 0.0

    def to_dict(self) -> dict[str, Any]:
        """For JSON and the report."""
        out: dict[str, Any] = {
            "technology": self.question.technology.name,
            "prices": self.question.economics.source,
            "reference": {
                "system": self.reference_name,
                "design": self.reference.row(0),
                "words": self.reference.words(0),
            },
            "general": self._described("general", self.general, self.reference_usd)
            | {"relative_cost_interval": [self.relative_usd * f for f in self.interval]},
            "special": {
                name: self._described(name, e, self.reference_by_phase[name]) for name, e in self.special.items()
            },
            "specialised_relative_cost": self.specialised_usd if self.special else None,
            "saved": self.saved,
            "noise": self.noise,
            "by_work": self.table,
            "evaluated": self.general.evaluated + sum(e.evaluated for e in self.special.values()),
        }
        if self.pareto is not None:
            p = self.pareto
            keep = np.unique(np.linspace(0, len(p.designs) - 1, 24).astype(int))
            out["pareto"] = [
                {
                    "relative_cost": float(p.scores.usd[i]) / self.reference_usd,
                    "relative_joules": float(p.scores.joules[i]) / self.reference_joules,
                    "words": p.designs.words(int(i)),
                    "design": p.designs.row(int(i)),
                }
                for i in keep
            ]
        return out

    def _described(self, name: str, e: Evolution, reference_usd: float) -> dict[str, Any]:
        return _described(e, reference_usd) | {
            "at_power_limit": at_power_limit(
                self.question, e.designs.take(slice(0, 1)), e.scores.costs.take(slice(0, 1))
            ),
            "nvlink_domains": self.domains.get(name, []),
        }


_PLAIN: Final = {"rack_usd": "share_of_system_usd", "rack_power_w": "share_of_system_w", "accelerator_usd": "price_usd",
                 "package_usd": "to_make_usd"}  # fmt: skip


def _described(e: Evolution, reference_usd: float) -> dict[str, Any]:
    costs = e.scores.costs.row(0)
    return {
        "design": e.designs.row(0),
        "words": e.designs.words(0),
        "relative_cost": float(e.scores.usd[0]) / reference_usd,
        "ranges": {name: list(ends) for name, ends in e.ranges.items()},
        "at_limit": list(e.at_limit),
        "ratios": ratios(e.designs),
        "per_accelerator": {
            _PLAIN.get(k, k): v for k, v in costs.items() if k not in ("possible", "host_w", "fabric_w")
        },
    }


def next_generation(
    question: Question,
    reference: Designs,
    built_in: Technology,
    *,
    specialised: bool = True,
    pareto: bool = False,
    seed: int = 0,
    repeats: int = 2,
    population: int = 40,
    generations: int = 14,
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
    seed, repeats, population, generations : int
        As `gigaforge.codesign.hardware.converge.converge`.
    executor : Executor, optional
        Where to search; default in this process.
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
    phases = list(dict.fromkeys(phase(w) for w in question.works))
    by_phase = {
        p: float(sum(u for w, u in zip(question.works, today.usd_by_work[0], strict=True) if phase(w) == p))
        for p in phases
    }
    questions = {"general": question}
    if specialised and len(phases) > 1:
        questions |= {p: question.only(*(w.name for w in question.works if phase(w) == p)) for p in phases}
    found = converge(
        questions, repeats=repeats, population=population, generations=generations, seed=seed, executor=executor, tell=tell
    )  # fmt: skip
    scorer = Scorer(question)
    for one in found.values():
        scorer.add(one.found.ways)
    general = found["general"].found
    front = None
    if pareto:
        tell("searching designs between dollars and joules")
        start = general.designs.take(slice(0, 12))
        front = evolve(
            question, objective="both", seed=seed, known=start, ways=scorer.ways, population=100, generations=26
        )
    best = general.designs.take(slice(0, 1))
    tell("the same designs over other NVLink domains")
    asked = [(questions[name], scorer.ways, one.found.designs.take(slice(0, 1))) for name, one in found.items()]
    domains = dict(zip(found, map_ordered(_over_domains, asked, executor or SerialExecutor()), strict=True))
    tell("the interval of its cost")
    interval = cost_interval(scorer, best, float(scorer.score(best).usd[0]))
    return NextGeneration(
        question, reference, float(today.usd[0]), by_phase, float(today.joules[0]), general,
        {name: one.found for name, one in found.items() if name != "general"}, front,
        _by_work(question, scorer, today.usd_by_work[0], found), interval, max(one.noise for one in found.values()), domains,
    )  # fmt: skip


def _over_domains(question: Question, ways: Ways, design: Designs) -> list[dict[str, float | None]]:
    scorer = Scorer(question)
    scorer.add(ways)
    return other_domains(question, scorer, design)


def _by_work(question: Question, scorer: Scorer, today: Any, found: Mapping[str, Converged]) -> list[dict[str, Any]]:
    """Cost of each work on the design for its phase and on the general one, over that on the reference."""
    rows = []
    for name, one in found.items():
        score = scorer.score(one.found.designs.take(slice(0, 1)), enforce=False)
        for w, work in enumerate(question.works):
            usd = float(score.usd_by_work[0, w] / today[w])
            label = "general" if name == "general" else f"made for {name}"
            rows.append({"work": work.name, "design": label, "relative_cost": usd if np.isfinite(usd) else None})
    return rows
