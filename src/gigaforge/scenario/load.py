"""Read a scenario file; find what is wrong with it before anything is computed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gigaforge.catalog import Catalog, load_catalog
from gigaforge.catalog.load import validation_problem
from gigaforge.errors import InputError, did_you_mean
from gigaforge.scenario.compose import apply_settings, leaf_paths, read_scenario_data
from gigaforge.scenario.schema import Scenario, Serving, interpolate, output_tokens

__all__ = [
    "check_against",
    "figures_without_reason",
    "load_scenario",
    "parse_scenario",
    "peak_over_mean",
    "scenario_json_schema",
    "with_objective",
]


def load_scenario(
    path: Path | str, settings: Sequence[str] = (), catalog: Catalog | None = None, asked: str = "--set"
) -> Scenario:
    """Read and validate one scenario file, with those it builds on.

    Parameters
    ----------
    path : path
        A YAML file; `scenario_json_schema` describes it.
    settings : sequence of str
        Single figures to change: ``sites.abilene.power.2027-Q2=600 MW``.
    catalog : Catalog
        Where `settings` find what the scenario leaves to the catalogue; default: the shipped one.
    asked : str
        What people call a setting where they gave it, for messages.

    Raises
    ------
    InputError
        Not YAML, unknown keys (with the nearest known one), wrong units, dates out of order, negative figures.

    """
    data = read_scenario_data(Path(path))
    if settings and isinstance(data, dict):
        data = apply_settings(data, settings, catalog or load_catalog(), asked)
        return parse_scenario(data, f"{path} with {asked} {f' {asked} '.join(settings)}")
    return parse_scenario(data, str(path))


def parse_scenario(data: Any, where: str = "scenario") -> Scenario:
    """Validate the content of a scenario file."""
    if not isinstance(data, dict):
        raise InputError(
            "is not a scenario: a mapping with name, horizon, commitment, ... is expected (`gigaforge init` writes one)",
            where,
        )
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as problem:
        raise validation_problem(problem, Scenario, where) from None
    _check_reasons(scenario, data, where)
    return scenario


def check_against(scenario: Scenario, catalog: Catalog, where: str = "scenario") -> None:
    """Every name in the scenario must exist in the catalogue; `InputError` names field and nearest known one."""
    asked = {r.name for r in scenario.training if r.choose is not None}
    wanted: list[tuple[str, Any, str]] = [
        *((f"platforms.{p.name}.systems", catalog.system, s) for p in scenario.platforms for s in p.systems),
        *((f"sites.{s.site}", catalog.site, s.site) for s in scenario.sites),
        *((f"training.{r.name}.model", catalog.model, r.model) for r in scenario.training if r.model),
        *((f"serving.{s.name}.model", catalog.model, s.model) for s in scenario.serving if s.model not in asked),
        *((f"serving.{s.name}.shape", catalog.shape, s.shape) for s in scenario.serving if s.shape),
        *((f"serving.{s.name}.history", catalog.fact, n) for s in scenario.serving for n in s.history),
    ]
    for run in scenario.training:
        if run.choose and run.choose.like:
            wanted.append((f"training.{run.name}.choose.like", catalog.model, run.choose.like))
        if run.choose and run.choose.system:
            wanted.append((f"training.{run.name}.choose.system", catalog.system, run.choose.system))
    if scenario.investment:
        wanted += [
            (f"investment.{role}", catalog.partner, getattr(scenario.investment, role))
            for role in ("investor", "recipient")
        ]
    for serving in scenario.serving:
        longest = float(
            max(interpolate(serving.input_tokens, scenario.quarters) + output_tokens(serving, scenario.quarters))
        )
        if serving.model in catalog.models and longest > catalog.model(serving.model).max_context:
            context = catalog.model(serving.model).max_context
            raise InputError(
                f"serving.{serving.name}: a message of {longest:,.0f} tokens (input_tokens and output_tokens) exceeds the "
                f"context of {serving.model}, {context:,}",
                where,
            )
    for path, reason in scenario.because.items():
        if not (reason.startswith(("assumption:", "http")) or reason in catalog.facts or reason in catalog.sources):
            hint = did_you_mean(reason, [*catalog.facts, *catalog.sources])
            raise InputError(
                f"because.{path}: {reason!r} is neither a fact nor a source of the catalogue, nor an address, nor "
                f"'assumption: why'{hint}",
                where,
            )
    for field, find, name in wanted:
        try:
            find(name)
        except InputError as problem:
            raise InputError(f"{field}: {problem.problem}", where) from None


def _terms(parts: list[str]) -> bool:
    """Finance's systems are terms of payment, not names."""
    return parts[:2] == ["finance", "systems"]


def figures_without_reason(data: dict[str, Any]) -> list[str]:
    """Paths of figures that no entry of ``because`` explains, itself or by an ancestor."""
    plain = {"schema", "name", "title", "description", "because", "objective", "block"}
    words = {"site", "model", "name", "precision", "systems", "basis", "investor", "recipient", "dollars", "lender",
             "counts", "suppliers", "sites", "shape", "source", "kind", "by", "role", "pricing", "run", "between",
             "history", "known_until", "per_token", "cooling"}  # fmt: skip
    reasons = data.get("because") or {}
    missing = []
    for leaf in leaf_paths({k: v for k, v in data.items() if k not in plain}):
        parts = leaf.split(".")
        if parts[-1] in words or any(
            p in ("systems", "sites", "suppliers", "between", "history", "precision")
            for p in parts[1:]
            if not _terms(parts)
        ):
            continue
        # A part may itself hold a dot (a site or run may not; decimal keys do not occur).
        if not any(".".join(parts[: n + 1]) in reasons for n in range(len(parts))):
            missing.append(leaf)
    return missing


def _check_reasons(scenario: Scenario, data: dict[str, Any], where: str) -> None:
    known: set[str] = set()
    for leaf in leaf_paths({k: v for k, v in data.items() if k != "because"}):
        parts = leaf.split(".")
        known.update(".".join(parts[: n + 1]) for n in range(len(parts)))
    for key in scenario.because:
        if key not in known:
            hint = did_you_mean(key, known)
            raise InputError(f"because.{key}: explains a figure that the scenario does not have{hint}", where)


def scenario_json_schema() -> str:
    """JSON Schema of a scenario file, as text."""
    schema = Scenario.model_json_schema(by_alias=True)
    schema["properties"]["base"] = {
        "type": "string",
        "description": "another scenario file that this one is laid over: sections merge, lists of named entries merge by name",
    }
    schema["if"], schema["else"] = {"required": ["base"]}, {"required": schema.pop("required")}
    return json.dumps(schema, indent=1)


def with_objective(scenario: Scenario, objective: str) -> Scenario:
    """The same scenario with another objective; `InputError` names the known ones."""
    known = ("npv", "tokens", "cost", "earliest")
    if objective not in known:
        raise InputError(f"{objective!r} is not an objective; known: {', '.join(known)}", "--objective")
    return scenario.model_copy(update={"objective": objective})


def peak_over_mean(serving: Serving, catalog: Catalog) -> float:
    """Busiest hour over the mean: the scenario's, else that of its shape, else 1."""
    if serving.peak_to_mean is not None:
        return serving.peak_to_mean
    return max(catalog.shape(serving.shape).factors) if serving.shape else 1.0
