"""Figures hold what the result says, and the report shows all of it in one offline file."""

import pytest
from tests.operations.fleets import spec

from gigaforge.operations import fleet_of, load_fleet, simulate
from gigaforge.operations.traces import sample_path
from gigaforge.report.html import render_page
from gigaforge.report.operations_figures import simulation_figures
from gigaforge.report.operations_page import simulation_page
from gigaforge.report.operations_words import beside_plan, binding


@pytest.fixture(scope="module")
def result():
    return simulate(load_fleet(sample_path("fleet.yaml"), years=0.25), 1)


@pytest.fixture(scope="module")
def figures(result):
    return simulation_figures(result)


def rows(figure):
    return [row for data in figure.chart.to_dict()["datasets"].values() for row in data]


@pytest.mark.parametrize("kind", ["training", "serving", "research"])
def test_waterfalls_go_from_all_to_what_was_productive_on_a_whole_axis(figures, result, kind):
    steps = rows(figures[f"waterfall-{kind}"])
    summary = result.summary()
    fall = summary["waterfall"] if kind == "training" else summary[f"{kind}_waterfall"]
    assert (steps[0]["from"], steps[0]["to"]) == (0.0, 1.0)
    assert steps[-1]["from"] == 0.0
    assert steps[-1]["to"] == pytest.approx(fall["productive"])
    assert all(b["to"] == pytest.approx(a["from"]) for a, b in zip(steps[1:-2], steps[2:-1], strict=True))


def test_traces_show_power_against_its_limit_and_tokens(figures):
    power = rows(figures["power-trace"])
    assert {r["name"] for r in power if "power" in r} == {"abilene", "port-washington"}
    assert {r["limit"] for r in power if "limit" in r} == {240.0}  # MW
    assert {r["name"] for r in rows(figures["tokens-served"])} == {"demand", "served"}


def test_causes_and_scale(figures, result):
    counts = {r["kind"]: r["count"] for r in rows(figures["causes-count"])}
    assert counts["GPU"] == result.books.modes["gpu"]
    assert counts["planned maintenance"] == result.books.services
    scale = result.summary()["by_scale"]
    assert all(
        a["mttf_s"] > b["mttf_s"] and a["all_up"] >= b["all_up"] for a, b in zip(scale, scale[1:], strict=False)
    )
    assert scale[-1]["goodput"] > scale[-1]["goodput_synchronous"]


def test_one_offline_file_with_every_section(result):
    text = render_page(simulation_page(result))
    for heading in ("In brief", "What binds", "Where time goes", "Failures and availability", "Tokens served against demand",
                    "Power, energy and cost", "Checkpoints and spares", "Research jobs"):  # fmt: skip
        assert f">{heading}</h2>" in text, heading
    assert '<script src="http' not in text
    assert "Stops of training runs by cause" in text


def test_a_fleet_that_only_serves_has_a_report_without_goodput():
    page = simulation_page(simulate(fleet_of(spec(training=[])), 1))
    assert "goodput" not in page.headline
    assert "Goodput of training" not in {t.name for t in page.tiles}
    assert "of tokens served" in render_page(page)


def test_what_binds_is_said_in_order_and_a_plan_is_compared():
    heavy = spec(serving=[{"name": "chat", "demand": "100M token/s", "pools": [
        {"site": "a", "system": "nv", "racks": 60, "tokens_per_second": "500k token/s"}]}])  # fmt: skip
    lines = binding(simulate(fleet_of(heavy), 1).summary())
    assert any("more is asked than all its racks serve" in line for line in lines)
    assert "43% more" in beside_plan({"quarter": "2026-Q3", "tokens_served": 143.0, "tokens_planned": 100.0})
    assert "10% less" in beside_plan({"quarter": "2026-Q3", "tokens_served": 90.0, "tokens_planned": 100.0})
    assert beside_plan({"quarter": "2026-Q3", "tokens_served": 101.0, "tokens_planned": 100.0}) == ""
