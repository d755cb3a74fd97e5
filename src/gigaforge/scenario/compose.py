"""Scenario files that build on another, and single figures set from the command line."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel

from gigaforge.catalog.load import keys_at, read_yaml
from gigaforge.errors import InputError, did_you_mean
from gigaforge.quarters import Quarter
from gigaforge.scenario.schema import Scenario

if TYPE_CHECKING:
    from gigaforge.catalog import Catalog

__all__ = ["apply_settings", "lay_over", "leaf_paths", "read_scenario_data", "scenario_files", "split_path"]

_NAMES = ("name", "site")  # what entries of lists go by
_DEEPEST = 8
_WORDS = ("name", "title", "description", "because", "objective", "block", "schema")  # no figures
_ALWAYS = "0000-Q1"  # series that hold their value: before any quarter


def read_scenario_data(path: Path, _seen: tuple[Path, ...] = ()) -> Any:
    """Read a scenario file with those that it builds on (``base: other.yaml``) underneath.

    Raises
    ------
    InputError
        Not YAML, a base that does not exist, or files that build on each other in a ring.

    """
    data = read_yaml(path)
    if not isinstance(data, dict) or "base" not in data:
        return data
    base = data["base"]
    if not isinstance(base, str) or not base.strip():
        raise InputError(f"base: {base!r} is not a path to a scenario file", str(path))
    here = (*_seen, path.resolve())
    below = path.parent / base
    if below.resolve() in here or len(here) > _DEEPEST:
        raise InputError(f"base: {base} builds on this file again", str(path))
    under = read_scenario_data(below, here)
    if not isinstance(under, dict):
        raise InputError(f"base: {base} is not a scenario", str(path))
    made = lay_over(under, {k: v for k, v in data.items() if k != "base"})
    return _without_idle_reasons(made, kept=data.get("because") or {})


def _without_idle_reasons(data: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """Drop the base's reasons for figures that this file removed; its own stay, to be checked."""
    known: set[str] = set()
    for leaf in leaf_paths({k: v for k, v in data.items() if k != "because"}):
        parts = leaf.split(".")
        known.update(".".join(parts[: n + 1]) for n in range(len(parts)))
    reasons = {k: v for k, v in (data.get("because") or {}).items() if k in known or k in kept}
    return {**data, "because": reasons}


def scenario_files(path: Path) -> list[Path]:
    """The file and all that it builds on, for the record of a plan's inputs."""
    out = [path]
    data = read_yaml(path)
    while isinstance(data, dict) and isinstance(data.get("base"), str) and len(out) <= _DEEPEST:
        out.append(out[-1].parent / data["base"])
        data = read_yaml(out[-1])
    return out


