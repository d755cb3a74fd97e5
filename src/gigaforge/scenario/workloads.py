"""What compute is for: models to train by a date, and users to serve at a price."""

from __future__ import annotations

from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gigaforge.quarters import Quarter
from gigaforge.scenario.choice import ModelChoice
from gigaforge.scenario.precision import ServingPrecision, TrainingPrecision
from gigaforge.scenario.series import CountSeries, FractionSeries, Part, TokenSeries, interpolate
from gigaforge.units import Duration, Fraction, MoneyPerTime, MoneyPerToken, Tokens, percent

__all__ = [
    "LEAST_RUN_TOKENS",
    "Product",
    "Reasoning",
    "Served",
    "Serving",
    "TokenPrices",
    "TrainingRun",
    "output_tokens",
]


LEAST_RUN_TOKENS: Final = 1e10
"""Work of the smallest training run that is planned, experiments included [token]: a rack trains as much in hours, and the programme
counts in 10^15 tokens, so that less is no more than the rounding of its rules."""


class Served(Part):
    """What of a workload a trained model serves."""

    share: Fraction = Field(gt=0, le=1, description="of the workload's tokens")
    ttft: Duration | None = Field(None, description="time to first token, at most (default: the workload's)")
    tpot: Duration | None = Field(None, description="time per output token, at most (default: the workload's)")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("ttft", "tpot"):
            limit = getattr(self, name)
            if limit is not None and limit <= 0:
                raise ValueError(f"{name} must be above zero")
        return self


class TrainingRun(Part):
    """A model to train in a window, on capacity at one site."""

    name: str
    model: str = Field("", description="catalogue name; left out with `choose`")
    tokens: Tokens = Field(0.0, description="trained on; left out with `choose`")
    choose: ModelChoice | None = Field(
        None, description="ask for the model instead of naming it; serving may then name this run as its model"
    )
    start: Quarter
    end: Quarter
    seq_len: Annotated[int, Field(gt=0)] = 8192
    global_batch_tokens: Tokens | None = Field(
        None, description="per optimizer step; default: 63M at 14.8T tokens, growing with their power 0.47"
    )
    precision: TrainingPrecision = Field(
        "fp8",
        description="of matrix products: the narrowest that quality allows, wider ones tried too; a list: exactly these",
    )
    serves: dict[str, Served] = Field(
        {},
        description="workload to what of it this model serves once trained, until a later run that serves it is done; for the "
        "next-model question only: the plan serves each workload with its own model",
    )
    compute_multiple: float = Field(
        1.0, ge=1.0, description="experiments, reinforcement learning and failed runs, as a multiple of the final run"
    )
    sites: list[str] = Field([], description="sites it may run at (empty: any)")
    latest: Quarter | None = Field(None, description="the deadline may slip to this quarter (default: it may not)")
    slip_cost: MoneyPerTime = Field(0.0, description="price of being late, '$500M/month'; steers, not cash")
    exchange_every: int = Field(1, ge=1, description="steps between exchanges of gradients across sites")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"end {self.end} is before start {self.start}")
        if self.choose is None:
            if not self.model:
                raise ValueError("model: is missing; name one, or ask for one with choose")
            if self.tokens <= 0:
                raise ValueError("tokens must be above zero")
            if self.tokens * self.compute_multiple < LEAST_RUN_TOKENS:
                raise ValueError(
                    f"tokens: {self.tokens:.3g} are too few to plan racks for; runs of {LEAST_RUN_TOKENS:.0g} tokens and more are "
                    "planned: leave this one out"
                )
        elif "model" in self.model_fields_set or "tokens" in self.model_fields_set:
            raise ValueError("choose finds model and tokens; leave those two out")
        if self.latest is not None and self.latest < self.end:
            raise ValueError(f"latest {self.latest} is before end {self.end}")
        if self.slip_cost and self.latest is None:
            raise ValueError("slip_cost needs latest: the last quarter to which the deadline may slip")
        return self


