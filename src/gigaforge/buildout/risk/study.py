"""A risk study: many worlds, each lived through by a policy that cannot see the future, on one machine or many."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from pydantic import ValidationError
from scipy import special

from gigaforge.buildout.problem import Array, Problem, problem_from
from gigaforge.buildout.risk.compiled import Reshaped, Stated
from gigaforge.buildout.risk.journal import Journal
from gigaforge.buildout.risk.policy import Outcome, Policy, rollout
from gigaforge.buildout.risk.summary import summary_of
from gigaforge.buildout.risk.targets import match
from gigaforge.buildout.risk.template import EXCHANGEABLE, Template
from gigaforge.buildout.risk.two_stage import two_stage
from gigaforge.buildout.risk.world import Variable, Worlds, check_statements
from gigaforge.catalog import Catalog, load_catalog
from gigaforge.catalog.load import read_yaml, validation_problem
from gigaforge.codesign.models.resolve import resolve_models
from gigaforge.codesign.operating_points import operating_points
from gigaforge.codesign.point import OperatingPoint
from gigaforge.errors import InputError
from gigaforge.executor import run_tasks
from gigaforge.scenario import Scenario, check_against
from gigaforge.scenario.uncertainty import Risk

__all__ = ["RiskResult", "default_risk", "load_risk", "restated_template", "risk"]

_OPTIMISM_SAMPLES = 8
_POLICY = 3  # counts up when the same question gets other samples: runs at one place, work counted once

Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class RiskResult:
    """What a study found.

    Attributes
    ----------
    summary : dict
        `risk.json`: see the documentation.
    samples : DataFrame
        A row a sample: inputs as drawn, outcomes.
    problem : Problem
        The scenario as stated.

    """

    summary: dict[str, Any]
    samples: pd.DataFrame
    problem: Problem = field(repr=False)

    def to_pandas(self) -> pd.DataFrame:
        """Inputs and outcomes, a row a sample."""
        return self.samples


def load_risk(path: Path | str) -> Risk:
    """Read a file of uncertain figures: ``variables`` and ``correlations``, as the scenario's section ``risk``."""
    data = read_yaml(Path(path))
    if not isinstance(data, dict):
        found = "nothing" if data is None else f"a {type(data).__name__}"
        raise InputError(
            f"holds {found}; uncertain figures are expected under `variables`: see docs/risk.md", str(path)
        )
    if isinstance(data, dict) and set(data) == {"risk"}:
        data = data["risk"]
    try:
        return Risk.model_validate(data)
    except ValidationError as problem:
        raise validation_problem(problem, Risk, str(path)) from None


def default_risk(problem: Problem) -> Risk:
    """Uncertain figures for a scenario that states none: the shipped ones, less what it does not have."""
    text = (resources.files("gigaforge.buildout.risk") / "default.yaml").read_text(encoding="utf-8")
    shipped = Risk.model_validate(yaml.safe_load(text))

    def there(what: str) -> bool:
        try:
            return bool(match(problem, what))
        except InputError:
            return False

    kept = [v for v in shipped.variables if there(v.what) and _has_points(problem, v.what)]
    names = {v.what for v in kept}
    pairs = [c for c in shipped.correlations if set(c.between) <= names]
    return shipped.model_copy(update={"variables": kept, "correlations": pairs})


def _has_points(problem: Problem, what: str) -> bool:
    """Performance can only be uncertain where something runs, and with an interval."""
    kinds = {"performance.serving": problem.points, "performance.training": problem.training_points}
    return any(p.low < p.high for p in kinds[what]) if what in kinds else True


