"""Sites: the scenario's view of them, what may stand there when, and what they cost."""

from __future__ import annotations

import numpy as np

from gigaforge.buildout.places import why_not
from gigaforge.buildout.problem.arrays import Array, Mask
from gigaforge.catalog import Catalog, Figure, Site, System
from gigaforge.quarters import SECONDS_PER_QUARTER, Quarter
from gigaforge.scenario import Scenario
from gigaforge.scenario.schema import ScenarioSite

__all__ = ["can_host", "cloud_price", "counts_towards", "may_stand", "partner_facility", "site_view", "tenure_price"]


def site_view(site: Site, override: ScenarioSite) -> Site:
    """Lay the scenario's view over the catalogue's; a lease or a building cost given here changes the tenure."""
    changes: dict[str, object] = {}
    for field, tenure in (("energy_price", None), ("lease_price", "leased"), ("facility_cost", "owned")):
        value = getattr(override, field)
        if value is not None:
            changes[field] = Figure(value=value, low=value, high=value, assumption="given by the scenario")
            if tenure:
                changes["tenure"] = tenure
    return site.model_copy(update=changes)


def may_stand(scenario: Scenario, sites: list[Site], systems: list[System], quarters: list[Quarter]) -> Mask:
    """Where and from when systems may be installed: power per rack, the site's own list and first quarter, ship dates."""
    out = np.zeros((len(sites), len(systems), len(quarters)), dtype=bool)
    lines = [line for line in scenario.platforms for _ in line.systems]
    for s, site in enumerate(sites):
        first = scenario.sites[s].first or quarters[0]
        for k, system in enumerate(systems):
            fits = not why_not(site, scenario.sites[s], system)
            for t, quarter in enumerate(quarters):
                out[s, k, t] = fits and quarter >= max(lines[k].ships, first)
    return out


def can_host(scenario: Scenario, quarters: list[Quarter], stand: Mask) -> Mask:
    """Where and when systems may be bought to be installed: where they `may_stand`, until their last delivery."""
    last = [line.last or quarters[-1] for line in scenario.platforms for _ in line.systems]
    delivered = np.array([[quarter <= end for quarter in quarters] for end in last])
    return np.asarray(stand & delivered[None])


def counts_towards(system: System, site: ScenarioSite, scenario: Scenario, catalog: Catalog) -> bool:
    """Whether a system at a site counts towards the commitment: the site does, and the vendor is promised."""
    return site.counts and catalog.accelerator(system.accelerator).vendor in scenario.commitment.suppliers


def tenure_price(site: Site, tenure: str, figure: Figure | None) -> float:
    """A price that applies to one tenure alone [USD/W]; 0 at sites of another."""
    return figure.value if site.tenure == tenure and figure else 0.0


def cloud_price(site: Site, own_cost: Array, rack_it: Array, pue: float) -> Array:
    """Rent of a system per quarter [USD], shape (K, T): its owner's cost times the cloud's multiple."""
    if site.tenure != "cloud" or site.cloud_price_multiple is None:
        return np.zeros_like(own_cost)
    power = rack_it * pue
    facility = site.facility_cost.value * power / 15 / 4 if site.facility_cost else 0.0 * power
    energy = power * SECONDS_PER_QUARTER * site.energy_price.value
    return np.asarray((own_cost + (facility + energy)[:, None]) * site.cloud_price_multiple.value)


def partner_facility(site: Site, catalog: Catalog) -> float:
    """What a partner pays to build a site that we do not own [USD/W]: the site's figure, else the catalogue's fact."""
    if site.tenure == "owned":
        return 0.0
    if site.facility_cost:
        return site.facility_cost.value
    return catalog.facts["facility-cost"].value if "facility-cost" in catalog.facts else 0.0
