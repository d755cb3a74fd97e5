"""Systems: their supply, price, power and time in service."""

from __future__ import annotations

import numpy as np

from gigaforge.buildout.problem.arrays import Array
from gigaforge.catalog import Catalog, Figure, System
from gigaforge.errors import InputError
from gigaforge.operations import expected_availability
from gigaforge.quarters import Quarter
from gigaforge.scenario import Scenario, step
from gigaforge.scenario.schema import Platform

__all__ = ["availability_of", "idle_power", "mean_power", "rack_power", "rack_price", "supplier_of", "supply_of"]


def _need(figure: Figure | None, what: str, name: str) -> float:
    if figure is None:
        raise InputError(f"{name!r} has no {what} in the catalogue; add it in a folder given with --catalog")
    return figure.value


def supply_of(line: Platform, quarters: list[Quarter]) -> Array:
    """Systems that a line ships in each quarter, whole ones. Shape (T,)."""
    supply = step(line.supply, quarters)
    supply[[not line.ships <= q <= (line.last or quarters[-1]) for q in quarters]] = 0.0
    return np.floor(supply)


def rack_price(system: System, line: Platform, quarters: list[Quarter]) -> Array:
    """Price of a system with its network in each quarter [USD]. Shape (T,)."""
    if line.price is not None:
        price = line.price
    else:
        price = _need(system.price, "price", system.name)
        price += system.network_price.value if system.network_price else 0.0
    years = np.maximum(0.0, np.array([q - line.ships for q in quarters]) / 4)
    return np.asarray(price * (1 - (line.price_change or 0.0)) ** years)


def rack_power(system: System) -> float:
    """Nameplate IT power of a system with its share of the network [W]."""
    power = _need(system.power, "power", system.name)
    return power + (system.overhead_power.value if system.overhead_power else 0.0)


def idle_power(system: System, catalog: Catalog) -> float:
    """Idle power of a rack [W]: its accelerators' idle power, everything else as under load."""
    chip = catalog.accelerator(system.accelerator)
    limit = (system.accelerator_power or chip.power or Figure(value=0, low=0, high=0, assumption="none")).value
    idle = chip.idle_power.value if chip.idle_power else 0.25 * limit
    return max(rack_power(system) - system.accelerators * (limit - idle), 0.2 * rack_power(system))


def mean_power(idle: Array, full: Array, busy: Array, *, stated: bool) -> Array:
    """Mean power of a rack that serves [W]: between idle and full by how busy it is. Shape (P,)."""
    return idle if stated else np.asarray(idle + (full - idle) * busy)


def supplier_of(systems: list[System], catalog: Catalog) -> str:
    """The party that systems are bought from: the vendor, where there is but one."""
    vendors = {catalog.accelerator(s.accelerator).vendor.lower() for s in systems}
    return vendors.pop() if len(vendors) == 1 else "suppliers"


def availability_of(scenario: Scenario, system: System) -> float:
    """Share of a system's time in service: the scenario's, or what published failure and repair rates give."""
    given = scenario.operations.availability
    return given if given is not None else expected_availability(system.accelerators, weighted=True)
