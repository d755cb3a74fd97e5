"""Searches that agree: repeated from several seeds, polished on common ways, with the noise that is left.

An evolutionary search stops a little above the least cost, each time elsewhere, and its layouts and strategies are those that
it happened to look for. So that two questions can be compared (one design for all, or one for each), every question is searched
from several seeds, all ways found by any of them are given to all, and every search's best design descends from there by a
pattern search (R. Hooke, T. A. Jeeves, J. ACM 8 (1961), https://doi.org/10.1145/321062.321069). What the descents of one question
still differ by is the noise of its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gigaforge.codesign.hardware.design import Designs
from gigaforge.codesign.hardware.evolve import Evolution, evolve, first_ways, limits_met, similar
from gigaforge.codesign.hardware.genome import Genome
from gigaforge.codesign.hardware.score import Question, Scorer, Ways
from gigaforge.executor import SerialExecutor, map_ordered

__all__ = ["Converged", "converge", "descend"]

Array = NDArray[np.float64]

_FIRST_STEP: Final = 0.06
"""Of the unit cube's side: a tenth to a third of a parameter."""
_LAST_STEP: Final = 0.0015
_WORTH_A_DESCENT: Final = 1.03
"""Over the cheapest start: dearer ones are left where they are."""
_MOVES: Final = 40
_POLISHES: Final = 8
_SETTLED: Final = 0.001
"""A polish that lowers no cost by more than this is the last."""
_RANDOM: Final = 4
"""Directions beside those of the parameters, since a valley need not lie along one."""


class Converged(NamedTuple):
    """The best of several searches, and the relative spread of the costs at which they ended [1]."""

    found: Evolution
    noise: float


def converge(
    questions: Mapping[str, Question],
    *,
    repeats: int = 2,
    population: int = 40,
    generations: int = 14,
    seed: int = 0,
    known: Designs | None = None,
    executor: Executor | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Converged]:
    """Search several questions of the same works so that their answers can be compared.

    Parameters
    ----------
    questions : mapping of name to Question
        Works of one name are the same work in all of them.
    repeats : int
        Searches of each, from the seeds `seed`, `seed + 1`, ...
    population, generations, known
        Of each search, as `gigaforge.codesign.hardware.evolve`.
    executor : Executor, optional
        Where to search; default in this process.
    tell : callable
        Told how many searches are done.

    Raises
    ------
    NoAnswerError
        No design within the limits does the work of a question.

    """
    pool = executor or SerialExecutor()
    ways: Ways = {}
    parts = {w.name: q.only(w.name) for q in questions.values() for w in q.works}
    for n, found in enumerate(map_ordered(first_ways, [(q,) for q in parts.values()], pool), 1):
        ways |= found
        tell(f"ways to run the plan's work on any design: {n} of {len(parts)} works")
    asked = [(q, seed + i, population, generations, known, ways) for q in questions.values() for i in range(repeats)]
    runs: list[Evolution] = []
    for run in map_ordered(_search, asked, pool):
        runs.append(run)
        tell(f"searching designs for {' and '.join(questions)}: {len(runs)} of {len(asked)} searches")
    for n in range(1, _POLISHES + 1):  # each looks for better ways on the designs of the one before
        tell(f"polishing the designs found, time {n} of at most {_POLISHES}")
        before, runs = runs, _polished(questions, runs, repeats, seed + n, pool)
        if all(_settled(*pair) for pair in zip(runs, before, strict=True)):
            break
    return {
        name: _converged(question, runs[i * repeats : (i + 1) * repeats])
        for i, (name, question) in enumerate(questions.items())
    }


def descend(question: Question, starts: Designs, ways: Ways, seed: int = 0) -> tuple[Designs, Array, int]:
    """Follow every start downhill, all at once, until no step helps.

    Parameters
    ----------
    question : Question
        Of which the cost is lowered.
    starts : Designs
        Where to begin; each keeps its NVLink domain.
    ways : Ways
        Layouts and strategies to choose among.
    seed : int
        Of the random directions.

    Returns
    -------
    designs : Designs
        Of the starts, none dearer than its start.
    usd : array, shape (start,)
        [USD]
    evaluated : int
        Complete evaluations.

    """
    genome, scorer = Genome(question), Scorer(question)
    scorer.add(ways)
    random = np.random.default_rng(seed)
    at = genome.points(starts)
    best = scorer.score(genome.designs(at)).usd
    step = np.where(best <= best.min() * _WORTH_A_DESCENT, _FIRST_STEP, 0.0)
    axes = np.concatenate([np.eye(genome.size)[:-1], -np.eye(genome.size)[:-1]])
    for _ in range(_MOVES):
        moving = np.flatnonzero(step > _LAST_STEP)
        if not moving.size:
            break
        more = random.normal(size=(_RANDOM, genome.size))
        more[:, -1] = 0.0
        ways_to_go = np.concatenate([axes, more / np.linalg.norm(more, axis=1, keepdims=True)])
        tries = np.clip(at[moving, None, :] + step[moving, None, None] * ways_to_go[None], 0.0, 1.0)
        tries = np.concatenate([tries, _by_the_stack(genome, at[moving])], axis=1)
        usd = scorer.score(genome.designs(tries.reshape(-1, genome.size))).usd.reshape(len(moving), -1)
        least = usd.argmin(axis=1)
        better = usd.min(axis=1) < best[moving] * (1 - 1e-7)
        at[moving[better]] = tries[better, least[better]]
        best[moving[better]] = usd[better, least[better]]
        step[moving[~better]] *= 0.5
    return genome.designs(at), np.asarray(best), scorer.evaluated


