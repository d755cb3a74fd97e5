"""A scenario as arrays: what the build-out programme decides over.

Dimensions, always in this order: site, system, then workload, run or point, then quarter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.market import demanded_tokens, products_of, sum_by_workload
from gigaforge.buildout.places import place_of, why_not
from gigaforge.buildout.spans import Span, spans_of
from gigaforge.catalog import Catalog, Figure, Site, System
from gigaforge.codesign.point import OperatingPoint
from gigaforge.errors import InputError
from gigaforge.operations import expected_availability, expected_goodput
from gigaforge.quarters import SECONDS_PER_QUARTER, Quarter
from gigaforge.scenario import Scenario, peak_over_mean, step
from gigaforge.scenario.schema import Platform, ScenarioSite

if TYPE_CHECKING:
    from gigaforge.buildout.actuals import Past

__all__ = ["Problem", "problem_from"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


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

    @property
    def deployed_w_per_rack(self) -> Array:
        """What one rack adds to the commitment, on its own basis [W]. Shape (S, K)."""
        design = np.ones(len(self.sites)) if self.scenario.commitment.basis == "it" else self.pue_peak
        return np.asarray(self.rack_it_w[None, :] * design[:, None] * self.counts)

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


def _need(figure: Figure | None, what: str, name: str) -> float:
    if figure is None:
        raise InputError(f"{name!r} has no {what} in the catalogue; add it in a folder given with --catalog")
    return figure.value


def problem_from(scenario: Scenario, catalog: Catalog, points: Sequence[OperatingPoint]) -> Problem:
    """Turn a scenario, the catalogue and the operating points into arrays.

    Raises
    ------
    InputError
        A system without price or power, a workload that no system can run.

    """
    quarters = scenario.quarters
    sites = [_site(catalog.site(s.site), s) for s in scenario.sites]
    systems = [catalog.system(name) for line in scenario.platforms for name in line.systems]
    line_of = np.array([i for i, line in enumerate(scenario.platforms) for _ in line.systems])
    system_index = {s.name: k for k, s in enumerate(systems)}
    asked = {w.name for w in scenario.serving} | {r.name for r in scenario.training}
    points = [p for p in points if p.system in system_index and p.workload in asked]
    serving = [p for p in points if p.kind == "serving"]
    price = np.array([_rack_price(systems[k], scenario.platforms[line_of[k]], quarters) for k in range(len(systems))])
    rack_it = np.array([_rack_power(s) for s in systems])
    life = scenario.finance.system_life_years
    own_cost = price / 4 * (1 / life + scenario.finance.discount_rate / 2 + scenario.operations.maintenance)
    availability = np.array([_availability(scenario, s) for s in systems])
    runs = _runs(scenario, points, systems, availability, rack_it)
    demand = np.array([demanded_tokens(s, quarters) for s in scenario.serving]).reshape(-1, len(quarters))
    products = [(w, row) for w, s in enumerate(scenario.serving) for row in products_of(s, quarters, demand[w])]
    workload_index = {s.name: w for w, s in enumerate(scenario.serving)}
    _require_points(scenario, serving, runs["training_points"])
    peak = np.array([peak_over_mean(s, catalog) / s.utilisation for s in scenario.serving])
    idle = np.array([_idle_power(s, catalog) for s in systems])
    load = scenario.operations.load
    if load is not None:  # power is stated: racks draw it whatever they do
        idle = load * rack_it
        runs["train_power_w"] = idle[runs["train_system"]]
    point_system = np.array([system_index[p.system] for p in serving], dtype=int)
    point_workload = np.array([workload_index[p.workload] for p in serving], dtype=int)
    full = np.array([p.it_power_w_per_rack for p in serving])
    busy = 1 / peak[point_workload] if serving else np.zeros(0)
    pue_mean = np.array([s.pue_mean.value for s in sites])
    places = [place_of(scenario, i, s, catalog) for i, s in enumerate(sites)]
    rented = np.array([s.tenure == "cloud" for s in sites])
    site_energy = np.array([p.energy_usd_per_j for p in places])
    time = np.arange(len(quarters))
    return Problem(
        scenario=scenario,
        quarters=quarters,
        sites=[s.name for s in sites],
        partners=["builders" if s.tenure == "owned" else s.partner for s in sites],
        supplier=_supplier(systems, catalog),
        tenures=[s.tenure for s in sites],
        systems=[s.name for s in systems],
        lines=[p.name for p in scenario.platforms],
        workloads=[s.name for s in scenario.serving],
        runs=[r.name for r in scenario.training],
        points=serving,
        rack_it_w=rack_it,
        rack_idle_w=idle,
        least_held_w=_least(rack_it, [*serving, *runs["training_points"]], system_index),
        accelerators=np.array([s.accelerators for s in systems], dtype=float),
        counts=np.array([[_counts(s, site, scenario, catalog) for s in systems] for site in scenario.sites]),
        can_host=_can_host(scenario, sites, systems, quarters),
        unfit=[
            {"site": site.name, "system": system.name, "why": why}
            for site, override in zip(sites, scenario.sites, strict=True)
            for system in systems
            if (why := why_not(site, override, system))
        ],
        energised_w=np.array([p.energised_w for p in places]),
        pue_peak=np.array([s.pue_peak.value for s in sites]),
        pue_mean=pue_mean,
        line_of=line_of,
        supply=np.array([_supply(p, quarters) for p in scenario.platforms]),
        rack_price_usd=price,
        facility_usd_per_w=np.array([_tenure_price(s, "owned", s.facility_cost) for s in sites]),
        lease_usd_per_w=np.array([_tenure_price(s, "leased", s.lease_price) for s in sites]) * SECONDS_PER_QUARTER,
        cloud_usd_per_rack=np.array([_cloud_price(s, own_cost, rack_it, pue_mean[i]) for i, s in enumerate(sites)]),
        energy_usd_per_j=np.where(rented[:, None], 0.0, site_energy),
        pue_quarter=np.array([p.pue for p in places]),
        site_energy_usd_per_j=site_energy,
        serving_price_factor=np.array([p.serving_price_factor for p in places]),
        work_share=np.array([p.work_share for p in places]),
        curtailment_usd_per_w=np.array([p.curtailment_usd_per_w for p in places]) * ~rented[:, None],
        carbon_kg_per_j=np.array([p.carbon_kg_per_j for p in places]),
        water_l_per_j=np.array([p.water_l_per_j for p in places]),
        partner_facility_usd_per_w=np.array([_partner_facility(s, catalog) for s in sites]),
        products=products,
        point_workload=point_workload,
        point_system=point_system,
        point_tokens=np.array([_yields(p, len(quarters)) for p in serving]).reshape(-1, len(quarters))
        * (SECONDS_PER_QUARTER * availability[point_system])[:, None],
        availability=availability,
        point_power_w=_mean_power(idle[point_system], full, busy, stated=load is not None),
        point_held_w=_held(serving, rack_it[point_system]),
        demand=demand,
        token_usd=sum_by_workload(products, len(scenario.serving), len(quarters))
        * (1 - scenario.operations.overhead_of_revenue),
        peak_to_mean=peak,
        run_sites=np.array(
            [[not r.sites or s.name in r.sites for s in sites] for r in scenario.training], dtype=bool
        ).reshape(-1, len(sites)),
        run_window=np.array(
            [[r.start <= q <= (r.latest or r.end) for q in quarters] for r in scenario.training], dtype=bool
        ).reshape(-1, len(quarters)),
        run_due=np.array([r.end - quarters[0] for r in scenario.training], dtype=int),
        spans=spans_of(scenario, catalog),
        discount=(1 + scenario.finance.discount_rate) ** (-(time + 0.5) / 4),
        discount_end=float((1 + scenario.finance.discount_rate) ** (-len(quarters) / 4)),
        economic_quarters=round(min(life, scenario.finance.service_life_years) * 4),
        service_quarters=round(scenario.finance.service_life_years * 4),
        **runs,
    )


def _site(site: Site, override: ScenarioSite) -> Site:
    """Lay the scenario's view over the catalogue's; a lease or a building cost given here changes the tenure."""
    changes: dict[str, object] = {}
    for field, tenure in (("energy_price", None), ("lease_price", "leased"), ("facility_cost", "owned")):
        value = getattr(override, field)
        if value is not None:
            changes[field] = Figure(value=value, low=value, high=value, assumption="given by the scenario")
            if tenure:
                changes["tenure"] = tenure
    return site.model_copy(update=changes)


def _can_host(scenario: Scenario, sites: list[Site], systems: list[System], quarters: list[Quarter]) -> Mask:
    """Where and when systems may be installed: power per rack, the site's own list, ship dates."""
    out = np.zeros((len(sites), len(systems), len(quarters)), dtype=bool)
    lines = [line for line in scenario.platforms for _ in line.systems]
    for s, site in enumerate(sites):
        first = scenario.sites[s].first or quarters[0]
        for k, system in enumerate(systems):
            fits = not why_not(site, scenario.sites[s], system)
            for t, quarter in enumerate(quarters):
                ships = lines[k].ships <= quarter <= (lines[k].last or quarters[-1])
                out[s, k, t] = fits and ships and quarter >= first
    return out


