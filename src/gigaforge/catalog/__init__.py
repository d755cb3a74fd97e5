"""Sourced figures: accelerators, systems, networks, models, sites, partners, facts, traffic shapes."""

from __future__ import annotations

from gigaforge.catalog.figure import Figure, figures_in
from gigaforge.catalog.load import Catalog, load_catalog
from gigaforge.catalog.parameters import ParameterCount, parameter_count
from gigaforge.catalog.schema import (
    Accelerator,
    Fact,
    Model,
    Network,
    Partner,
    Shape,
    Site,
    Source,
    System,
)

__all__ = [
    "Accelerator",
    "Catalog",
    "Fact",
    "Figure",
    "Model",
    "Network",
    "ParameterCount",
    "Partner",
    "Shape",
    "Site",
    "Source",
    "System",
    "figures_in",
    "load_catalog",
    "parameter_count",
]
