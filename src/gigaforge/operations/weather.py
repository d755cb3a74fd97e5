"""A typical year of weather from a latitude: enough to move cooling power by hour and season.

Every coefficient here is an assumption: a fit by eye to United States climate normals (annual mean about 18 °C at
32.4° N and 9 °C at 43° N; half the January-July difference 11 and 14 K). A site that knows its normals by month gives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from gigaforge.operations.intervals import Array
from gigaforge.operations.noise import remembered

if TYPE_CHECKING:
    from gigaforge.catalog import Site

__all__ = ["MONTH_DAYS", "Climate", "climate_at", "climate_of", "dry_bulb_c", "wet_bulb_c"]

_YEAR_S = 365.25 * 86400.0
MONTH_DAYS: Final = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
MONTH_MIDDLES: Final = (np.cumsum(MONTH_DAYS) - MONTH_DAYS / 2) / MONTH_DAYS.sum()  # [share of the year]


@dataclass(frozen=True, slots=True)
class Climate:
    """Normals of a place. [°C], [K], [%]; ``warmest_day`` of the year; ``utc_offset_h`` of local solar time.

    ``month_c`` are mean temperatures by month where a station publishes them, instead of ``mean_c`` and ``season_k``.
    """

    mean_c: float
    season_k: float
    daily_k: float = 6.0
    weather_k: float = 4.0
    humidity: float = 60.0
    warmest_day: float = 201.0
    utc_offset_h: float = -6.0
    month_c: tuple[float, ...] = ()


def climate_at(
    latitude: float | None, longitude: float | None = None, month_c: Sequence[float] | None = None
) -> Climate:
    """Normals of a place: monthly means [°C] where they are known, else assumed from a latitude (default 38° N).

    The longitude (default 95° W) sets the hours of the day.
    """
    where = 38.0 if latitude is None else latitude
    east = -95.0 if longitude is None else longitude
    north = abs(where)
    return Climate(
        mean_c=27.0 - 0.75 * max(north - 20.0, 0.0),
        season_k=max(1.0, 2.0 + 0.27 * north),
        warmest_day=201.0 if where >= 0.0 else 18.0,
        utc_offset_h=east / 15.0,
        month_c=tuple(month_c or ()),
    )


def climate_of(site: Site | None) -> Climate:
    """Normals of a site of the catalogue; those of nowhere in particular without one."""
    if site is None:
        return climate_at(None)
    return climate_at(site.latitude, site.longitude, site.climate.mean_c if site.climate else None)


def dry_bulb_c(rng: np.random.Generator, climate: Climate, start_s: float, bins: int, step_s: float) -> Array:
    """Air temperature in each bin [°C]; ``start_s`` since a 1 January 00:00 UTC."""
    time: Array = start_s + (np.arange(bins, dtype=np.float64) + 0.5) * step_s
    local_h = time / 3600.0 + climate.utc_offset_h
    day = np.cos(2.0 * np.pi * (local_h - 15.0) / 24.0)
    memory = float(np.exp(-step_s / (36.0 * 3600.0)))
    kicks = rng.standard_normal(bins) * climate.weather_k * np.sqrt(1.0 - memory**2)
    kicks[0] = rng.standard_normal() * climate.weather_k
    fronts = remembered(kicks, memory)
    return np.asarray(_seasons_c(climate, time) + climate.daily_k * day + fronts)


def _seasons_c(climate: Climate, time_s: Array) -> Array:
    """Mean temperature at a time of the year [°C]: straight lines between the middles of months, or a cosine."""
    year = time_s / _YEAR_S
    if climate.month_c:
        return np.asarray(np.interp(year % 1.0, MONTH_MIDDLES, climate.month_c, period=1.0))
    return np.asarray(climate.mean_c + climate.season_k * np.cos(2.0 * np.pi * (year - climate.warmest_day / 365.25)))


def wet_bulb_c(dry_c: Array, humidity: float) -> Array:
    """Wet-bulb temperature at sea level [°C].

    References
    ----------
    .. [1] R. Stull, Wet-bulb temperature from relative humidity and air temperature, J. Appl. Meteorol. Climatol. 50
       (2011) 2267, eq. 1; valid from 5 to 99 % and -20 to 50 °C. https://doi.org/10.1175/JAMC-D-11-0143.1

    """
    t = np.clip(dry_c, -20.0, 50.0)
    rh = humidity
    return np.asarray(
        t * np.arctan(0.151977 * np.sqrt(rh + 8.313659))
        + np.arctan(t + rh)
        - np.arctan(rh - 1.676331)
        + 0.00391838 * rh**1.5 * np.arctan(0.023101 * rh)
        - 4.686035
    )
