"""Power: what sites hold for racks, what is paid for and energised, and the racks that may work."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from gigaforge.buildout.programme.builder import GW, Builder, by_system, previous

__all__ = ["capacity", "power"]


def power(b: Builder) -> None:
    """Facility power held for everything online stays within what is paid for, and that within what is energised.

    A rack holds its nameplate, and less while it works at a point with a cap.
    """
    p = b.p
    b.built = b.variable("built", "site", "quarter")
    energised = b.data(p.energised_w / GW, "site", "quarter")
    per_block = b.data(np.outer(p.pue_peak, p.rack_it_w) * b.block / GW, "site", "system")
    needed = (b.online * per_block).sum("system")
    for spared in _spared(b):
        needed = needed - spared
    b.rule("", "power", needed <= b.built)
    b.rule("sites.{site}.power", "energised", b.built <= energised)
    b.rule("", "built stays", b.built >= previous(b.built))


def _spared(b: Builder) -> list[Any]:
    """Facility power that caps leave free, by site and quarter [GW]."""
    p, scale, out = b.p, b.block / GW, []
    if p.workloads and (spare := p.rack_it_w[p.point_system] - p.point_held_w).any():
        out.append((b.serve * b.data(np.outer(p.pue_peak, spare) * scale, "site", "point")).sum("point"))
    if p.runs and (spare := p.rack_it_w[p.train_system] - p.train_held_w).any():
        out.append((b.train * b.data(np.outer(p.pue_peak, spare) * scale, "site", "job")).sum("job"))
    return out


def capacity(b: Builder) -> None:
    """Racks in use are online; those added in a quarter work half of it."""
    p = b.p
    used: Any = 0
    if p.workloads:
        group = xr.DataArray(np.array(p.systems)[p.point_system], coords={"point": b.index["point"]}, name="system")
        used = used + by_system(b.serve, group, p)
    if p.runs:
        group = xr.DataArray(np.array(p.systems)[p.train_system], coords={"job": b.index["job"]}, name="system")
        used = used + by_system(b.train, group, p)
    if p.workloads or p.runs:
        free: Any = b.online - 0.5 * b.add
        if (b.p.work_share < 1).any():
            free = free * b.data(b.p.work_share, "site", "quarter")
        b.rule("", "racks in use", used <= free)
