"""The plan's prices and tokens taken to the next model: what one as good would cost over its life, were size and experts free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.programme import PETA
from gigaforge.buildout.roadmaps import economics, plan_prices
from gigaforge.buildout.solver import Relaxation
from gigaforge.catalog import Catalog
from gigaforge.catalog.schema import Model
from gigaforge.codesign.models import (
    CONTEXTS,
    MOST_TOKENS,
    Choice,
    Law,
    Lifetime,
    Target,
    choose,
    iso_loss_rows,
    law,
    window_of,
    windows_of,
)
from gigaforge.codesign.models.life import Place, Service, lifetime_of, served_by_none, services_of
from gigaforge.codesign.models.shapes import granularity_of
from gigaforge.codesign.prices import Prices
from gigaforge.errors import GigaforgeError
from gigaforge.perf.transformer import Transformer
from gigaforge.scenario import Scenario
from gigaforge.scenario.schema import TrainingRun

__all__ = ["MODEL_LAW", "ModelRoadmap", "model_roadmap"]

MODEL_LAW: Final = "joint-moe-2025"
"""Unless another is asked for."""


@dataclass(frozen=True)
class ModelRoadmap:
    """For each run asked about: the model of least lifetime cost at the loss of the one named, and of least loss at its cost.

    Attributes
    ----------
    choices, at_named_usd : dict of run to Choice
        Of least cost at the named one's loss; of least loss for what the named one costs.
    named : dict of run to dict
        The model named: ``active, total, tokens, experts, loss`` as the law counts it, ``context``; ``usd`` over its life, ``train_usd``,
        ``serve_usd`` (None where it cannot be run).
    lives : dict of run to dict
        ``workloads`` (name to answer tokens), ``first, last`` quarter served, ``trained_on, served_on`` (systems), ``cut`` by the
        horizon.
    warnings : list of str
        What was not asked, and why.

    """

    choices: dict[str, Choice]
    named: dict[str, dict[str, Any]]
    at_named_usd: dict[str, Choice]
    lives: dict[str, dict[str, Any]]
    warnings: list[str]

    def curves(self) -> dict[str, list[dict[str, Any]]]:
        """Iso-loss curves for the figure, thinned: rows of size, tokens and dollars by run."""
        return {run: iso_loss_rows(c) for run, c in self.choices.items()}

    def to_dict(self) -> dict[str, Any]:
        """For JSON and the report."""
        same = {run: c.to_dict() for run, c in self.at_named_usd.items()}
        own = {
            run: {
                "named": (named := self.named.get(run, {})),
                "named_usd": named.get("usd"),
                "at_named_usd": same.get(run),
                "life": self.lives.get(run),
            }
            for run in self.choices
        }
        return {
            "choices": {run: c.to_dict() | own[run] for run, c in self.choices.items()},
            "warnings": self.warnings,
        }


def model_roadmap(
    problem: Problem,
    relaxation: Relaxation,
    catalog: Catalog,
    *,
    by: str = MODEL_LAW,
    tell: Callable[[str], None] = lambda _: None,
) -> ModelRoadmap:
    """For each model trained: what one as good would cost over its life, and how good one as dear would be.

    Of the runs of one model the one that serves most tokens is asked about (of runs that serve none, the one on most tokens).
    It is trained on the system and at the prices of its run, and serves the plan's tokens on the system that makes most of
    them, at the prices of its life. The size named, by the same law and the same performance model, is what the choice is
    compared with.
    """
    scenario, rule = problem.scenario, law(by)
    prices = plan_prices(problem, relaxation)
    served = _served(problem, relaxation)
    out = ModelRoadmap({}, {}, {}, {}, [])
    if not scenario.training:
        out.warnings.append(
            "the scenario trains no model, so none is compared; add a run under training, with choose to leave it open"
        )
    services = {run.name: services_of(run, scenario, served) for run in scenario.training}
    for run in _asked(scenario, services):
        mine = services[run.name]
        found = {run.name: _place(problem, prices, run.name, np.ones(len(problem.quarters), dtype=bool))}
        found |= {s.workload.name: _place(problem, prices, s.workload.name, s.tokens > 0) for s in mine}
        where = {name: place for name, place in found.items() if place is not None}
        if run.name not in where:
            out.warnings.append(f"{run.name} is not trained in the relaxed plan, so nothing is compared for it")
            continue
        tell(f"models as good as {run.model} for {run.name}")
        try:
            _ask(out, run, scenario, catalog, mine, where, rule)
        except GigaforgeError as problem_found:
            out.warnings.append(f"{run.name}: {problem_found}")
    return out


def _ask(
    out: ModelRoadmap,
    run: TrainingRun,
    scenario: Scenario,
    catalog: Catalog,
    services: Sequence[Service],
    where: dict[str, Place],
    rule: Law,
) -> None:
    """Fill in one run's answers."""
    entry = catalog.model(run.model)
    active = float(Transformer.from_catalog(entry).active_parameters)
    experts = entry.experts / entry.experts_per_token if entry.family == "moe" and rule.mixtures else 1.0
    life = lifetime_of(run, scenario, catalog, services, where)
    demand = sum(s.total for s in services)
    share = catalog.fact("long-context-share-of-tokens").value
    windows = windows_of(life, CONTEXTS, share) if services else []
    asked = partial(choose, rule, running=life, serve_tokens=demand, name=run.name,
                    data_tokens=max(MOST_TOKENS, run.tokens), windows=windows)  # fmt: skip
    out.lives[run.name] = _life_words(run, scenario, services, where)
    own = life.costs(entry, run.tokens)
    loss = float(rule.loss(active, run.tokens, experts, granularity_of(entry)))
    if window := window_of(life, entry, share):
        own, loss = window.costs(entry, run.tokens, own), loss + float(window.penalty(active))
    train, serve = own.train_usd_per_token * run.tokens, own.serve_usd_per_token * demand if demand else 0.0
    runs = bool(np.isfinite(train + serve))
    out.named[run.name] = {
        "active": active, "total": float(Transformer.from_catalog(entry).parameters), "tokens": run.tokens, "experts": experts,
        "context": entry.max_context, "loss": loss,
        "usd": train + serve if runs else None, "train_usd": train if runs else None, "serve_usd": serve if runs else None,
    }  # fmt: skip
    choice = asked(Target("loss", loss))
    out.choices[run.name] = replace(choice, warnings=[*_mind(run, services, life, entry), *choice.warnings])
    if runs:
        out.at_named_usd[run.name] = asked(Target("usd", float(train + serve)), compare=False)


