"""Nothing enters the catalogue without saying where it comes from."""

from __future__ import annotations

import re

import pytest

from gigaforge.catalog import Catalog, Fact, Figure, figures_in, load_catalog
from gigaforge.catalog.load import KINDS

CATALOG = load_catalog()
ENTRIES = [(kind, entry) for kind in KINDS for entry in getattr(CATALOG, kind).values()]


def _is_source(key: str) -> bool:
    return key in CATALOG.sources or re.match(r"https?://\S+\.\S+", key) is not None


@pytest.mark.parametrize(("kind", "entry"), ENTRIES, ids=[f"{kind}/{entry.name}" for kind, entry in ENTRIES])
def test_every_figure_has_a_known_source_or_says_why_it_is_assumed(kind: str, entry: object) -> None:
    for path, figure in figures_in(entry):
        assert figure.source or figure.assumption.strip(), f"{path} has neither"
        assert all(_is_source(key) for key in figure.source), f"{path}: {figure.source}"


@pytest.mark.parametrize(("kind", "entry"), ENTRIES, ids=[f"{kind}/{entry.name}" for kind, entry in ENTRIES])
def test_every_entry_says_where_its_counts_and_dates_were_read(kind: str, entry: object) -> None:
    assert entry.source or entry.assumption.strip()
    assert all(_is_source(key) for key in entry.source)


def test_figures_nested_in_lists_are_found() -> None:
    site = CATALOG.site("abilene")
    paths = dict(figures_in(site))
    assert {"energised.0.power", "pue_mean", "energy_price", "lease_price"} <= set(paths)
    assert paths["energised.0.power"] is site.energised[0].power


def test_the_walk_misses_no_figure() -> None:
    """Count what is written in the records another way: by the keys of the JSON."""

    def count(value: object) -> int:
        if isinstance(value, dict):
            return int({"value", "low", "high"} <= set(value)) + sum(count(v) for v in value.values())
        return sum(count(v) for v in value) if isinstance(value, list) else 0

    for _, entry in ENTRIES:
        assert count(entry.model_dump(mode="json")) == len(list(figures_in(entry)))


def test_sources_are_used_dated_and_unique() -> None:
    used = {key for _, entry in ENTRIES for key in entry.source}
    used |= {key for _, entry in ENTRIES for _, figure in figures_in(entry) for key in figure.source}
    used |= {key for site in CATALOG.sites.values() if site.climate for key in site.climate.source}
    unused = set(CATALOG.sources) - used
    assert not unused, f"sources that nothing cites: {sorted(unused)}"
    assert all(re.match(r"20\d\d(-\d\d(-\d\d)?)?$", source.date) for source in CATALOG.sources.values())
    urls = [source.url for source in CATALOG.sources.values()]
    assert len(urls) == len(set(urls))


def test_derived_figures_name_what_they_derive_from() -> None:
    for _, entry in ENTRIES:
        for path, figure in figures_in(entry):
            if figure.note.startswith("derived"):
                assert figure.source, f"{entry.name} {path}"
                assert len(figure.note) > len("derived: x"), f"{entry.name} {path}"


def test_an_assumption_is_a_reason_not_a_word() -> None:
    for _, entry in ENTRIES:
        for path, figure in figures_in(entry):
            if not figure.source:
                assert len(figure.assumption.split()) >= 2, f"{entry.name} {path}: {figure.assumption!r}"


def test_what_was_announced_without_figures_stays_without() -> None:
    feynman = CATALOG.accelerator("feynman")
    assert feynman.status == "announced_only"
    assert not list(figures_in(feynman))
    assert CATALOG.system("feynman-nvl").power is None


@pytest.mark.parametrize(
    "name",
    [
        "dgx-1",
        "dgx-1v",
        "dgx-2",
        "dgx-a100",
        "dgx-h100",
        "dgx-h200",
        "dgx-b200",
        "dgx-b300",
        "gb200-nvl72",
        "gb300-nvl72",
        "vera-rubin-nvl72-max-q",
        "vera-rubin-nvl72-max-p",
        "hgx-rubin-nvl8",
        "rubin-ultra-nvl144-kyber",
        "feynman-nvl",
        "mi300x-8",
        "mi355x-8",
        "helios-nvl72",
        "tpu-v5p",
        "tpu-v6e",
        "tpu-v7",
    ],
)
def test_the_lineage_is_complete(name: str) -> None:
    system = CATALOG.system(name)
    assert system.accelerator in CATALOG.accelerators
    assert system.status == "announced_only" or system.power is not None


def test_a_shipping_accelerator_can_be_modelled() -> None:
    for accelerator in CATALOG.accelerators.values():
        if accelerator.status in ("shipping", "ramping", "retired"):
            for field in ("bf16", "hbm_capacity", "hbm_bandwidth", "scale_up_bandwidth", "power", "idle_power"):
                figure = getattr(accelerator, field)
                assert isinstance(figure, Figure), f"{accelerator.name}.{field}"
                assert figure.value > 0


def test_a_plannable_system_has_power_price_and_network() -> None:
    for name in ("gb200-nvl72", "gb300-nvl72", "vera-rubin-nvl72-max-q", "vera-rubin-nvl72-max-p", "dgx-b300",
                 "rubin-ultra-nvl144-kyber", "helios-nvl72", "mi355x-8"):  # fmt: skip
        system = CATALOG.system(name)
        for field in ("power", "overhead_power", "price", "network_price", "scale_out_bandwidth", "network"):
            assert getattr(system, field) is not None, f"{name}.{field}"


def test_facts_can_be_cited_by_name() -> None:
    users = CATALOG.facts["chatgpt-weekly-users-2025-08"]
    assert isinstance(users, Fact)
    assert users.value == 7e8
    assert users.dimension == "count"
    assert str(CATALOG.fact("price-gpt-5.5-output")) == "$30/Mtoken"


def test_names_are_unique_across_kinds_but_for_chips_that_are_their_system() -> None:
    kinds: dict[str, list[str]] = {}
    for kind, entry in ENTRIES:
        kinds.setdefault(entry.name, []).append(kind)
    shared = {name: found for name, found in kinds.items() if len(found) > 1}
    assert all(found == ["accelerators", "systems"] for name, found in shared.items() if name != "coreweave"), shared


def test_an_empty_catalogue_is_a_value() -> None:
    assert Catalog().systems == {}