def _supply(line: Platform, quarters: list[Quarter]) -> Array:
    supply = step(line.supply, quarters)
    supply[[not line.ships <= q <= (line.last or quarters[-1]) for q in quarters]] = 0.0
    return np.floor(supply)


def _rack_price(system: System, line: Platform, quarters: list[Quarter]) -> Array:
    if line.price is not None:
        price = line.price
    else:
        price = _need(system.price, "price", system.name)
        price += system.network_price.value if system.network_price else 0.0
    years = np.maximum(0.0, np.array([q - line.ships for q in quarters]) / 4)
    return np.asarray(price * (1 - (line.price_change or 0.0)) ** years)


def _rack_power(system: System) -> float:
    power = _need(system.power, "power", system.name)
    return power + (system.overhead_power.value if system.overhead_power else 0.0)


def _idle_power(system: System, catalog: Catalog) -> float:
    """Idle power of a rack [W]: its accelerators' idle power, everything else as under load."""
    chip = catalog.accelerator(system.accelerator)
    limit = (system.accelerator_power or chip.power or Figure(value=0, low=0, high=0, assumption="none")).value
    idle = chip.idle_power.value if chip.idle_power else 0.25 * limit
    return max(_rack_power(system) - system.accelerators * (limit - idle), 0.2 * _rack_power(system))