def _mind(run: TrainingRun, services: Sequence[Service], life: Lifetime, named: Model) -> list[str]:
    """What a reader must know of the question before the answer."""
    if not services:
        return [served_by_none(run)]
    out = [f"the model named misses the latencies of {where}" for where in life.refusals(named)]
    if any(s.cut for s in services):
        out.append("the horizon ends its life: what it serves afterwards would make a smaller model cheaper")
    return out


def _life_words(
    run: TrainingRun, scenario: Scenario, services: Sequence[Service], where: dict[str, Place]
) -> dict[str, Any]:
    alive = np.sum([s.tokens for s in services], axis=0) > 0 if services else np.zeros(len(scenario.quarters), bool)
    quarters = [str(q) for q, there in zip(scenario.quarters, alive, strict=True) if there]
    return {
        "workloads": {s.workload.name: s.total for s in services},
        "first": quarters[0] if quarters else None,
        "last": quarters[-1] if quarters else None,
        "cut": any(s.cut for s in services),
        "trained_on": where[run.name].system,
        "served_on": {s.workload.name: where[s.workload.name].system for s in services},
        "compute_multiple": run.compute_multiple,
    }


def _served(problem: Problem, relaxation: Relaxation) -> dict[str, Array]:
    """Answer tokens that the relaxed plan serves, by workload. Shape (quarter,) each."""
    if "served" not in relaxation.values:
        return {}
    tokens = relaxation.values["served"].transpose("workload", "quarter").values * PETA
    return dict(zip(problem.workloads, np.maximum(tokens, 0.0), strict=True))


def _asked(scenario: Scenario, services: dict[str, list[Service]]) -> list[TrainingRun]:
    """Of each model the run that serves most, or that trains on most, in the scenario's order."""

    def weight(run: TrainingRun) -> tuple[float, float]:
        return sum(s.total for s in services[run.name]), run.tokens

    return [
        r for r in scenario.training if r is max((o for o in scenario.training if o.model == r.model), key=weight)
    ]


def _place(problem: Problem, prices: Prices, name: str, during: NDArray[np.bool_]) -> Place | None:
    """The system that does most of a run's or workload's work in some quarters; None where the plan does none."""
    made = {s: float((v * during).sum()) for (w, s), v in prices.tokens_made.items() if w == name}
    system = max(made, key=lambda s: made[s], default="")
    if not made.get(system):
        return None
    k = problem.systems.index(system)
    bought = prices.racks_bought[system]
    weights = bought if bought.any() else np.ones(len(bought))
    paid = float((problem.rack_price_usd[k] * weights).sum() / weights.sum())
    return Place(system, economics(problem, prices, system, during), paid)
