"""Models that a scenario asks for instead of naming them: chosen before anything is planned."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from gigaforge.catalog import Catalog
from gigaforge.codesign.hardware.economics import Economics
from gigaforge.codesign.models.choose import Choice, Target, choose
from gigaforge.codesign.models.laws import Law, law
from gigaforge.codesign.models.running import Running
from gigaforge.errors import InputError, NoAnswerError
from gigaforge.perf.inference import Traffic
from gigaforge.scenario import Scenario, interpolate, output_tokens, peak_over_mean
from gigaforge.scenario.schema import Serving, TrainingRun

__all__ = ["Resolved", "demand_tokens", "economics_of", "resolve_models", "running_for"]

_WEEKS_PER_QUARTER: Final = 365.25 / 7 / 4
_NAME: Final = re.compile(r"^[a-z0-9][a-z0-9.\-]*$")
_TTFT_S: Final = 5.0
"""Time to first token where nothing in the scenario says (assumption)."""
_CACHED_LIMIT: Final = 0.99


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
    by = law(ask.law)
    demand = ask.serve_tokens if ask.serve_tokens is not None else demand_tokens(run, scenario)
    try:
        choice = choose(
            by,
            _target(run, by, catalog),
            running_for(run, scenario, catalog, economics),
            serve_tokens=demand,
            expansions=tuple(ask.expansions),
            data_tokens=ask.data,
            name=run.name,
        )
    except InputError as problem:
        raise InputError(problem.problem, f"{where}.{problem.where}" if problem.where else where) from None
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


def demand_tokens(run: TrainingRun, scenario: Scenario) -> float:
    """Answer tokens that the scenario's users ask of a run's model after its training, to the end of the horizon."""
    total = 0.0
    for serving in scenario.serving:
        if serving.model in (run.name, run.model):
            quarters = [q for q in scenario.quarters if q > run.end]
            if quarters:
                messages = interpolate(serving.weekly_users, quarters)
                messages = messages * interpolate(serving.messages_per_user_week, quarters)
                per_week = messages * output_tokens(serving, quarters)
                total += float(per_week.sum()) * _WEEKS_PER_QUARTER
    return total


def running_for(
    run: TrainingRun, scenario: Scenario, catalog: Catalog, economics: Economics, system: str = ""
) -> Running:
    """Where a run's model is trained and served (default: on the newest platform by its start), for whose requests."""
    ask = run.choose
    system = system or (ask.system if ask and ask.system else _newest(run, scenario))
    served = next((s for s in scenario.serving if s.model in (run.name, run.model)), None)
    other = served or next(iter(scenario.serving), None)
    running = Running.on(
        catalog,
        system,
        economics,
        _traffic(run, scenario, other, ask.tpot if ask else 0.05),
        seq_len=run.seq_len,
        utilisation=1.0 if other is None else min(other.utilisation / peak_over_mean(other, catalog), 1.0),
    )
    if run.precision in ("bf16", "fp8", "mxfp8", "nvfp4") and running.hardware.supports(run.precision):
        running = replace(running, train_precision=run.precision)
    if served is not None and running.hardware.supports(served.precision):
        running = replace(running, serve_precision=served.precision)
    return running


def _traffic(run: TrainingRun, scenario: Scenario, serving: Serving | None, tpot: float) -> Traffic:
    if serving is None:
        return Traffic(2048, 512, ttft_s=_TTFT_S, tpot_s=tpot, percentile="mean")
    after = [q for q in scenario.quarters if q > run.end][:1] or scenario.quarters[-1:]
    prompt, answer = float(interpolate(serving.input_tokens, after)[0]), float(output_tokens(serving, after)[0])
    return Traffic(
        round(prompt), round(answer), prefix_hit=min(serving.cached_share, _CACHED_LIMIT), ttft_s=serving.ttft,
        tpot_s=serving.tpot, percentile="mean",
    )  # fmt: skip


def _newest(run: TrainingRun, scenario: Scenario) -> str:
    """First system of the newest platform that ships by the run's start (the earliest, if none does)."""
    ready = [p for p in scenario.platforms if p.ships <= run.start]
    if ready:
        return max(ready, key=lambda p: p.ships).systems[0]
    if not scenario.platforms:
        raise NoAnswerError("the scenario has no platform to train on")
    return min(scenario.platforms, key=lambda p: p.ships).systems[0]
