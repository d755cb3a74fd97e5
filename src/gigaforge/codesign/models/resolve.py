"""Models that a scenario asks for instead of naming them: chosen before anything is planned."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from gigaforge.catalog import Catalog
from gigaforge.codesign.hardware.economics import Economics
from gigaforge.codesign.models.answer import Choice, Target
from gigaforge.codesign.models.choose import choose
from gigaforge.codesign.models.contexts import CONTEXTS, Requests
from gigaforge.codesign.models.laws import Law, law
from gigaforge.codesign.models.life import (
    Lifetime,
    Place,
    input_spread,
    lifetime_of,
    served_by_none,
    service_as_first,
    services_of,
)
from gigaforge.codesign.models.shapes import EXPANSIONS, granularity_of
from gigaforge.codesign.models.windows import LifeWindow, window_of, windows_of
from gigaforge.errors import InputError, NoAnswerError
from gigaforge.scenario import Scenario, interpolate, output_tokens
from gigaforge.scenario.schema import Serving, TrainingRun
from gigaforge.scenario.workloads import LEAST_RUN_TOKENS
from gigaforge.units import format_quantity

__all__ = ["Resolved", "economics_of", "resolve_models"]

_WHOLE: Final = 0.995
"""Prompts of which a context leaves so much are served as they are."""
_LONG_SHARE: Final = "long-context-share-of-tokens"
_NAME: Final = re.compile(r"^[a-z0-9][a-z0-9.\-]*$")


_KEYS: Final = {"tokens": "law", "experts": "expansions", "data_tokens": "data"}
"""What the laws and the search call a thing, and the key of the scenario that decides it."""


@dataclass(frozen=True)
class Resolved:
    """A scenario without questions, the catalogue with their answers, and the answers by run."""

    scenario: Scenario
    catalog: Catalog
    choices: dict[str, Choice]


def resolve_models(scenario: Scenario, catalog: Catalog, economics: Economics | None = None) -> Resolved:
    """Choose the model of every training run that asks for one.

    The chosen model enters the catalogue under the run's name, so that serving may name it.

    Parameters
    ----------
    scenario, catalog : Scenario, Catalog
        As given.
    economics : Economics, optional
        Prices; default what the scenario's own sites and finance cost, nothing scarcer than its price.

    Raises
    ------
    InputError
        A run's name cannot name a model or names one already, or a question is not answerable as asked.
    NoAnswerError
        No model meets a target.

    """
    asking = [run for run in scenario.training if run.choose is not None]
    if not asking:
        return Resolved(scenario, catalog, {})
    prices = economics or economics_of(scenario, catalog)
    choices = {run.name: _answer(run, scenario, catalog, prices) for run in asking}
    models = {**catalog.models, **{name: choice.model for name, choice in choices.items()}}
    runs = [
        run
        if run.name not in choices
        else run.model_copy(update={"model": run.name, "tokens": choices[run.name].tokens, "choose": None})
        for run in scenario.training
    ]
    serving = [
        _cut(workload, scenario, catalog, choices[workload.model].model.max_context)
        if workload.model in choices
        else workload
        for workload in scenario.serving
    ]
    answered = scenario.model_copy(update={"training": runs, "serving": serving})
    return Resolved(answered, replace(catalog, models=models), choices)


def _cut(workload: Serving, scenario: Scenario, catalog: Catalog, context: int) -> Serving:
    """A workload with prompts as the context of its chosen model leaves them; as it was where that is (nearly) whole."""
    spread, quarters = input_spread(workload, catalog), scenario.quarters
    prompts, answers = interpolate(workload.input_tokens, quarters), output_tokens(workload, quarters)
    if answers.max() >= context:
        return workload  # the scenario's own check names it
    kept = np.array([Requests(p, a, spread).kept(context) for p, a in zip(prompts, answers, strict=True)])
    if (kept >= _WHOLE * prompts).all():
        return workload
    return workload.model_copy(
        update={"input_tokens": dict(zip(quarters, np.maximum(kept, 1.0).tolist(), strict=True))}
    )


def economics_of(scenario: Scenario, catalog: Catalog) -> Economics:
    """What an accelerator costs at a scenario's sites: means over them, nothing scarcer than its price."""
    f = scenario.finance
    watts, joules = [], []
    for given in scenario.sites:
        site = catalog.site(given.site)
        energy = given.energy_price if given.energy_price is not None else site.energy_price.value
        joules.append(energy * site.pue_mean.value)
        lease = given.lease_price if given.lease_price is not None else getattr(site.lease_price, "value", None)
        build = given.facility_cost if given.facility_cost is not None else getattr(site.facility_cost, "value", None)
        if lease is not None and site.tenure == "leased":
            watts.append(lease * 365.25 * 86400 * site.pue_peak.value)
        elif build is not None:
            watts.append(build * (1 / f.facility_life_years + f.discount_rate / 2) * site.pue_peak.value)
    return Economics.market(
        capital_per_year=1 / f.system_life_years + f.discount_rate / 2 + scenario.operations.maintenance,
        watt_usd_per_year=float(np.mean(watts)) if watts else 0.0,
        joule_usd=float(np.mean(joules)),
        source=f"prices of {scenario.name}'s sites",
    )


