"""What a user writes: one scenario file, read top to bottom in a minute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gigaforge.quarters import Quarter
from gigaforge.scenario.uncertainty import Risk
from gigaforge.units import (
    DIMENSIONS,
    Duration,
    EnergyPrice,
    Fraction,
    Money,
    MoneyPerPower,
    MoneyPerPowerTime,
    MoneyPerToken,
    Power,
    Tokens,
    parse_quantity,
)

__all__ = [
    "Commitment",
    "Debt",
    "Finance",
    "Horizon",
    "Investment",
    "Milestone",
    "Operations",
    "Platform",
    "Scenario",
    "ScenarioSite",
    "Serving",
    "TokenPrices",
    "TrainingRun",
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
    PowerSeries = dict[Quarter, float]
    TokenSeries = dict[Quarter, float]
else:
    CountSeries = _series("count")
    MoneySeries = _series("money")
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
    milestones: list[Milestone] = []
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


class Investment(Part):
    """Equity paid in tranches as power is deployed."""

    investor: str = "nvidia"
    recipient: str = "openai"
    ceiling: Money
    per: Power | None = Field(None, description="deployed power that releases one tranche")
    amount: Money | None = Field(None, description="sum of one tranche; default: ceiling x per / committed power")
    carry: Fraction = Field(
        0.0,
        description="what a released tranche is worth per year of having it, e.g. the yield of cash; steers, not in NPV",
    )
    upfront: MoneySeries = Field(
        default_factory=dict, description="equity paid on dates instead of milestones, by quarter"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.per is not None and self.per <= 0:
            raise ValueError("per must be above zero")
        paid = sum(self.upfront.values())
        if paid > self.ceiling * (1 + 1e-9):
            raise ValueError(f"upfront payments of ${paid:,.0f} exceed the ceiling of ${self.ceiling:,.0f}")
        return self


class Platform(Part):
    """A production line: the systems it ships (as configured), when, and how many."""

    name: str
    systems: list[str] = Field(
        min_length=1, description="catalogue names; configurations of one line share its supply"
    )
    ships: Quarter
    supply: CountSeries = Field(description="systems available per quarter; a value holds until the next")
    last: Quarter | None = Field(None, description="last quarter of delivery")
    price_change: Fraction | None = Field(
        None, lt=1, description="how much the price falls per year after first shipment, e.g. '5 %'"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.last is not None and self.last < self.ships:
            raise ValueError(f"last {self.last} is before ships {self.ships}")
        first = next(iter(self.supply))
        if first.index and first < self.ships:
            raise ValueError(f"supply begins {first}, before ships {self.ships}")
        return self


class ScenarioSite(Part):
    """A catalogue site, with what this scenario sees differently."""

    site: str
    power: PowerSeries | None = Field(None, description="energised facility power from each quarter on")
    energy_price: EnergyPrice | None = None
    lease_price: MoneyPerPowerTime | None = None
    facility_cost: MoneyPerPower | None = None
    counts: bool = Field(True, description="whether its systems count towards the commitment")
    first: Quarter | None = Field(None, description="first quarter in which systems may be installed")


class TrainingRun(Part):
    """A model to train in a window, on capacity at one site."""

    name: str
    model: str
    tokens: Tokens
    start: Quarter
    end: Quarter
    seq_len: Annotated[int, Field(gt=0)] = 8192
    global_batch_tokens: Tokens | None = Field(
        None, description="per optimizer step; default: 63M at 14.8T tokens, growing with their power 0.47"
    )
    precision: str = "fp8"
    compute_multiple: float = Field(
        1.0, ge=1.0, description="experiments, reinforcement learning and failed runs, as a multiple of the final run"
    )
    sites: list[str] = Field([], description="sites it may run at (empty: any)")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"end {self.end} is before start {self.start}")
        if self.tokens <= 0:
            raise ValueError("tokens must be above zero")
        return self


class TokenPrices(Part):
    """What customers pay per token, in the scenario's dollars."""

    input: MoneyPerToken
    output: MoneyPerToken
    cached: MoneyPerToken
    change_per_year: float = Field(0.0, gt=-1.0, le=1.0, description="-0.3: prices fall 30 % a year")
    since: Quarter | None = Field(None, description="quarter of the prices (default: the first planned)")


