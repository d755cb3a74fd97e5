"""Where the sites are, how much power each may have and how much is deployed there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import altair as alt
import pandas as pd

from gigaforge.report import theme
from gigaforge.report.story import power
from gigaforge.report.view import PlanView
from gigaforge.units import PowerUnit, power_unit

__all__ = ["accepted_map", "place_frame", "site_map"]

_LARGEST_PX2 = 1300.0
_STATES_BOX = (-125.0, -66.5, 24.0, 49.8)
"""[degree] West, east, south, north of the contiguous United States; with all sites inside, states are drawn."""


def place_frame(plan: PlanView, quarter: str | None = None) -> pd.DataFrame:
    """Sites with a position: site, label, longitude, latitude [degree], energised and deployed in `plan.power_unit`.

    Parameters
    ----------
    plan : PlanView
    quarter : str
        Default: the last of the plan.

    """
    when = quarter or plan.quarters[-1]
    places = plan.summary.get("places") or {}
    limits = plan.table("sites", "quarter", "site", "energised_w")
    energised = limits[limits["quarter"] == when].set_index("site")["energised_w"]
    deployed = plan.deployed_by("site").loc[when] if len(plan.deployed) else pd.Series(dtype=float)
    power = {"energised": energised.to_dict(), "deployed": deployed.to_dict()}
    rows = [
        {"site": s, "label": plan.label(s), **places[s], **{k: plan.power_unit.down(float(v.get(s, 0.0))) for k, v in power.items()}}
        for s in plan.sites if s in places
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["site", "label", "longitude", "latitude", "energised", "deployed"])


def site_map(plan: PlanView, quarter: str | None = None) -> theme.Chart | None:
    """A map: rings as large as the power energised, discs as the power deployed; None where no site has a position."""
    when = quarter or plan.quarters[-1]
    frame = place_frame(plan, quarter).rename(columns={"energised": "ring", "deployed": "disc"})
    return _draw(frame, f"Sites in {when}", "Deployed", "Energised", plan.power_unit) if len(frame) else None


def accepted_map(
    places: Mapping[str, tuple[str, float, float]],
    accepted_w: Mapping[str, float],
    around_w: Mapping[str, float],
    around: str,
) -> tuple[theme.Chart, pd.DataFrame] | None:
    """A map of what stands: discs as the power accepted, rings as the power that is to come; and its numbers.

    Parameters
    ----------
    places : mapping
        Site to label, longitude and latitude. [degree]
    accepted_w, around_w : mapping
        Site to power. [W]
    around : str
        What the rings stand for, such as "Planned by 2033-Q4".

    Returns
    -------
    tuple of chart and DataFrame, or None
        None where no site has a position.

    """
    unit = power_unit(max([*accepted_w.values(), *around_w.values()], default=0.0))
    rows = [
        {"site": s, "label": label, "longitude": x, "latitude": y, "ring": unit.down(around_w.get(s, 0.0)),
         "disc": unit.down(accepted_w.get(s, 0.0))}
        for s, (label, x, y) in places.items()
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["site", "label", "longitude", "latitude", "ring", "disc"])
    if frame.empty:
        return None
    numbers = frame[["label", "disc", "ring"]].set_index("label")
    numbers.columns = pd.Index([f"Accepted [{unit.name}]", f"{around} [{unit.name}]"], dtype=object)
    numbers.index.name = "Site"
    return _draw(frame, "What stands where", "Accepted", around, unit), numbers


def _draw(frame: pd.DataFrame, title: str, disc: str, ring: str, unit: PowerUnit) -> theme.Chart:
    """Discs and rings in their places; columns site, label, longitude, latitude [degree], ring, disc [unit]."""
    top = max(float(frame[["ring", "disc"]].to_numpy().max()), 1e-9)
    texts = [
        f"{label} {power(amount * unit.watts)}" if amount > 0 else label
        for label, amount in zip(frame["label"], frame["disc"].tolist(), strict=True)
    ]
    frame = frame.assign(
        ring_power=frame["ring"],
        disc_power=frame["disc"],
        ring=_LARGEST_PX2 * frame["ring"] / top,
        disc=_LARGEST_PX2 * frame["disc"] / top,
        text=texts,
    ).pipe(_with_label_places)
    at = {"longitude": "longitude:Q", "latitude": "latitude:Q"}
    tips = [
        alt.Tooltip("label:N", title="Site"),
        alt.Tooltip("disc_power:Q", title=f"{disc} [{unit.name}]"),
        alt.Tooltip("ring_power:Q", title=f"{ring} [{unit.name}]"),
    ]
    size = alt.Scale(domain=[0, _LARGEST_PX2], range=[0, _LARGEST_PX2])
    base = alt.Chart(frame)
    rings = base.mark_point(shape="circle", stroke=theme.accent("muted"), strokeWidth=1.4, fillOpacity=0).encode(
        **at, size=alt.Size("ring:Q", scale=size, legend=None), tooltip=tips
    )
    discs = base.mark_point(shape="circle", filled=True, color=theme.accent("accent"), opacity=0.72).encode(
        **at, size=alt.Size("disc:Q", scale=size, legend=None), tooltip=tips
    )
    spots: list[Any] = list(frame.itertuples())
    marked = [r for r in spots if r.ring > 0 or r.disc > 0] or spots  # a name without a mark would hang in the air
    labels = [
        alt.Chart(frame[frame["site"] == r.site])
        .mark_text(align=r.align, dx=r.dx, dy=r.dy, fontSize=11.5)
        .encode(**at, text="text:N")
        for r in marked
    ]
    projected: Any = alt.layer(*_outlines(frame), rings, discs, *labels).project(**_projection(frame))
    words = "; ".join(
        f"{r.label}: {power(r.disc_power * unit.watts)} {disc.lower()} of {power(r.ring_power * unit.watts)} {ring.lower()}"
        for r in spots
    )
    return theme.finish(projected, title, words, height=420)


def _inside_states(frame: pd.DataFrame) -> bool:
    west, east, south, north = _STATES_BOX
    return bool(frame["longitude"].between(west, east).all() and frame["latitude"].between(south, north).all())


def _projection(frame: pd.DataFrame) -> dict[str, Any]:
    if _inside_states(frame):
        return {"type": "conicEqualArea", "parallels": [29.5, 45.5], "rotate": [96, 0, 0]}
    return {"type": "equalEarth"}


def _outlines(frame: pd.DataFrame) -> list[alt.Chart]:
    kind = "us_states" if _inside_states(frame) else "land"
    shape = {
        "type": "Feature",
        "properties": {},
        "geometry": {"type": "MultiLineString", "coordinates": _lines(kind)},
    }
    data = alt.InlineData(values=[shape])
    return [alt.Chart(data).mark_geoshape(filled=False, stroke=theme.accent("faint"), strokeWidth=1)]


@cache
def _lines(kind: str) -> Any:
    text = (resources.files("gigaforge.report") / "data" / "outlines.json").read_text(encoding="utf-8")
    return json.loads(text)[kind]


def _with_label_places(frame: pd.DataFrame) -> pd.DataFrame:
    """Where each label goes: beside its disc, at the side and height where it meets no disc and no earlier label."""
    places = []
    rows: list[Any] = list(frame.itertuples())
    spots = [(*_pixel(r.longitude, r.latitude, frame), _reach(r)) for r in rows]
    discs = [(x - reach, x + reach, y - reach, y + reach) for x, y, reach in spots]
    taken: list[_Box] = []
    for (x, y, reach), text in zip(spots, frame["text"], strict=True):
        width = 6.2 * len(str(text))
        best = min(_OPTIONS, key=lambda o: (_clash(_box(x, y, reach, width, *o), taken, discs), _OPTIONS.index(o)))
        taken.append(_box(x, y, reach, width, *best))
        side, dy = best
        places.append((side, 0 if side == "center" else (reach + 3) * (1 if side == "left" else -1), dy))
    return frame.assign(align=[p[0] for p in places], dx=[p[1] for p in places], dy=[p[2] for p in places])


_Box = tuple[float, float, float, float]
"""[pixel] Left, right, top, bottom."""
_OPTIONS: Final = [
    (side, dy) for dy in (4, -9, 17, -22, 30, -35, 43, -48, 56) for side in ("left", "right", "center")
]


def _reach(row: Any) -> float:
    """Radius of a site's mark [pixel]."""
    return math.sqrt(max(float(row.ring), float(row.disc), 20.0) / math.pi)


