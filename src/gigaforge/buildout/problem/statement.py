"""A scenario, the catalogue and operating points turned into arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gigaforge.buildout.market import demanded_tokens, products_of, sum_by_workload
from gigaforge.buildout.places import why_not
from gigaforge.buildout.problem.arrays import Problem
from gigaforge.buildout.problem.points import held_power, least_held, require_points, training_arrays, yields
from gigaforge.buildout.problem.premises import premises_of
from gigaforge.buildout.problem.sites import (
    cloud_price,
    partner_facility,
    site_view,
    tenure_price,
)
from gigaforge.buildout.problem.systems import (
    availability_of,
    idle_power,
    mean_power,
    rack_price,
    supplier_of,
)
from gigaforge.buildout.spans import spans_of
from gigaforge.catalog import Catalog
from gigaforge.codesign.point import OperatingPoint, PointSet
from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.scenario import Scenario, peak_over_mean

__all__ = ["problem_from"]


def problem_from(scenario: Scenario, catalog: Catalog, points: Sequence[OperatingPoint]) -> Problem:
    """Turn a scenario, the catalogue and the operating points into arrays.

    Raises
    ------
    InputError
        A system without price or power, a workload that no system can run.

    """
    known = premises_of(scenario, catalog)
    quarters, line_of, rack_it, places = known.quarters, known.line_of, known.rack_it_w, known.places
    sites = [site_view(catalog.site(s.site), s) for s in scenario.sites]
    systems = [catalog.system(name) for line in scenario.platforms for name in line.systems]
    system_index = {s.name: k for k, s in enumerate(systems)}
    asked = {w.name for w in scenario.serving} | {r.name for r in scenario.training}
    unable = (
        [u for u in points.unable if u.system in system_index and u.workload in asked]
        if isinstance(points, PointSet)
        else []
    )
    points = [p for p in points if p.system in system_index and p.workload in asked]
    serving = [p for p in points if p.kind == "serving"]
    price = np.array([rack_price(systems[k], scenario.platforms[line_of[k]], quarters) for k in range(len(systems))])
    life = scenario.finance.system_life_years
    own_cost = price / 4 * (1 / life + scenario.finance.discount_rate / 2 + scenario.operations.maintenance)
    availability = np.array([availability_of(scenario, s) for s in systems])
    runs = training_arrays(scenario, points, systems, availability, rack_it)
    demand = np.array([demanded_tokens(s, quarters) for s in scenario.serving]).reshape(-1, len(quarters))
    products = [(w, row) for w, s in enumerate(scenario.serving) for row in products_of(s, quarters, demand[w])]
    workload_index = {s.name: w for w, s in enumerate(scenario.serving)}
    require_points(scenario, serving, runs["training_points"], unable)
    peak = np.array([peak_over_mean(s, catalog) / s.utilisation for s in scenario.serving])
    idle = np.array([idle_power(s, catalog) for s in systems])
    load = scenario.operations.load
    if load is not None:  # power is stated: racks draw it whatever they do
        idle = load * rack_it
        runs["train_power_w"] = idle[runs["train_system"]]
    point_system = np.array([system_index[p.system] for p in serving], dtype=int)
    point_workload = np.array([workload_index[p.workload] for p in serving], dtype=int)
    full = np.array([p.it_power_w_per_rack for p in serving])
    busy = 1 / peak[point_workload] if serving else np.zeros(0)
    pue_mean = np.array([s.pue_mean.value for s in sites])
    rented = np.array([s.tenure == "cloud" for s in sites])
    site_energy = np.array([p.energy_usd_per_j for p in places])
    time = np.arange(len(quarters))
    return Problem(
        scenario=scenario,
        quarters=quarters,
        sites=known.sites,
        partners=["builders" if s.tenure == "owned" else s.partner for s in sites],
        supplier=supplier_of(systems, catalog),
        tenures=known.tenures,
        systems=known.systems,
        lines=known.lines,
        workloads=[s.name for s in scenario.serving],
        runs=[r.name for r in scenario.training],
        points=serving,
        rack_it_w=rack_it,
        rack_idle_w=idle,
        least_held_w=least_held(rack_it, [*serving, *runs["training_points"]], system_index),
        accelerators=np.array([s.accelerators for s in systems], dtype=float),
        counts=known.counts,
        can_host=known.can_host,
        unfit=[
            {"site": site.name, "system": system.name, "why": why}
            for site, override in zip(sites, scenario.sites, strict=True)
            for system in systems
            if (why := why_not(site, override, system))
        ],
        energised_w=known.energised_w,
        pue_peak=known.pue_peak,
        pue_mean=pue_mean,
        line_of=line_of,
        supply=known.supply,
        rack_price_usd=price,
        facility_usd_per_w=np.array([tenure_price(s, "owned", s.facility_cost) for s in sites]),
        lease_usd_per_w=np.array([tenure_price(s, "leased", s.lease_price) for s in sites]) * SECONDS_PER_QUARTER,
        cloud_usd_per_rack=np.array([cloud_price(s, own_cost, rack_it, pue_mean[i]) for i, s in enumerate(sites)]),
        energy_usd_per_j=np.where(rented[:, None], 0.0, site_energy),
        pue_quarter=np.array([p.pue for p in places]),
        months=[p.months for p in places],
        site_energy_usd_per_j=site_energy,
        serving_price_factor=np.array([p.serving_price_factor for p in places]),
        work_share=np.array([p.work_share for p in places]),
        curtailment_usd_per_w=np.array([p.curtailment_usd_per_w for p in places]) * ~rented[:, None],
        carbon_kg_per_j=np.array([p.carbon_kg_per_j for p in places]),
        water_l_per_j=np.array([p.water_l_per_j for p in places]),
        partner_facility_usd_per_w=np.array([partner_facility(s, catalog) for s in sites]),
        products=products,
        point_workload=point_workload,
        point_system=point_system,
        point_tokens=np.array([yields(p, len(quarters)) for p in serving]).reshape(-1, len(quarters))
        * (SECONDS_PER_QUARTER * availability[point_system])[:, None],
        availability=availability,
        point_power_w=mean_power(idle[point_system], full, busy, stated=load is not None),
        point_held_w=held_power(serving, rack_it[point_system]),
        demand=demand,
        token_usd=sum_by_workload(products, len(scenario.serving), len(quarters))
        * (1 - scenario.operations.overhead_of_revenue),
        peak_to_mean=peak,
        run_sites=np.array(
            [[not r.sites or s.name in r.sites for s in sites] for r in scenario.training], dtype=bool
        ).reshape(-1, len(sites)),
        run_window=np.array(
            [[r.start <= q <= (r.latest or r.end) for q in quarters] for r in scenario.training], dtype=bool
        ).reshape(-1, len(quarters)),
        run_due=np.array([r.end - quarters[0] for r in scenario.training], dtype=int),
        spans=spans_of(scenario, catalog),
        discount=(1 + scenario.finance.discount_rate) ** (-(time + 0.5) / 4),
        discount_end=float((1 + scenario.finance.discount_rate) ** (-len(quarters) / 4)),
        economic_quarters=round(min(life, scenario.finance.service_life_years) * 4),
        service_quarters=round(scenario.finance.service_life_years * 4),
        unable=unable,
        **runs,
    )
