"""Money: whose it is, what it costs, on which terms systems are had, what the state takes."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from gigaforge.scenario.series import MoneySeries, Part
from gigaforge.units import Fraction, Money, MoneyPerPowerTime, percent

__all__ = ["Debt", "Finance", "Operations", "Party", "SystemTerms", "Tax"]


class Debt(Part):
    """Borrowing: at most so much outstanding, repaid by the end of the horizon or settled then."""

    limit: MoneySeries
    interest: Fraction = Field(lt=1, description="per year")
    lender: str = "lenders"


class SystemTerms(Part):
    """How systems are paid for where not in cash: leased from somebody, or on the vendor's credit.

    Either way the other party is paid in equal quarterly instalments over the term, which repay the price less the
    residual with interest; the residual is paid at the end of the term and the system is then the operator's.
    """

    kind: Literal["lease", "credit"] = Field(
        description="lease: `by` buys the systems and rents them out; credit: the operator buys and `by` lends"
    )
    by: str = Field(description="who leases or lends: the supplier, the investor or a party of its own")
    share: Fraction = Field(1.0, gt=0, le=1.0, description="share of each system's price on these terms")
    rate: Fraction = Field(lt=1, description="yield of the lease or interest of the credit, per year")
    term_years: float = Field(gt=0, le=20)
    residual: Fraction = Field(0.0, lt=1, description="share of the price left to pay at the end of the term")


class Tax(Part):
    """Tax on profit: revenue less running costs, interest and straight-line depreciation; losses carry forward."""

    rate: Fraction = Field(lt=1)
    system_years: float = Field(5.0, gt=0, description="depreciation of systems")
    facility_years: float = Field(15.0, gt=0, description="depreciation of buildings")
    losses: Money = Field(0.0, description="losses of earlier years that may still be set against profit")


class Party(Part):
    """What is known of one party to the plan, named as in the cash table."""

    name: str
    role: Literal["operator", "investor", "supplier", "lender", "lessor", "site partner", "cloud", "other"] | None = (
        None
    )
    discount_rate: Fraction | None = Field(
        None, lt=1, description="its own cost of capital (default: the operator's)"
    )
    margin: Fraction | None = Field(
        None, lt=1, description="supplier: share of its sales that stays after the cost of goods"
    )


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
    systems: SystemTerms | None = Field(None, description="leased or on credit; default: bought with cash")
    tax: Tax | None = None
    dividends: MoneySeries = Field(
        default_factory=dict,
        description="paid to shareholders in each quarter, from each quarter given until the next",
    )
    interest_on_cash: Fraction = Field(0.0, lt=1, description="earned on idle cash, per year")

    @model_validator(mode="after")
    def _check(self) -> Self:
        terms = self.systems
        if terms is not None and terms.kind == "credit" and terms.share + self.deposit > 1 + 1e-9:
            raise ValueError(
                f"systems.share {percent(terms.share)} on credit and deposit {percent(self.deposit)} are together more than the "
                "price; lower one of them"
            )
        return self


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
    load: Fraction | None = Field(
        None, gt=0, le=1.0, description="mean power over nameplate of racks, instead of what their work draws"
    )
    overhead_of_revenue: Fraction = Field(
        0.0, description="share of revenue spent on what this plan does not model (payment, partners, staff)"
    )
