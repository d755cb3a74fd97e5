"""The map of sites: everything with a position is on it, labels stay apart."""

from __future__ import annotations

import itertools

import pandas as pd

from gigaforge.report.site_map import place_frame, site_map
from gigaforge.report.view import PlanView

QUARTER = "2027-Q1"


def _plan(places: dict[str, tuple[float, float]]) -> PlanView:
    names = list(places)
    summary = {
        "name": "map",
        "quarters": [QUARTER],
        "places": {n: {"longitude": lon, "latitude": lat} for n, (lon, lat) in places.items()},
    }
    deployment = pd.DataFrame(
        [{"quarter": QUARTER, "site": n, "system": "x", "racks_added": 1, "racks_retired": 0, "racks_online": 1,
          "it_power_w": 1e9, "facility_power_w": 1.2e9} for n in names]
    )  # fmt: skip
    sites = pd.DataFrame([{"quarter": QUARTER, "site": n, "energised_w": 2e9, "pue": 1.2} for n in names])
    return PlanView(summary, {"deployment": deployment, "sites": sites})


def test_no_position_no_map() -> None:
    """A plan whose sites have no place shows no map, and no error."""
    plan = _plan({"abilene": (-99.79, 32.5)})
    plan.summary["places"] = {}
    assert site_map(plan) is None


def test_each_place_is_on_the_map_with_its_power() -> None:
    """Power energised and deployed stand at the place."""
    frame = place_frame(_plan({"abilene": (-99.79, 32.5), "oslo": (10.75, 59.91)}))
    assert set(frame["site"]) == {"abilene", "oslo"}
    assert (frame["energised"] == 2.0).all()
    assert (frame["deployed"] == 1.2).all()


def test_states_where_all_are_in_them_and_the_world_where_not() -> None:
    """The map is as near as the sites allow."""
    states = site_map(_plan({"abilene": (-99.79, 32.5), "milam": (-96.98, 30.79)}))
    world = site_map(_plan({"abilene": (-99.79, 32.5), "oslo": (10.75, 59.91)}))
    assert states is not None
    assert world is not None
    assert states.to_dict()["projection"]["type"] == "conicEqualArea"
    assert world.to_dict()["projection"]["type"] == "equalEarth"


def test_labels_of_neighbours_do_not_share_a_place() -> None:
    """Four sites in one county still have four readable labels."""
    near = {f"site-{i}": (-99.8 + 0.2 * i, 32.5 + 0.05 * i) for i in range(4)}
    chart = site_map(_plan(near))
    assert chart is not None
    layers = [layer["mark"] for layer in chart.to_dict()["layer"] if layer["mark"]["type"] == "text"]
    spots = [(m["align"], m["dx"], m["dy"]) for m in layers]
    for (a, _, y), (b, _, z) in itertools.combinations(spots, 2):
        assert a != b or abs(y - z) >= 11
