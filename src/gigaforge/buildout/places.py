"""Sites as they are: power by phases, PUE by climate, prices by hour, curtailment, carbon and water."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gigaforge.catalog import Catalog, Site, System
from gigaforge.operations.power import Cooling, price_factor, pue_of
from gigaforge.operations.weather import MONTH_DAYS, Climate, climate_of, dry_bulb_c, wet_bulb_c
from gigaforge.quarters import SECONDS_PER_QUARTER, Quarter
from gigaforge.scenario import Scenario, step
from gigaforge.scenario.schema import Phase, ScenarioSite

__all__ = ["Months", "Place", "energised_in", "months_of", "place_of", "why_not"]

Array = NDArray[np.float64]

_SUPPLY = {"grid": "grid-connection-time", "gas": "gas-supply-time", "solar-storage": "solar-storage-supply-time"}
_HOURS = 8766
_OF_QUARTER = (MONTH_DAYS.reshape(4, 3) / MONTH_DAYS.reshape(4, 3).sum(axis=1, keepdims=True)).ravel()
"""Share of each month in the days of its quarter: quarters count as equally long."""


@dataclass(frozen=True, eq=False)
class Months:
    """A site's mean year by month, January first. Shape (12,) each.

    Attributes
    ----------
    air_c : array
        Mean air temperature [°C]; NaN where the place is not known.
    pue_mean : array
        For energy; the mean of its quarters, by the days of their months, is the site's.
    pue_peak : array
        In the hottest hour of the month, against the site's limit; the largest is the site's.

    """

    air_c: Array
    pue_mean: Array
    pue_peak: Array

    def by_quarter(self, quarters: list[Quarter]) -> Array:
        """Mean PUE of each quarter, by the days of its months. Shape (quarter,)."""
        mean = (self.pue_mean * _OF_QUARTER).reshape(4, 3).sum(axis=1)
        return np.asarray(mean[[q.number - 1 for q in quarters]])


@dataclass(frozen=True)
class Place:
    """One site over the horizon.

    Attributes
    ----------
    energised_w : (quarter,) array
        Facility power that can be counted on [W].
    pue : (quarter,) array
        Mean PUE of each quarter.
    months : Months
        The same by month of the year, and what its hottest hour takes.
    energy_usd_per_j, carbon_kg_per_j : (quarter,) array
        Of the sources energised by then, by their power.
    serving_price_factor : (workload,) array
        Energy price in the hours that each workload is busy, over the mean.
    work_share : (quarter,) array
        Share of work that curtailment leaves.
    curtailment_usd_per_w : (quarter,) array
        Credit for power that may be called [USD per W and quarter].
    water_l_per_j : float
        Per unit of IT energy.

    """

    energised_w: Array
    pue: Array
    months: Months
    energy_usd_per_j: Array
    carbon_kg_per_j: Array
    serving_price_factor: Array
    work_share: Array
    curtailment_usd_per_w: Array
    water_l_per_j: float


def place_of(scenario: Scenario, index: int, site: Site, catalog: Catalog) -> Place:
    """What the scenario and the catalogue say of one site, by quarter.

    Parameters
    ----------
    scenario : Scenario
        With its horizon and workloads.
    index : int
        Which of its sites.
    site : Site
        The catalogue's entry with the scenario's figures laid over.
    catalog : Catalog
        Facts that phases fall back on, shapes of demand.

    """
    override, quarters = scenario.sites[index], scenario.quarters
    power, price, carbon = _sources(override, site, catalog, quarters)
    cut = override.curtailment
    share = 1.0 - (cut.depth * cut.hours_per_year / _HOURS if cut else 0.0)
    credit = cut.credit * cut.depth * SECONDS_PER_QUARTER if cut else 0.0
    months = months_of(site)
    water = override.water if override.water is not None else _fact(catalog, "water-use", 0.0)
    return Place(
        energised_w=power,
        pue=months.by_quarter(quarters),
        months=months,
        energy_usd_per_j=price,
        carbon_kg_per_j=carbon,
        serving_price_factor=np.array([_busy_price(scenario, w, site, override, catalog) for w in range(len(scenario.serving))]),
        work_share=np.full(len(quarters), share),
        curtailment_usd_per_w=np.full(len(quarters), credit),
        water_l_per_j=water,
    )  # fmt: skip


def _fact(catalog: Catalog, name: str, default: float) -> float:
    return catalog.facts[name].value if name in catalog.facts else default


def energised_in(phase: Phase, catalog: Catalog) -> Quarter:
    """The quarter in which a phase is energised.

    Supply (`lead`) and construction run side by side from the start of the quarter of the order; commissioning follows
    the later of the two. Times that the scenario leaves open are the catalogue's facts.
    """
    lead = phase.lead if phase.lead is not None else catalog.fact(_SUPPLY[phase.source]).value
    build = phase.construction if phase.construction is not None else catalog.fact("construction-time").value
    test = phase.commissioning if phase.commissioning is not None else catalog.fact("commissioning-time").value
    return phase.ordered + max(math.ceil((max(lead, build) + test) / SECONDS_PER_QUARTER - 1e-9) - 1, 0)


def _sources(override: ScenarioSite, site: Site, catalog: Catalog, quarters: list[Quarter]) -> tuple[Array, ...]:
    """Power [W], energy price [USD/J] and carbon [kg/J] by quarter: the site's, or a mix by phases."""
    carbon = site.carbon_intensity.value if site.carbon_intensity else 0.0
    flat = np.ones(len(quarters))
    if not override.phases:
        series = override.power or {s.quarter: s.power.value for s in site.energised}
        return step(series, quarters), flat * site.energy_price.value, flat * carbon
    watts, money, mass = (np.zeros(len(quarters)) for _ in range(3))
    for phase in override.phases:
        firm = 1.0 if phase.source != "solar-storage" else _fact(catalog, "solar-storage-firm-share", 1.0)
        firm = phase.firm if phase.firm is not None else firm
        price = (
            site.energy_price.value if phase.source == "grid" else catalog.fact(f"energy-price-{phase.source}").value
        )
        clean = carbon if phase.source == "grid" else catalog.fact(f"carbon-{phase.source}").value
        on = step({energised_in(phase, catalog): phase.power * firm}, quarters)
        watts += on
        money += on * (phase.energy_price if phase.energy_price is not None else price)
        mass += on * (phase.carbon_intensity if phase.carbon_intensity is not None else clean)
    some = np.where(watts > 0, watts, 1.0)
    return (
        watts,
        np.where(watts > 0, money / some, site.energy_price.value),
        np.where(watts > 0, mass / some, carbon),
    )


