"""Everything the programme decides over, as arrays.

Dimensions, always in this order: site, system, then workload, run or point, then quarter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.places import Months
from gigaforge.buildout.spans import Span
from gigaforge.codesign.point import OperatingPoint, Unable
from gigaforge.quarters import Quarter
from gigaforge.scenario import Scenario

__all__ = ["Array", "Mask", "Past", "Problem", "deployed_per_rack", "owners_of", "step_once"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Past:
    """Quarters that are over, as arrays over all sites S, all systems K and the P quarters past.

    Attributes
    ----------
    added, retired : array
        Racks. Shape (S, K, P).
    not_accepted_w : array
        Power installed and not accepted at the end of each quarter, on the commitment's basis [W]. Shape (S, K, P).
    delivered : array, optional
        Racks delivered and paid for, whether deployed or not; None: each in the quarter that it was added.
        Shape (S, K, P).

    """

    added: Array
    retired: Array
    not_accepted_w: Array
    delivered: Array | None = None

    @property
    def bought(self) -> Array:
        """Racks delivered and paid for in each quarter. Shape (S, K, P)."""
        return self.added if self.delivered is None else self.delivered

    @property
    def quarters(self) -> int:
        """How many quarters are over."""
        return int(self.added.shape[2])


@dataclass(frozen=True)
class Problem:
    """Everything the programme needs, in SI units per quarter.

    Shapes: S sites, K systems, L supply lines, P serving points, W serving workloads, R training runs, J training points,
    T quarters.
    """

    scenario: Scenario
    quarters: list[Quarter]
    sites: list[str]
    partners: list[str]  # who is paid for a site; "builders" where we own it
    supplier: str
    tenures: list[str]
    systems: list[str]
    lines: list[str]
    workloads: list[str]
    runs: list[str]
    points: list[OperatingPoint]
    training_points: list[OperatingPoint]

    rack_it_w: Array  # (K,) nameplate, share of the network included
    rack_idle_w: Array  # (K,)
    least_held_w: Array  # (K,) least IT power that a rack can be held to at any point
    accelerators: Array  # (K,)
    counts: Mask  # (S, K) towards the commitment
    can_host: Mask  # (S, K, T)
    unfit: list[dict[str, str]]  # systems that cannot stand at a site, and why
    energised_w: Array  # (S, T) facility power
    pue_peak: Array  # (S,)
    pue_mean: Array  # (S,)
    line_of: NDArray[np.int_]  # (K,)
    supply: Array  # (L, T) systems per quarter
    rack_price_usd: Array  # (K, T) system and its network
    facility_usd_per_w: Array  # (S,) owned sites
    lease_usd_per_w: Array  # (S,) leased sites, per quarter
    cloud_usd_per_rack: Array  # (S, K, T) cloud sites, per quarter
    energy_usd_per_j: Array  # (S, T) paid by the operator
    point_workload: NDArray[np.int_]  # (P,)
    point_system: NDArray[np.int_]  # (P,)
    point_tokens: Array  # (P, T) per rack and quarter at full load, availability included
    point_power_w: Array  # (P,) mean over the day
    point_held_w: Array  # (P,) IT power that a site holds for a rack at work there; its nameplate without a cap
    demand: Array  # (W, T) output tokens
    token_usd: Array  # (W, T) revenue per output token, its input included
    peak_to_mean: Array  # (W,) capacity needed over mean demand: the busiest hour, and what production leaves unused
    run_tokens: Array  # (R,) experiments included
    train_run: NDArray[np.int_]  # (J,)
    train_system: NDArray[np.int_]  # (J,)
    train_rate: Array  # (J,) tokens per rack and quarter, goodput included
    train_goodput: Array  # (J,) productive share of a gang's time
    availability: Array  # (K,) share of systems in service
    train_power_w: Array  # (J,)
    train_held_w: Array  # (J,) as point_held_w
    train_max_racks: Array  # (J,)
    run_sites: Mask  # (R, S)
    run_window: Mask  # (R, T) in which it may work: to its deadline, or to where that may slip
    run_due: NDArray[np.int_]  # (R,) quarter of the deadline
    spans: list[Span]  # pairs of sites that a run may share
    # What the world adds: climate, hours, other parties
    pue_quarter: Array  # (S, T) mean
    months: list[Months]  # (S,) weather and PUE by month of the year
    site_energy_usd_per_j: Array  # (S, T) paid by whoever runs the site
    serving_price_factor: Array  # (S, W) energy price in the hours that serving works over its mean
    work_share: Array  # (S, T) share of a site's work that curtailment leaves
    curtailment_usd_per_w: Array  # (S, T) credit per quarter
    carbon_kg_per_j: Array  # (S, T) of facility energy
    water_l_per_j: Array  # (S,) of IT energy
    partner_facility_usd_per_w: Array  # (S,) what a site's partner pays to build
    products: list[tuple[int, tuple[str, Array]]]  # workload, and a product's name and revenue per output token (T,)
    discount: Array  # (T,) to the middle of each quarter
    discount_end: float
    economic_quarters: int
    service_quarters: int
    past: Past | None = None  # what happened already
    unable: Sequence[Unable] = ()  # work for which a system has no point, and why

    @property
    def quarters_over(self) -> int:
        """How many quarters are over: what happened in them is fixed."""
        return self.past.quarters if self.past else 0

    @property
    def deployed_w_per_rack(self) -> Array:
        """What one rack adds to the commitment, on its own basis [W]. Shape (S, K)."""
        return deployed_per_rack(self.scenario, self.rack_it_w, self.pue_peak, self.counts)

    @property
    def run_rate(self) -> Array:
        """Tokens per rack and quarter of each run's fastest point, 0 where it cannot run. Shape (R, K)."""
        return self._by_run(self.train_rate)

    @property
    def run_max_racks(self) -> Array:
        """Most racks that a run can use. Shape (R, K)."""
        return self._by_run(self.train_max_racks)

    def _by_run(self, values: Array) -> Array:
        out = np.zeros((len(self.runs), len(self.systems)))
        np.maximum.at(out, (self.train_run, self.train_system), values)
        return out

    @property
    def tranche_w(self) -> float:
        """Power that releases one of equal tranches [W]; 0 without them."""
        investment = self.scenario.investment
        return investment.per or 0.0 if investment else 0.0

    @property
    def tranche_usd(self) -> float:
        """Sum of one of equal tranches [USD]."""
        investment = self.scenario.investment
        if investment is None or investment.per is None:
            return 0.0
        return investment.amount or investment.ceiling * investment.per / self.scenario.commitment.power

    @property
    def tranche_count(self) -> int:
        """Tranches that the ceiling allows."""
        investment = self.scenario.investment
        if investment is not None and investment.schedule:
            return len(investment.schedule)
        if investment is None or not self.tranche_usd:
            return 0
        return int((investment.ceiling - sum(investment.upfront.values())) / self.tranche_usd + 1e-9)

    @property
    def tranche_thresholds_w(self) -> Array:
        """Power that releases each tranche [W]. Shape (tranche,)."""
        investment = self.scenario.investment
        if investment is not None and investment.schedule:
            return np.array([s.at for s in investment.schedule])
        return np.asarray(np.arange(1, self.tranche_count + 1) * self.tranche_w, dtype=np.float64)

    @property
    def tranche_amounts_usd(self) -> Array:
        """Sum of each tranche [USD]. Shape (tranche,)."""
        investment = self.scenario.investment
        if investment is not None and investment.schedule:
            return np.array([s.amount for s in investment.schedule])
        return np.full(self.tranche_count, self.tranche_usd)


def step_once(series: dict[Any, float], problem: Problem) -> Array:
    """Payments in the quarters given, those before the horizon in its first quarter. Shape (T,)."""
    out = np.zeros(len(problem.quarters))
    for quarter, amount in series.items():
        t = max(quarter - problem.quarters[0], 0)
        if t < len(out):
            out[t] += amount
    return out


def owners_of(tenures: list[str]) -> NDArray[np.int_]:
    """Whose racks stand at each site: 0 for the operator's, which may go to any of its sites, else the cloud's own number."""
    return np.array([s + 1 if tenure == "cloud" else 0 for s, tenure in enumerate(tenures)], dtype=int)


def deployed_per_rack(scenario: Scenario, rack_it_w: Array, pue_peak: Array, counts: Mask) -> Array:
    """What one rack adds to the commitment, on its own basis: IT power, or facility power at the peak PUE [W]. Shape (S, K)."""
    design = np.ones(len(pue_peak)) if scenario.commitment.basis == "it" else pue_peak
    return np.asarray(rack_it_w[None, :] * design[:, None] * counts)
