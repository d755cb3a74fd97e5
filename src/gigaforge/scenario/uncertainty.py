"""What may turn out otherwise: distributions on a scenario's figures, and which of them go together."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gigaforge.quarters import SECONDS_PER_QUARTER, Quarter
from gigaforge.units import parse_quantity

__all__ = ["Correlation", "Risk", "Uncertain"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _number(value: Any) -> float:
    """A factor ("0.8", "80 %") or a delay ("6 months", or a number of quarters)."""
    if isinstance(value, str) and any(unit in value for unit in ("month", "quarter", "year", "week", "day")):
        return parse_quantity(value, "duration") / SECONDS_PER_QUARTER
    text = str(value).strip()
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(f"{value!r} is not a factor (0.8, 80 %) or a delay (9 months, 2)")
    return number


Number = Annotated[float, BeforeValidator(_number, json_schema_input_type=float | str)]


class Uncertain(_Part):
    """One figure of the scenario that may turn out otherwise.

    Factors are relative to what the scenario states; delays are in quarters, or with a unit ("9 months").
    """

    what: str = Field(description="path of the figure, e.g. sites.abilene.delay; * stands for each of a kind")
    shape: Literal["normal", "lognormal", "triangular", "uniform", "discrete", "empirical", "calibration"]
    low: Number | None = None
    mode: Number | None = None
    high: Number | None = None
    mean: Number | None = None
    sd: Number | None = None
    median: Number | None = None
    p90: Number | None = None
    values: list[Number] = []
    weights: list[float] = []
    pattern: Literal["constant", "ramp", "walk"] = Field(
        "constant",
        description="one factor throughout; one that grows in from the start to the end of the horizon; or one draw a "
        "year on top of the last",
    )
    known: Quarter | Literal["seen", "start"] = Field(
        "seen",
        description="when planners learn it: when it shows (default), from the start, or in a quarter",
    )
    common: bool = Field(False, description="one draw for all that * stands for, instead of one for each")
    because: str = Field("", description="where the distribution comes from: address or 'assumption: why'")


class Correlation(_Part):
    """Two figures (or each of a kind with each of another, or among themselves) that go together."""

    between: Annotated[list[str], Field(min_length=2, max_length=2)]
    value: Annotated[float, Field(gt=-1, lt=1)] = Field(
        description="of the normal scores behind the two; two that always move together are one figure (common: true)"
    )


class Risk(_Part):
    """The uncertain figures of a scenario."""

    variables: list[Uncertain] = Field(min_length=1)
    correlations: list[Correlation] = []
    replan_quarters: Annotated[int, Field(ge=1, le=20)] = Field(4, description="plans are renewed this often")

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [v.what for v in self.variables]
        double = next((n for n in names if names.count(n) > 1), None)
        if double is not None:
            raise ValueError(f"variables: {double!r} appears twice")
        return self