class TokenPrices(Part):
    """What customers pay per token, in the scenario's dollars."""

    input: MoneyPerToken
    output: MoneyPerToken
    cached: MoneyPerToken
    change_per_year: float = Field(0.0, gt=-1.0, le=1.0, description="-0.3: prices fall 30 % a year")
    since: Quarter | None = Field(None, description="quarter of the prices (default: the first planned)")


class Reasoning(Part):
    """Tokens that a model thinks before it answers: made and paid for like any output token."""

    share: FractionSeries = Field(description="of messages that are reasoned about")
    tokens: TokenSeries = Field(description="thought for such a message, on top of the answer")


class Product(Part):
    """One group of a workload's users: how many, how busy, what they pay."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.\-]*$")
    users: Fraction = Field(gt=0, le=1.0, description="share of the workload's weekly users")
    activity: float = Field(1.0, gt=0, description="messages of one user over those of the mean user, before scaling")
    subscription: MoneyPerTime = Field(0.0, description="per user, '$20/month'")
    per_token: bool = Field(False, description="pays the workload's prices by the token")


class Serving(Part):
    """Users to serve: demand, latency targets, prices."""

    name: str
    model: str
    weekly_users: CountSeries
    messages_per_user_week: CountSeries
    input_tokens: TokenSeries = Field(description="per message, context included")
    input_spread: float | None = Field(
        None,
        ge=0,
        le=20,
        description="standard deviation of a message's input tokens over their mean, which says whom a context cuts; for the "
        "next-model question only (default: the catalogue's input-tokens-spread)",
    )
    output_tokens: TokenSeries = Field(description="per message, without what `reasoning` adds")
    reasoning: Reasoning | None = Field(None, description="tokens thought before some answers")
    cached_share: Fraction = Field(0.0, lt=1, description="of input tokens found in the prefix cache")
    peak_to_mean: float | None = Field(
        None, ge=1.0, description="busiest hour over the mean (default: the shape's, else 1)"
    )
    shape: str | None = Field(None, description="catalogue shape: load by hour of the week")
    utilisation: Fraction = Field(
        1.0, gt=0, le=1.0, description="share of its capacity that production uses in its busiest hour"
    )
    ttft: Duration = Field(description="time to first token, at most")
    tpot: Duration = Field(description="time per output token, at most")
    precision: ServingPrecision = Field(
        "fp4",
        description="of weights: the narrowest that quality allows, wider ones tried too; a list: exactly these",
    )
    prices: TokenPrices
    products: list[Product] = Field(
        [], description="groups of users, each with what it pays; default: all pay prices"
    )
    history: list[str] = Field([], description="dated facts of the catalogue: weekly users up to now")
    known_until: Quarter | None = Field(None, description="last quarter that is history; what follows is projected")
    shortfall_penalty: MoneyPerToken = Field(
        0.0, description="price of an output token not served, beyond the revenue lost"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        share = sum(p.users for p in self.products)
        if self.products and abs(share - 1) > 1e-6:
            raise ValueError(f"products: their shares of users add up to {percent(share, 1)}, not 100 %")
        names = [p.name for p in self.products]
        double = next((n for n in names if names.count(n) > 1), None)
        if double is not None:
            raise ValueError(f"products: {double!r} appears twice")
        for field, least in (
            ("weekly_users", 1.0),
            ("messages_per_user_week", 1e-9),
            ("input_tokens", 1.0),
            ("output_tokens", 1.0),
        ):
            lowest = min(getattr(self, field).values())
            if lowest < least:
                raise ValueError(f"{field}: {lowest:g} is too little; at least {least:g} is needed")
        return self


def output_tokens(serving: Serving, quarters: list[Quarter]) -> NDArray[np.float64]:
    """Output tokens of a mean message, thought and answered. Shape (quarter,)."""
    answer = interpolate(serving.output_tokens, quarters)
    if serving.reasoning is None:
        return answer
    share = np.minimum(interpolate(serving.reasoning.share, quarters), 1.0)
    return np.asarray(answer + share * interpolate(serving.reasoning.tokens, quarters))
