"""A study is right about its programme, keeps its promises about workers and interruptions, and reads well."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gigaforge.buildout.programme import USD, build
from gigaforge.buildout.risk.compiled import compiled
from gigaforge.buildout.risk.policy import Policy, rollout
from gigaforge.buildout.risk.relaxed import Replan
from gigaforge.buildout.risk.study import default_risk, load_risk, risk
from gigaforge.buildout.risk.template import EXCHANGEABLE, Template
from gigaforge.buildout.risk.two_stage import two_stage
from gigaforge.buildout.risk.world import Worlds
from gigaforge.buildout.solver import SolverOptions, relax, solve
from gigaforge.errors import InputError
from gigaforge.report.html import render_page
from gigaforge.report.risk_figures import risk_page
from tests.buildout.risk.worlds import problem, risk_of, small
from tests.buildout.small import catalog, points


@pytest.fixture(scope="module")
def policy() -> Policy:
    worlds = Worlds(problem(), risk_of(), 64, 1)
    made = Policy(worlds, Template(worlds.problem, frozenset(worlds.touched) & EXCHANGEABLE))
    made.prepare()
    return made


@pytest.fixture(autouse=True)
def learnt_once(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Learning a programme takes seconds; all studies here are of the same one."""
    monkeypatch.setattr("gigaforge.buildout.risk.study.Template", lambda *_: policy.template)


def test_exchanged_numbers_are_those_of_a_programme_stated_anew(policy: Policy) -> None:
    template, worlds = policy.template, policy.worlds
    changed = worlds.problem_of(worlds.tracks(5))
    ours, theirs = template.numbers(changed), compiled(changed)
    x = Replan(template, ours, template.lower, template.upper).best()
    anew = relax(build(changed, tight=False).model)
    assert ours.cost @ x[: template.shape[1]] == pytest.approx(anew.objective, rel=1e-7)
    assert template.fits(changed)
    assert not template.fits(replace(changed, peak_to_mean=changed.peak_to_mean * 2))
    assert theirs.matrix.shape[1] == pytest.approx(template.shape[1], rel=0.05)


def test_a_world_without_surprises_is_worth_what_the_plan_is(policy: Policy) -> None:
    """Rolling on with nothing unknown, in whole racks: a little below the best plan, never above the relaxation."""
    flat = risk_of({"what": "serving.assistant.demand", "shape": "uniform", "low": 1 - 1e-7, "high": 1 + 1e-7})
    sure = Policy(Worlds(policy.worlds.problem, flat, 1, 1), policy.template)
    sure.prepare()
    outcome = rollout(sure, 0)
    programme = build(policy.worlds.problem)
    best = solve(programme.model, SolverOptions(gap=1e-3, time_limit_s=60)).objective * USD
    bound = relax(programme.model).objective * USD
    assert 0.93 * best < outcome.npv_usd < bound * 1.0001
    assert outcome.short_usd < 1e6


def test_committed_racks_keep_to_what_the_world_allows(policy: Policy) -> None:
    for index in range(4):
        truth = policy.worlds.problem_of(policy.worlds.tracks(index))
        outcome = rollout(policy, index)
        most = truth.energised_w.sum(axis=0)
        assert (np.array(outcome.deployed_w) <= most + 1).all()
        assert (np.diff(outcome.deployed_w) >= 0).all()
        per = truth.deployed_w_per_rack.max()
        assert (np.diff(outcome.deployed_w, prepend=0.0) <= truth.supply.sum(axis=0) * per + 1).all()


def test_planning_for_several_futures_is_worth_what_it_should_be(policy: Policy) -> None:
    """Middle <= here and now <= wait and see, whatever the futures; orders keep to what is offered."""
    found = two_stage(policy, 4)
    assert found.middle_usd <= found.here_and_now_usd * (1 + 1e-9) <= found.wait_and_see_usd * (1 + 1e-6)
    assert found.stochastic_value_usd >= 0
    assert found.information_value_usd >= 0
    offered = policy.worlds.problem.supply[0, : found.orders.shape[2]]
    assert (found.orders.sum(axis=(0, 1)) <= offered + 1e-3).all()
    assert "value of the stochastic solution" in found.sentences(policy.worlds.problem.systems)[0]


