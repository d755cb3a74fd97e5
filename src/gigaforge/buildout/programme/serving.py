"""Serving: racks at operating points, tokens served up to demand, what is not served at a price."""

from __future__ import annotations

import numpy as np

from gigaforge.buildout.programme.builder import PETA, USD, Builder

__all__ = ["serving"]


def serving(b: Builder) -> None:
    """Capacity covers the busiest hour of what is served, and no more is served than is demanded."""
    p = b.p
    if not p.workloads:
        b.served = None
        return
    can = np.asarray(p.can_host.any(axis=2))[:, p.point_system]
    dims = ("site", "point", "quarter")
    mask = b.data(np.broadcast_to(can[:, :, None], (*can.shape, len(p.quarters))).astype(float), *dims)
    b.serve = b.variable("serve", *dims, upper=mask * 1e6)
    b.served = b.variable("served", "workload", "quarter")
    demand = b.data(p.demand / PETA, "workload", "quarter")
    for w, workload in enumerate(p.workloads):
        points = np.flatnonzero(p.point_workload == w)
        rate = b.data(p.point_tokens * b.block / PETA, "point", "quarter").isel(point=points)
        capacity = (b.serve.isel(point=points) * rate).sum(["site", "point"])
        served = b.served.sel(workload=workload)
        b.rule("", f"serve {workload}", served * float(p.peak_to_mean[w]) <= capacity)
        b.rule(f"serving.{workload}.demand", "demand", served <= demand.sel(workload=workload))
    # What is not served is penalised: the price of all demand, a constant, less that of what is served.
    price = np.array([w.shortfall_penalty for w in p.scenario.serving])[:, None] * p.discount * PETA / USD
    all_of_it = float((price * p.demand / PETA).sum())
    one = b.model.add_variables(lower=1.0, upper=1.0, name="one")  # carries a constant: linopy's objective has none
    b.penalties.append(one * all_of_it)
    b.penalties.append((b.served * b.data(-price, "workload", "quarter")).sum())
