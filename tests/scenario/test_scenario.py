"""Scenario files: what they mean, and what a wrong one says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gigaforge.catalog import load_catalog
from gigaforge.errors import InputError
from gigaforge.quarters import Quarter
from gigaforge.scenario import (
    check_against,
    interpolate,
    load_scenario,
    parse_scenario,
    read_scenario_data,
    scenario_json_schema,
    step,
    with_objective,
)
from gigaforge.scenario.load import figures_without_reason
from tests.buildout.small import scenario_data

SHIPPED = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))


def changed(path: str, value: Any) -> dict[str, Any]:
    """The small scenario with one value replaced, or removed where the value is ``...``."""
    data = scenario_data()
    *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    here: Any = data
    for parent in parents:
        here = here[parent]
    if value is ...:
        del here[last]
    else:
        here[last] = value
    return data


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_scenarios_are_valid_and_give_a_reason_for_every_figure(path: Path) -> None:
    scenario = load_scenario(path)
    check_against(scenario, load_catalog())
    data = read_scenario_data(path)
    assert figures_without_reason(data) == []
    jsonschema.validate(data, json.loads(scenario_json_schema()))


def test_a_figure_without_a_reason_is_found() -> None:
    data = scenario_data(because={"finance": "assumption: test"})
    missing = figures_without_reason(data)
    assert "commitment.power" in missing
    assert not any(path.startswith("finance") for path in missing)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("comitment", {}, "comitment: unknown key; did you mean 'commitment'?"),
        ("sites.0.powr", "1 GW", "did you mean 'power'"),
        ("serving.0.prices.ouput", "$1/Mtoken", "did you mean 'output'"),
        ("commitment.power", "10 GB", "commitment.power: '10 GB' is data; expected power"),
        ("commitment.power", 10, "has no unit"),
        ("commitment.power", "-1 GW", "negative"),
        ("commitment.power", "0 GW", "above zero"),
        ("horizon.last", "2025-Q1", "before first"),
        ("horizon.last", "2126-Q1", "at most 80"),
        ("horizon.first", "2026", "expected for example '2026-Q3'"),
        ("sites", [], "sites: "),
        ("platforms.0.supply", {}, "is empty"),
        ("platforms.0.supply", {"2027-Q1": 5, "2026-Q3": 3}, "quarters must rise"),
        ("platforms.0.supply", {"2027-Q1": -5}, "negative"),
        ("training.0.end", "2026-Q4", "before start"),
        ("training.0.end", "2040-Q4", "leaves the horizon"),
        ("training.0.sites", ["nowhere"], "'nowhere', which the scenario does not list"),
        ("commitment.milestones.0.by", "2035-Q1", "must come after"),
        ("finance.discount_rate", ..., "finance.discount_rate: is missing"),
        ("serving.0.peak_to_mean", 0.5, "1 or more is expected"),
        (
            "sites.0.price_swing",
            "25 %",
            "sites.north.price_swing: moves the price in the hours in which serving works",
        ),
        ("name", "Not A Name", "name"),
        ("because", {"finance.discont_rate": "assumption: x"}, "did you mean 'finance.discount_rate'"),
        ("investment.upfront", {"2026-Q3": "$30B"}, "exceed the ceiling"),
    ],
)
def test_a_wrong_scenario_says_where_and_what(path: str, value: Any, says: str) -> None:
    with pytest.raises(InputError) as problem:
        parse_scenario(changed(path, value), "my.yaml")
    assert str(problem.value).startswith("my.yaml: ")
    assert says in str(problem.value)


def test_doubles_are_refused() -> None:
    data = scenario_data()
    data["sites"].append(data["sites"][0])
    with pytest.raises(InputError, match="'north' appears twice"):
        parse_scenario(data)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("sites", [{"site": "abilen"}], "sites.abilen: unknown site 'abilen'; did you mean 'abilene'?"),
        ("platforms", [{"name": "x", "systems": ["gb300-nv72"], "ships": "2026-Q3", "supply": 100}], "gb300-nvl72"),
        ("because", {"finance": "alliance-powr"}, "did you mean 'alliance-power'"),
    ],
)
def test_names_must_be_in_the_catalogue(field: str, value: Any, says: str) -> None:
    scenario = parse_scenario({**yaml.safe_load(SHIPPED[-1].read_text()), "because": {}, field: value})
    with pytest.raises(InputError) as problem:
        check_against(scenario, load_catalog(), "my.yaml")
    assert says in str(problem.value)


@pytest.mark.parametrize(
    "text", ["", "just text", "- a\n- list", "a: [unclosed", "{}", "a: !!python/object:os.system x", "\x00"]
)
def test_files_that_are_no_scenario(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as problem:
        load_scenario(path)
    assert str(problem.value).startswith(str(path))


def test_missing_file_folder_and_binary(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    for name in ("none.yaml", "", "binary.yaml"):
        with pytest.raises(InputError):
            load_scenario(tmp_path / name)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_hostile_values_give_one_clear_error(data: st.DataObject) -> None:
    """Whatever stands in any one place, the answer is a scenario or an `InputError`."""
    scenario = scenario_data()
    here: Any = scenario
    for _ in range(data.draw(st.integers(1, 4))):
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(here[key], dict | list):
            break
        parent, last, here = here, key, here[key]
    else:
        here, key = parent, last
    if keys:
        here[key] = data.draw(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.lists(st.integers(), max_size=2),
                      st.dictionaries(st.text(max_size=5), st.integers(), max_size=2))
        )  # fmt: skip
    try:
        parse_scenario(scenario)
    except InputError as problem:
        assert str(problem)


def test_series_hold_or_grow() -> None:
    quarters = [Quarter.parse("2026-Q3") + i for i in range(5)]
    series = {quarters[1]: 100.0, quarters[3]: 400.0}
    np.testing.assert_allclose(step(series, quarters), [0, 100, 100, 400, 400])
    np.testing.assert_allclose(interpolate(series, quarters), [100, 100, 200, 400, 400])


def test_objective_can_be_changed() -> None:
    scenario = parse_scenario(scenario_data())
    assert with_objective(scenario, "cost").objective == "cost"
    with pytest.raises(InputError, match="known: npv"):
        with_objective(scenario, "fame")


DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_names_every_field_and_its_examples_are_a_scenario() -> None:
    text = (DOCS / "scenario.md").read_text(encoding="utf-8")
    pages = text + "".join((DOCS / f"{n}.md").read_text(encoding="utf-8") for n in ("money", "risk", "model-roadmap"))
    schema = json.loads((DOCS / "scenario.schema.json").read_text(encoding="utf-8"))
    fields = {(part, field) for part, shape in schema["$defs"].items() for field in shape.get("properties", {})}
    assert [f for f in sorted(fields) if not re.search(rf"\b{f[1]}\b", pages)] == []
    blocks = [yaml.safe_load(b) for b in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    examples = {key: value for block in blocks if block for key, value in block.items()}
    assert {"sites", "links", "serving", "training", "finance", "operations", "parties"} <= set(examples)
    sites = [*examples.pop("sites"), {"site": "abilene"}, {"site": "shackelford"}]
    made = parse_scenario(
        scenario_data() | examples | {"sites": sites, "horizon": {"first": "2026-Q3", "last": "2032-Q4"}}
    )
    assert made.finance.tax is not None
    assert made.finance.tax.losses == 2e9
    assert made.serving[0].prices.cached == pytest.approx(0.06e-6)


def test_the_published_schema_is_current() -> None:
    published = Path(__file__).parents[2] / "docs" / "scenario.schema.json"
    assert published.read_text() == scenario_json_schema() + "\n", (
        "run: gigaforge init --schema > docs/scenario.schema.json"
    )