def risk(
    scenario: Scenario,
    catalog: Catalog | None = None,
    *,
    samples: int = 256,
    seed: int = 1,
    uncertain: Risk | None = None,
    points: Sequence[OperatingPoint] | None = None,
    workers: int | None = None,
    scheduler: str = "",
    folder: Path | None = None,
    futures: int = 0,
    where: str = "",
    watch: Watch | None = None,
) -> RiskResult:
    """Live a scenario through many worlds.

    Parameters
    ----------
    scenario, catalog, points
        As `gigaforge.plan`.
    samples : int
        Worlds; a power of two covers them best.
    seed : int
        Of the draws: the same seed gives the same result to the last digit, on any number of workers.
    uncertain : Risk
        Default: the scenario's own section ``risk``, else the shipped default.
    workers, scheduler
        As `gigaforge.executor.run_tasks`.
    folder : path
        Finished samples are kept there; the same question asked again goes on where it stopped.
    futures : int
        Also plan what to commit now that is good in so many futures at once; 0 leaves it out.
    where : str
        File, for messages.
    watch : callable (what, done, all)
        Told what is being done.

    Raises
    ------
    InputError
        Figures that do not exist, distributions without support, correlations that cannot be.

    """
    if not 1 <= samples <= 1_000_000:
        raise InputError(f"{samples} samples; 1 to 1,000,000 are expected", "--samples")
    if futures and not 2 <= futures <= 64:
        raise InputError(f"{futures} futures; 2 to 64 can be planned for at once", "--two-stage")
    tell = watch or (lambda *_: None)
    resolved = resolve_models(scenario, catalog or load_catalog())
    scenario, catalog = resolved.scenario, resolved.catalog
    check_against(scenario, catalog, where or scenario.name)
    stated = uncertain or scenario.risk
    if stated is not None:
        check_statements(stated, where or scenario.name)
    started, cpu = time.perf_counter(), time.process_time()
    if points is None:
        tell("finding operating points", 0, 0)
        points = operating_points(scenario, catalog)
    problem = problem_from(scenario, catalog, points)
    chosen = uncertain or scenario.risk or default_risk(problem)
    worlds = Worlds(problem, chosen, samples, seed, where or scenario.name, catalog)
    journal = Journal(folder / "samples.jsonl" if folder else None, _key(scenario, chosen, points, seed))
    kept = len([i for i in journal.done if i < samples])
    try:
        missing = [i for i in range(samples) if i not in journal.done]
        few = range(min(_OPTIMISM_SAMPLES, samples))
        measured = all(i in kept_too for kept_too in journal.relaxed.values() for i in few)
        policy = _policy(worlds, tell) if missing or futures or not measured else None
        if policy is not None:
            _run(policy, journal, missing, samples, workers, scheduler, tell)
            _relaxed(policy, journal, few, workers, scheduler, tell)
        optimism = _optimism(journal, few)
    finally:
        journal.close()
    ahead = {}
    if policy is not None and futures:
        tell("planning for several futures at once", 0, 0)
        labels = [catalog.system(name).label for name in problem.systems]
        ahead = {"two_stage": two_stage(policy, futures, tell).to_dict(problem.systems, labels)}
    outcomes = [journal.done[i] for i in range(samples)]
    names, scores = _scores(worlds)
    summary = {
        "name": scenario.name,
        "title": scenario.title,
        "samples": samples,
        "resumed": kept,
        "wall_s": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu,
        "seed": seed,
        "replan_quarters": chosen.replan_quarters,
        "quarters": [str(q) for q in problem.quarters],
        "commitment_w": scenario.commitment.power,
        **summary_of(problem, outcomes, names, scores),
        "variables": [
            {**v.model_dump(mode="json", exclude_defaults=True), "because": v.because} for v in chosen.variables
        ],
        "optimism": optimism,
        **ahead,
    }
    return RiskResult(summary, _table(worlds, outcomes), problem)


def _policy(worlds: Worlds, tell: Watch) -> Policy:
    """What every sample starts from."""
    tell("learning the programme", 0, 0)
    policy = Policy(worlds, restated_template(worlds))
    policy.prepare()
    return policy


def restated_template(worlds: Worlds) -> Template:
    """The programme learnt, with room for figures of the scenario that move more than arrays."""
    ends: list[Stated] = []
    base = Stated(worlds.problem) if any(v.figure for v in worlds.variables) else None
    for variable, problem in worlds.extremes():
        assert base is not None
        ends.append(Stated(problem))
        _check_figure(variable, base, ends[-1], worlds.where)
    return Template(worlds.problem, frozenset(worlds.touched) & EXCHANGEABLE, ends)


def _check_figure(variable: Variable, base: Stated, end: Stated, where: str) -> None:
    try:
        keep = base.needed().with_those_of(end.needed())
    except Reshaped:
        raise InputError(
            f"{variable.name}: its distribution changes the form of the programme (how many tranches, which terms), not "
            "its figures alone; compare scenarios with `gigaforge compare` and --set instead",
            f"{where}: risk.variables",
        ) from None
    if base.on(keep).equals(end.on(keep)):
        raise InputError(
            f"{variable.name}: changes nothing in the build-out programme (operating points are found before it); vary "
            "performance, demand or prices instead",
            f"{where}: risk.variables",
        )


