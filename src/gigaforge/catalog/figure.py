"""A figure: a value or range with its unit, and where it comes from. Nothing enters the catalogue without one."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator

from gigaforge.units import DIMENSIONS, format_quantity, parse_quantity

__all__ = [
    "BandwidthFigure",
    "CarbonFigure",
    "CountFigure",
    "DataFigure",
    "EnergyPriceFigure",
    "Figure",
    "FlopRateFigure",
    "FractionFigure",
    "MoneyFigure",
    "MoneyPerPowerFigure",
    "MoneyPerPowerTimeFigure",
    "PowerFigure",
    "TokensFigure",
    "figure_of",
]


class Figure(BaseModel):
    """One sourced number.

    Attributes
    ----------
    value : float
        Best estimate, SI units.
    low, high : float
        Range that the sources or the assumption span; equal to the value where nobody disputes it.
    source : list of str
        Keys of ``sources.yaml`` or web addresses; empty only for an assumption.
    assumption : str
        Why this number, where no source gives it.
    note : str
        How conflicts were settled, or what the figure counts.

    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    low: float
    high: float
    source: list[str] = []
    assumption: str = ""
    note: str = ""

    @property
    def dimension(self) -> str:
        """Key of `gigaforge.units.DIMENSIONS`."""
        return "count"

    @model_validator(mode="before")
    @classmethod
    def _default_range(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            raise ValueError(  # noqa: TRY004 (pydantic wants ValueError)
                f"{data!r} has no source; write {{value: {data!r}, source: ...}} or {{value: {data!r}, assumption: why}}"
            )
        out = dict(data)
        for bound in ("low", "high"):
            out.setdefault(bound, out.get("value"))
        if isinstance(out.get("source"), str):
            out["source"] = [out["source"]]
        return out

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.low <= self.value <= self.high):
            raise ValueError(f"value {self.value:g} is outside its range {self.low:g} to {self.high:g} (SI units)")
        if not self.source and not self.assumption.strip():
            raise ValueError("a figure needs a source, or an assumption that says why")
        return self

    def __str__(self) -> str:
        text = format_quantity(self.value, self.dimension)
        if self.low < self.high:
            low, high = (format_quantity(v, self.dimension) for v in (self.low, self.high))
            text += f" ({low} to {high})"
        return text


@cache
def figure_of(dimension: str) -> type[Figure]:
    """Make the `Figure` type that reads one dimension's units, e.g. ``figure_of("power")``."""

    def read(value: Any) -> float:
        return parse_quantity(value, dimension)

    number = Annotated[float, BeforeValidator(read, json_schema_input_type=str | float)]
    example = DIMENSIONS[dimension][1]
    made = create_model(
        f"{dimension.title().replace('_', '')}Figure",
        __base__=Figure,
        value=(number, Field(description=f"{dimension}, e.g. {example!r}")),
        low=(number, ...),
        high=(number, ...),
    )
    made.dimension = property(lambda self: dimension)  # type: ignore[method-assign,assignment]  # noqa: ARG005
    return made


if TYPE_CHECKING:  # one type to a checker; each reads its own units
    BandwidthFigure = Figure
    CarbonFigure = Figure
    CountFigure = Figure
    DataFigure = Figure
    EnergyPriceFigure = Figure
    FlopRateFigure = Figure
    FractionFigure = Figure
    MoneyFigure = Figure
    MoneyPerPowerFigure = Figure
    MoneyPerPowerTimeFigure = Figure
    PowerFigure = Figure
    TokensFigure = Figure
else:
    BandwidthFigure = figure_of("bandwidth")
    CarbonFigure = figure_of("carbon_intensity")
    CountFigure = figure_of("count")
    DataFigure = figure_of("data")
    EnergyPriceFigure = figure_of("energy_price")
    FlopRateFigure = figure_of("flop_rate")
    FractionFigure = figure_of("fraction")
    MoneyFigure = figure_of("money")
    MoneyPerPowerFigure = figure_of("money_per_power")
    MoneyPerPowerTimeFigure = figure_of("money_per_power_time")
    PowerFigure = figure_of("power")
    TokensFigure = figure_of("tokens")
