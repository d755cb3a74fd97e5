"""Read the shipped catalogue, and a user's own folder laid over it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from gigaforge.catalog.figure import figures_in
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
from gigaforge.errors import InputError, did_you_mean

__all__ = ["Catalog", "keys_at", "load_catalog", "read_yaml", "validation_problem"]

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


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, in C where there is one; a key given twice is an error, not the last one's win."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key.value, str):
                continue
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


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
        hint = did_you_mean(name, entries)
        raise InputError(f"unknown {kind} {name!r}{hint} (`gigaforge catalog list {kind}s` shows all)") from None


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
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
    ) as problem:  # a day such as 2026-02-30, a mapping as a key
        raise InputError(f"is not valid YAML: {str(problem)[:200]}", str(path)) from None


def validation_problem(error: ValidationError, model: type[BaseModel], where: str) -> InputError:
    """Turn pydantic's errors into one message that names field, value and remedy (the nearest known key)."""
    lines = []
    for item in error.errors(include_url=False):
        path = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            known = keys_at(model, item["loc"][:-1])
            hint = did_you_mean(str(item["loc"][-1]), known) or (f"; known: {', '.join(known)}" if known else "")
            lines.append(f"{path}: unknown key{hint}")
        elif item["type"] == "too_short":
            lines.append(f"{path}: is empty; at least one entry is needed")
        elif item["type"] in ("model_type", "dict_type"):
            lines.append(f"{path}: a mapping of keys to values is expected (found {_short(item['input'])})")
        elif item["type"] == "string_pattern_mismatch":
            lines.append(
                f"{path}: {_short(item['input'])} is not a name: lower-case letters, digits, '-' and '.' only"
            )
        elif item["type"] == "missing":
            lines.append(f"{path}: is missing")
        elif item["type"] in ("value_error", "assertion_error"):
            lines.append(f"{path}: {item['msg'].removeprefix('Value error, ')}".removeprefix(": "))
        else:
            lines.append(f"{path}: {_expected(item['msg'])} (found {_short(item['input'])})")
    return InputError("\n  ".join(dict.fromkeys(line.removeprefix(": ") for line in lines)), where)


_PLAINLY = (
    (r"greater than or equal to (\S+)", r"\1 or more"),
    (r"less than or equal to (\S+)", r"\1 or less"),
    (r"greater than (\S+)", r"above \1"),
    (r"less than (\S+)", r"below \1"),
)


def _expected(message: str) -> str:
    """Pydantic's "Input should be less than or equal to 1" in plain words."""
    told = message.removeprefix("Input should be ")
    if told == message:
        return message
    for pattern, plain in _PLAINLY:
        told = re.sub(pattern, plain, told)
    return f"{told.split(', unable to')[0]} is expected"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def keys_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
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
    """Add a folder's entries; one that an earlier folder has is laid over field by field."""
    seen: dict[tuple[str, str], Path] = {}
    for path in _yaml_files(folder):
        kind = path.relative_to(folder).parts[0].removesuffix(".yaml").removesuffix(".yml")
        data = read_yaml(path)
        if kind == "sources":
            if not isinstance(data, dict):
                raise InputError("a mapping of key: {title, url} is expected", str(path))
            for key, source in data.items():
                if not isinstance(source, dict):
                    raise InputError(f"{key}: a mapping with title and url is expected", str(path))
                catalog["sources"][str(key)] = {**source, "_file": str(path)}
            continue
        if kind not in KINDS:
            hint = did_you_mean(kind, [*KINDS, "sources"])
            raise InputError(f"unknown kind {kind!r}{hint} (known: {', '.join([*KINDS, 'sources'])})", str(path))
        for entry in data if isinstance(data, list) else [data]:
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                raise InputError("each entry must be a mapping with a name", str(path))
            name = entry["name"]
            if (kind, name) in seen:
                raise InputError(f"{name!r} is given twice (also in {seen[kind, name]}); keep one", str(path))
            seen[kind, name] = path
            catalog[kind][name] = {**catalog[kind].get(name, {}), **entry, "_file": str(path)}


def _yaml_files(folder: Path) -> list[Path]:
    """All YAML files below a folder, hidden ones left out, in a fixed order."""
    found = (path for pattern in ("**/*.yaml", "**/*.yml") for path in folder.glob(pattern))
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


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
    folders = [Path(overlay) for overlay in overlays]
    for folder in folders:
        if not folder.is_dir():
            raise InputError("no such folder", f"--catalog {folder}")
    return _load(tuple((str(folder), _stamp(folder)) for folder in folders))


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes when a folder's files do, so that a long-lived process sees a user's edits."""
    return tuple((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in _yaml_files(folder))


@lru_cache(maxsize=8)
def _load(overlays: tuple[tuple[str, object], ...]) -> Catalog:
    raw: dict[str, dict[str, Any]] = {kind: {} for kind in (*KINDS, "sources")}
    _read_folder(Path(__file__).parent / "data", raw)
    for folder, _ in overlays:
        _read_folder(Path(folder), raw)
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
    """Every name and source that an entry uses must exist."""
    for kind in KINDS:
        for name, entry in getattr(catalog, kind).items():
            _check_sources(entry, catalog.sources, f"{raw[kind][name]['_file']}: {name}")
    for system in catalog.systems.values():
        _refer(catalog.accelerator, system.accelerator, raw["systems"][system.name], system.name)
        if system.network:
            _refer(catalog.network, system.network, raw["systems"][system.name], system.name)
    for site in catalog.sites.values():
        _refer(catalog.partner, site.partner, raw["sites"][site.name], site.name)
        for name in site.systems:
            _refer(catalog.system, name, raw["sites"][site.name], site.name)


def _check_sources(entry: BaseModel, sources: dict[str, Source], where: str) -> None:
    """A source is a key of sources.yaml or a web address."""
    own = [("source", list(getattr(entry, "source", [])))]
    normals = getattr(entry, "climate", None)
    if normals is not None:
        own.append(("climate.source", normals.source))
    for path, keys in own + [(f"{path}.source".lstrip("."), figure.source) for path, figure in figures_in(entry)]:
        for key in keys:
            if key not in sources and not key.startswith(("https://", "http://")):
                hint = did_you_mean(key, sources)
                raise InputError(f"{path}: {key!r} is neither a key of sources.yaml nor a web address{hint}", where)


def _refer(find: Any, name: str, data: dict[str, Any], owner: str) -> None:
    try:
        find(name)
    except InputError as problem:
        raise InputError(problem.problem, f"{data['_file']}: {owner}") from None
