"""Any figure of a scenario by its path, made larger or later: what a distribution on it needs.

Paths are those of ``--set``: entries of lists by their name or number, a quarter at the end for one step of a series.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from gigaforge.errors import InputError
from gigaforge.quarters import Quarter
from gigaforge.scenario.compose import split_path
from gigaforge.scenario.schema import Scenario
from gigaforge.scenario.series import Part

__all__ = ["Figure", "figures", "unstated", "vary"]

_FIXED: Final = ("schema_version", "horizon", "risk", "block", "because")  # the frame of the question, not figures
Kind = Literal["number", "series", "quarter"]


@dataclass(frozen=True)
class Figure:
    """One figure that can be varied.

    Attributes
    ----------
    path : str
        As ``--set`` has it.
    kind : {"number", "series", "quarter"}
        Numbers and series are multiplied by a factor; quarters come later by a number of quarters.
    value : Any
        What the scenario states.

    """

    path: str
    kind: Kind
    value: Any


def figures(scenario: Scenario) -> dict[str, Figure]:
    """Every number, series and quarter that a scenario states, defaults included, by path."""
    return {f.path: f for f in _walk(scenario, "")}


def unstated(scenario: Scenario, path: str) -> bool:
    """Whether a path is one that the scenario could have and leaves out."""
    here: Any = scenario
    parts = split_path(path)
    for part in parts:
        if isinstance(here, list):
            here = next((item for i, item in enumerate(here) if _name(item, i) == part), None)
        elif isinstance(here, Part) and part in type(here).model_fields:
            here = getattr(here, part)
            if here is None or here == {}:
                return True
        else:
            return False
    return False


def _walk(value: Any, path: str) -> Iterator[Figure]:
    if isinstance(value, Part):
        for name in type(value).model_fields:
            if path or name not in _FIXED:
                yield from _walk(getattr(value, name), f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            name = _name(item, index)
            yield from _walk(item, f'{path}."{name}"' if "." in name else f"{path}.{name}")
    elif isinstance(value, dict) and value and all(isinstance(q, Quarter) for q in value):
        yield Figure(path, "series", value)
        yield from (Figure(f"{path}.{q}", "number", v) for q, v in value.items() if q.index)
    elif isinstance(value, Quarter):
        yield Figure(path, "quarter", value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield Figure(path, "number", value)


def _name(item: Any, index: int) -> str:
    return str(getattr(item, "name", None) or getattr(item, "site", None) or index)


def vary(scenario: Scenario, path: str, amount: float) -> Scenario:
    """The scenario with one figure multiplied by a factor, or with one quarter that many quarters later.

    Raises
    ------
    InputError
        The result is outside what the field may hold.

    """
    changed = _varied(scenario, split_path(path), amount, path)
    assert isinstance(changed, Scenario)
    return changed


def _varied(value: Any, parts: list[str], amount: float, path: str) -> Any:
    if not parts:
        return _moved(value, amount)
    if isinstance(value, Part):
        name = parts[0]
        new = _varied(getattr(value, name), parts[1:], amount, path)
        _check(value, name, new, path)
        return _consistent(value.model_copy(update={name: new}), path)
    if isinstance(value, list):
        at = next(i for i, item in enumerate(value) if _name(item, i) == parts[0])
        return [*value[:at], _varied(value[at], parts[1:], amount, path), *value[at + 1 :]]
    quarter = Quarter.parse(parts[0])
    return {**value, quarter: value[quarter] * amount}


def _consistent(section: Part, path: str) -> Part:
    """What a section says of its figures together: an end after its start, a deadline within the horizon."""
    check = getattr(section, "_check", None)
    if check is not None:
        try:
            check()
        except ValueError as problem:
            raise InputError(f"{path}: the distribution makes a scenario that cannot be: {problem}") from None
    return section


def _moved(value: Any, amount: float) -> Any:
    if isinstance(value, dict):
        return {quarter: one * amount for quarter, one in value.items()}
    if isinstance(value, Quarter):
        return value + round(amount)
    return round(value * amount) if isinstance(value, int) else value * amount


def _check(section: Part, name: str, value: Any, path: str) -> None:
    """What the schema says of a field: above, below."""
    if not isinstance(value, int | float):
        return
    for rule in type(section).model_fields[name].metadata:
        limits = {"above": getattr(rule, "gt", None), "at least": getattr(rule, "ge", None),
                  "below": getattr(rule, "lt", None), "at most": getattr(rule, "le", None)}  # fmt: skip
        for sign, bound in limits.items():
            if bound is not None and not _holds(value, sign, bound):
                raise InputError(f"{path}: the distribution makes it {value:g}; {sign} {bound:g} is expected")


def _holds(value: float, sign: str, bound: float) -> bool:
    strict = {"above": value > bound, "below": value < bound}
    return strict.get(sign, value >= bound if sign == "at least" else value <= bound)