def _answer(run: TrainingRun, scenario: Scenario, catalog: Catalog, economics: Economics) -> Choice:
    ask = run.choose
    assert ask is not None
    where = f"training.{run.name}.choose"
    if not _NAME.match(run.name):
        raise InputError(f"{run.name!r} names the chosen model; use lower-case letters, digits, '-' and '.'", where)
    if run.name in catalog.models:
        raise InputError(f"{run.name!r} is a model of the catalogue already; give the run another name", where)
    try:
        by = law(ask.law)
    except InputError as problem:
        raise InputError(problem.problem, f"{where}.law") from None
    services = services_of(run, scenario)
    demand = ask.serve_tokens if ask.serve_tokens is not None else sum(s.total for s in services)
    if demand and not services:
        services = service_as_first(run, scenario)
    names = (run.name, *(s.workload.name for s in services))
    newest = Place(ask.system or _newest(run, scenario), economics)
    life = lifetime_of(run, scenario, catalog, services, dict.fromkeys(names, newest))
    if demand and not life.serving:
        life = replace(life, serving=[(life.training, 1.0)])  # of requests that nobody states
    try:
        target, windows = _target(run, by, catalog, life), _windows(run, catalog, life)
        choice = choose(
            by,
            target,
            life,
            serve_tokens=demand,
            expansions=tuple(ask.expansions) if "expansions" in ask.model_fields_set else EXPANSIONS,
            data_tokens=ask.data,
            name=run.name,
            windows=windows,
            most_cut=ask.most_cut,
        )
    except InputError as problem:
        key = _KEYS.get(problem.where, problem.where)
        key = "context" if key == "contexts" and ask.context is not None else key
        raise InputError(problem.problem, f"{where}.{key}" if key else where) from None
    except NoAnswerError as problem:
        raise NoAnswerError(f"{where}: {problem.problem}", problem.reasons) from None
    if choice.tokens * run.compute_multiple < LEAST_RUN_TOKENS:
        few, least = (format_quantity(t, "count") for t in (choice.tokens, LEAST_RUN_TOKENS))
        raise InputError(
            f"{target.words} chooses a model trained on {few} tokens, too few to plan racks for; ask for one of at least "
            f"{least} tokens, or leave the run out",
            f"{where}.{ask.target[0]}",
        )
    if not demand:
        choice = replace(choice, warnings=[served_by_none(run), *choice.warnings])
    given = {"max_context": ask.context} if ask.context and not windows else {}
    model = choice.model.model_copy(update={"label": f"{run.name} (chosen)", **given})
    return replace(choice, model=model)


def _windows(run: TrainingRun, catalog: Catalog, life: Lifetime) -> list[LifeWindow]:
    """The contexts that a run asks about; none where nothing is served, so that no request says what a context is worth."""
    ask = run.choose
    assert ask is not None
    if not life.serving and ask.contexts is None:
        return []
    contexts = [ask.context] if ask.context is not None else ask.contexts or CONTEXTS
    return windows_of(life, contexts, _long_share(run, catalog))


def _long_share(run: TrainingRun, catalog: Catalog) -> float:
    stated = run.choose.long_context_share if run.choose else None
    return catalog.fact(_LONG_SHARE).value if stated is None else stated


def _target(run: TrainingRun, by: Law, catalog: Catalog, life: Lifetime) -> Target:
    """The target in the law's terms; another model's loss is the law's own for its size and published tokens, and what its own
    context adds on the same requests.
    """
    ask = run.choose
    assert ask is not None
    name, value = ask.target
    if name != "like":
        return Target({"loss": "loss", "compute": "flop", "cost": "usd"}[name], float(value))  # type: ignore[arg-type]
    model = catalog.model(value)
    if model.training_tokens is None or model.published_parameters is None:
        raise InputError(f"{value!r} has no published training tokens or parameters to compare with", "like")
    active = model.published_active_parameters or model.published_parameters
    experts = model.experts / model.experts_per_token if model.family == "moe" else 1.0
    if experts > 1 and not by.mixtures:
        raise InputError(f"{value!r} is a mixture, which {by.label} does not know; take law: joint-moe-2025", "like")
    loss = float(by.loss(active.value, model.training_tokens.value, experts, granularity_of(model)))
    if own := window_of(life, model, 0.0):
        loss += float(own.penalty(active.value))
    return Target("loss", loss)


def _newest(run: TrainingRun, scenario: Scenario) -> str:
    """First system of the newest platform that ships by the run's start (the earliest, if none does)."""
    ready = [p for p in scenario.platforms if p.ships <= run.start]
    if ready:
        return max(ready, key=lambda p: p.ships).systems[0]
    if not scenario.platforms:
        raise NoAnswerError("the scenario has no platform to train on")
    return min(scenario.platforms, key=lambda p: p.ships).systems[0]
