"""The figures together reproduce what was published about the whole."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gigaforge.catalog import Model, Site, System, load_catalog, parameter_count
from gigaforge.quarters import Quarter, quarter_range

CATALOG = load_catalog()
MODELS = [model for model in CATALOG.models.values() if model.published_parameters]
PUE_LIQUID, PUE_AIR = 1.15, 1.2


def facility_w(system: System) -> float:
    """Facility power of one system with its share of network and storage [W]."""
    assert system.power is not None
    assert system.overhead_power is not None
    pue = PUE_LIQUID if system.cooling == "liquid" else PUE_AIR
    return (system.power.value + system.overhead_power.value) * pue


def cost_per_gw_usd(system: System) -> float:
    """Systems, network and facility for one gigawatt of facility power [USD]."""
    assert system.price is not None
    assert system.network_price is not None
    systems = 1e9 / facility_w(system)
    equipment = systems * (system.price.value + system.network_price.value)
    return equipment + 1e9 * CATALOG.fact("facility-cost").value


@pytest.mark.parametrize(
    ("system", "published"),
    [
        ("gb200-nvl72", "cost-per-gw-gb200"),
        ("gb300-nvl72", "cost-per-gw-gb300"),
        ("vera-rubin-nvl72-max-q", "cost-per-gw-vera-rubin"),
        ("vera-rubin-nvl72-max-p", "cost-per-gw-vera-rubin"),
    ],
)
def test_cost_of_a_gigawatt_is_among_the_published(system: str, published: str) -> None:
    cost = cost_per_gw_usd(CATALOG.system(system))
    assert 23e9 <= cost <= 60e9
    fact = CATALOG.fact(published)
    assert 0.95 * fact.low <= cost <= fact.high
    assert cost == pytest.approx(fact.value, rel=0.2)


def test_bernsteins_racks_in_a_gigawatt() -> None:
    """$35B a gigawatt at $5.9M a rack is about 5,930 racks, 169 kW each."""
    assert 1e9 / facility_w(CATALOG.system("gb200-nvl72")) == pytest.approx(5930, rel=0.05)


def test_networking_share_of_cost_is_among_the_published() -> None:
    share = CATALOG.fact("networking-share-of-cost")
    for name in ("gb200-nvl72", "gb300-nvl72", "vera-rubin-nvl72-max-q"):
        system = CATALOG.system(name)
        network = 1e9 / facility_w(system) * system.network_price.value
        assert 0.75 * share.low <= network / cost_per_gw_usd(system) <= share.high


@pytest.mark.parametrize(
    ("system", "fact"),
    [
        ("dgx-h100", "all-in-power-h100"),
        ("dgx-h200", "all-in-power-h200"),
        ("dgx-b200", "all-in-power-b200"),
        ("gb200-nvl72", "all-in-power-gb200"),
        ("mi300x-8", "all-in-power-mi300x"),
        ("mi325x-8", "all-in-power-mi325x"),
        ("mi355x-8", "all-in-power-mi355x"),
    ],
)
def test_facility_power_per_gpu_is_near_the_published(system: str, fact: str) -> None:
    entry = CATALOG.system(system)
    assert facility_w(entry) / entry.accelerators == pytest.approx(CATALOG.fact(fact).value, rel=0.1)


def test_vera_rubin_packages_in_ten_gigawatts() -> None:
    """190-230 kW racks give 2.6-3.3 million packages in 10 GW of IT and network power at a liquid-cooled PUE."""
    low, high = (10e9 / facility_w(CATALOG.system(f"vera-rubin-nvl72-{mode}")) * 72 for mode in ("max-p", "max-q"))
    assert 2.4e6 < low < high < 3.3e6


def test_a_system_draws_more_than_its_accelerators_and_less_than_three_times() -> None:
    for system in CATALOG.systems.values():
        accelerator = CATALOG.accelerator(system.accelerator)
        limit = system.accelerator_power or accelerator.power
        if system.power and limit:
            packages = system.accelerators * limit.value
            assert packages < system.power.high < 3.3 * packages, system.name


def test_flops_are_dense_and_ordered() -> None:
    for accelerator in CATALOG.accelerators.values():
        rates = [figure.value for figure in (accelerator.bf16, accelerator.fp8, accelerator.fp4) if figure]
        assert rates == sorted(rates), accelerator.name
    # The data sheets' sparse headlines, none of which may have slipped in as dense.
    for name, sparse in [("h100-sxm", 1979e12), ("b200", 4500e12), ("gb200", 5000e12), ("a100-80gb", 624e12)]:
        assert CATALOG.accelerator(name).bf16.value == pytest.approx(sparse / 2, rel=0.01)


def test_rack_memory_adds_up() -> None:
    for name, published in [("gb200-nvl72", 13.4e12), ("vera-rubin-nvl72-max-q", 20.7e12), ("gb300-nvl72", 20.7e12)]:
        system = CATALOG.system(name)
        memory = system.accelerators * CATALOG.accelerator(system.accelerator).hbm_capacity.value
        assert memory == pytest.approx(published, rel=0.04)


def _rounding(model: Model) -> float:
    """Half of the last digit printed: "1.7B" is anything from 1.65 to 1.75."""
    value = model.published_parameters.value
    digits = f"{value:.10g}".rstrip("0").lstrip("0.")
    last = value / float(digits) if digits else value
    return max(0.015, 0.5 * last / value * 1.01)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.name)
def test_architecture_reproduces_the_published_parameters(model: Model) -> None:
    published = model.published_parameters
    count = parameter_count(model)
    assert count.total == pytest.approx(published.value, rel=_rounding(model))
    if model.published_active_parameters:  # sources differ on embeddings
        assert count.active == pytest.approx(model.published_active_parameters.value, rel=0.11)


def test_parameters_of_three_models_written_out() -> None:
    """Independent of `parameter_count`: the sums as papers write them, without norms."""
    llama = 2 * 128256 * 16384 + 126 * (2 * 16384**2 + 2 * 16384 * 1024 + 3 * 16384 * 53248)
    assert parameter_count(CATALOG.model("llama-3.1-405b")).total == llama
    mixtral = 2 * 32000 * 4096 + 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 4096 * 8 + 8 * 3 * 4096 * 14336)
    assert parameter_count(CATALOG.model("mixtral-8x7b")).total == mixtral
    latent = 7168 * 1536 + 1536 * 128 * 192 + 7168 * 576 + 512 * 128 * 256 + 128 * 128 * 7168
    experts = 58 * (257 * 3 * 7168 * 2048 + 7168 * 256)
    deepseek = 2 * 129280 * 7168 + 61 * latent + 3 * 3 * 7168 * 18432 + experts
    assert parameter_count(CATALOG.model("deepseek-v3")).total == deepseek


def _energised_w(site: Site, quarter: Quarter) -> float:
    return max((step.power.value for step in site.energised if step.quarter <= quarter), default=0.0)


def test_sites_allow_ten_gigawatts_by_2032_in_steps() -> None:
    quarters = quarter_range(Quarter.parse("2026-Q3"), Quarter.parse("2032-Q4"))
    total = [sum(_energised_w(site, q) for site in CATALOG.sites.values()) for q in quarters]
    assert 0.5e9 < total[0] < 2e9
    assert total == sorted(total)
    assert max(b - a for a, b in pairwise(total)) < 2e9
    assert 10e9 <= total[-1] <= 15e9
    named = [s for s in CATALOG.sites.values() if not s.assumption and s.tenure == "leased"]
    # "About 7 GW" in September 2025, "more than 8 GW" with Michigan.
    assert sum(_energised_w(site, quarters[-1]) for site in named) == pytest.approx(8e9, rel=0.1)


def test_sites_hold_what_they_must_host() -> None:
    for site in CATALOG.sites.values():
        assert 1.0 < site.pue_mean.value < site.pue_peak.value < 1.5
        assert site.rack_power_limit.value >= CATALOG.system("vera-rubin-nvl72-max-p").power.value
    kyber = CATALOG.system("rubin-ultra-nvl144-kyber").power.value
    assert sum(site.rack_power_limit.value >= kyber for site in CATALOG.sites.values()) >= 5


def test_every_site_figure_says_which_power_it_counts() -> None:
    for site in CATALOG.sites.values():
        told = " ".join([site.note, site.assumption, *(step.power.note for step in site.energised)])
        assert "facility power" in told.lower() or "facility)" in told.lower(), site.name


def test_messages_and_prices_agree_with_revenue() -> None:
    """18 billion messages a week at the planning tokens and prices: near consumer revenue of July 2025."""
    fact = CATALOG.fact
    hit = fact("cache-hit-rate").value
    tokens_in = fact("input-tokens-per-message-2026").value
    message = (
        tokens_in * (1 - hit) * fact("revenue-per-input-token").value
        + tokens_in * hit * fact("revenue-per-cached-token").value
        + fact("output-tokens-per-message-2026").value * fact("revenue-per-output-token").value
    )
    year = message * fact("chatgpt-messages-per-week-2025-07").value * 365.25 / 7
    all_revenue = fact("openai-revenue-2025-07").value * 365.25 * 86400
    assert 0.5 * all_revenue < year < all_revenue


def test_messages_of_week_day_and_user_agree() -> None:
    fact = CATALOG.fact
    week = fact("chatgpt-messages-per-week-2025-07").value
    assert fact("chatgpt-messages-per-day-2025-07").value * 7 == pytest.approx(week, rel=0.02)
    per_user = week / fact("chatgpt-weekly-users-2025-08").value
    assert fact("messages-per-user-week").value == pytest.approx(per_user, rel=0.01)


def test_traffic_shapes_have_the_published_peaks() -> None:
    conversation = CATALOG.shape("azure-2024-conversation").factors
    coding = CATALOG.shape("azure-2024-coding").factors
    assert max(conversation) == pytest.approx(CATALOG.fact("conversation-peak-over-mean").value, rel=0.02)
    assert min(conversation) == pytest.approx(CATALOG.fact("conversation-trough-over-mean").value, rel=0.02)
    assert max(coding) == pytest.approx(CATALOG.fact("coding-peak-over-mean").value, rel=0.02)
    weekdays, weekend = conversation[: 5 * 24], conversation[5 * 24 :]
    assert sum(weekend) / 48 / (sum(weekdays) / 120) == pytest.approx(0.57, abs=0.02)
