"""Where and what with: production lines, sites with their power step by step, and what joins sites."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from gigaforge.quarters import Quarter
from gigaforge.scenario.series import CountSeries, Part, PowerSeries
from gigaforge.units import (
    Bandwidth,
    CarbonIntensity,
    Duration,
    EnergyPrice,
    Fraction,
    Money,
    MoneyPerPower,
    MoneyPerPowerTime,
    Power,
    WaterIntensity,
)

__all__ = ["Curtailment", "Link", "Phase", "Platform", "ScenarioSite"]


class Platform(Part):
    """A production line: the systems it ships (as configured), when, and how many."""

    name: str
    systems: list[str] = Field(
        min_length=1, description="catalogue names; configurations of one line share its supply"
    )
    ships: Quarter
    supply: CountSeries = Field(description="systems available per quarter; a value holds until the next")
    last: Quarter | None = Field(None, description="last quarter of delivery")
    price: Money | None = Field(None, gt=0, description="of a system with its network, instead of the catalogue's")
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


class Phase(Part):
    """Power at a site from one source: energised when supply and buildings are both ready and commissioned.

    Lead, construction and commissioning times default to the catalogue's facts for the source; supply and construction
    run side by side from the order on, commissioning follows.
    """

    power: Power = Field(gt=0, description="facility power that this step adds")
    source: Literal["grid", "gas", "solar-storage"] = "grid"
    ordered: Quarter = Field(description="quarter in which supply is ordered and ground broken")
    lead: Duration | None = Field(None, description="from order to supply: connection, turbines or panels")
    construction: Duration | None = Field(None, description="buildings, from breaking ground")
    commissioning: Duration | None = Field(None, description="from ready buildings and supply to energised")
    firm: Fraction | None = Field(None, gt=0, description="share of the power that can be counted on")
    energy_price: EnergyPrice | None = Field(None, description="of this source (default: the site's)")
    carbon_intensity: CarbonIntensity | None = Field(None, description="of this source (default: the catalogue's)")


class Curtailment(Part):
    """Power given back when the grid asks: so deep, for so many hours a year, for a credit."""

    depth: Fraction = Field(gt=0, le=1.0, description="share of the site's power given back")
    hours_per_year: float = Field(gt=0, le=8766.0)
    credit: MoneyPerPowerTime = Field(0.0, description="paid for power that may be called, per kW-month")


class Link(Part):
    """A line between two sites that one training run may span."""

    between: list[str] = Field(min_length=2, max_length=2)
    bandwidth: Bandwidth = Field(gt=0, description="for gradients, in each direction")


class ScenarioSite(Part):
    """A catalogue site, with what this scenario sees differently."""

    site: str
    power: PowerSeries | None = Field(None, description="energised facility power from each quarter on")
    energy_price: EnergyPrice | None = None
    lease_price: MoneyPerPowerTime | None = None
    facility_cost: MoneyPerPower | None = None
    counts: bool = Field(True, description="whether its systems count towards the commitment")
    phases: list[Phase] = Field([], description="power step by step with lead times, instead of power")
    curtailment: Curtailment | None = None
    rack_power_limit: Power | None = Field(None, description="densest rack that the halls take")
    cooling: Literal["air", "liquid"] | None = Field(None, description="air: no liquid-cooled systems")
    price_swing: Fraction | None = Field(
        None, le=1.0, description="amplitude of the day's course of the energy price"
    )
    water: WaterIntensity | None = Field(None, description="evaporated per unit of IT energy, '1.8 L/kWh'")
    first: Quarter | None = Field(None, description="first quarter in which systems may be installed")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.power is not None and self.phases:
            raise ValueError(f"{self.site}: power and phases state the same thing twice; keep one")
        return self