def _mean_power(idle: Array, full: Array, busy: Array, *, stated: bool) -> Array:
    """Mean power of a rack that serves [W]: between idle and full by how busy it is. Shape (P,)."""
    return idle if stated else np.asarray(idle + (full - idle) * busy)


def _counts(system: System, site: ScenarioSite, scenario: Scenario, catalog: Catalog) -> bool:
    return site.counts and catalog.accelerator(system.accelerator).vendor in scenario.commitment.suppliers


def _tenure_price(site: Site, tenure: str, figure: Figure | None) -> float:
    return figure.value if site.tenure == tenure and figure else 0.0


def _cloud_price(site: Site, own_cost: Array, rack_it: Array, pue: float) -> Array:
    """Rent of a system per quarter [USD], shape (K, T): its owner's cost times the cloud's multiple."""
    if site.tenure != "cloud" or site.cloud_price_multiple is None:
        return np.zeros_like(own_cost)
    power = rack_it * pue
    facility = site.facility_cost.value * power / 15 / 4 if site.facility_cost else 0.0 * power
    energy = power * SECONDS_PER_QUARTER * site.energy_price.value
    return np.asarray((own_cost + (facility + energy)[:, None]) * site.cloud_price_multiple.value)


def _partner_facility(site: Site, catalog: Catalog) -> float:
    """What a partner pays to build a site that we do not own [USD/W]: the site's figure, else the catalogue's fact."""
    if site.tenure == "owned":
        return 0.0
    if site.facility_cost:
        return site.facility_cost.value
    return catalog.facts["facility-cost"].value if "facility-cost" in catalog.facts else 0.0


