"""One site's power in one window: weather, cooling, generation, storage, and what gives way under a limit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np

from gigaforge.operations.fleet import Fleet, Site
from gigaforge.operations.intervals import Array
from gigaforge.operations.power import dispatch_storage, pace_under_cap, price_factor, pue_of, solar_factor
from gigaforge.operations.ramps import reserve_j
from gigaforge.operations.streams import stream
from gigaforge.operations.weather import Climate, dry_bulb_c, wet_bulb_c

__all__ = ["KINDS", "Loads", "SiteWindow", "run_site"]

_HOURS = 8766
KINDS: Final = ("backfill", "research", "training", "serving")


@dataclass(frozen=True)
class Loads:
    """IT power of a site by what gives way first, each (bin,) [W]; idle is never cut."""

    backfill: Array
    research: Array
    training: Array
    serving: Array

    @property
    def total(self) -> Array:
        """All of it [W]."""
        return self.backfill + self.research + self.training + self.serving


@dataclass(frozen=True)
class SiteWindow:
    """One site on the grid, each (bin,).

    ``pace``: what is left of each load's work after throttling. ``over_limit_s``: time above the limit although
    everything that can give way did; ``feeder_cut_j``: IT energy that halls' feeders did not let through [J].
    """

    it_w: Array
    facility_w: Array
    grid_w: Array
    pue: Array
    temperature_c: Array
    limit_w: Array
    pace: dict[str, Array]
    price_usd_per_j: Array
    carbon_g_per_j: Array
    cost_usd: float
    carbon_g: float
    charge_j: float
    over_limit_s: float
    responses: int
    solar_j: float
    firm_j: float
    feeder_cut_j: float = 0.0


@cache
def _typical_wet_bulb(climate: Climate) -> tuple[float, ...]:
    dry = dry_bulb_c(np.random.default_rng(0), climate, 0.0, _HOURS, 3600.0)
    return tuple(wet_bulb_c(dry, climate.humidity).tolist())


def _responses(
    site: Site, dry_c: Array, start_s: float, step_s: float, window_s: float, rng: np.random.Generator
) -> list[slice]:
    """Demand response on the hottest afternoons: 15:00 local for the policy's length."""
    policy = site.power
    expected = policy.responses_per_year * window_s / (365.25 * 86400.0)
    count = int(expected) + int(rng.random() < expected % 1.0)
    day = round(86400.0 / step_s)
    days = dry_c.size // day
    if count == 0 or days == 0:
        return []
    hottest = np.argsort(-dry_c[: days * day].reshape(days, day).max(axis=1), kind="stable")[: min(count, days)]
    local = (15.0 - site.climate.utc_offset_h) % 24.0
    shift = round(((local * 3600.0 - start_s) % 86400.0) / step_s)
    length = round(policy.response_s / step_s)
    begins = [int(d) * day + shift for d in sorted(hottest.tolist())]
    return [slice(b, min(b + length, dry_c.size)) for b in begins if b < dry_c.size]