def test_one_future_needs_no_hedge(policy: Policy) -> None:
    """With a single future, planning for it is knowing it: no information is worth anything."""
    flat = risk_of({"what": "serving.assistant.demand", "shape": "uniform", "low": 1 - 1e-7, "high": 1 + 1e-7})
    sure = Policy(Worlds(policy.worlds.problem, flat, 2, 1), policy.template)
    sure.prepare()
    found = two_stage(sure, 2)
    assert found.information_value_usd == pytest.approx(0, abs=2e-4 * abs(found.wait_and_see_usd))
    assert found.stochastic_value_usd == pytest.approx(0, abs=2e-4 * abs(found.wait_and_see_usd))


def study(folder: Path | None, **options: Any) -> Any:
    settings: dict[str, Any] = {
        "samples": 12,
        "points": points(),
        "uncertain": risk_of(),
        "workers": 1,
        "folder": folder,
    }
    return risk(small(), catalog(), **(settings | options))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return study(tmp_path_factory.mktemp("alone"))  # learns by itself


def answers(result: Any) -> Any:
    return {k: v for k, v in result.summary.items() if k not in ("wall_s", "cpu_s", "resumed")}


@pytest.mark.slow
def test_workers_change_no_digit(alone: Any, tmp_path: Path) -> None:
    assert answers(study(tmp_path, workers=2)) == answers(alone)


def test_an_interrupted_study_goes_on_where_it_stopped(alone: Any, tmp_path: Path) -> None:
    class Enough(Exception):  # noqa: N818
        pass

    def stop(what: str, done: int, _: int) -> None:
        if what.startswith("living") and done == 5:
            raise Enough

    with pytest.raises(Enough):
        study(tmp_path, watch=stop)
    kept = tmp_path / "samples.jsonl"
    assert len(kept.read_text().splitlines()) == 1 + 5
    kept.write_bytes(kept.read_bytes()[:-20])  # the last line was cut short by the crash
    result = study(tmp_path)
    assert result.summary["resumed"] == 4
    assert answers(result) == answers(alone)
    lines = kept.read_bytes().splitlines(keepends=True)
    kept.write_bytes(b"".join(lines[:-2]))  # stopped while the optimism was measured
    again = study(tmp_path)
    assert again.summary["resumed"] == 12
    assert answers(again) == answers(alone)
    assert kept.read_bytes().splitlines()[-1] == lines[-1].strip()


def test_another_question_begins_anew(alone: Any, tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text(json.dumps({"key": "another"}) + "\n" + json.dumps({"index": 0}) + "\n")
    assert study(tmp_path, samples=2).summary["resumed"] == 0
    del alone


def test_the_summary_says_what_may_come(alone: Any) -> None:
    s = alone.summary
    last = s["quarters"][-1]
    assert s["gigawatts"][last]["p10"] <= s["gigawatts"][last]["p50"] <= s["gigawatts"][last]["p90"]
    assert s["npv_usd"]["p5"] <= s["npv_usd"]["p10"] <= s["npv_usd"]["p50"]
    assert [t["index"] for t in s["tranches"]] == list(range(1, len(s["tranches"]) + 1))
    chances = s["probability"]["1"]
    assert chances[last] == max(chances.values())
    assert set(s["sensitivity"]["npv_usd"]["figures"]) >= {"sites.north.delay", "platforms.*.price"}
    assert abs(s["optimism"]["relative"]) < 0.1
    assert len(alone.to_pandas()) == 12


def test_the_report_tells_it_in_sentences(alone: Any) -> None:
    page = render_page(risk_page(alone.summary, alone.samples))
    for said in (
        "in eight of ten futures",
        "Chance that each gigawatt stands",
        "What is uncertain",
        "re-plans every 4 quarters",
    ):
        assert said in page
    assert "NaN" not in page.split("<script")[0]


def test_a_scenario_without_risks_gets_the_shipped_ones_that_fit() -> None:
    names = {v.what for v in default_risk(problem()).variables}
    assert {"sites.*.delay", "platforms.*.supply", "serving.*.demand", "operations.failures"} <= names
    assert "performance.serving" not in names  # its points have no interval


def test_a_file_of_risks_is_read_and_checked(tmp_path: Path) -> None:
    file = tmp_path / "risks.yaml"
    file.write_text("variables: [{what: sites.*.delay, shape: triangular, low: 0, mode: 1, high: 1 year}]\n")
    assert load_risk(file).variables[0].high == pytest.approx(4.0)
    file.write_text("variables: [{what: sites.*.delay, shape: gaussian}]\n")
    with pytest.raises(InputError, match="shape"):
        load_risk(file)
    with pytest.raises(InputError, match="0 samples"):
        study(None, samples=0)
