"""What was promised by when, and the terms on which equity is paid for it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gigaforge.quarters import Quarter
from gigaforge.scenario.series import MoneySeries, Part
from gigaforge.units import Fraction, Money, MoneyPerPowerTime, Power, format_quantity

__all__ = ["Commitment", "Condition", "Horizon", "Investment", "Milestone", "TrancheStep"]


class Horizon(Part):
    """First and last quarter planned, both included."""

    first: Quarter
    last: Quarter

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"last {self.last} is before first {self.first}")
        if self.last - self.first >= 80:
            raise ValueError(f"{self.last - self.first + 1} quarters; at most 80 can be planned")
        return self


class Milestone(Part):
    """So much power deployed by the end of a quarter."""

    power: Power
    by: Quarter


class Commitment(Part):
    """What was promised, and what being late costs."""

    power: Power
    basis: Literal["facility", "it"] = Field("facility", description="what a committed gigawatt counts")
    milestones: list[Milestone] = Field(default_factory=list)
    late_penalty: MoneyPerPowerTime | None = Field(
        None, description="price of power missing at a milestone, '$10/kW-month'; without it milestones are binding"
    )
    suppliers: list[str] = Field(["NVIDIA"], description="vendors whose systems count")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.power <= 0:
            raise ValueError("power must be above zero")
        too_much = next((m for m in self.milestones if m.power > self.power * (1 + 1e-9)), None)
        if too_much is not None:
            raise ValueError(f"milestones: {too_much.by} asks for more than the committed power")
        for before, after in zip(self.milestones, self.milestones[1:], strict=False):
            if after.by <= before.by or after.power < before.power:
                raise ValueError(f"milestones: {after.by} must come after {before.by} with at least as much power")
        return self


class TrancheStep(Part):
    """One tranche of a schedule of unequal ones."""

    at: Power = Field(description="power that releases it, cumulative")
    amount: Money


class Condition(Part):
    """What a tranche and all after it wait for, besides power; exactly one of the three."""

    tranche: Annotated[int, Field(ge=1)] = Field(1, description="the first tranche that it holds for")
    not_before: Quarter | None = Field(None, description="not released before this quarter")
    purchases: Money | None = Field(None, description="value of systems delivered to the recipient by then")
    run: str | None = Field(None, description="a training run that must have ended")

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [n for n in ("not_before", "purchases", "run") if getattr(self, n) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"a condition states one of not_before, purchases and run (found {found})")
        return self


class Investment(Part):
    """Equity paid in tranches as power is deployed, or on dates."""

    investor: str = "nvidia"
    recipient: str = "openai"
    ceiling: Money = Field(description="cap on all that is paid")
    per: Power | None = Field(None, description="power that releases one tranche")
    amount: Money | None = Field(None, description="sum of one tranche; default: ceiling x per / committed power")
    schedule: list[TrancheStep] = Field([], description="tranches of unequal size, instead of per and amount")
    counts: Literal["deployed", "accepted"] = Field(
        "deployed", description="accepted: power counts once it has passed acceptance, acceptance_quarters later"
    )
    acceptance_quarters: int = Field(1, ge=0, le=8, description="from installation to acceptance")
    conditions: list[Condition] = Field(default_factory=list)
    long_stop: Quarter | None = Field(None, description="tranches not released by the end of this quarter lapse")
    valuation: Money | None = Field(
        None, description="worth of the recipient before the first payment: prices the shares that a payment buys"
    )
    pricing: Literal["fixed", "current"] = Field(
        "fixed", description="fixed: every payment buys at `valuation`; current: at the valuation of its quarter"
    )
    growth: float = Field(0.0, gt=-1.0, le=10.0, description="of the valuation per year from the first quarter on")
    carry: Fraction = Field(
        0.0,
        description="what a released tranche is worth per year of having it, e.g. the yield of cash; steers, not in NPV",
    )
    upfront: MoneySeries = Field(
        default_factory=dict, description="equity paid on dates instead of milestones, by quarter"
    )

    @property
    def acceptance_lag(self) -> int:
        """Quarters between installation and counting for a tranche."""
        return self.acceptance_quarters if self.counts == "accepted" else 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.per is not None and self.per <= 0:
            raise ValueError("per must be above zero")
        if self.schedule and (self.per is not None or self.amount is not None):
            raise ValueError("schedule and per/amount state the tranches twice; keep one")
        if self.per is None and not self.schedule and not self.upfront:
            raise ValueError("pays nothing; state per and amount, a schedule, or sums on dates (upfront)")
        if self.amount is not None and self.per is None:
            raise ValueError("amount needs per: the power that releases it")
        for before, after in zip(self.schedule, self.schedule[1:], strict=False):
            if after.at <= before.at:
                raise ValueError(
                    f"schedule: {format_quantity(after.at, 'power')} must come after {format_quantity(before.at, 'power')}"
                )
        if any(s.at <= 0 or s.amount <= 0 for s in self.schedule):
            raise ValueError("schedule: power and amount must be above zero")
        paid = sum(self.upfront.values())
        if paid > self.ceiling * (1 + 1e-9):
            raise ValueError(f"upfront payments of ${paid:,.0f} exceed the ceiling of ${self.ceiling:,.0f}")
        scheduled = paid + sum(s.amount for s in self.schedule)
        if scheduled > self.ceiling * (1 + 1e-9):
            raise ValueError(
                f"the schedule and upfront payments, ${scheduled:,.0f}, exceed the ceiling of ${self.ceiling:,.0f}"
            )
        if self.valuation is None and (self.pricing == "current" or self.growth):
            raise ValueError("pricing and growth need a valuation")
        if self.valuation is not None and self.valuation <= 0:
            raise ValueError("valuation must be above zero")
        if self.long_stop is not None:
            late = next((c for c in self.conditions if c.not_before and c.not_before > self.long_stop), None)
            if late is not None:
                raise ValueError(
                    f"conditions: tranche {late.tranche} not before {late.not_before} contradicts "
                    f"long_stop {self.long_stop}; it could never be released"
                )
        return self
