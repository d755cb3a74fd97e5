"""Where a plan's figures come from: what the scenario states and why, and the catalogue's sources behind it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gigaforge.catalog import Catalog, Figure
from gigaforge.catalog.schema import Entry
from gigaforge.scenario import Scenario

__all__ = ["assumptions", "input_hashes", "labels", "places", "sources_used"]


def assumptions(scenario: Scenario, catalog: Catalog) -> list[dict[str, str]]:
    """Each reason that the scenario gives for its figures, with the address where the reason is a source."""
    rows = []
    for path, reason in scenario.because.items():
        fact = catalog.facts.get(reason)
        source = catalog.sources.get(fact.source[0] if fact and fact.source else reason)
        words = fact.label if fact else source.title if source else reason.removeprefix("assumption:").strip()
        assumed = reason.startswith("assumption") or bool(fact and fact.assumption)
        rows.append(
            {
                "path": path,
                "reason": f"{words}: {fact}" + (f" ({fact.note})" if fact.note else "") if fact else words,
                "kind": "assumption" if assumed else "source",
                "url": source.url if source else (reason if reason.startswith("http") else ""),
            }
        )
    for owner, field, figure in _figures(scenario, catalog):
        if figure.assumption:
            rows.append(
                {"path": f"{owner}.{field}", "reason": figure.assumption, "kind": "assumption", "url": "",
                 "value": str(figure)}
            )  # fmt: skip
    return rows


def sources_used(scenario: Scenario, catalog: Catalog) -> list[dict[str, str]]:
    """Every source behind the systems, sites and models of a scenario, and what it was used for."""
    used: dict[str, list[str]] = {}
    for owner, field, figure in _figures(scenario, catalog):
        for key in figure.source:
            used.setdefault(key, []).append(f"{owner} {field.replace('_', ' ')}")
    for name in [*(r.model for r in scenario.training), *(s.model for s in scenario.serving)]:
        for key in catalog.model(name).source:
            used.setdefault(key, []).append(f"{name} architecture")
    for path, reason in scenario.because.items():
        fact = catalog.facts.get(reason)
        for key in fact.source if fact else [reason]:
            if key in catalog.sources or key.startswith("http"):
                used.setdefault(key, []).append(path)
    rows = []
    for key, uses in used.items():
        source = catalog.sources.get(key)
        rows.append(
            {
                "key": key,
                "title": source.title if source else key,
                "url": source.url if source else key,
                "date": source.date if source else "",
                "used_for": ", ".join(dict.fromkeys(uses)),
            }
        )
    return sorted(rows, key=lambda r: r["title"])


def _figures(scenario: Scenario, catalog: Catalog) -> list[tuple[str, str, Figure]]:
    systems = [catalog.system(s) for p in scenario.platforms for s in p.systems]
    entries: list[Entry] = [
        *systems,
        *(catalog.accelerator(name) for name in dict.fromkeys(s.accelerator for s in systems)),
        *(catalog.site(s.site) for s in scenario.sites),
    ]
    return [(entry.name, field, figure) for entry in entries for field, figure in _walk(entry)]


def _walk(value: Any, path: str = "") -> list[tuple[str, Figure]]:
    """Every figure inside an entry, with its place."""
    if isinstance(value, Figure):
        return [(path, value)]
    if hasattr(type(value), "model_fields"):
        parts = [(name, getattr(value, name)) for name in type(value).model_fields]
        return [found for name, part in parts for found in _walk(part, f"{path}.{name}".lstrip("."))]
    if isinstance(value, list):
        return [found for item in value for found in _walk(item, path)]
    return []


def input_hashes(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of every file behind a plan; a folder stands for the YAML files in it."""
    files = [f for p in paths for f in (sorted(p.glob("**/*.yaml")) if p.is_dir() else [p])]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def labels(scenario: Scenario, catalog: Catalog) -> dict[str, str]:
    """Names as people write them, of everything a plan mentions."""
    systems = [catalog.system(s) for p in scenario.platforms for s in p.systems]
    sites = [catalog.site(s.site) for s in scenario.sites]
    models = [
        catalog.model(name) for name in [r.model for r in scenario.training] + [s.model for s in scenario.serving]
    ]
    partners = catalog.partners.values()
    entries: list[Entry] = [*systems, *models, *partners]
    short = {
        site.name: site.label.split(" (")[0].split(",")[0] for site in sites
    }  # the place, without county and owner
    runs = {run.name for run in scenario.training}  # a run is not its model, even where they share a name
    return {entry.name: entry.label for entry in entries if entry.name not in runs} | short


def places(scenario: Scenario, catalog: Catalog) -> dict[str, dict[str, float]]:
    """Longitude and latitude [degree] of the scenario's sites, where the catalogue knows them."""
    found = {s.site: catalog.site(s.site) for s in scenario.sites}
    return {
        name: {"longitude": site.longitude, "latitude": site.latitude}
        for name, site in found.items()
        if site.longitude is not None and site.latitude is not None
    }
