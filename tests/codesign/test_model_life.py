"""A trained model's life: what it serves, from when to when, and what that costs beside its training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml

from gigaforge.catalog import load_catalog
from gigaforge.codesign.hardware import Economics
from gigaforge.codesign.models import Lifetime, Running, shape
from gigaforge.codesign.models.life import Place, demand_tokens, lifetime_of, services_of
from gigaforge.errors import InputError
from gigaforge.perf.inference import Traffic
from gigaforge.quarters import Quarter
from gigaforge.scenario import Scenario, parse_scenario
from tests.codesign.test_model_choice_scenario import SCENARIO

RUNS = [
    {"name": "first", "model": "llama-3.1-70b", "tokens": "15T tokens", "start": "2026-Q3", "end": "2026-Q4"},
    {"name": "second", "model": "llama-3.1-405b", "tokens": "30T tokens", "start": "2027-Q1", "end": "2027-Q3"},
]


def scenario(*serves: dict[str, Any] | None, **more: Any) -> Scenario:
    data = yaml.safe_load(SCENARIO.read_text(encoding="utf-8"))
    data.pop("because", None)
    workload = data["serving"][0]
    workload["name"] = "chat"
    data["serving"] = [workload]
    data["training"] = [run | more | ({"serves": s} if s else {}) for run, s in zip(RUNS, serves, strict=False)]
    return parse_scenario(data)


def test_a_model_serves_its_share_until_its_successor_is_trained() -> None:
    one = scenario({"chat": {"share": "20 %"}}, {"chat": {"share": "50 %", "tpot": "80 ms"}})
    tokens = np.arange(1.0, len(one.quarters) + 1)
    first, second = (services_of(run, one, {"chat": tokens}) for run in one.training)
    quarters = np.array([q.index for q in one.quarters])
    alive = (quarters > Quarter.parse("2026-Q4").index) & (quarters <= Quarter.parse("2027-Q3").index)
    assert first[0].tokens == pytest.approx(0.2 * tokens * alive)
    assert not first[0].cut
    assert second[0].tokens == pytest.approx(0.5 * tokens * (quarters > Quarter.parse("2027-Q3").index))
    assert second[0].cut
    assert second[0].workload.tpot == pytest.approx(0.08)
    assert first[0].workload.tpot == one.serving[0].tpot


def test_a_run_that_serves_nothing_has_no_life_and_no_demand() -> None:
    one = scenario(None)
    assert services_of(one.training[0], one) == []
    assert demand_tokens(one.training[0], one) == 0.0


def test_a_share_is_a_share_of_what_users_ask() -> None:
    whole, part = (
        demand_tokens((one := scenario({"chat": {"share": s}})).training[0], one) for s in ("100 %", "10 %")
    )
    assert part == pytest.approx(0.1 * whole)
    assert whole > 1e12


@pytest.mark.parametrize(
    ("serves", "message"),
    [
        ({"search": {"share": "10 %"}}, r"'first' serves 'search', which is no workload here \(known: chat\)"),
        ({"chat": {"share": "0 %"}}, r"serves\.chat\.share"),
        ({"chat": {"share": "120 %"}}, r"serves\.chat\.share"),
        ({"chat": {}}, r"serves\.chat\.share"),
        ({"chat": {"share": "10 %", "tpot": "0 ms"}}, "tpot must be above zero"),
    ],
)
def test_wrong_shares_are_refused_by_name(serves: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        scenario(serves)


def test_lifetime_costs_are_training_with_its_experiments_and_discounted_serving() -> None:
    one = scenario({"chat": {"share": "20 %", "tpot": "100 ms"}}, compute_multiple=3)
    catalog, run = load_catalog(), one.training[0]
    prices = Economics.market(capital_per_year=0.3, watt_usd_per_year=1.6, joule_usd=2e-8)
    mine = services_of(run, one)
    place = Place("gb300-nvl72", prices, 4e6)
    life = lifetime_of(run, one, catalog, mine, {run.name: place, "chat": replace_price(place, 8e6)})
    small = shape("s", 8e9)
    found = life.costs(small, 1e12)
    train, mfu, gang = life.training.train(small, 1e12)
    running, share = life.serving[0]
    assert running.rack_usd == 8e6
    assert 0.3 < share < 1.0, "serving comes after training, so a dollar of it is worth less"
    assert found.train_usd_per_token == pytest.approx(3 * train)
    assert (found.mfu, found.train_accelerators) == (mfu, gang)
    assert found.serve_usd_per_token == pytest.approx(share * running.serve(small)[0])
    assert life.name == "gb300-nvl72"


def replace_price(place: Place, usd: float) -> Place:
    return place._replace(rack_usd=usd)


def test_workloads_that_a_model_is_too_slow_for_are_named() -> None:
    prices = Economics.market(capital_per_year=0.3, watt_usd_per_year=1.6, joule_usd=2e-8)
    traffic = Traffic(2048, 512, ttft_s=2.0, tpot_s=1e-4, percentile="mean")
    fast = Running.on(load_catalog(), "gb300-nvl72", prices, traffic, label="voice")
    life = Lifetime(fast, [(fast, 0.5), (replace(fast, traffic=replace(traffic, tpot_s=0.1), label="chat"), 0.5)])
    assert life.refusals(shape("s", 8e9)) == ["voice on gb300-nvl72"]
    assert life.costs(shape("s", 8e9), 1e12).serve_usd_per_token == float("inf")
