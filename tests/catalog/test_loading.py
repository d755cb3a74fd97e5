"""Files, overlays and what is said when they are wrong."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gigaforge.catalog import Figure, load_catalog
from gigaforge.catalog.figure import figure_of, si_text
from gigaforge.catalog.load import KINDS, read_yaml
from gigaforge.errors import InputError
from gigaforge.units import DIMENSIONS, format_quantity, parse_quantity

SOURCE = "https://example.com/data-sheet"
RACK = {
    "name": "my-rack",
    "label": "My rack",
    "accelerator": "b300",
    "accelerators": 16,
    "nvlink_domain": 16,
    "status": "shipping",
    "source": SOURCE,
    "power": {"value": "32 kW", "source": SOURCE},
}
SITE = {
    "name": "my-site",
    "label": "My site",
    "partner": "openai",
    "tenure": "owned",
    "source": SOURCE,
    "energised": [
        {"quarter": "2027-Q1", "power": {"value": "100 MW", "source": SOURCE}},
        {"quarter": "2027-Q3", "power": {"value": "200 MW", "source": SOURCE}},
    ],
    "pue_mean": {"value": 1.1, "source": SOURCE},
    "pue_peak": {"value": 1.2, "source": SOURCE},
    "energy_price": {"value": "$60/MWh", "source": SOURCE},
    "facility_cost": {"value": "$12M/MW", "source": SOURCE},
}


def write(folder: Path, path: str, data: object) -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")
    return folder


def problem(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_catalog(folder)
    return str(caught.value)


def test_a_user_adds_a_system(tmp_path: Path) -> None:
    catalog = load_catalog(write(tmp_path, "systems/mine.yaml", RACK))
    assert catalog.system("my-rack").power.value == 32_000
    assert catalog.system("gb300-nvl72") == load_catalog().system("gb300-nvl72")


def test_a_user_changes_one_figure_and_keeps_the_rest(tmp_path: Path) -> None:
    change = {"name": "gb300-nvl72", "price": {"value": "$3.3M", "source": SOURCE}}
    changed = load_catalog(write(tmp_path, "systems/quote.yaml", change)).system("gb300-nvl72")
    shipped = load_catalog().system("gb300-nvl72")
    assert changed.price.value == 3.3e6
    assert changed.model_copy(update={"price": shipped.price}) == shipped


def test_later_folders_lie_on_top(tmp_path: Path) -> None:
    folders = []
    for price in ("$3.3M", "$3.1M"):
        change = {"name": "gb300-nvl72", "price": {"value": price, "source": SOURCE}}
        folders.append(write(tmp_path / price.strip("$"), "systems.yaml", change))
    assert load_catalog(*folders).system("gb300-nvl72").price.value == 3.1e6
    assert load_catalog(*reversed(folders)).system("gb300-nvl72").price.value == 3.3e6


def test_edits_to_a_folder_are_seen(tmp_path: Path) -> None:
    write(tmp_path, "systems/mine.yaml", RACK)
    assert load_catalog(tmp_path).system("my-rack").accelerators == 16
    write(tmp_path, "systems/mine.yaml", {**RACK, "accelerators": 32, "label": "My larger rack"})
    assert load_catalog(tmp_path).system("my-rack").accelerators == 32


def test_a_users_sources_are_cited_by_key(tmp_path: Path) -> None:
    write(tmp_path, "sources.yaml", {"quote-7": {"title": "Quote 7", "url": SOURCE, "date": 2026}})
    write(tmp_path, "systems/quote.yml", {"name": "gb300-nvl72", "price": {"value": "$3.3M", "source": "quote-7"}})
    catalog = load_catalog(tmp_path)
    assert catalog.sources["quote-7"].date == "2026"
    assert catalog.system("gb300-nvl72").price.source == ["quote-7"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pwer": {"value": "3 kW", "source": SOURCE}}, ["pwer: unknown key; did you mean 'power'?"]),
        (
            {"power": {"value": "3 GB", "source": SOURCE}},
            ["power.value", "'3 GB' is data", "expected power", "'10 GW'"],
        ),
        ({"power": {"value": 3000, "source": SOURCE}}, ["power.value", "3000 has no unit"]),
        ({"power": {"value": "3 kWatt", "source": SOURCE}}, ["power.value", "unknown unit"]),
        ({"power": {"value": "-3 kW", "source": SOURCE}}, ["power", "negative"]),
        ({"power": {"value": "3 kW"}}, ["power", "needs a source, or an assumption that says why"]),
        ({"power": {"value": "3 kW", "assumption": "  "}}, ["needs a source"]),
        ({"power": "3 kW"}, ["power", "has no source", "assumption: why"]),
        ({"power": {"value": "3 kW", "low": "4 kW", "source": SOURCE}}, ["3 kW", "outside its range 4 kW to 3 kW"]),
        (
            {"power": {"value": "3 kW", "source": "dgx-power-gide"}},
            ["power.source", "did you mean 'dgx-power-guide'?"],
        ),
        ({"accelerator": "b30"}, ["unknown accelerator 'b30'", "did you mean 'b300'?"]),
        ({"network": "ndr-infinband"}, ["unknown network", "'ndr-infiniband'"]),
        ({"accelerators": 0}, ["accelerators", "above 0 is expected"]),
        ({"status": "sold"}, ["status"]),
        ({"available_from": "2027-Q5"}, ["available_from", "'2027-Q5' is not a quarter"]),
        ({"name": "My Rack"}, ["name"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_system_is_explained(tmp_path: Path, change: dict, said: list[str]) -> None:
    text = problem(write(tmp_path, "systems/mine.yaml", {**RACK, **change}))
    assert "mine.yaml" in text
    assert all(part in text for part in said), text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"energised": SITE["energised"][::-1]}, "quarters must rise"),
        (
            {
                "energised": [
                    SITE["energised"][0],
                    {"quarter": "2027-Q3", "power": {"value": "90 MW", "source": SOURCE}},
                ]
            },
            "power falls at 2027-Q3; steps are cumulative",
        ),
        ({"energised": []}, "energised"),
        ({"facility_cost": None}, "a site with tenure 'owned' needs facility_cost"),
        ({"tenure": "leased"}, "a site with tenure 'leased' needs lease_price"),
        ({"partner": "opnai"}, "did you mean 'openai'?"),
        ({"systems": ["gb300-nvl2"]}, "did you mean 'gb300-nvl72'?"),
        ({"latitude": 91}, "latitude"),
    ],
)
def test_a_wrong_site_is_explained(tmp_path: Path, change: dict, said: str) -> None:
    assert said in problem(write(tmp_path, "sites/mine.yaml", {**SITE, **change}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kv_heads": 7}, "kv_heads 7 does not divide heads 32"),
        ({"source": [], "assumption": ""}, "a model needs a source"),
        ({"family": "moe"}, "a mixture of experts needs experts"),
        ({"attention": "mla"}, "needs kv_lora_rank and rope_head_dim"),
        ({"linear_layers": 4}, "linear layers need linear_key_dim"),
    ],
)
def test_a_wrong_model_is_explained(tmp_path: Path, change: dict, said: str) -> None:
    assert said in problem(write(tmp_path, "models/mine.yaml", {"name": "llama-3.1-8b", **change}))


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("systems/mine.yaml", "name: [", "not valid YAML"),
        ("systems/mine.yaml", "name: a\nname: b\n", "key 'name' is given twice"),
        ("systems/mine.yaml", "just words", "each entry must be a mapping with a name"),
        ("systems/mine.yaml", "- [1, 2]", "each entry must be a mapping with a name"),
        ("systems/mine.yaml", "", "each entry must be a mapping with a name"),
        ("system/mine.yaml", "name: a", "unknown kind 'system'; did you mean 'systems'?"),
        ("sources.yaml", "- a", "a mapping of key: {title, url} is expected"),
        ("sources.yaml", "a: b", "a mapping with title and url is expected"),
        ("facts/mine.yaml", "{name: x, label: X, measure: pwr, value: 1 W, source: 'https://a.b'}", "measure 'pwr'"),
        (
            "facts/mine.yaml",
            "{name: x, label: X, measure: power, value: 1 J, source: 'https://a.b'}",
            "expected power",
        ),
        ("shapes/mine.yaml", "{name: x, label: X, factors: [1.0]}", "factors"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, path: str, text: str, said: str) -> None:
    told = problem(write(tmp_path, path, text))
    assert said in told
    assert Path(path).name in told


def test_a_shape_must_average_one(tmp_path: Path) -> None:
    shape = {"name": "x", "label": "X", "factors": [2.0] * 168}
    assert "their mean is 2" in problem(write(tmp_path, "shapes/mine.yaml", shape))


def test_the_same_entry_twice_in_a_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "systems/a.yaml", RACK)
    text = problem(write(tmp_path, "systems/b.yaml", [RACK]))
    assert "'my-rack' is given twice" in text
    assert "a.yaml" in text
    assert "b.yaml" in text


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert "no such folder" in problem(tmp_path / "nowhere")


def test_binary_and_folders_are_not_yaml(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not text in UTF-8"):
        read_yaml(tmp_path / "x.yaml")
    with pytest.raises(InputError, match="is a folder"):
        read_yaml(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_yaml(tmp_path / "y.yaml")


@pytest.mark.parametrize("kind", ["accelerator", "system", "network", "model", "site", "partner", "fact", "shape"])
def test_unknown_names_get_the_nearest(kind: str) -> None:
    catalog = load_catalog()
    known = next(iter(getattr(catalog, kind + "s")))
    with pytest.raises(InputError, match=f"unknown {kind} .*did you mean"):
        getattr(catalog, kind)(known + "x")


@pytest.mark.parametrize("kind", [*KINDS])
def test_every_entry_survives_json(kind: str) -> None:
    for entry in getattr(load_catalog(), kind).values():
        assert type(entry).model_validate_json(entry.model_dump_json(exclude_none=True)) == entry


@given(
    value=st.floats(min_value=0, max_value=1e30, allow_subnormal=False),
    dimension=st.sampled_from(sorted(DIMENSIONS)),
)
def test_si_text_reads_back_exactly(value: float, dimension: str) -> None:
    back = parse_quantity(si_text(value, dimension), dimension)
    assert math.isclose(back, value, rel_tol=1e-15) or back == value


@given(
    value=st.floats(min_value=1e-3, max_value=1e15),
    dimension=st.sampled_from(["energy_price", "money_per_power", "money_per_power_time", "money_per_time",
                               "money_per_token", "carbon_intensity", "power", "money", "bandwidth", "duration"]),
)  # fmt: skip
def test_printed_figures_read_back_to_their_digits(value: float, dimension: str) -> None:
    """What `catalog show` prints can be pasted into a file."""
    scale = parse_quantity(DIMENSIONS[dimension][1], dimension)
    number = value * scale
    printed = format_quantity(number, dimension, 6)
    assert parse_quantity(printed, dimension) == pytest.approx(number, rel=1e-5 if "0.000" not in printed else 0.5)


@given(low=st.floats(0, 1e3), value=st.floats(0, 1e3), high=st.floats(0, 1e3))
def test_a_figure_lies_in_its_range_or_is_refused(low: float, value: float, high: float) -> None:
    data = {"value": f"{value!r} kW", "low": f"{low!r} kW", "high": f"{high!r} kW", "assumption": "a test"}
    power = figure_of("power")
    if low <= value <= high:
        figure: Figure = power.model_validate(data)
        assert figure.low <= figure.value <= figure.high
    else:
        with pytest.raises(ValidationError, match="outside its range"):
            power.model_validate(data)


def test_a_catalogue_travels_to_other_processes() -> None:
    shipped = load_catalog()
    again = pickle.loads(pickle.dumps(shipped))  # noqa: S301 (our own bytes)
    assert again.sites == shipped.sites
    assert again.systems == shipped.systems
    assert again.site("abilene").carbon_intensity.dimension == "carbon_intensity"
