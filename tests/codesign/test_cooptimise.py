"""Points and plan together: worth more than one after the other, and told in JSON, terminal and report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gigaforge.buildout.chased import chased
from gigaforge.buildout.programme import build
from gigaforge.buildout.redesign import events_of, redesign
from gigaforge.buildout.solver import relax
from gigaforge.cli import app
from gigaforge.codesign.frontiers import platform_frontiers
from gigaforge.errors import InputError
from tests.codesign.test_coordinate import fastest, tight_power


def test_shares_of_what_tokens_are_paid_with_add_up() -> None:
    problem = tight_power()
    rows = chased(problem, relax(build(problem).model))
    assert rows
    for row in rows:
        assert row["power"] + row["energy"] + row["capital"] == pytest.approx(1.0)
        joule = row["chases"] == "tokens per joule"
        assert joule == (row["power"] + row["energy"] > row["capital"])


@pytest.mark.slow
def test_the_loop_designs_again_when_the_roadmap_moves() -> None:
    problem = tight_power()
    known = events_of(problem)
    assert [t for t, _ in known] == [0, 6]
    assert known[1][1] == ["b ships"]
    events = redesign(problem, *fastest(problem))
    assert [e.quarter for e in events] == ["2026-Q3", "2028-Q1"]
    for event in events:
        assert event.redesigned >= event.replanned * (1 - 1e-9)
    assert events[0].redesigned > events[0].replanned
    assert events[1].redesigned >= events[1].kept * (1 - 1e-6), "more supply cannot hurt"


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
