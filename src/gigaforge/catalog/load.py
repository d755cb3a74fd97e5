"""Read the shipped catalogue, and a user's own folder laid over it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from gigaforge.catalog.schema import (
    Accelerator,
    Fact,
    Model,
    Network,
    Partner,
    Shape,
    Site,
    Source,
    System,
)
from gigaforge.errors import InputError

__all__ = ["Catalog", "load_catalog", "read_yaml", "validation_problem"]

# Folder in the catalogue -> type of its entries. One entry a file, or a list of them.
KINDS: Final[dict[str, type[BaseModel]]] = {
    "accelerators": Accelerator,
    "systems": System,
    "networks": Network,
    "models": Model,
    "sites": Site,
    "partners": Partner,
    "facts": Fact,
    "shapes": Shape,
}
E_ = TypeVar("E_", bound=BaseModel)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Catalog:
    """All entries by kind and name."""

    accelerators: dict[str, Accelerator] = field(default_factory=dict)
    systems: dict[str, System] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    sites: dict[str, Site] = field(default_factory=dict)
    partners: dict[str, Partner] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)

    def accelerator(self, name: str) -> Accelerator:
        """Look one up; `InputError` names the nearest known one."""
        return _find(self.accelerators, name, "accelerator")

    def system(self, name: str) -> System:
        """Look one up; `InputError` names the nearest known one."""
        return _find(self.systems, name, "system")

    def model(self, name: str) -> Model:
        """Look one up; `InputError` names the nearest known one."""
        return _find(self.models, name, "model")

    def site(self, name: str) -> Site:
        """Look one up; `InputError` names the nearest known one."""
        return _find(self.sites, name, "site")

    def partner(self, name: str) -> Partner:
        """Look one up; `InputError` names the nearest known one."""
        return _find(self.partners, name, "partner")

    def network(self, name: str) -> Network:
        """Look one up; `InputError` names the nearest known one."""
        return _find(self.networks, name, "network")

    def fact(self, name: str) -> Fact:
        """Look one up; `InputError` names the nearest known one."""
        return _find(self.facts, name, "fact")

    def shape(self, name: str) -> Shape:
        """Look one up; `InputError` names the nearest known one."""
        return _find(self.shapes, name, "shape")


def _find(entries: dict[str, E_], name: str, kind: str) -> E_:
    try:
        return entries[name]
    except KeyError:
        near = difflib.get_close_matches(name, entries, 1, 0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"unknown {kind} {name!r}; {hint}(`gigaforge catalog list {kind}s` shows all)") from None


def read_yaml(path: Path) -> Any:
    """Read one YAML file with the safe loader; `InputError` where it is missing or not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError("no such file", str(path)) from None
    except IsADirectoryError:
        raise InputError("is a folder; a YAML file is expected", str(path)) from None
    except UnicodeDecodeError:
        raise InputError("is not text in UTF-8; a YAML file is expected", str(path)) from None
    except OSError as problem:
        raise InputError(f"cannot be read: {problem.strerror}", str(path)) from None
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a safe loader, in C where there is one)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        what = getattr(problem, "problem", None) or "cannot be parsed"
        raise InputError(f"{line}is not valid YAML: {what}", str(path)) from None
    except RecursionError:
        raise InputError("is not valid YAML: nested too deeply", str(path)) from None


