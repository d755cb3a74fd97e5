"""What a scenario asks instead of naming a model: which one to train."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gigaforge.units import Duration, Flops, Fraction, Money, Tokens

__all__ = ["ModelChoice"]

Positive = Annotated[float, Field(gt=0)]
_TARGETS = ("like", "loss", "compute", "cost")


class ModelChoice(BaseModel):
    """The model of least cost over its life at a loss, or of least loss at a compute or a cost; by a scaling law."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    like: str | None = Field(
        None, description="as low a loss as this catalogue model, on its published training tokens"
    )
    loss: Positive | None = Field(None, description="target loss by the law, nats per token")
    compute: Flops | None = Field(None, description="training compute, '4e25 FLOP'; least loss")
    cost: Money | None = Field(None, description="training and serving over its life; least loss")
    serve_tokens: Tokens | None = Field(
        None, description="answer tokens that it serves over its life; default: what this scenario's users ask of it"
    )
    law: str = Field("joint-moe-2025", description="scaling law: see docs/model-roadmap.md")
    expansions: list[Annotated[int, Field(ge=1, le=64)]] = Field(
        [1, 2, 4, 8, 16, 32], min_length=1, description="experts held over experts used; 1 is dense"
    )
    data: Tokens = Field(3e14, description="distinct training tokens that there are")
    system: str | None = Field(
        None, description="where it is trained and served; default: the newest by the run's start"
    )
    context: Annotated[int, Field(gt=0)] | None = Field(
        None, description="longest sequence, tokens; default: chosen among contexts"
    )
    contexts: list[Annotated[int, Field(gt=0)]] | None = Field(
        None,
        min_length=1,
        description="longest sequences to choose among, tokens; default: powers of two from 8,192 to 1,048,576",
    )
    most_cut: Fraction = Field(
        0.01, ge=0, le=1, description="share of requests that a context chosen among several may cut"
    )
    long_context_share: Fraction | None = Field(
        None,
        ge=0,
        le=1,
        description="of the training tokens in sequences as long as the context, where it is longer than seq_len (default: the "
        "catalogue's long-context-share-of-tokens)",
    )
    tpot: Duration = Field(
        0.05, description="time per output token, at most, where nothing in the scenario serves it"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [name for name in _TARGETS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(_TARGETS)} (given: {', '.join(given) or 'none'})")
        if self.context is not None and self.contexts is not None:
            raise ValueError("give context (as it is to be) or contexts (to choose among), not both")
        for name in ("cost", "compute", "data", "tpot"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above zero")
        return self

    @property
    def target(self) -> tuple[str, Any]:
        """Which target, and its value."""
        name = next(n for n in _TARGETS if getattr(self, n) is not None)
        return name, getattr(self, name)