@cache
def _year(climate: Climate) -> tuple[Array, Array, Array]:
    """A typical year by the hour: mean air temperature, and mean and most of what cooling takes, by month."""
    dry = dry_bulb_c(np.random.default_rng(0), climate, 0.0, _HOURS, 3600.0)
    over = pue_of(Cooling(), wet_bulb_c(dry, climate.humidity), np.ones(_HOURS), 2.0) - 1.0
    month = np.searchsorted(np.cumsum(MONTH_DAYS) * 24, np.arange(_HOURS), side="right")
    parts = [(dry[month == m], over[month == m]) for m in range(12)]
    mean = np.array([o.mean() for _, o in parts])
    return np.array([d.mean() for d, _ in parts]), mean, np.array([o.max() for _, o in parts])


def months_of(site: Site) -> Months:
    """A site's PUE by month: its own means over the year, their course from the weather where its place is known.

    Cooling follows the wet bulb of a typical year drawn from the site's monthly normals, as in the simulation of
    operations; the level is the site's mean PUE for energy and its peak PUE for the hottest hour of the year.
    """
    mean, peak = site.pue_mean.value, site.pue_peak.value
    if site.latitude is None:
        return Months(np.full(12, np.nan), np.full(12, mean), np.full(12, peak))
    air, over, most = _year(climate_of(site))
    for_energy = 1.0 + (mean - 1.0) * over / np.average(over, weights=_OF_QUARTER)
    return Months(air, for_energy, np.maximum(1.0 + (peak - 1.0) * most / most.max(), np.minimum(for_energy, peak)))


def _busy_price(scenario: Scenario, w: int, site: Site, override: ScenarioSite, catalog: Catalog) -> float:
    """Energy price weighted by a workload's load over the hours of a week, over the mean price."""
    serving, swing = scenario.serving[w], override.price_swing
    if not swing or serving.shape is None:
        return 1.0
    load = np.array(catalog.shape(serving.shape).factors)
    offset = climate_of(site).utc_offset_h
    return float((price_factor(0.0, len(load), 3600.0, offset, swing) * load).mean() / load.mean())


def why_not(site: Site, override: ScenarioSite, system: System) -> str:
    """Why a system cannot stand in a site's halls; empty where it can."""
    power = system.power.value if system.power else 0.0
    limit = override.rack_power_limit
    if limit is None and site.rack_power_limit:
        limit = site.rack_power_limit.value
    if site.systems and system.name not in site.systems:
        return "is not among the systems that the site takes"
    if limit is not None and power > limit:
        return f"draws {power / 1e3:,.0f} kW, the halls take racks of {limit / 1e3:,.0f} kW"
    if override.cooling == "air" and system.cooling == "liquid":
        return "needs liquid cooling, the halls have air"
    return ""