def validation_problem(error: ValidationError, model: type[BaseModel], where: str) -> InputError:
    """Turn pydantic's errors into one message that names field, value and remedy (the nearest known key)."""
    lines = []
    for item in error.errors(include_url=False):
        path = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            known = _keys_at(model, item["loc"][:-1])
            near = difflib.get_close_matches(str(item["loc"][-1]), known, 1, 0.5)
            hint = f"; did you mean {near[0]!r}?" if near else (f"; known: {', '.join(known)}" if known else "")
            lines.append(f"{path}: unknown key{hint}")
        elif item["type"] == "missing":
            lines.append(f"{path}: is missing")
        elif item["type"] in ("value_error", "assertion_error"):
            lines.append(f"{path}: {item['msg'].removeprefix('Value error, ')}".removeprefix(": "))
        else:
            lines.append(f"{path}: {item['msg']} (found {_short(item['input'])})")
    return InputError("\n  ".join(dict.fromkeys(lines)), where)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _keys_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Field names that would have been known at a place inside a model."""
    import typing  # noqa: PLC0415

    here: Any = model
    for part in loc:
        args = [a for a in typing.get_args(here) if a is not type(None)]
        if isinstance(here, type) and issubclass(here, BaseModel) and part in here.model_fields:
            here = here.model_fields[str(part)].annotation
        elif args:
            here = args[-1]
        args = [a for a in typing.get_args(here) if isinstance(a, type) and issubclass(a, BaseModel)]
        if len(args) == 1 and typing.get_origin(here) not in (list, dict):
            here = args[0]
    args = [a for a in typing.get_args(here) if isinstance(a, type) and issubclass(a, BaseModel)]
    if not (isinstance(here, type) and issubclass(here, BaseModel)) and len(args) == 1:
        here = args[0]
    if isinstance(here, type) and issubclass(here, BaseModel):
        return [f.alias or name for name, f in here.model_fields.items()]
    return []


def _read_folder(folder: Path, catalog: dict[str, dict[str, Any]]) -> None:
    """Add a folder's entries; an entry that exists is laid over field by field."""
    for path in sorted(folder.glob("**/*.yaml")):
        relative = path.relative_to(folder)
        kind = relative.parts[0].removesuffix(".yaml")
        data = read_yaml(path)
        if kind == "sources":
            if not isinstance(data, dict):
                raise InputError("a mapping of key: {title, url} is expected", str(path))
            catalog["sources"].update({k: {**v, "_file": str(path)} for k, v in data.items()})
            continue
        if kind not in KINDS:
            near = difflib.get_close_matches(kind, [*KINDS, "sources"], 1, 0.4)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"unknown kind {kind!r}{hint} (known: {', '.join([*KINDS, 'sources'])})", str(path))
        for entry in data if isinstance(data, list) else [data]:
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                raise InputError("each entry must be a mapping with a name", str(path))
            before = catalog[kind].get(entry["name"], {})
            catalog[kind][entry["name"]] = {**before, **entry, "_file": str(path)}


def load_catalog(*overlays: Path | str) -> Catalog:
    """Read the shipped catalogue with folders of a user's own figures laid over it, later ones on top.

    Parameters
    ----------
    *overlays : path
        Folders laid out like the shipped one: ``accelerators/``, ``systems/``, ... with YAML entries. An entry
        with a known name replaces only the fields it gives.

    Raises
    ------
    InputError
        A file is not YAML, a field is unknown or wrong, a figure has no source, a name refers to nothing.

    """
    return _load(tuple(str(Path(o)) for o in overlays))


@cache
def _load(overlays: tuple[str, ...]) -> Catalog:
    raw: dict[str, dict[str, Any]] = {kind: {} for kind in (*KINDS, "sources")}
    _read_folder(Path(__file__).parent / "data", raw)
    for overlay in overlays:
        folder = Path(overlay)
        if not folder.is_dir():
            raise InputError("no such folder", f"--catalog {overlay}")
        _read_folder(folder, raw)
    kinds: dict[str, dict[str, Any]] = {
        kind: {name: _parse(cls, data, name) for name, data in raw[kind].items()} for kind, cls in KINDS.items()
    }
    sources = {name: _parse(Source, data, name) for name, data in raw["sources"].items()}
    catalog = Catalog(**kinds, sources=sources)
    _check_references(catalog, raw)
    return catalog


def _parse(cls: type[Any], data: dict[str, Any], name: str) -> Any:
    clean = {k: v for k, v in data.items() if k != "_file"}
    try:
        return cls.model_validate(clean)
    except ValidationError as problem:
        raise validation_problem(problem, cls, f"{data['_file']}: {name}") from None


def _check_references(catalog: Catalog, raw: dict[str, dict[str, Any]]) -> None:
    """Every name that an entry uses must exist."""
    for system in catalog.systems.values():
        _refer(catalog.accelerator, system.accelerator, raw["systems"][system.name], system.name)
        if system.network:
            _refer(catalog.network, system.network, raw["systems"][system.name], system.name)
    for site in catalog.sites.values():
        _refer(catalog.partner, site.partner, raw["sites"][site.name], site.name)
        for name in site.systems:
            _refer(catalog.system, name, raw["sites"][site.name], site.name)


def _refer(find: Any, name: str, data: dict[str, Any], owner: str) -> None:
    try:
        find(name)
    except InputError as problem:
        raise InputError(problem.problem, f"{data['_file']}: {owner}") from None