def _pixel(longitude: float, latitude: float, frame: pd.DataFrame) -> tuple[float, float]:
    """About where the projection puts a place on a picture of 760 by 420 pixels."""
    if not _inside_states(frame):
        return 380.0 + 2.1 * longitude, 210.0 - 2.4 * latitude
    # Albers' equal-area conic (Snyder 1987, USGS professional paper 1395, p. 100), fitted to the states' extent
    low, high = math.radians(29.5), math.radians(45.5)
    n = (math.sin(low) + math.sin(high)) / 2
    c = math.cos(low) ** 2 + 2 * n * math.sin(low)
    rho = math.sqrt(c - 2 * n * math.sin(math.radians(latitude))) / n
    theta = n * math.radians(longitude + 96.0)
    return 387.0 + 924.0 * rho * math.sin(theta), 924.0 * rho * math.cos(theta) - 978.0


def _box(x: float, y: float, reach: float, width: float, side: str, dy: float) -> _Box:
    left = {"left": x + reach + 3, "right": x - reach - 3 - width, "center": x - width / 2}[side]
    return left, left + width, y + dy - 11, y + dy + 3


def _clash(box: _Box, taken: list[_Box], discs: list[_Box]) -> float:
    """Overlap with words already placed, with discs and with the edges of the picture [pixel²]."""
    out = 30 * (max(0.0, -box[0]) + max(0.0, box[1] - 760.0))
    for other in (*taken, *discs):
        wide, high = min(box[1], other[1]) - max(box[0], other[0]), min(box[3], other[3]) - max(box[2], other[2])
        out += max(0.0, wide) * max(0.0, high)
    return out
