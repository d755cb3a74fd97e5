"""`gigaforge catalog`: what people and machines see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from gigaforge.catalog import load_catalog
from gigaforge.catalog.load import KINDS
from gigaforge.cli import catalog as verbs
from gigaforge.errors import InputError

SOURCE = "https://example.com/quote"


def run(*args: str, width: int = 80) -> str:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    verbs.register(app)
    env = {"COLUMNS": str(width), "TERM": "dumb", "NO_COLOR": "1"}
    result = CliRunner().invoke(app, ["catalog", *args], env=env)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    (tmp_path / "systems").mkdir()
    entries = [
        {"name": "gb300-nvl72", "price": {"value": "$3.33M", "source": SOURCE}},
        {
            "name": "my-rack",
            "label": "My rack",
            "accelerator": "b300",
            "accelerators": 16,
            "nvlink_domain": 16,
            "status": "shipping",
            "assumption": "a study",
        },
    ]
    (tmp_path / "systems" / "mine.yaml").write_text(yaml.safe_dump(entries))
    return tmp_path


def test_list_names_every_kind() -> None:
    out = run("list")
    assert all(kind in out for kind in KINDS)
    assert "gb300-nvl72" in out


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("kind", [*KINDS])
def test_tables_fit_and_hold_every_entry(kind: str, width: int) -> None:
    out = run("list", kind, width=width)
    assert all(len(line) <= width for line in out.splitlines())
    assert "…" not in out
    for name in getattr(load_catalog(), kind):
        assert name in out


def test_list_takes_the_singular_and_corrects_spelling() -> None:
    assert run("list", "system") == run("list", "systems")
    with pytest.raises(InputError, match="did you mean 'systems'"):
        run("list", "sistems")


@pytest.mark.parametrize("width", [80, 120])
def test_show_tells_value_range_source_and_reason(width: int) -> None:
    out = run("show", "vera-rubin-nvl72-max-q", width=width)
    for part in ("190 kW", "180 kW – 200 kW", "$6.8M", "$5.5M – $9.1M", "assumption:", "https://", "[1]"):
        assert part in out
    text = " ".join(out.split())
    assert "hyperscalers pay less" in text


@pytest.mark.parametrize("kind", [*KINDS])
def test_everything_can_be_shown_with_its_sources(kind: str) -> None:
    catalog = load_catalog()
    for name, entry in getattr(catalog, kind).items():
        out = run("show", f"{kind}/{name}", width=100)
        assert entry.label in " ".join(out.split())
        for key in entry.source:
            url = catalog.sources[key].url if key in catalog.sources else key
            assert url in out


def test_a_name_shared_by_chip_and_system_shows_both() -> None:
    out = run("show", "tpu-v7")
    assert "accelerator" in out
    assert "system" in out
    assert "×" not in run("show", "systems/tpu-v7")


def test_show_of_an_unknown_name_gives_the_nearest() -> None:
    with pytest.raises(InputError, match=r"did you mean .*'gb300-nvl72'"):
        run("show", "gb300-nvl27")


def test_compare_gives_ratios_to_the_first() -> None:
    out = run("compare", "gb200-nvl72", "vera-rubin-nvl72-max-q")
    assert "×1.52" in out  # 190 over 125 kW
    assert "×3.50" in out  # 17.5 over 5 PFLOP/s
    assert all(len(line) <= 80 for line in out.splitlines())


def test_compare_refuses_mixed_kinds_and_single_names() -> None:
    with pytest.raises(InputError, match="only entries of one kind"):
        run("compare", "gb200-nvl72", "llama-3.1-8b")
    with pytest.raises(InputError, match="at least two names"):
        run("compare", "gb200-nvl72")


def test_diff_shows_what_an_overlay_changes(overlay: Path) -> None:
    out = run("diff", str(overlay), width=120)
    assert "systems/gb300-nvl72" in out
    assert "$3.33M" in out
    assert "×0.90" in out
    assert "my-rack" in out
    assert "2 changes in 2 entries" in out


def test_diff_of_nothing_says_so(tmp_path: Path) -> None:
    assert "changes nothing" in run("diff", str(tmp_path), width=200)


def test_overlays_apply_to_every_verb(overlay: Path) -> None:
    folder = str(overlay)
    assert "my-rack" in run("list", "systems", "--catalog", folder)
    assert "a study" in run("show", "my-rack", "--catalog", folder)
    assert "$3.33M" in run("compare", "my-rack", "gb300-nvl72", "--catalog", folder)
    assert SOURCE in run("sources", "--catalog", folder)


def test_sources_list_titles_addresses_and_uses() -> None:
    out = run("sources", width=120)
    for source in load_catalog().sources.values():
        assert source.url in out


def test_json_is_one_object_on_every_verb(overlay: Path) -> None:
    catalog = load_catalog()
    listed = json.loads(run("list", "--json"))
    assert set(listed) == set(KINDS)
    assert len(json.loads(run("list", "models", "--json"))["models"]) == len(catalog.models)

    (shown,) = json.loads(run("show", "gb300-nvl72", "--json"))["entries"]
    power = shown["power"]
    assert power["value"] == catalog.system("gb300-nvl72").power.value
    assert power["unit"] == "W"
    assert power["sources"][0]["url"].startswith("https://")

    (site,) = json.loads(run("show", "abilene", "--json"))["entries"]
    assert site["energised"][0]["power"]["value"] == 600e6

    (fact,) = json.loads(run("show", "cache-hit-rate", "--json"))["entries"]
    assert fact["value"] == 0.563

    compared = json.loads(run("compare", "gb200-nvl72", "gb300-nvl72", "--json"))
    assert compared["names"] == ["gb200-nvl72", "gb300-nvl72"]
    assert next(row for row in compared["rows"] if row["label"] == "power")["values"] == [125e3, 135e3]

    changes = json.loads(run("diff", str(overlay), "--json"))["changes"]
    assert [change["name"] for change in changes] == ["gb300-nvl72", "my-rack"]

    assert len(json.loads(run("sources", "--json"))["sources"]) >= len(catalog.sources)
    assert json.loads(run("list", "sources", "--json"))["sources"]


def test_json_of_a_model_counts_its_parameters() -> None:
    (model,) = json.loads(run("show", "deepseek-v3", "--json"))["entries"]
    assert model["counted_parameters"]["total"] == pytest.approx(671e9, rel=0.001)
