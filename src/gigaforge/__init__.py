"""Gigaforge: from watts to tokens to dollars, and back.

The same functions that the command line uses:

>>> import gigaforge as gf
>>> plan = gf.plan(gf.load_scenario("scenarios/single-site.yaml"))  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gigaforge.buildout.compare import Comparison, compare
    from gigaforge.buildout.cooptimise import CoDesign, cooptimise
    from gigaforge.buildout.plan import Plan
    from gigaforge.buildout.planner import plan
    from gigaforge.catalog import Catalog, load_catalog
    from gigaforge.errors import GigaforgeError, InputError, NoAnswerError
    from gigaforge.quarters import Quarter
    from gigaforge.scenario import Scenario, load_scenario

__all__ = [
    "Catalog",
    "CoDesign",
    "Comparison",
    "GigaforgeError",
    "InputError",
    "NoAnswerError",
    "Plan",
    "Quarter",
    "Scenario",
    "compare",
    "cooptimise",
    "load_catalog",
    "load_scenario",
    "plan",
]

# Where each public name lives; imported on first use, so that `import gigaforge` costs nothing.
_HOME = {
    "Catalog": "catalog",
    "CoDesign": "buildout.cooptimise",
    "Comparison": "buildout.compare",
    "compare": "buildout.compare",
    "cooptimise": "buildout.cooptimise",
    "GigaforgeError": "errors",
    "InputError": "errors",
    "NoAnswerError": "errors",
    "Plan": "buildout.plan",
    "Quarter": "quarters",
    "Scenario": "scenario",
    "load_catalog": "catalog",
    "load_scenario": "scenario",
    "plan": "buildout.planner",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"gigaforge.{_HOME[name]}"), name)
    raise AttributeError(f"module 'gigaforge' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