def _supplier(systems: list[System], catalog: Catalog) -> str:
    """The party that systems are bought from: the vendor, where there is but one."""
    vendors = {catalog.accelerator(s.accelerator).vendor.lower() for s in systems}
    return vendors.pop() if len(vendors) == 1 else "suppliers"


def _yields(point: OperatingPoint, quarters: int) -> Array:
    """Tokens per second and rack in each quarter."""
    return np.array(point.tokens_per_s_by_quarter or (point.tokens_per_s_per_rack,) * quarters)


def _availability(scenario: Scenario, system: System) -> float:
    """Share of a system's time in service: the scenario's, or what published failure and repair rates give."""
    given = scenario.operations.availability
    return given if given is not None else expected_availability(system.accelerators, weighted=True)


def _goodput(scenario: Scenario, system: System, racks: int) -> float:
    """Productive share of a gang's time: the scenario's, or what published failure and repair rates give."""
    given = scenario.operations.training_goodput
    return given if given is not None else expected_goodput(system.accelerators, racks).goodput


def _held(points: Sequence[OperatingPoint], nameplate_w: Array) -> Array:
    """IT power that a rack at each point holds: what its cap lets it draw, its nameplate without one."""
    held = np.array([p.held_w_per_rack for p in points], dtype=float)
    return np.where(np.isfinite(held), np.minimum(held, nameplate_w), nameplate_w)


def _least(rack_it: Array, points: Sequence[OperatingPoint], index: dict[str, int]) -> Array:
    out = rack_it.copy()
    for p in points:
        out[index[p.system]] = np.fmin(out[index[p.system]], p.held_w_per_rack)
    return out


def _runs(
    scenario: Scenario, points: Sequence[OperatingPoint], systems: list[System], availability: Array, rack_it: Array
) -> dict[str, Any]:
    """The training points: the fastest of each run, system and cap."""
    index = {s.name: k for k, s in enumerate(systems)}
    number = {run.name: r for r, run in enumerate(scenario.training)}
    best: dict[tuple[int, int, float], tuple[float, float, OperatingPoint]] = {}
    for point in (p for p in points if p.kind == "training"):
        r, k = number[point.workload], index[point.system]
        share = _goodput(scenario, systems[k], point.racks_per_unit)
        tokens = point.tokens_per_s_per_rack * SECONDS_PER_QUARTER * availability[k] * share
        key = (r, k, point.cap_w if np.isfinite(point.cap_w) else np.inf)
        if tokens > (best[key][0] if key in best else 0.0):
            best[key] = (tokens, share, point)
    order = sorted(best)
    chosen = [best[key][2] for key in order]
    system = np.array([key[1] for key in order], dtype=int)
    return {
        "training_points": chosen,
        "run_tokens": np.array([r.tokens * r.compute_multiple for r in scenario.training]),
        "train_run": np.array([key[0] for key in order], dtype=int),
        "train_system": system,
        "train_rate": np.array([best[key][0] for key in order]),
        "train_goodput": np.array([best[key][1] for key in order]),
        "train_power_w": np.array([p.it_power_w_per_rack for p in chosen]),
        "train_held_w": _held(chosen, rack_it[system]),
        "train_max_racks": np.array([p.max_racks for p in chosen]),
    }


def _require_points(scenario: Scenario, serving: list[OperatingPoint], training: list[OperatingPoint]) -> None:
    have, trained = {p.workload for p in serving}, {p.workload for p in training}
    systems = ", ".join(s for p in scenario.platforms for s in p.systems)
    for workload in scenario.serving:
        if workload.name not in have:
            raise InputError(
                f"serving.{workload.name}: no system of this scenario ({systems}) serves {workload.model!r} within "
                f"TTFT {workload.ttft:g} s and TPOT {workload.tpot * 1e3:g} ms; relax the targets or add a system"
            )
    for run in scenario.training:
        if run.name not in trained:
            raise InputError(
                f"training.{run.name}: {run.model!r} fits on no system of this scenario ({systems}) "
                f"in {run.precision}; add a system or change the precision"
            )
