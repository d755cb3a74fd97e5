"""What it costs to have and to run an accelerator, at a plan's prices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from gigaforge.codesign.prices import Prices
from gigaforge.errors import InputError
from gigaforge.quarters import SECONDS_PER_QUARTER

__all__ = ["Economics"]

_YEAR_S: Final = 4 * SECONDS_PER_QUARTER


@dataclass(frozen=True)
class Economics:
    """Costs per second of ownership.

    Attributes
    ----------
    capital_per_s : float
        Share of its price that having a system costs: depreciation, return on capital, maintenance [1/s].
    watt_usd_per_s : float
        One W of nameplate IT power: what the facility costs, and what power is worth to the plan [USD/(W·s)].
    joule_usd : float
        IT energy, mean PUE included [USD/J].
    source : str
        Whose prices.

    Raises
    ------
    InputError
        A price below zero, or nothing costs anything.

    """

    capital_per_s: float
    watt_usd_per_s: float
    joule_usd: float
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("capital_per_s", "watt_usd_per_s", "joule_usd"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{getattr(self, name)!r}; a price is at least zero", name)
        if self.capital_per_s + self.watt_usd_per_s + self.joule_usd <= 0:
            raise InputError("nothing costs anything, so every design is as good as any other", "prices")

    @classmethod
    def of(
        cls,
        prices: Prices,
        system: str,
        *,
        life_years: float = 5.0,
        discount_rate: float = 0.1,
        maintenance: float = 0.03,
        during: NDArray[np.bool_] | None = None,
    ) -> Self:
        """From a plan's prices at one platform: means over the quarters in which its racks stand (of those in `during`).

        Capital costs more than its rate of return in quarters in which cash binds (`Prices.dollar_usd`).

        Raises
        ------
        InputError
            The plan has no price of power for this system.

        """
        if system not in prices.watt_usd:
            known = ", ".join(prices.watt_usd) or "none"
            raise InputError(f"no price of power for {system!r}; priced: {known}", "prices")
        racks = prices.racks_online.get(system)
        if racks is not None and during is not None and np.any(racks * during):
            racks = racks * during
        weights = None if racks is None or not np.any(racks) else racks
        bought = prices.racks_bought.get(system)
        dollar = prices.mean(prices.dollar_usd, None if bought is None or not np.any(bought) else bought)
        yearly = 1.0 / life_years + discount_rate / 2 + maintenance
        return cls(
            capital_per_s=yearly * dollar / _YEAR_S,
            watt_usd_per_s=prices.mean(prices.watt_usd[system], weights) / SECONDS_PER_QUARTER,
            joule_usd=prices.mean(prices.joule_usd[system], weights),
            source=prices.source,
        )

    @classmethod
    def market(
        cls, *, capital_per_year: float, watt_usd_per_year: float, joule_usd: float, source: str = "market prices"
    ) -> Self:
        """From yearly rates: share of the price [1/year], USD per W of nameplate and year, USD per J."""
        return cls(capital_per_year / _YEAR_S, watt_usd_per_year / _YEAR_S, joule_usd, source)
