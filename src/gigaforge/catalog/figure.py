"""A figure: a value or range with its unit, and where it comes from. Nothing enters the catalogue without one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    create_model,
    field_serializer,
    model_validator,
)

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
    "figures_in",
    "si_text",
]

# SI unit of a dimension where it is not the one that `format_quantity` prints with.
_SI: Final = {"money": "USD", "energy": "J", "carbon_intensity": "kg/J"}


def si_text(value: float, dimension: str) -> str | float:
    """Write an SI float at full precision so that `parse_quantity` reads the same float back."""
    _, _, unit, bare_allowed = DIMENSIONS[dimension]
    return value if bare_allowed else f"{value!r} {_SI.get(dimension, unit)}"


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

    @field_serializer("value", "low", "high", when_used="json")
    def _write(self, value: float) -> str | float:
        return si_text(value, self.dimension)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low < 0:
            raise ValueError(f"{si_text(self.low, self.dimension)} is negative; a figure is at least zero")
        if not (self.low <= self.value <= self.high):
            value, low, high = (format_quantity(v, self.dimension, 4) for v in (self.value, self.low, self.high))
            raise ValueError(f"value {value} is outside its range {low} to {high}")
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
    made.__doc__ = f"A figure that reads {dimension.replace('_', ' ')}, e.g. {example!r}."
    made.dimension = property(lambda self: dimension)  # type: ignore[method-assign,assignment]  # noqa: ARG005
    made.__reduce__ = lambda self: (_again, (dimension, dict(self.__dict__)))  # type: ignore[method-assign]
    return made


def _again(dimension: str, values: dict[str, Any]) -> Figure:
    """A figure that came from another process: its class is made here by name."""
    return figure_of(dimension).model_construct(**values)


def figures_in(entry: BaseModel, path: str = "") -> Iterator[tuple[str, Figure]]:
    """Every figure in an entry, nested ones too, with the path to it ("energised.0.power")."""
    if isinstance(entry, Figure):
        yield path, entry
        return
    for name in type(entry).model_fields:
        value = getattr(entry, name)
        items = enumerate(value) if isinstance(value, list) else [("", value)]
        for index, item in items:
            if isinstance(item, BaseModel):
                here = ".".join(str(part) for part in (path, name, index) if part != "")
                yield from figures_in(item, here)


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
