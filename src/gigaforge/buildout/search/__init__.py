"""The search for a plan: a tree over what shapes it, whole racks near its leaves, and HiGHS for what is left."""

from __future__ import annotations

from gigaforge.buildout.search.shaped import search

__all__ = ["search"]
