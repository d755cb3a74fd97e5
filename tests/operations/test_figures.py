"""Figures hold what the result says, and the report shows all of it in one offline file."""

import html
from dataclasses import replace

import pytest
from tests.operations.fleets import spec

from gigaforge.operations import fleet_of, load_fleet, simulate
from gigaforge.operations.traces import sample_path
from gigaforge.operations.validation import CASES, validate
from gigaforge.report.html import render_page
from gigaforge.report.operations_figures import simulation_figures
from gigaforge.report.operations_page import simulation_page
from gigaforge.report.operations_words import beside_plan, binding
from gigaforge.report.validation_page import validation_report


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
    assert counts["Planned maintenance"] == result.books.services
    scale = result.summary()["by_scale"]
    assert all(
        a["mttf_s"] > b["mttf_s"] and a["all_up"] >= b["all_up"] for a, b in zip(scale, scale[1:], strict=False)
    )
    assert scale[-1]["goodput"] > scale[-1]["goodput_synchronous"]


def test_figures_stand_in_a_column_that_no_width_cuts(figures):
    """Beside a bar, a phone would cut the figure of the longest."""
    for name in ("waterfall-training", "causes-count", "causes-down"):
        bars, told = figures[name].chart.to_dict()["layer"]
        assert (told["encoding"]["y"]["axis"]["orient"], bars["mark"]["type"]) == ("right", "bar")
    count = rows(figures["causes-count"])[0]
    assert (
        f'"{count["kind"]}": "{count["count"]:,}"'
        in figures["causes-count"].chart.to_dict()["layer"][1]["encoding"]["y"]["axis"]["labelExpr"]
    )


def test_what_cost_most_is_what_the_figure_shows_longest(figures):
    lost = [r for r in rows(figures["waterfall-training"]) if r["kind"] in ("lost", "idle")]
    most = max(lost, key=lambda r: r["to"] - r["from"])
    assert figures["waterfall-training"].takeaway.endswith(f"{most['share']}: {most['step']}.")


def test_every_site_of_a_figure_has_a_colour_of_its_own():
    sites = [{"name": f"s{i}", "power": "9 MW", "racks": {"nv": 4 + i}} for i in range(12)]
    figure = simulation_figures(simulate(fleet_of(spec(sites=sites, training=[], serving=[], years=0.01)), 1))[
        "power-trace"
    ]
    colour = figure.chart.to_dict()["layer"][0]["encoding"]["color"]["scale"]
    assert colour["domain"][-1] == "4 smaller sites"
    assert len(set(colour["range"])) == len(colour["domain"]) == 9


def test_dots_of_runs_are_the_time_between_their_own_stops(result):
    run = result.summary()["training"][0]
    assert run["mttf_s"] * run["interruptions"] == pytest.approx(result.books.time_s)
    assert run["mean_racks"] == run["racks"]


def test_the_validation_is_a_page_with_every_case_its_source_and_its_reason():
    shown = [c for c in CASES if c.note.startswith("misses:") and not c.name.startswith("Delta")] + list(CASES[:3])
    cases = [replace(c, replications=1) for c in shown]
    outcomes = validate(cases=tuple(cases))
    text = html.unescape(render_page(validation_report(outcomes)))
    assert all(row.case.name in text and row.case.source in text and row.case.inputs in text for row in outcomes)
    assert all(row.case.note.removeprefix("misses: ")[1:] in text for row in outcomes if not row.reproduced)
    assert "prefers-color-scheme: dark" in text
    assert "vega-actions" not in text.split("<script")[0]


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
    served = {"2026-Q3": 143.0, "2026-Q4": 90.0, "2027-Q1": 101.0, "2027-Q2": 167.0}
    more, less = beside_plan([{"quarter": q, "tokens_served": v, "tokens_planned": 100.0} for q, v in served.items()])
    assert "in 2027-Q2 by 67 %, 2026-Q3 by 43 %:" in more  # the largest first, and all of them
    assert less == "Less is served than the plan counts on in 2026-Q4 by 10 %."
    assert beside_plan([{"quarter": "2026-Q3", "tokens_served": 101.0, "tokens_planned": 100.0}]) == []