def lay_over(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Sections merge key by key, lists of named entries by name, all else is replaced; null removes."""
    out = copy.deepcopy(under)
    for key, value in over.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict) and not _is_series(value):
            out[key] = lay_over(out[key], value)
        elif _named(value) and _named(out.get(key)):
            out[key] = _lay_list(out[key], value)
        else:
            out[key] = copy.deepcopy(value)
    return out


def _lay_list(under: list[Any], over: list[Any]) -> list[Any]:
    out = copy.deepcopy(under)
    places = {_name(item): i for i, item in enumerate(out)}
    for item in over:
        place = places.get(_name(item))
        if place is None:
            out.append(copy.deepcopy(item))
        else:
            out[place] = lay_over(out[place], item)
    return out


def _name(item: Any) -> str | None:
    return next((item[n] for n in _NAMES if isinstance(item.get(n), str)), None) if isinstance(item, dict) else None


def _named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_name(item) is not None for item in value)


def _is_quarter(key: object) -> bool:
    try:
        Quarter.parse(key)
    except ValueError:
        return False
    return True


def _is_series(value: dict[Any, Any]) -> bool:
    return bool(value) and all(_is_quarter(k) for k in value)


def leaf_paths(data: Any, path: str = "") -> list[str]:
    """Dotted paths of all quantities; entries of lists go by their name."""
    if isinstance(data, dict):
        return [leaf for key, value in data.items() for leaf in leaf_paths(value, f"{path}.{key}".lstrip("."))]
    if isinstance(data, list):
        out = []
        for index, item in enumerate(data):
            name = item.get("name") or item.get("site") if isinstance(item, dict) else None
            out += leaf_paths(item, f"{path}.{name or index}")
        return out
    return [path]


def apply_settings(
    data: dict[str, Any], settings: Sequence[str], catalog: Catalog, where: str = "--set"
) -> dict[str, Any]:
    """Set single figures: ``sites.abilene.power.2027-Q2="600 MW"``.

    A quarter at the end changes a series from that quarter on, until its next one. A site's power that the scenario
    leaves to the catalogue is taken from there first. ``PATH=`` (nothing after the sign) removes what stands there.

    Parameters
    ----------
    data : dict
        The content of a scenario file; not changed.
    settings : sequence of str
        ``path=value``; entries of lists go by their name, or by their number.
    catalog : Catalog
        Where sites' power comes from when the scenario gives none.
    where : str
        For error messages.

    Raises
    ------
    InputError
        No ``=``, or a path that the scenario cannot have; names the nearest one.

    """
    out = copy.deepcopy(data)
    for setting in settings:
        path, sign, text = setting.partition("=")
        if not sign or not path.strip():
            raise InputError(f"{setting!r} is not PATH=VALUE; for example finance.discount_rate='10 %'", where)
        value = _value(text.strip(), setting, where)
        changed = _set(out, path.strip(), value, catalog, where)
        reasons = {k: v for k, v in (out.get("because") or {}).items() if not _below(k, changed)}
        if value is not None and changed.split(".")[0] not in _WORDS:
            reasons[changed] = "assumption: a what-if, set on the command line"
        if reasons:
            out["because"] = reasons
    return out


def _below(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}.")


def _value(text: str, setting: str, where: str) -> Any:
    try:
        return yaml.safe_load(text) if text else None
    except yaml.YAMLError:
        raise InputError(f"{setting!r}: the value is not YAML", where) from None


def _set(data: dict[str, Any], path: str, value: Any, catalog: Catalog, where: str) -> str:
    """Set one value; returns its path with entries of lists by name."""
    parts = split_path(path)
    here: Any = data
    named: list[str] = []
    for depth, part in enumerate(parts[:-1]):
        start = str(data["horizon"]["first"]) if parts[0] == "serving" and _has_horizon(data) else _ALWAYS
        following = _step_into(here, part, parts[depth + 1], catalog, start)
        if following is None:
            raise _unknown(data, path, parts, where)
        named.append(_name(following) or part if isinstance(here, list) else part)
        here = following
    last = parts[-1]
    if isinstance(here, list):
        place = _place(here, last)
        if place is None:
            raise _unknown(data, path, parts, where)
        if value is None:
            del here[place]
        else:
            here[place] = value
    elif isinstance(here, dict):
        if last not in here and not _is_quarter(last) and last not in _fields_at(parts[:-1]):
            raise _unknown(data, path, parts, where)
        if value is None:
            here.pop(last, None)
        else:
            here[last] = value
            if _is_series(here):
                ordered = dict(sorted(here.items(), key=lambda kv: Quarter.parse(kv[0])))
                here.clear()
                here.update(ordered)
    else:
        raise _unknown(data, path, parts, where)
    return ".".join([*named, last])


def split_path(path: str) -> list[str]:
    """Parts between dots; names may hold dots in quotes: training."gpt-4.1".tokens."""
    parts, word, quoted = [], "", ""
    for letter in path:
        if quoted:
            quoted = "" if letter == quoted else quoted
            word += "" if not quoted and letter in "\"'" else letter
        elif letter in "\"'":
            quoted = letter
        elif letter == ".":
            parts.append(word)
            word = ""
        else:
            word += letter
    return [*parts, word]


def _has_horizon(data: dict[str, Any]) -> bool:
    return isinstance(data.get("horizon"), dict) and "first" in data["horizon"]


def _step_into(here: Any, part: str, following: str, catalog: Catalog, start: str) -> Any:
    """What stands at a part; a section or series that is not there yet is begun.

    One value for all time becomes a series from `start` on.
    """
    if isinstance(here, list):
        place = _place(here, part)
        return None if place is None else here[place]
    if not isinstance(here, dict):
        return None
    if part not in here:
        here[part] = _from_catalogue(here, part, catalog) if _is_quarter(following) else {}
    elif not isinstance(here[part], dict | list) and _is_quarter(following):
        here[part] = {start: here[part]}
    return here[part]


def _place(entries: list[Any], part: str) -> int | None:
    if part.isdigit() and int(part) < len(entries):
        return int(part)
    return next((i for i, item in enumerate(entries) if _name(item) == part), None)


def _from_catalogue(entry: dict[str, Any], part: str, catalog: Catalog) -> dict[str, str]:
    """A site's power as the catalogue has it."""
    site = catalog.sites.get(str(entry.get("site")))
    if part != "power" or site is None:
        return {}
    return {str(s.quarter): f"{s.power.value!r} W" for s in site.energised}


def _fields_at(parts: list[str]) -> list[str]:
    """Fields that a section may have."""
    model: type[BaseModel] = Scenario
    loc: list[int | str] = []
    for part in parts:
        known = keys_at(model, tuple(loc))
        loc.append(part if part in known else 0)
    return keys_at(model, tuple(loc))


def _paths(data: Any, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Every path that stands in the scenario, and those that a section of it could have."""
    if above:
        yield ".".join(above)
    if isinstance(data, dict):
        for key in dict.fromkeys([*map(str, data), *(_fields_at(list(above)) if not _is_series(data) else [])]):
            yield from _paths(data.get(key), (*above, key))
    elif isinstance(data, list):
        for index, item in enumerate(data):
            yield from _paths(item, (*above, _name(item) or str(index)))


def _unknown(data: dict[str, Any], path: str, parts: list[str], where: str) -> InputError:
    known = list(dict.fromkeys(_paths(data)))
    short = ".".join(p for p in parts if not _is_quarter(p))
    tail = "".join(f".{p}" for p in parts if _is_quarter(p))
    hint = did_you_mean(short + tail, [path + tail for path in known])
    return InputError(f"{path}: the scenario has no such path{hint}", where)
