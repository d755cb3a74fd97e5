"""Points and plan together: worth more than one after the other, and told in JSON, terminal and report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gigaforge.buildout.chased import DOLLAR, JOULE, RACK, by_quarter, chased
from gigaforge.buildout.coordinate import Coordination, coordinate
from gigaforge.buildout.gain import counted_as_held, gain_parts, other_ways
from gigaforge.buildout.plan import plan_from
from gigaforge.buildout.pricing import restrict
from gigaforge.buildout.problem import Problem, problem_from
from gigaforge.buildout.programme import USD, build
from gigaforge.buildout.redesign import at_todays_prices, events_of, redesign
from gigaforge.buildout.solver import SolverOptions, solve
from gigaforge.cli import app
from gigaforge.codesign.frontiers import platform_frontiers
from gigaforge.errors import InputError
from tests.buildout.small import catalog, scenario
from tests.codesign.test_coordinate import candidates, fastest, tight_power


@pytest.fixture(scope="module")
def exchange() -> tuple[Problem, Coordination]:
    problem = tight_power()
    return problem, coordinate(problem, *fastest(problem))


def test_shares_of_what_tokens_are_paid_with_add_up(exchange: tuple[Problem, Coordination]) -> None:
    problem, found = exchange
    sites = chased(found.problem, found.relaxation, problem)
    rows = by_quarter(sites)
    assert rows
    assert sum(r["usd"] for r in rows) == pytest.approx(sum(r["usd"] for r in sites))
    for row in (*sites, *rows):
        assert row["power"] + row["energy"] + row["capital"] == pytest.approx(1.0)
        share = row["power"] + row["energy"]
        odds = (share / row["capital"]) / (row["bill"] / (1 - row["bill"]))
        assert row["dearer"] == pytest.approx(min(odds, 1e3), rel=1e-6)
        assert row["chases"] == (JOULE if odds > 1.1 else RACK if odds < 1 / 1.1 else DOLLAR)


def test_a_site_whose_power_is_scarce_chases_tokens_per_joule(exchange: tuple[Problem, Coordination]) -> None:
    problem, found = exchange
    rows = chased(found.problem, found.relaxation, problem)
    scarce = [r for r in rows if r["mw_usd"] > 2 * r["mw_bill_usd"]]
    assert scarce
    assert sum(r["chases"] == JOULE for r in scarce) > 0.5 * len(scarce)
    for r in scarce:
        if r["chases"] == JOULE:
            assert r["held"] <= r["held_for_dollars"] + 0.02, (
                "it holds no more than the cheapest tokens on the bill would"
            )


def test_prices_gain_over_every_way_that_looks_at_one_measure(exchange: tuple[Problem, Coordination]) -> None:
    problem, found = exchange
    ways = other_ways(problem, found)
    assert [w["first"] for w in ways] == ["the fastest", "most tokens per dollar", "most tokens per joule"]
    assert ways[0]["value"] == pytest.approx(found.rounds[0].value * USD)
    for way in ways:
        assert way["gain"] >= -1e-3 * way["value"]
    counted = counted_as_held(found)
    if counted is not None:
        assert counted["as_nameplate"] == pytest.approx(ways[0]["gain"])
        assert counted["as_held"] <= counted["as_nameplate"] * (1 + 1e-9), "counting less never helps"


def test_the_parts_of_the_gain_add_up_to_it() -> None:
    problem = problem_from(scenario(), catalog(), candidates())
    plans = []
    for selection in (fastest(problem), (np.arange(len(problem.points)), np.arange(len(problem.training_points)))):
        programme = build(restrict(problem, *selection, alone=True))
        plans.append(plan_from(programme, solve(programme.model, SolverOptions(gap=0.02, time_limit_s=60))))
    parts = gain_parts(plans[1], plans[0])
    difference = plans[1].summary["objective_value"] - plans[0].summary["objective_value"]
    assert sum(parts.values()) == pytest.approx(difference)
    # Tranches add what holding them a year earlier is worth, whose rate the scenario gives: no more than all of them for good.
    assert abs(parts["tranches"]) <= sum(t["amount_usd"] for t in plans[1].summary["tranches"])


def test_prices_that_move_are_news_and_are_taken_to_stay() -> None:
    problem = tight_power()
    falling = replace(problem, token_usd=problem.token_usd * 0.93 ** np.arange(len(problem.quarters)))
    events = dict(events_of(falling))
    priced = [t for t, news in events.items() if any("price of" in n for n in news)]
    assert len(priced) > len(problem.quarters) // 4
    assert any("-1" in n for n in events[priced[0]] if "price of" in n)
    today = at_todays_prices(falling, 3)
    np.testing.assert_array_equal(today.token_usd[:, :4], falling.token_usd[:, :4])
    np.testing.assert_array_equal(
        today.token_usd[:, 4:], np.repeat(falling.token_usd[:, 3:4], len(problem.quarters) - 4, axis=1)
    )


@pytest.mark.slow
def test_the_loop_designs_again_when_the_roadmap_moves() -> None:
    problem = tight_power()
    known = dict(events_of(problem))
    assert "b ships" in known[6]
    events = redesign(problem, *fastest(problem))
    assert {e.quarter for e in events} <= {str(problem.quarters[t]) for t in known}
    ships = next(e for e in events if "b ships" in e.what)
    for event in events:
        assert event.redesigned >= event.replanned * (1 - 1e-9)
    assert events[0].redesigned > events[0].replanned
    if ships.kept is not None:
        assert ships.redesigned >= ships.kept * (1 - 2e-3), "more supply cannot hurt"
    assert all(e.mw_usd >= 0 and e.rack_usd >= 0 for e in events)


def test_frontiers_trade_joules_for_dollars_and_get_better_with_each_generation() -> None:
    from gigaforge.catalog import load_catalog

    rows = platform_frontiers(load_catalog(), systems=("dgx-a100", "dgx-h100", "gb200-nvl72"), caps=4)
    best = {}
    for row in rows:
        mine = best.setdefault(row["system"], (0.0, 0.0))
        best[row["system"]] = (max(mine[0], row["tokens_per_joule"]), max(mine[1], row["tokens_per_usd"]))
    joules, dollars = np.array([best[s] for s in ("dgx-a100", "dgx-h100", "gb200-nvl72")]).T
    assert (np.diff(joules) > 0).all()
    assert (np.diff(dollars) > 0).all()
    rubin = [r for r in rows if r["system"] == "gb200-nvl72"]
    assert len(rubin) > 1
    by_cap = sorted(rubin, key=lambda r: r["cap_w"])
    assert by_cap[0]["tokens_per_joule"] > by_cap[-1]["tokens_per_joule"]
    assert by_cap[0]["tokens_per_usd"] < by_cap[-1]["tokens_per_usd"]


@pytest.mark.slow
def test_where_power_binds_together_beats_one_after_the_other(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from gigaforge.cli import _register_all

    _register_all()
    out = tmp_path / "co"
    arguments = [
        "codesign",
        "scenarios/power-bound.yaml",
        "--no-roadmaps",
        "--gap",
        "0.5 %",
        "--json",
        "--out",
        str(out),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["cooptimised_value"] > answer["sequential_value"] * (1 + 2 * answer["solver_gap"])
    assert answer["cooptimised_value"] <= answer["bound"] * (1 + 1e-9)
    assert answer["rounds"][-1]["gap"] <= 0.005
    assert answer["bound"] <= answer["relaxed_bound"] * (1 + 1e-9), "whole racks are worth no more than divided ones"
    assert 0 <= answer["bound_gap"] <= 0.005
    assert sum(answer["gain_parts"].values()) == pytest.approx(
        answer["cooptimised_value"] - answer["sequential_value"], rel=1e-6
    )
    assert sum(r["chases"] == JOULE for r in answer["chased"]) > len(answer["chased"]) / 2
    assert answer["evaluated"] > 1e6
    page = (out / "report.html").read_text(encoding="utf-8")
    for words in ("Solved together", "What would change the plan", "Points chosen over time"):
        assert words in page
    summary = json.loads((out / "plan.json").read_text(encoding="utf-8"))
    assert summary["codesign"]["gain"] == answer["gain"]


def test_objectives_without_prices_are_refused() -> None:
    from gigaforge.buildout.cooptimise import cooptimise
    from gigaforge.scenario import load_scenario, with_objective

    scenario = with_objective(load_scenario(Path("scenarios/single-site.yaml")), "tokens")
    with pytest.raises(InputError, match="no prices in dollars"):
        cooptimise(scenario)
    nothing = load_scenario(Path("scenarios/single-site.yaml")).model_copy(update={"serving": []})
    with pytest.raises(InputError, match="nothing to co-design"):
        cooptimise(nothing)
    with pytest.raises(InputError, match="caps: 0; 1 to 32 power caps"):
        cooptimise(nothing, caps=0)


def test_what_a_command_would_ignore_or_lose_is_refused_at_once() -> None:
    from typer.testing import CliRunner

    from gigaforge.cli import _register_all

    _register_all()
    for more, message in (
        (["--no-roadmaps", "--pareto"], "--pareto: asks about the next accelerator, which --no-roadmaps leaves out"),
        (["--no-roadmaps", "--limit", "power=..1500 W"], "--limit: asks about the next accelerator"),
        (
            ["--no-roadmaps", "--law", "leverage-2025"],
            "--law: asks about the next model, which --no-roadmaps leaves out",
        ),
        (["--law", "leverage"], "--law: unknown scaling law 'leverage'; did you mean 'leverage-2025'?"),
        (["--out", "/proc/plan"], "/proc/plan: cannot be written there; choose another place with --out"),
    ):
        result = CliRunner().invoke(app, ["codesign", "scenarios/single-site.yaml", *more])
        assert result.exit_code != 0
        assert message in str(result.exception or result.output), result.output
