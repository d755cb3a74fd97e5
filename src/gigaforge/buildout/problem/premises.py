"""What a scenario and the catalogue say of sites, systems and supply, before any way of running them is found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.places import Place, place_of
from gigaforge.buildout.problem.arrays import Array, Mask, deployed_per_rack
from gigaforge.buildout.problem.sites import can_host, counts_towards, may_stand, site_view
from gigaforge.buildout.problem.systems import rack_power, supply_of
from gigaforge.catalog import Catalog
from gigaforge.quarters import Quarter
from gigaforge.scenario import Scenario

__all__ = ["Premises", "premises_of"]


@dataclass(frozen=True)
class Premises:
    """What actuals are held against and a `Problem` builds on. Shapes: S sites, K systems, L supply lines, T quarters.

    Fields as of `Problem`.

    Attributes
    ----------
    scenario : str
        What to call the scenario in messages: its file or its name.
    may_stand : array
        Where systems may be installed, also out of stock once they are no longer delivered.
    places : list of Place
        Power, prices, weather and work of each site by quarter. Length S.

    """

    scenario: str
    quarters: list[Quarter]
    sites: list[str]
    tenures: list[str]
    systems: list[str]
    lines: list[str]
    line_of: NDArray[np.int_]  # (K,)
    supply: Array  # (L, T)
    can_host: Mask  # (S, K, T)
    may_stand: Mask  # (S, K, T)
    places: list[Place]
    energised_w: Array  # (S, T)
    pue_peak: Array  # (S,)
    rack_it_w: Array  # (K,)
    counts: Mask  # (S, K)
    deployed_w_per_rack: Array  # (S, K)


def premises_of(scenario: Scenario, catalog: Catalog, called: str | None = None) -> Premises:
    """What needs no operating points, in milliseconds.

    Raises
    ------
    InputError
        A system without power.

    """
    quarters = scenario.quarters
    sites = [site_view(catalog.site(s.site), s) for s in scenario.sites]
    systems = [catalog.system(name) for line in scenario.platforms for name in line.systems]
    rack_it = np.array([rack_power(s) for s in systems])
    peak = np.array([s.pue_peak.value for s in sites])
    places = [place_of(scenario, i, s, catalog) for i, s in enumerate(sites)]
    stand = may_stand(scenario, sites, systems, quarters)
    counts = np.array([[counts_towards(s, site, scenario, catalog) for s in systems] for site in scenario.sites])
    return Premises(
        scenario=called or f"the scenario {scenario.name}",
        quarters=quarters,
        sites=[s.name for s in sites],
        tenures=[s.tenure for s in sites],
        systems=[s.name for s in systems],
        lines=[p.name for p in scenario.platforms],
        line_of=np.array([i for i, line in enumerate(scenario.platforms) for _ in line.systems]),
        supply=np.array([supply_of(p, quarters) for p in scenario.platforms]),
        can_host=can_host(scenario, quarters, stand),
        may_stand=stand,
        places=places,
        energised_w=np.array([p.energised_w for p in places]),
        pue_peak=peak,
        rack_it_w=rack_it,
        counts=counts,
        deployed_w_per_rack=deployed_per_rack(scenario, rack_it, peak, counts),
    )
