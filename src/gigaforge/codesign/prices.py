"""What a plan's scarce things are worth: the one value that passes from the plan to the searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gigaforge.errors import InputError
from gigaforge.quarters import Quarter

__all__ = ["Prices"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Prices:
    """Present-value dollars today of one unit in each quarter; every array has shape (quarter,).

    From the duals of the relaxed programme they satisfy the envelope theorem: what a small change of a coefficient adds
    to the plan's value is the price of the row it stands in times the quantity that uses it.

    Attributes
    ----------
    quarters : tuple of Quarter
        The plan's.
    discount : array
        Present value of a dollar in the middle of each quarter. [USD/USD]
    dollar_usd : array
        Present value of a dollar *spent* in each quarter: `discount` where cash is plentiful, more where it binds.
        [USD/USD]
    watt_usd : mapping of system to array
        One more W of a rack's nameplate IT power, for the quarter: the price of facility power at the sites it stands at
        (mean over its racks) times peak PUE, with what the facility itself costs. [USD/(W·quarter)]
    joule_usd : mapping of system to array
        IT energy: the sites' price times mean PUE, mean over its racks. [USD/J]
    rack_usd : mapping of system to array
        One more rack's quarter of work: the price of the row "racks in use". [USD/(rack·quarter)]
    supply_usd : mapping of system to array
        One more rack delivered, beyond its price. [USD/rack]
    token_usd : mapping of workload to array
        One more output token (serving) or trained token (training) of *capacity*: the price of the row that yields
        enter, not the sales price. [USD/token]
    racks_used : mapping of (workload, system) to array
        Racks at work. [rack]
    tokens_made : mapping of (workload, system) to array
        Capacity that they give, availability and goodput included; left out, it is predicted. [token]
    racks_online, racks_bought : mapping of system to array
        Racks installed; racks delivered. [rack]
    source : str
        In words, for the answer: "the relaxed plan of alliance-10gw", "market prices".

    """

    quarters: tuple[Quarter, ...]
    discount: Array
    dollar_usd: Array
    watt_usd: Mapping[str, Array]
    joule_usd: Mapping[str, Array]
    token_usd: Mapping[str, Array]
    rack_usd: Mapping[str, Array] = field(default_factory=dict)
    supply_usd: Mapping[str, Array] = field(default_factory=dict)
    racks_used: Mapping[tuple[str, str], Array] = field(default_factory=dict)
    tokens_made: Mapping[tuple[str, str], Array] = field(default_factory=dict)
    racks_online: Mapping[str, Array] = field(default_factory=dict)
    racks_bought: Mapping[str, Array] = field(default_factory=dict)
    source: str = ""

    @classmethod
    def market(
        cls,
        quarters: Sequence[Quarter],
        *,
        systems: Sequence[str] = ("",),
        power_usd_per_w_year: float,
        energy_usd_per_j: float,
        token_usd: Mapping[str, float],
        discount_rate: float,
        source: str = "market prices",
    ) -> Self:
        """Prices without a plan: what power, energy and tokens fetch, nothing scarcer than its price.

        Parameters
        ----------
        power_usd_per_w_year : float
            Facility power, peak PUE included, per W of IT power [USD/(W·year)].
        energy_usd_per_j : float
            Mean PUE included [USD/J].
        token_usd : mapping of workload to float
            [USD/token]
        discount_rate : float
            Per year [1].

        Raises
        ------
        InputError
            No quarter, or a negative price.

        """
        if not quarters:
            raise InputError("no quarter to price", "prices")
        for name, value in (("power", power_usd_per_w_year), ("energy", energy_usd_per_j), *token_usd.items()):
            if not value >= 0:
                raise InputError(f"{value!r} is not a price; at least zero is expected", f"prices.{name}")
        time = np.array([q - quarters[0] for q in quarters], dtype=float)
        discount = (1.0 + discount_rate) ** (-(time + 0.5) / 4.0)
        return cls(
            quarters=tuple(quarters),
            discount=discount,
            dollar_usd=discount,
            watt_usd=dict.fromkeys(systems, 0.25 * power_usd_per_w_year * discount),
            joule_usd=dict.fromkeys(systems, energy_usd_per_j * discount),
            token_usd={w: value * discount for w, value in token_usd.items()},
            source=source,
        )

    def mean(self, values: Array, weights: Array | None = None) -> float:
        """Today's-dollar level of a discounted series: its sum over the discounted time (or racks) that it covers."""
        w = np.ones(len(self.quarters)) if weights is None else np.asarray(weights, dtype=float)
        total = float((w * self.discount).sum())
        return float((w * values).sum()) / total if total > 0 else 0.0