def _run(
    policy: Policy,
    journal: Journal,
    missing: list[int],
    samples: int,
    workers: int | None,
    scheduler: str,
    tell: Watch,
) -> None:
    """Do what is missing."""
    if missing:
        tell("living through the samples", samples - len(missing), samples)
    for done, (index, outcome) in enumerate(
        run_tasks(rollout, policy, missing, workers=workers, scheduler=scheduler), samples - len(missing) + 1
    ):
        journal.add(index, outcome)
        tell("living through the samples", done, samples)


def _relaxed(policy: Policy, journal: Journal, few: range, workers: int | None, scheduler: str, tell: Watch) -> None:
    """Live through a few worlds again with racks, or racks and runs, as the relaxation leaves them."""
    for without, kept in journal.relaxed.items():
        missing = [i for i in few if i not in kept]
        if not missing:
            continue
        tell("measuring what whole racks and runs cost", 0, 0)
        relaxed = policy.relaxed(runs_too=without == "runs")
        for index, outcome in run_tasks(rollout, relaxed, missing, workers=workers, scheduler=scheduler):
            journal.add(index, outcome, without)


def _optimism(journal: Journal, few: range) -> dict[str, float]:
    """What the relaxation alone would promise on a few worlds, over what its repair to whole racks and runs comes to."""
    stand, split = [journal.done[i] for i in few], [journal.relaxed["runs"][i] for i in few]
    whole, both = (np.array([o.npv_usd for o in side]) for side in (stand, split))
    racks = np.array([journal.relaxed["racks"][i].npv_usd for i in few])
    size = max(float(np.abs(whole).mean()), 1.0)
    missed = [float(np.mean([sum(o.unfinished) for o in side])) for side in (split, stand)]
    return {
        "samples": float(len(few)),
        "npv_usd": float((both - whole).mean()),
        "relative": float((both - whole).mean() / size),
        "worst_relative": float(np.abs(both - whole).max() / size),
        "racks_relative": float((racks - whole).mean() / size),
        "runs_missed_relaxed": missed[0],
        "runs_missed": missed[1],
    }


def _key(scenario: Scenario, chosen: Risk, points: Sequence[OperatingPoint], seed: int) -> str:
    """Hash of all that decides a sample."""
    versions = {name: importlib.metadata.version(name) for name in ("gigaforge", "highspy", "numpy", "scipy")}
    stated = [
        scenario.model_dump(mode="json"),
        chosen.model_dump(mode="json"),
        [repr(p) for p in points],
        seed,
        versions,
        _POLICY,
    ]
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()


def _scores(worlds: Worlds) -> tuple[list[str], Array]:
    """One normal score a variable and world: a walk counts by how long each of its steps lasts. Shape (N, D)."""
    normal = special.ndtri(np.clip(worlds.draws, 1e-12, 1 - 1e-12))
    columns = []
    for v in worlds.variables:
        weight = np.arange(v.count, 0, -1.0)
        columns.append(normal[:, v.first : v.first + v.count] @ (weight / np.sqrt((weight**2).sum())))
    return [v.name for v in worlds.variables], np.array(columns).T


def _table(worlds: Worlds, outcomes: list[Outcome]) -> pd.DataFrame:
    rows = []
    for index, outcome in enumerate(outcomes):
        row: dict[str, Any] = {"sample": index}
        for name, values in worlds.values(index).items():
            row |= (
                {name: values[0]} if len(values) == 1 else {f"{name} year {y + 1}": x for y, x in enumerate(values)}
            )
        deployed = {f"deployed_w {q}": w for q, w in zip(worlds.problem.quarters, outcome.deployed_w, strict=True)}
        tranches = {f"tranche {n} quarter": t for n, t in enumerate(outcome.tranches, 1)}
        row |= {"npv_usd": outcome.npv_usd, "capex_usd": outcome.capex_usd, "served": outcome.served}
        rows.append(row | {"short_usd": outcome.short_usd} | deployed | tranches)
    return pd.DataFrame(rows)