def _by_the_stack(genome: Genome, points: Array) -> Array:
    """The same with one HBM stack less, as many and one more, each at its full speed. Shape (point, 3, parameter).

    Memory is bought by the stack, so cost has cliffs there that small steps do not cross.
    """
    t, designs = genome.t, genome.designs(points)
    most = np.minimum(designs.hbm_bandwidth_bytes_s / t.stack_bytes_s[1], t.stacks_max)
    out = []
    for more in (-1, 0, 1):
        stacks = np.clip(np.ceil(most - 1e-6) + more, 1, t.stacks_max)
        changed = designs.change(
            hbm_bandwidth_bytes_s=stacks * t.stack_bytes_s[1],
            hbm_bytes=np.clip(designs.hbm_bytes, stacks * t.stack_bytes[0], stacks * t.stack_bytes[1]),
        )
        moved = genome.points(changed)
        moved[:, -2:] = points[:, -2:]  # the power limit as a share of the full draw, and the domain
        out.append(moved)
    return np.stack(out, axis=1)


def _search(
    question: Question, seed: int, population: int, generations: int, known: Designs | None, ways: Ways
) -> Evolution:
    return evolve(question, seed=seed, population=population, generations=generations, known=known, ways=ways)


def _settled(now: Evolution, before: Evolution) -> bool:
    return bool(now.scores.usd[0] > (1 - _SETTLED) * before.scores.usd[0])


def _polished(
    questions: Mapping[str, Question], runs: Sequence[Evolution], repeats: int, seed: int, pool: Executor
) -> list[Evolution]:
    """Every run's best design and the other questions' best, downhill on the ways of all runs."""
    everything = Scorer(next(iter(questions.values())))
    for run in runs:
        everything.add(run.ways)
    groups = [runs[i * repeats : (i + 1) * repeats] for i in range(len(questions))]
    best = [min(group, key=lambda r: float(r.scores.usd[0])).designs.take(slice(0, 1)) for group in groups]
    asked = []
    for i, question in enumerate(questions.values()):
        others = [b for k, b in enumerate(best) if k != i]
        for j in range(repeats):
            run = runs[i * repeats + j]
            asked.append((question, run, others, everything.ways, seed + j))
    return list(map_ordered(_polish, asked, pool))


def _polish(question: Question, run: Evolution, others: Sequence[Designs], ways: Ways, seed: int) -> Evolution:
    genome = Genome(question)
    best = run.designs.take(slice(0, 1))
    starts = Designs.from_table(np.concatenate([best.table(), *(o.table() for o in others)]))
    mine, usd, evaluated = descend(question, genome.designs(genome.points(starts)), ways, seed)
    order = np.argsort(usd, kind="stable")
    scorer = Scorer(question)
    scorer.add(ways)
    scorer.probe(mine.take(order[:1]))  # so that the ways are those of the design itself
    kept = Designs.from_table(np.concatenate([mine.take(order).table(), best.table()]))
    scores = scorer.score(kept)
    keep = np.argsort(scores.usd, kind="stable")
    keep = keep[np.isfinite(scores.usd[keep])]
    designs, costs = run.near
    near = (Designs.from_table(np.concatenate([designs.table(), kept.table()])), np.append(costs, scores.usd))
    return replace(
        run, designs=kept.take(keep), scores=scores.take(keep), near=near, ways=scorer.ways,
        evaluated=run.evaluated + evaluated + scorer.evaluated,
    )  # fmt: skip


def _converged(question: Question, runs: Sequence[Evolution]) -> Converged:
    usd = np.array([r.scores.usd[0] for r in runs])
    best = runs[int(usd.argmin())]
    designs = Designs.from_table(np.concatenate([r.near[0].table() for r in runs]))
    costs = np.concatenate([r.near[1] for r in runs])
    found = replace(
        best,
        near=(designs, costs),
        ranges=similar(designs, costs),
        at_limit=limits_met(best.designs, best.scores, question),
        evaluated=sum(r.evaluated for r in runs),
    )
    return Converged(found, float(usd.max() / usd.min() - 1.0))
