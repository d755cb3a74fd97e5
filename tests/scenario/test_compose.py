"""Scenarios that build on others, and figures set from the command line."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gigaforge.catalog import Catalog, load_catalog
from gigaforge.errors import InputError
from gigaforge.quarters import Quarter
from gigaforge.scenario import apply_settings, check_against, lay_over, load_scenario, read_scenario_data
from gigaforge.scenario.compose import leaf_paths
from gigaforge.scenario.load import figures_without_reason

SCENARIOS = Path(__file__).parents[2] / "scenarios"
ALLIANCE = SCENARIOS / "alliance-10gw.yaml"
TERMS = sorted((SCENARIOS / "terms").glob("*.yaml"))


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.mark.parametrize("path", [*TERMS, SCENARIOS / "alliance-detailed.yaml"], ids=lambda p: p.stem)
def test_shipped_overlays_are_whole_and_every_figure_has_a_reason(path: Path, catalog: Catalog) -> None:
    check_against(load_scenario(path), catalog, str(path))
    assert figures_without_reason(read_scenario_data(path)) == []


def test_the_terms_differ_only_in_their_terms() -> None:
    base = yaml.safe_load(ALLIANCE.read_text())
    for path in TERMS:
        made = read_scenario_data(path)
        for section in ("horizon", "commitment", "platforms", "sites", "training", "serving", "operations"):
            assert made[section] == base[section], (path.stem, section)


def test_lists_merge_by_name_series_are_replaced_and_null_removes() -> None:
    under = {
        "a": {"x": 1, "y": 2},
        "list": [{"name": "p", "v": 1}, {"name": "q", "v": 2}],
        "s": {"2026-Q3": 1},
        "gone": 1,
    }
    over = {"a": {"y": 3}, "list": [{"name": "q", "v": 5}, {"name": "r", "v": 6}], "s": {"2027-Q1": 9}, "gone": None}
    assert lay_over(under, over) == {
        "a": {"x": 1, "y": 3},
        "list": [{"name": "p", "v": 1}, {"name": "q", "v": 5}, {"name": "r", "v": 6}],
        "s": {"2027-Q1": 9},
    }


@pytest.mark.parametrize("base", ["missing.yaml", "self.yaml", 3, ""])
def test_a_base_that_cannot_be(tmp_path: Path, base: object) -> None:
    path = tmp_path / "self.yaml"
    path.write_text(yaml.safe_dump({"base": base, "name": "x"}))
    with pytest.raises(InputError):
        load_scenario(path)


def test_a_quarter_of_a_sites_power_keeps_the_catalogues_before_it(catalog: Catalog) -> None:
    scenario = load_scenario(ALLIANCE, ["sites.abilene.power.2027-Q2=600 MW"], catalog)
    power = scenario.sites[0].power
    assert power is not None
    steps = {str(q): w for q, w in power.items()}
    assert steps == {"2026-Q3": 600e6, "2026-Q4": 1000e6, "2027-Q1": 1200e6, "2027-Q2": 600e6}
    assert "what-if" in scenario.because["sites.abilene.power.2027-Q2"]


@pytest.mark.parametrize(
    ("setting", "read"),
    [
        ("finance.discount_rate=10 %", lambda s: s.finance.discount_rate == 0.1),
        ("finance.tax.rate=21 %", lambda s: s.finance.tax.rate == 0.21),
        ("platforms.gb300.supply.2027-Q1=100", lambda s: list(s.platforms[0].supply.values()) == [500, 100]),
        ("serving.chat.ttft=3 s", lambda s: s.serving[0].ttft == 3),
        ("serving.0.ttft=3 s", lambda s: s.serving[0].ttft == 3),
        ("training.research-2032=", lambda s: all(r.name != "research-2032" for r in s.training)),
        ("commitment.milestones.0.by=2027-Q1", lambda s: s.commitment.milestones[0].by == Quarter.parse("2027-Q1")),
        ("investment=", lambda s: s.investment is None),
        ("objective=cost", lambda s: s.objective == "cost"),
    ],
)
def test_any_figure_can_be_set(setting: str, read: object, catalog: Catalog) -> None:
    assert read(load_scenario(ALLIANCE, [setting], catalog))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("sites.abilen.power.2027-Q2=600 MW", "did you mean 'sites.abilene.power.2027-Q2'?"),
        ("finance.discont_rate=3 %", "did you mean 'finance.discount_rate'?"),
        ("sites.abilene.powr=1 GW", "did you mean 'sites.abilene.power'?"),
        ("servin.chat.ttft=1 s", "did you mean 'serving.chat.ttft'?"),
        ("training.99.tokens=3T tokens", "no such path"),
        ("investment.ceiling", "is not PATH=VALUE"),
        ("=3", "is not PATH=VALUE"),
        ("finance.discount_rate=[", "not YAML"),
        ("serving.chat.ttft=soon", "serving.0.ttft: 'soon' is not a number with a unit"),
        ("commitment.power=10 GB", "10 GB"),
    ],
)
def test_a_wrong_setting_names_the_nearest_path_or_the_unit(setting: str, says: str, catalog: Catalog) -> None:
    with pytest.raises(InputError) as problem:
        load_scenario(ALLIANCE, [setting], catalog)
    assert says in str(problem.value)


DATA = yaml.safe_load(ALLIANCE.read_text())
LEAVES = leaf_paths({k: v for k, v in DATA.items() if k != "because"})


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(LEAVES), st.text(max_size=8))
def test_hostile_settings_give_a_scenario_or_one_clear_error(path: str, text: str) -> None:
    before = copy.deepcopy(DATA)
    try:
        apply_settings(DATA, [f"{path}={text}"], load_catalog())
    except InputError as problem:
        assert str(problem)
    assert before == DATA
