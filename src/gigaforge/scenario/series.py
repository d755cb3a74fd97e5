"""What every section of a scenario is made of: strict sections, and quantities that change by quarter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gigaforge.quarters import Quarter
from gigaforge.units import DIMENSIONS, parse_quantity

__all__ = [
    "CountSeries",
    "FractionSeries",
    "MoneySeries",
    "Part",
    "PowerSeries",
    "TokenSeries",
    "interpolate",
    "step",
]


class Part(BaseModel):
    """A section of the scenario: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _series(dimension: str) -> Any:
    """Type of a quantity that may change by quarter: one value, or a mapping of quarter to value."""

    def read(value: Any) -> dict[Quarter, float]:
        pairs = value.items() if isinstance(value, Mapping) else [(Quarter(0), value)]
        out = {}
        for quarter, amount in pairs:
            number = parse_quantity(amount, dimension)
            if number < 0:
                when = f" at {quarter}" if isinstance(value, Mapping) else ""
                raise ValueError(f"{amount!r}{when} is negative")
            out[Quarter.parse(quarter)] = number
        if not out:
            raise ValueError(
                f"is empty; give one value such as {DIMENSIONS[dimension][1]!r}, or quarters with values"
            )
        if list(out) != sorted(out):
            raise ValueError(f"quarters must rise: {', '.join(str(q) for q in out)}")
        return out

    return Annotated[
        dict[Quarter, float],
        BeforeValidator(read, json_schema_input_type=str | float | dict[str, str | float]),
        Field(description=dimension),
    ]


if TYPE_CHECKING:  # one type to a checker; each reads its own units
    CountSeries = dict[Quarter, float]
    MoneySeries = dict[Quarter, float]
    FractionSeries = dict[Quarter, float]
    PowerSeries = dict[Quarter, float]
    TokenSeries = dict[Quarter, float]
else:
    CountSeries = _series("count")
    MoneySeries = _series("money")
    FractionSeries = _series("fraction")
    PowerSeries = _series("power")
    TokenSeries = _series("tokens")


def step(series: Mapping[Quarter, float], quarters: list[Quarter]) -> NDArray[np.float64]:
    """Hold each value until the next one; zero before the first. Shape (quarter,)."""
    out = np.zeros(len(quarters))
    for quarter, value in series.items():
        out[[q >= quarter for q in quarters]] = value
    return out


def interpolate(series: Mapping[Quarter, float], quarters: list[Quarter]) -> NDArray[np.float64]:
    """Grow geometrically between the given quarters and stay flat outside them. Shape (quarter,)."""
    known = np.array([q.index for q in series], dtype=float)
    values = np.array(list(series.values()), dtype=float)
    wanted = [q.index for q in quarters]
    if (values > 0).all():
        return np.asarray(np.exp(np.interp(wanted, known, np.log(values))))
    return np.asarray(np.interp(wanted, known, values))