class Serving(Part):
    """Users to serve: demand, latency targets, prices."""

    name: str
    model: str
    weekly_users: CountSeries
    messages_per_user_week: CountSeries
    input_tokens: TokenSeries = Field(description="per message, context included")
    output_tokens: TokenSeries = Field(description="per message, reasoning included")
    cached_share: Fraction = Field(0.0, lt=1, description="of input tokens found in the prefix cache")
    peak_to_mean: float = Field(1.0, ge=1.0, description="busiest hour over the mean")
    utilisation: Fraction = Field(
        1.0, gt=0, le=1.0, description="share of its capacity that production uses in its busiest hour"
    )
    ttft: Duration = Field(description="time to first token, at most")
    tpot: Duration = Field(description="time per output token, at most")
    precision: str = "fp4"
    prices: TokenPrices
    shortfall_penalty: MoneyPerToken = Field(
        0.0, description="price of an output token not served, beyond the revenue lost"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
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


class Debt(Part):
    """Borrowing: at most so much outstanding, repaid by the end of the horizon or settled then."""

    limit: MoneySeries
    interest: Fraction = Field(lt=1, description="per year")
    lender: str = "lenders"


class Finance(Part):
    """Money: whose it is, what it costs, how long things live."""

    dollars: Literal["nominal", "real"] = "nominal"
    discount_rate: Fraction = Field(lt=1, description="per year, below 100 %")
    opening_cash: Money = 0.0
    other_funding: MoneySeries = Field(
        default_factory=dict, description="equity from others and cash flow outside this plan, in each quarter given"
    )
    debt: Debt | None = None
    system_life_years: float = Field(5.0, gt=0, description="economic life: depreciation and salvage")
    service_life_years: float = Field(6.0, gt=0, description="systems retire at this age at the latest")
    facility_life_years: float = Field(15.0, gt=0)
    deposit: Fraction = Field(0.2, le=1.0, description="share of a system's price paid one quarter before delivery")
    lease_term_years: float = Field(0.0, ge=0, description="leased power is paid for at least this long")


class Operations(Part):
    """Running costs and what the fleet really delivers."""

    maintenance: Fraction = Field(0.03, description="of system price per year")
    staff: MoneyPerPowerTime = Field(0.0, description="site staff and services per W of facility power and second")
    availability: Fraction | None = Field(
        None,
        gt=0,
        le=1.0,
        description="share of installed systems in service (default: from published failure rates)",
    )
    training_goodput: Fraction | None = Field(
        None, gt=0, le=1.0, description="productive share of training time (default: from published failure rates)"
    )
    overhead_of_revenue: Fraction = Field(
        0.0, description="share of revenue spent on what this plan does not model (payment, partners, staff)"
    )


class Scenario(Part):
    """The whole file."""

    schema_version: Literal[1] = Field(1, alias="schema")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.\-]*$")
    title: str
    description: str = ""
    horizon: Horizon
    commitment: Commitment
    investment: Investment | None = None
    platforms: list[Platform] = Field(min_length=1)
    sites: list[ScenarioSite] = Field(min_length=1)
    training: list[TrainingRun] = []
    serving: list[Serving] = []
    finance: Finance
    operations: Operations = Operations()
    objective: Literal["npv", "tokens", "cost", "earliest"] = "npv"
    block: Annotated[int, Field(gt=0)] = Field(8, description="systems are bought in blocks of this many")
    risk: Risk | None = Field(None, description="what may turn out otherwise, for `gigaforge risk`")
    because: dict[str, str] = Field(
        default_factory=dict, description="where each figure comes from: source key, address or 'assumption: why'"
    )

    @property
    def quarters(self) -> list[Quarter]:
        """All planned quarters."""
        return [Quarter(i) for i in range(self.horizon.first.index, self.horizon.last.index + 1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for kind in ("platforms", "sites", "training", "serving"):
            names = [getattr(item, "site" if kind == "sites" else "name") for item in getattr(self, kind)]
            double = next((n for n in names if names.count(n) > 1), None)
            if double is not None:
                raise ValueError(f"{kind}: {double!r} appears twice")
        listed = [s for p in self.platforms for s in p.systems]
        double = next((s for s in listed if listed.count(s) > 1), None)
        if double is not None:
            raise ValueError(f"platforms: system {double!r} appears on two lines")
        for milestone in self.commitment.milestones:
            if not self.horizon.first <= milestone.by <= self.horizon.last:
                raise ValueError(f"commitment.milestones: {milestone.by} is outside the horizon")
        if all(max(p.supply.values()) < self.block for p in self.platforms):
            raise ValueError(f"block: {self.block} systems are more than any platform supplies in a quarter")
        known = {s.site for s in self.sites}
        for run in self.training:
            if run.start < self.horizon.first or run.end > self.horizon.last:
                raise ValueError(
                    f"training: the window of {run.name!r}, {run.start} to {run.end}, leaves the horizon"
                )
            for site in run.sites:
                if site not in known:
                    raise ValueError(f"training: {run.name!r} names site {site!r}, which the scenario does not list")
        return self
