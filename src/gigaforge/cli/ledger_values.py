"""``field=value`` words of an event, each read by the type that its kind of event asks for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from gigaforge.errors import InputError

__all__ = ["data_from"]

_UNITS: Final = {"_w": ("power", 1), "_cents": ("money", 100), "_j": ("energy", 1)}
"""How a field's name ends: dimension, and how many of the record's unit make an SI unit or a dollar."""


def data_from(kind: str, pairs: Iterable[str]) -> dict[str, Any]:
    """Read ``field=value`` words for a kind of event.

    Lists are written with commas (rows as JSON), whole and decimal numbers as such, powers, energies and money with their
    unit; everything else is text.

    Raises
    ------
    InputError
        A word is not field=value, or its value is not of the field's type.

    """
    from gigaforge.ledger.kinds import KINDS

    fields = KINDS[kind].model_fields
    out: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InputError(f"{pair!r} is not field=value, e.g. site=abilene", "FIELDS")
        found = fields.get(name)
        out[name] = text if found is None else _value(f"{kind}.{name}", name, _plain(found.annotation), text.strip())
    return out


def _plain(annotation: Any) -> Any:
    """The type of an optional or annotated field: int, float, str, list[str], ..."""
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    if get_origin(annotation) in (Union, UnionType):
        return _plain(next(part for part in get_args(annotation) if part is not type(None)))
    return annotation


def _value(where: str, name: str, kind: Any, text: str) -> Any:
    if get_origin(kind) is list:
        return _list(where, _plain(get_args(kind)[0]), text)
    if kind not in (int, float):
        return text
    suffix = next((s for s in _UNITS if name.endswith(s)), None)
    number = _number(text) if suffix is None else None
    if suffix is not None:
        from gigaforge.cli.options import quantity

        dimension, factor = _UNITS[suffix]
        number = quantity(text, dimension, where) * factor
        if kind is int:
            number = round(number)
    if number is None:
        example = "400" if kind is int else "29000"
        raise InputError(f"{text!r} is not a {'whole ' if kind is int else ''}number, e.g. {example}", where)
    if number < 0:
        raise InputError(f"{text!r} is negative", where)
    if kind is int and number != int(number):
        raise InputError(f"{text!r} is not a whole number", where)
    return int(number) if kind is int else number


def _number(text: str) -> int | float | None:
    """A bare number, with or without commas between its thousands; None where it is something else."""
    for read in (int, float):
        try:
            value = read(text.replace(",", ""))
        except ValueError:
            continue
        return value if abs(value) < float("inf") else None
    return None


def _list(where: str, part: Any, text: str) -> list[Any]:
    if part is str and not text.startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise InputError(f"is not a JSON list ({problem})", where) from None
    if not isinstance(rows, list):
        raise InputError("is not a JSON list", where)
    return rows
