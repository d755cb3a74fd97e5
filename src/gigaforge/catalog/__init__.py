"""Sourced figures: accelerators, systems, networks, models, sites and partners."""

from __future__ import annotations

from gigaforge.catalog.figure import Figure
from gigaforge.catalog.load import Catalog, load_catalog
from gigaforge.catalog.schema import Accelerator, Model, Network, Partner, Site, Source, System

__all__ = [
    "Accelerator",
    "Catalog",
    "Figure",
    "Model",
    "Network",
    "Partner",
    "Site",
    "Source",
    "System",
    "load_catalog",
]
