"""A scenario may ask which model to train; serving may then name the run as its model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import gigaforge
from gigaforge.buildout.folder import read_plan_folder, write_plan_folder
from gigaforge.catalog import load_catalog
from gigaforge.codesign.models import law
from gigaforge.codesign.models.life import demand_tokens
from gigaforge.codesign.models.resolve import economics_of, resolve_models
from gigaforge.errors import InputError
from gigaforge.report.context_words import context_sentence, context_table
from gigaforge.report.html import render_report
from gigaforge.report.story import chosen_models
from gigaforge.report.view import PlanView
from gigaforge.scenario import Scenario, check_against, parse_scenario

SCENARIO = Path(__file__).parents[2] / "scenarios" / "single-site.yaml"


def asked(choose: dict[str, Any], **run: Any) -> Scenario:
    data = yaml.safe_load(SCENARIO.read_text(encoding="utf-8"))
    data.pop("because", None)
    data["training"] = [{"name": "next", "start": "2026-Q3", "end": "2027-Q2", "choose": choose, **run}]
    data["serving"][0]["model"] = data["training"][0]["name"]
    return parse_scenario(data)


def test_the_chosen_model_takes_the_runs_name_and_serving_finds_it() -> None:
    catalog = load_catalog()
    scenario = asked({"like": "llama-3.1-70b", "expansions": [1, 8]})
    check_against(scenario, catalog)
    demand = demand_tokens(scenario.training[0], scenario)
    assert demand > 1e12
    found = resolve_models(scenario, catalog)
    run, choice = found.scenario.training[0], found.choices["next"]
    assert run.model == "next"
    assert run.choose is None
    assert run.tokens == choice.tokens
    assert choice.serve_tokens == demand
    assert found.catalog.model("next").layers == choice.model.layers
    check_against(found.scenario, found.catalog)
    # What it was asked to equal: 70B on 15T tokens, by the same law; warnings ride in the answer.
    assert choice.loss == pytest.approx(1.8, abs=0.1)
    assert choice.warnings
    assert choice.to_dict()["architecture"]["layers"] == choice.model.layers


def test_a_law_of_granularity_is_told_that_of_the_model_to_equal() -> None:
    catalog = load_catalog()
    choice = resolve_models(
        asked({"like": "deepseek-v3", "law": "leverage-2025", "expansions": [1, 32]}), catalog
    ).choices["next"]
    by = law("leverage-2025")
    # 37B of 671B on 14.8T tokens, experts of 2,048 in 7,168 (https://arxiv.org/abs/2412.19437).
    assert choice.law == "leverage-2025"
    assert choice.loss == pytest.approx(float(by.loss(37e9, 14.8e12, 32, 12.25)), abs=2e-4)
    assert choice.experts == 32
    dense = next(row for row in choice.by_expansion() if row["experts"] == 1)
    assert dense["usd"] > 1.5 * choice.usd


def test_scenarios_without_a_question_are_left_alone() -> None:
    scenario = parse_scenario(yaml.safe_load(SCENARIO.read_text(encoding="utf-8")))
    catalog = load_catalog()
    found = resolve_models(scenario, catalog)
    assert found.scenario is scenario
    assert found.catalog is catalog
    assert economics_of(scenario, catalog).watt_usd_per_s > 0


@pytest.mark.parametrize(
    ("choose", "run", "message"),
    [
        ({"loss": 1.9, "cost": "$1B"}, {}, "give one of like, loss, compute, cost"),
        ({}, {}, "give one of like, loss, compute, cost .*none"),
        ({"loss": -1}, {}, "above 0 is expected"),
        ({"compute": "0 FLOP"}, {}, "compute must be above zero"),
        ({"loss": 1.9}, {"model": "llama-3.1-8b"}, "leave those two out"),
        ({"loss": 1.9, "expansions": []}, {}, "expansions"),
        ({"loss": 1.9, "contexts": []}, {}, r"choose\.contexts"),
        ({"loss": 1.9, "contexts": [0, 8192]}, {}, r"choose\.contexts"),
        ({"loss": 1.9, "contexts": ["long"]}, {}, r"choose\.contexts"),
        ({"loss": 1.9, "context": 8192, "contexts": [8192]}, {}, "not both"),
        ({"loss": 1.9, "most_cut": "120 %"}, {}, r"choose\.most_cut"),
        ({"loss": 1.9, "long_context_share": -0.1}, {}, r"choose\.long_context_share"),
    ],
)
def test_wrong_questions_are_refused(choose: dict[str, Any], run: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        asked(choose, **run)


def test_questions_that_cannot_be_answered_name_their_place() -> None:
    catalog = load_catalog()
    with pytest.raises(InputError, match="unknown scaling law"):
        resolve_models(asked({"loss": 1.9, "law": "kaplan"}), catalog)
    with pytest.raises(InputError, match=r"training\.llama-3\.1-8b\.choose.*is a model of the catalogue already"):
        resolve_models(asked({"loss": 1.9, "expansions": [1]}, name="llama-3.1-8b"), catalog)
    with pytest.raises(InputError, match=r"choose\.like: unknown model"):
        check_against(asked({"like": "gpt-9"}), catalog)
    with pytest.raises(InputError, match="is a mixture"):
        resolve_models(asked({"like": "deepseek-v3", "law": "chinchilla-2024"}), catalog)
    # What a law refuses names the key of the scenario that decides it.
    with pytest.raises(InputError, match=r"training\.next\.choose\.law: .*130B training tokens only"):
        resolve_models(asked({"loss": 2.2, "law": "routed-2022"}), catalog)
    with pytest.raises(InputError, match=r"training\.next\.choose\.expansions: .*give expansions: \[1, 64\]"):
        resolve_models(asked({"loss": 2.2, "law": "fine-grained-2024", "expansions": [1, 8]}), catalog)


def test_a_context_is_chosen_that_holds_the_requests_and_shown_beside_the_others() -> None:
    catalog = load_catalog()
    asks = {"like": "llama-3.1-70b", "expansions": [1], "contexts": [131072, 8192, 32768]}
    scenario = asked(asks)
    found = resolve_models(scenario, catalog)
    choice = found.choices["next"]
    # Prompts of 4,000 tokens on average beside answers of thousands: 8,192 cuts a quarter of them, 32,768 less than 1 %.
    assert found.catalog.model("next").max_context == choice.model.max_context == 32768
    assert choice.requests_cut < 0.01
    told = choice.to_dict()
    assert told["context"] == 32768
    assert [r["context"] for r in told["contexts"]] == [8192, 32768, 131072]
    assert told["contexts"][0]["requests_cut"] > 0.2
    usd = [r["usd"] for r in told["contexts"]]
    assert usd[0] < usd[1] < usd[2]
    assert told["contexts"][1]["usd"] == pytest.approx(choice.usd)
    # What it cuts is not served: the plan's prompts are those that are left.
    left, whole = (s.serving[0].input_tokens for s in (found.scenario, scenario))
    assert 0.95 * 4000 < min(left.values()) < max(left.values()) < max(whole.values()) == 4000
    check_against(found.scenario, found.catalog)
    table = context_table("next", told)
    assert table is not None
    assert [row[0] for row in table.rows] == ["8,192", "32,768 (chosen)", "131,072"]
    assert context_sentence(told).startswith("Its context of 32,768 tokens cuts 0.")
    assert "one of 131,072 would cost $" in context_sentence(told)
    assert "with a context of 32,768 tokens" in chosen_models({"model_choices": {"next": told}})[0][0]
    # Alike prompts fit a shorter one; all may be cut where that is asked for.
    alike = scenario.serving[0].model_copy(update={"input_spread": 0.0})
    for one in (scenario.model_copy(update={"serving": [alike]}), asked(asks | {"most_cut": "100 %"})):
        assert resolve_models(one, catalog).choices["next"].model.max_context == 8192


def test_a_context_given_stays() -> None:
    catalog = load_catalog()
    found = resolve_models(asked({"like": "llama-3.1-70b", "expansions": [1], "context": 8192}), catalog).choices[
        "next"
    ]
    assert found.model.max_context == 8192
    assert any("% of requests are cut to the context of 8,192" in w for w in found.warnings)
    assert context_table("next", found.to_dict()) is None
    assert context_sentence(found.to_dict()).endswith("to the loss.")


def test_contexts_without_requests_or_room_are_refused_by_name() -> None:
    data = yaml.safe_load(SCENARIO.read_text(encoding="utf-8"))
    run = {"name": "next", "choose": {"cost": "$50K", "expansions": [1]}, "start": "2027-Q1", "end": "2027-Q3"}
    asks = run | {"choose": {**run["choose"], "contexts": [8192, 32768]}}
    with pytest.raises(InputError, match=r"training\.next\.choose\.contexts: nothing is served"):
        resolve_models(parse_scenario(data | {"training": [asks]}), load_catalog())
    with pytest.raises(
        InputError, match=r"training\.next\.choose\.contexts: none of 512 tokens has room beside answers of"
    ):
        resolve_models(asked({"loss": 1.9, "expansions": [1], "contexts": [512]}), load_catalog())
    with pytest.raises(
        InputError, match=r"training\.next\.choose\.context: none of 512 tokens has room beside answers of"
    ):
        resolve_models(asked({"loss": 1.9, "expansions": [1], "context": 512}), load_catalog())
    unserved = resolve_models(
        parse_scenario(data | {"training": [run | {"choose": run["choose"] | {"context": 4096}}]}), load_catalog()
    )
    assert unserved.choices["next"].model.max_context == 4096


@pytest.mark.slow
def test_a_plan_of_a_scenario_that_asks_shows_the_context_it_chose(tmp_path: Path) -> None:
    plan = gigaforge.plan(asked({"like": "llama-3.1-70b", "expansions": [1], "contexts": [16384, 65536]}))
    chosen = plan.summary["model_choices"]["next"]
    assert chosen["context"] == 65536
    assert [r["context"] for r in chosen["contexts"]] == [16384, 65536]
    summary, tables = read_plan_folder(write_plan_folder(plan, tmp_path / "plan"))
    assert summary["model_choices"]["next"]["contexts"] == chosen["contexts"]
    assert "65,536 (chosen)" in render_report(PlanView(summary, tables))


@pytest.mark.slow
def test_codesign_of_a_scenario_that_asks_tells_what_was_chosen_and_its_warnings() -> None:
    plan = gigaforge.cooptimise(asked({"like": "llama-3.1-70b", "expansions": [1], "context": 65536}), caps=2).plan
    assert plan.summary["model_choices"]["next"]["context"] == 65536
    told, mind = chosen_models(plan.summary)
    assert "next is " in told[0]
    assert any("beyond what" in line for line in mind)
    page = render_report(PlanView(plan.summary, plan.tables))
    assert "beyond what" in page


def test_runs_too_small_to_plan_are_refused_where_they_are_asked() -> None:
    data = yaml.safe_load(SCENARIO.read_text(encoding="utf-8"))
    run = {"name": "next", "choose": {"cost": "$1", "expansions": [1]}, "start": "2027-Q1", "end": "2027-Q3"}
    alone = data | {"training": [run]}  # nothing serves it, so a dollar of training is affordable
    with pytest.raises(InputError, match=r"training\.next\.choose\.cost: a cost of \$1 chooses .* too few to plan"):
        resolve_models(parse_scenario(alone), load_catalog())
    named = {"name": "next", "model": "llama-3.1-8b", "tokens": "1M tokens", "start": "2027-Q1", "end": "2027-Q3"}
    with pytest.raises(InputError, match=r"training.*1e\+06 are too few to plan racks for"):
        parse_scenario(data | {"training": [named]})


def test_a_choice_that_nothing_serves_says_so() -> None:
    data = yaml.safe_load(SCENARIO.read_text(encoding="utf-8"))
    run = {"name": "next", "choose": {"cost": "$50K", "expansions": [1]}, "start": "2027-Q1", "end": "2027-Q3"}
    found = resolve_models(parse_scenario(data | {"training": [run]}), load_catalog())
    assert found.choices["next"].warnings[0].startswith("no workload is served by it, so only training is counted")


def test_the_choice_and_how_far_its_law_is_stretched_are_told() -> None:
    choice = {"law": "joint-moe-2025", "experts": 8, "active": 4e10, "tokens": 1e13, "loss": 1.8, "usd": 1e8, "serve_tokens": 0.0,
              "warnings": ["parameters 2T is 400 times above the range"]}  # fmt: skip
    told, mind = chosen_models({"model_choices": {"next": choice}})
    assert len(told) == 1
    assert told[0].startswith(
        "next is 40B active parameters (a mixture with 8 times the experts it uses) on 10T tokens"
    )
    assert told[0].endswith("by joint-moe-2025 a loss of 1.800 for $100M of training.")
    assert mind == ["next: parameters 2T is 400 times above the range."]
    assert chosen_models({}) == ([], [])