def run_site(fleet: Fleet, index: int, window: int, seed: int, loads: Loads, charge_j: float,
             halls: list[tuple[int, Loads]] | None = None) -> SiteWindow:  # fmt: skip
    """Power of one site in one window.

    Parameters
    ----------
    fleet : Fleet
        With the site.
    index, window : int
        Which site, which quarter.
    seed : int
        Of the weather.
    loads : Loads
        IT power asked for.
    charge_j : float
        Left in the battery [J].
    halls : list of (int, Loads), optional
        How many halls draw which part of the loads, where feeders have a limit.

    """
    site, step = fleet.sites[index], fleet.step_s
    it = loads.total
    bins = it.size
    start = fleet.since_s(window)
    rng = stream(seed, "weather", site.name, fleet.key(window))
    dry = dry_bulb_c(rng, site.climate, start, bins, step)
    wet = wet_bulb_c(dry, site.climate.humidity)
    built = max(float(site.built_w[window]), float(it.max(initial=0.0)), 1.0)
    pue = pue_of(
        site.cooling, wet, it / built, float(site.pue_mean[window]), np.array(_typical_wet_bulb(site.climate))
    )
    asked, fed = it, {name: np.ones(bins) for name in KINDS}
    if halls is not None and site.feeder_w is not None:
        loads, fed = _through_feeders(loads, halls, pue, site)
        it = loads.total
    facility = it * pue
    limit = np.full(bins, float(site.limit_w[window]))
    responses = _responses(site, dry, start, step, fleet.length_s(window), rng)
    for event in responses:
        limit[event] = np.minimum(limit[event], facility[max(event.start - 1, 0)] * (1.0 - site.power.response_depth))
    sun = site.solar_w * solar_factor(start, bins, step, site.latitude, site.climate.utc_offset_h)
    firm = np.full(bins, site.firm_w)
    onsite = np.minimum(sun + firm, facility)
    grid = facility - onsite
    shaved = grid
    if site.storage is not None:
        room = max(site.storage.energy_j - reserve_j(fleet, index, window), 0.0)
        battery = replace(site.storage, energy_j=room)
        shaved, charge_j = dispatch_storage(grid, limit, battery, step, min(charge_j, room))
    short = np.maximum(shaved - limit, 0.0) / pue
    cuts, pace = _give_way(loads, short, site)
    cut = sum(cuts.values(), np.zeros(bins))
    pace = {name: pace[name] * fed[name] for name in KINDS}
    grid = shaved - cut * pue
    price = site.price_usd_per_j * price_factor(start, bins, step, site.climate.utc_offset_h, site.price_daily)
    carbon = site.carbon_g_per_j * price_factor(start, bins, step, site.climate.utc_offset_h, site.carbon_daily)
    solar = np.minimum(sun, onsite)
    return SiteWindow(
        it_w=it - cut,
        facility_w=(it - cut) * pue,
        grid_w=grid,
        pue=pue,
        temperature_c=dry,
        limit_w=limit,
        pace=pace,
        price_usd_per_j=price,
        carbon_g_per_j=carbon,
        cost_usd=float((grid * price).sum()) * step,
        carbon_g=float((grid * carbon).sum()) * step,
        charge_j=charge_j,
        over_limit_s=float((grid > limit * (1.0 + 1e-9)).sum()) * step,
        responses=len(responses),
        solar_j=float(solar.sum()) * step,
        firm_j=float((onsite - solar).sum()) * step,
        feeder_cut_j=float((asked - it).sum()) * step,
    )


def _give_way(loads: Loads, short: Array, site: Site) -> tuple[dict[str, Array], dict[str, Array]]:
    """Cut backfill and research to nothing first, then slow training, then serving; what is cut [W], and the pace."""
    total = np.zeros(short.size)
    if not short.any():
        return {}, {name: np.ones(short.size) for name in KINDS}
    cuts, pace = {}, {}
    for name in ("backfill", "research"):
        power = getattr(loads, name)
        cuts[name] = np.minimum(short - total, power)
        pace[name] = 1.0 - np.divide(cuts[name], power, out=np.zeros_like(power), where=power > 0.0)
        total = total + cuts[name]
    for name in ("training", "serving"):
        power = getattr(loads, name)
        left, pace[name] = pace_under_cap(power, power - (short - total), site.power)
        cuts[name] = power - left
        total = total + cuts[name]
    return cuts, pace


def _through_feeders(
    loads: Loads, halls: list[tuple[int, Loads]], pue: Array, site: Site
) -> tuple[Loads, dict[str, Array]]:
    """What the halls' feeders let through, and the pace of each load.

    A gang goes at the pace of its slowest hall; the other loads at the mean of theirs.
    """
    power = {name: getattr(loads, name) for name in KINDS}
    cut = {name: np.zeros_like(pue) for name in KINDS}
    kept = {name: np.zeros_like(pue) for name in KINDS}
    slowest = np.ones_like(pue)
    limit = np.inf if site.feeder_w is None else site.feeder_w
    for count, hall in halls:
        cuts, pace = _give_way(hall, np.maximum(hall.total - limit / pue, 0.0), site)
        for name in KINDS:
            cut[name] = cut[name] + count * cuts.get(name, 0.0)
            kept[name] = kept[name] + count * getattr(hall, name) * pace[name]
        slowest = np.where(hall.training > 0.0, np.minimum(slowest, pace["training"]), slowest)
    mean = {
        n: np.clip(np.divide(kept[n], power[n], out=np.ones_like(pue), where=power[n] > 0.0), 0.0, 1.0) for n in KINDS
    }
    left = {name: np.maximum(power[name] - cut[name], 0.0) for name in KINDS}
    return Loads(**left), mean | {"training": slowest}
