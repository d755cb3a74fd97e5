"""The build-out programme as mathematics: what to install where and when, run what, and pay with what.

Decisions by site s, system k, quarter t (in blocks of racks): ``add``, ``retire``, ``online``; racks given to serving
points (``serve``) and training points (``train``); facility power held and paid for (``built``); tokens served, tranches
released, debt and cash. Units inside: blocks, GW, billions of dollars, 10^15 tokens: a well-scaled matrix.

Every constraint's name begins with the statement of the scenario that it carries (before "|"), so that an
infeasible scenario can be explained in its own words.
"""

from __future__ import annotations

from gigaforge.buildout.programme.builder import GW, PETA, USD
from gigaforge.buildout.programme.installation import early_retirements, most_online
from gigaforge.buildout.programme.whole import Programme, build

__all__ = ["GW", "PETA", "USD", "Programme", "build", "early_retirements", "most_online"]
