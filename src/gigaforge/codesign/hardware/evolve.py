"""The best design under limits: a batched evolutionary loop on the vectorised evaluator.

Each generation makes one child per parent by differential mutation in log space (R. Storn, K. Price, Differential
Evolution, J. Global Optimization 11 (1997), https://doi.org/10.1023/A:1008202821328), scores all at once, and keeps the best
of parents and children: by cost, or by non-dominated front and crowding (K. Deb et al., NSGA-II, IEEE Trans. Evol. Comput. 6
(2002), https://doi.org/10.1109/4235.996017) where there are two objectives.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from gigaforge.codesign.hardware.design import PARAMETERS, Designs
from gigaforge.codesign.hardware.genome import Genome
from gigaforge.codesign.hardware.score import Question, Scorer, Scores, Ways
from gigaforge.errors import NoAnswerError

__all__ = ["NEAR", "Evolution", "evolve", "first_ways", "fronts", "limits_met", "similar"]

Array = NDArray[np.float64]
Objective = Literal["usd", "joules", "both"]

_POPULATION: Final = 160
_GENERATIONS: Final = 36
_FRESH: Final = 0.05
"""Share of each generation that is drawn anew, so that no region is forgotten."""
_SIMILAR: Final = 0.02
"""Designs within 2 % of the best are reported as a range of each parameter."""
NEAR: Final = 0.04
_RIVAL: Final = 0.15
"""NVLink domains in which the best design costs more than this beyond the least are not looked at again."""


@dataclass(frozen=True)
class Evolution:
    """What a search found.

    Attributes
    ----------
    designs, scores : Designs, Scores
        Best first; for two objectives the non-dominated set, cheapest first.
    ranges : dict
        Of each parameter, over the designs seen that cost at most 2 % more than the best: at least so wide, since the search looks
        most where it is cheapest.
    history : array
        Best cost (or the front's cheapest) after each generation [USD].
    evaluated, wall_s : int, float
        Complete evaluations of performance; time.
    at_limit : tuple of str
        Parameters that the best design takes to the end of their range, and limits that it exhausts.
    near : (Designs, array)
        All designs seen within `NEAR` of the least cost, and their cost [USD].
    ways : Ways
        Layouts and strategies that the search knew at its end.

    """

    designs: Designs
    scores: Scores
    ranges: dict[str, tuple[float, float]]
    history: Array
    evaluated: int
    wall_s: float
    at_limit: tuple[str, ...]
    near: tuple[Designs, Array]
    ways: Ways


def fronts(objectives: Array) -> NDArray[np.int64]:
    """Non-dominated front of each row (0: dominated by none); smaller is better. Shape (row,)."""
    rank = np.full(len(objectives), -1)
    left = np.arange(len(objectives))
    level = 0
    while left.size:
        here = objectives[left]
        worse = (here[:, None, :] <= here[None, :, :]).all(-1) & (here[:, None, :] < here[None, :, :]).any(-1)
        best = ~worse.any(axis=0)
        rank[left[best]] = level
        left, level = left[~best], level + 1
    return rank


def _crowding(objectives: Array, rank: NDArray[np.int64]) -> Array:
    """Distance to the neighbours on one's own front; ends are infinitely far."""
    out = np.zeros(len(objectives))
    for level in np.unique(rank):
        rows = np.flatnonzero(rank == level)
        for column in objectives[rows].T:
            order = rows[np.argsort(column, kind="stable")]
            span = max(float(np.ptp(column)), 1e-300)
            out[order[[0, -1]]] = np.inf
            out[order[1:-1]] += (np.sort(column)[2:] - np.sort(column)[:-2]) / span
    return out


def _order(scores: Scores, objective: Objective) -> NDArray[np.int64]:
    """Best first; what is impossible last."""
    if objective != "both":
        return np.argsort(getattr(scores, objective), kind="stable")
    values = np.log(np.minimum(np.stack([scores.usd, scores.joules], axis=1), 1e300))
    rank = fronts(values)
    return np.lexsort((-_crowding(values, rank), rank))


def evolve(
    question: Question,
    *,
    objective: Objective = "usd",
    population: int = _POPULATION,
    generations: int = _GENERATIONS,
    seed: int = 0,
    known: Designs | None = None,
    ways: Ways | None = None,
) -> Evolution:
    """Search the designs of a question.

    Parameters
    ----------
    question : Question
        Technology, work, prices and limits.
    objective : {"usd", "joules", "both"}
        Least cost for the mix, least energy, or the Pareto set of both.
    population, generations, seed : int
        Size and length of the search; the same seed gives the same answer.
    known : Designs, optional
        Designs to begin with, so that the answer is no worse than they are within the limits.
    ways : Ways, optional
        Layouts and strategies to begin with; default those that are best around the middle of every NVLink domain.

    Raises
    ------
    NoAnswerError
        No design within the limits does the work.

    """
    started = time.perf_counter()
    random = np.random.default_rng(seed)
    genome, scorer = Genome(question), Scorer(question)
    scorer.add(ways if ways is not None else first_ways(question))
    points = random.random((population, genome.size))
    if known is not None:
        points[: len(known)] = genome.points(known)[:population]
    designs = genome.designs(points)
    scores = scorer.score(designs)
    history = np.empty(generations)
    seen: list[tuple[Array, Array, Array]] = []
    for g in range(generations):
        if g in (generations // 3, 2 * generations // 3):
            scores = scorer.score(designs)
            scorer.prune()
            everywhere = _in_good_domains(genome, scorer, points[_order(scores, objective)[0]])
            for i in range(len(everywhere)):
                scorer.probe(genome.designs(everywhere[i : i + 1]))
            scores = scorer.score(designs)
            children = _children(points, _order(scores, objective), random)
            children[: len(everywhere)] = everywhere
        else:
            children = _children(points, _order(scores, objective), random)
        child_designs = genome.designs(children)
        child_scores = scorer.score(child_designs)
        seen.append((child_designs.table(), child_scores.usd, child_scores.joules))
        points = np.concatenate([points, children])
        designs = Designs.from_table(np.concatenate([designs.table(), child_designs.table()]))
        scores = _join(scores, child_scores)
        keep = _order(scores, objective)[:population]
        points, designs, scores = points[keep], designs.take(keep), scores.take(keep)
        history[g] = scores.usd.min()
    if not scores.possible.any():
        raise NoAnswerError(
            f"no design in {question.technology.name} does all of {', '.join(w.name for w in question.works)} within the limits",
            ["widen the ranges, raise the limits, or take a newer technology"],
        )
    if objective == "both":
        designs = Designs.from_table(_archive(seen))
        scores = scorer.score(designs)
    keep = np.flatnonzero(scores.possible)
    keep = keep[np.argsort(getattr(scores, "joules" if objective == "joules" else "usd")[keep], kind="stable")]
    best = designs.take(keep)
    near = _near(seen, float(scores.usd[keep[0]]))
    return Evolution(
        best,
        scores.take(keep),
        similar(*near),
        history,
        scorer.evaluated,
        time.perf_counter() - started,
        limits_met(best, scores.take(keep), question),
        near,
        scorer.ways,
    )


def first_ways(question: Question) -> Ways:
    """Layouts and strategies that are best around the middle of every NVLink domain, of all works."""
    genome, scorer = Genome(question), Scorer(question)
    middle = genome.in_every_domain(np.full(genome.size, 0.5))
    for i in range(len(middle)):
        scorer.probe(genome.designs(middle[i : i + 1]))
    return scorer.ways


def _in_good_domains(genome: Genome, scorer: Scorer, best: Array) -> Array:
    """The best design with each NVLink domain that may still win. Shape (domain, 7)."""
    everywhere = genome.in_every_domain(best)
    usd = scorer.score(genome.designs(everywhere)).usd
    return np.asarray(everywhere[usd <= usd.min() * (1 + _RIVAL)])


def _children(points: Array, order: NDArray[np.int64], random: np.random.Generator) -> Array:
    """One child per parent: towards one of the best, along the difference of two others, some genes kept."""
    n, size = points.shape
    best = points[order[random.integers(0, max(n // 8, 1), n)]]
    a, b = points[random.integers(0, n, n)], points[random.integers(0, n, n)]
    scale = random.uniform(0.2, 0.9, (n, 1))
    child = points + scale * (best - points) + scale * (a - b) + random.normal(0, 0.01, points.shape)
    child = np.where(random.random(points.shape) < 0.8, child, points)
    child = np.where(child < 0, -child, np.where(child > 1, 2 - child, child))
    fresh = np.asarray(random.random(n) < _FRESH)
    child[fresh] = random.random((int(fresh.sum()), size))
    return np.asarray(np.clip(child, 0, 1))


def _join(a: Scores, b: Scores) -> Scores:
    arrays = {n: np.concatenate([v, getattr(b, n)]) for n, v in vars(a).items() if n != "costs"}
    costs = type(a.costs)(**{n: np.concatenate([v, getattr(b.costs, n)]) for n, v in vars(a.costs).items()})
    return Scores(**arrays, costs=costs)


def _archive(seen: list[tuple[Array, Array, Array]]) -> Array:
    """Designs that none of all those seen beats in both objectives, cheapest first. Shape (design, parameter)."""
    table, usd, joules = (np.concatenate([s[i] for s in seen]) for i in range(3))
    order = np.lexsort((joules, usd))
    best = np.minimum.accumulate(joules[order])
    keep = np.concatenate([[True], joules[order][1:] < best[:-1]])
    return np.asarray(table[order[keep]])


def _near(seen: list[tuple[Array, Array, Array]], best: float) -> tuple[Designs, Array]:
    table, usd = np.concatenate([s[0] for s in seen]), np.concatenate([s[1] for s in seen])
    keep = np.flatnonzero(usd <= best * (1 + NEAR))
    return Designs.from_table(table[keep]), usd[keep]


def similar(designs: Designs, usd: Array) -> dict[str, tuple[float, float]]:
    """Range of each parameter over the designs that cost at most 2 % more than the cheapest of them."""
    if not len(usd):
        return {}
    near = designs.table()[usd <= usd.min() * (1 + _SIMILAR)]
    return {name: (float(near[:, i].min()), float(near[:, i].max())) for i, name in enumerate(PARAMETERS)}


def limits_met(designs: Designs, scores: Scores, question: Question) -> tuple[str, ...]:
    """Which limits the best design stands at, within 2 %."""
    t, limits = question.technology, question.limits
    row = designs.row(0)
    out = []
    ranges = limits.within(t)
    domains = [d for d in t.domains if ranges["nvlink_domain"][0] <= d <= ranges["nvlink_domain"][1]]
    ranges["nvlink_domain"] = (min(domains), max(domains))
    for name, (low, high) in ranges.items():
        if name == "nvlink_domain" and len(domains) == 1:
            continue  # there was nothing to choose
        if row[name] >= high * (1 - _SIMILAR):
            out.append(f"{PARAMETERS[name][0]} at its most")
        elif name != "power_w" and row[name] <= low * (1 + _SIMILAR):
            out.append(f"{PARAMETERS[name][0]} at its least")
    c = scores.costs
    for what, each, (low, high), unit in (
        ("capacity", row["hbm_bytes"] / c.stacks[0], t.stack_bytes, "GB"),
        ("bandwidth", row["hbm_bandwidth_bytes_s"] / c.stacks[0], t.stack_bytes_s, "TB/s"),
    ):
        scale = 1e9 if unit == "GB" else 1e12
        if each >= high * (1 - _SIMILAR):
            out.append(f"{what} of an HBM stack at its most ({high / scale:g} {unit})")
        elif each <= low * (1 + _SIMILAR):
            out.append(f"{what} of an HBM stack at its least ({low / scale:g} {unit})")
    if c.stacks[0] >= t.stacks_max:
        out.append(f"HBM stacks at their most ({t.stacks_max})")
    if c.die_mm2[0] >= t.die_mm2_max * (1 - _SIMILAR) and c.dies[0] >= t.dies_max:
        out.append("silicon: the reticle limit of every die")
    if c.power_w[0] >= c.die_mm2[0] * c.dies[0] * t.watts_per_mm2_max * (1 - _SIMILAR):
        out.append("heat: what cooling takes off the silicon")
    if c.package_usd[0] >= limits.package_usd * (1 - _SIMILAR):
        out.append("cost of the package")
    return tuple(out)
