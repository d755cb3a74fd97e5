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
from gigaforge.codesign.models.laws import Law, law
from gigaforge.codesign.models.life import Place, lifetime_of, served_by_none, service_as_first, services_of
from gigaforge.errors import InputError, NoAnswerError
from gigaforge.scenario import Scenario
from gigaforge.scenario.schema import TrainingRun
from gigaforge.scenario.workloads import LEAST_RUN_TOKENS
from gigaforge.units import format_quantity

__all__ = ["Resolved", "economics_of", "resolve_models"]

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
    return Resolved(scenario.model_copy(update={"training": runs}), replace(catalog, models=models), choices)


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
        choice = choose(
            by,
            _target(run, by, catalog),
            life,
            serve_tokens=demand,
            expansions=tuple(ask.expansions),
            data_tokens=ask.data,
            name=run.name,
        )
    except InputError as problem:
        key = _KEYS.get(problem.where, problem.where)
        raise InputError(problem.problem, f"{where}.{key}" if key else where) from None
    except NoAnswerError as problem:
        raise NoAnswerError(f"{where}: {problem.problem}", problem.reasons) from None
    if choice.tokens * run.compute_multiple < LEAST_RUN_TOKENS:
        few, least = (format_quantity(t, "count") for t in (choice.tokens, LEAST_RUN_TOKENS))
        raise InputError(
            f"{_target(run, by, catalog).words} chooses a model trained on {few} tokens, too few to plan racks for; ask for one of at least "
            f"{least} tokens, or leave the run out",
            f"{where}.{ask.target[0]}",
        )
    if not demand:
        choice = replace(choice, warnings=[served_by_none(run), *choice.warnings])
    model = choice.model.model_copy(update={"label": f"{run.name} (chosen)", "max_context": ask.context})
    return replace(choice, model=model)


def _target(run: TrainingRun, by: Law, catalog: Catalog) -> Target:
    """The target in the law's terms; another model's loss is the law's own for its size and published tokens."""
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
    return Target("loss", float(by.loss(active.value, model.training_tokens.value, experts)))


def _newest(run: TrainingRun, scenario: Scenario) -> str:
    """First system of the newest platform that ships by the run's start (the earliest, if none does)."""
    ready = [p for p in scenario.platforms if p.ships <= run.start]
    if ready:
        return max(ready, key=lambda p: p.ships).systems[0]
    if not scenario.platforms:
        raise NoAnswerError("the scenario has no platform to train on")
    return min(scenario.platforms, key=lambda p: p.ships).systems[0]
