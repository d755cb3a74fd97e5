"""Figures hold what the result says."""

import pytest

from gigaforge.operations import load_fleet, simulate
from gigaforge.operations.traces import sample_path
from gigaforge.report.operations_figures import (
    goodput_waterfall,
    power_trace,
    save_figures,
    simulation_figures,
    tokens_against_demand,
)


@pytest.fixture(scope="module")
def result():
    return simulate(load_fleet(sample_path("fleet.yaml"), years=0.25), 1)


def test_the_waterfall_ends_at_goodput(result):
    data = goodput_waterfall(result.waterfall).to_dict()
    rows = next(iter(data["datasets"].values()))
    assert rows[0]["to"] == 1.0
    assert rows[-1]["to"] == pytest.approx(result.goodput)


def test_traces_show_power_and_tokens(result):
    power = next(iter(power_trace(result).to_dict()["datasets"].values()))
    assert {r["name"] for r in power} == {"abilene", "port-washington"}
    assert max(r["gw"] for r in power) < 0.3
    tokens = next(iter(tokens_against_demand(result).to_dict()["datasets"].values()))
    assert {r["name"] for r in tokens} == {"demand", "served"}


def test_one_offline_file(result, tmp_path):
    save_figures(result, tmp_path / "f.html")
    text = (tmp_path / "f.html").read_text()
    assert "vega" in text
    assert '<script src="http' not in text
    assert len(simulation_figures(result)) == 4


def test_serving_racks_have_a_waterfall_of_their_own(result):
    chart = goodput_waterfall(result.serving_waterfall).to_dict()
    rows = next(iter(chart["datasets"].values()))
    assert [r["step"] for r in rows][-1] == "serving"
    assert rows[-1]["to"] == pytest.approx(result.serving_waterfall["productive"])
