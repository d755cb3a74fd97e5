"""Works on grids of designs, the search for the best one, its limits, and the check against history."""

from __future__ import annotations

import numpy as np
import pytest

from gigaforge.catalog import load_catalog
from gigaforge.codesign.hardware import (
    Designs,
    Economics,
    Limits,
    Platform,
    Question,
    Scorer,
    ServingWork,
    TrainingWork,
    elasticities,
    evolve,
    joint_search,
    question_of_2020,
    retrodict,
    sensitivities,
    technology,
)
from gigaforge.codesign.hardware.capacity import capacity_words, plateaus
from gigaforge.codesign.hardware.converge import converge
from gigaforge.codesign.hardware.cost import cost
from gigaforge.codesign.hardware.evolve import fronts, limits_met
from gigaforge.codesign.hardware.explained import at_power_limit, domain_words, other_domains, power_words
from gigaforge.codesign.hardware.sensitivity import _moved
from gigaforge.codesign.prices import Prices
from gigaforge.errors import InputError, NoAnswerError
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference import Traffic
from gigaforge.perf.transformer import Transformer
from gigaforge.quarters import SECONDS_PER_QUARTER, Quarter

ECONOMICS = Economics.market(capital_per_year=0.28, watt_usd_per_year=1.6, joule_usd=2.5e-8)
TECHNOLOGY = technology("n4p-hbm3e")


def machine(name: str) -> Hardware:
    catalog = load_catalog()
    system = catalog.system(name)
    return Hardware.from_catalog(system, catalog.accelerator(system.accelerator))


def model(name: str) -> Transformer:
    return Transformer.from_catalog(load_catalog().model(name))


def decode() -> ServingWork:
    traffic = Traffic(2048, 512, ttft_s=2.0, tpot_s=0.04, percentile="mean")
    return ServingWork("decode", model("llama-3.1-70b"), traffic, "decode", "fp8")


def prefill() -> ServingWork:
    traffic = Traffic(2048, 512, ttft_s=2.0, tpot_s=0.04, percentile="mean")
    return ServingWork("prefill", model("llama-3.1-70b"), traffic, "prefill", "fp8")


def training() -> TrainingWork:
    return TrainingWork("training", model("llama-3.1-70b"), 576, 8e6, 8192, "fp8")


BASE = Designs.of(
    bf16_flop_s=2000e12, hbm_bytes=170e9, hbm_bandwidth_bytes_s=6.5e12, scale_up_bytes_s=800e9, scale_out_bytes_s=50e9,
    power_w=1500.0, nvlink_domain=8.0,
)  # fmt: skip


@pytest.mark.parametrize("work", [decode(), prefill(), training()], ids=lambda w: w.name)
@pytest.mark.parametrize(
    "parameter", ["bf16_flop_s", "hbm_bytes", "hbm_bandwidth_bytes_s", "scale_up_bytes_s", "scale_out_bytes_s"]
)
def test_more_of_anything_is_never_slower(work: ServingWork | TrainingWork, parameter: str) -> None:
    scorer = Scorer(Question(TECHNOLOGY, [work], [1.0], ECONOMICS))
    factors = np.linspace(0.8, 1.25, 10)
    grid = Designs.of(**(BASE.row(0) | {parameter: BASE.row(0)[parameter] * factors}))
    tokens = scorer.score(grid).tokens_per_s[:, 0]
    assert (tokens > 0).all()
    assert (np.diff(tokens) >= -2e-3 * tokens[:-1]).all(), tokens


def test_decode_lives_on_bandwidth_and_prefill_on_arithmetic() -> None:
    platform = Platform(machine("dgx-h100"))
    slow, fast = elasticities(decode(), platform), elasticities(prefill(), platform)
    assert slow["hbm_bandwidth_bytes_s"] > 0.3 > slow["bf16_flop_s"]
    assert fast["bf16_flop_s"] > 0.5 > fast["hbm_bandwidth_bytes_s"]
    assert all(v > -0.02 for v in (*slow.values(), *fast.values()))


@pytest.mark.slow
def test_the_best_design_beats_the_middle_and_random_ones_and_keeps_to_its_limits() -> None:
    limits = Limits({"nvlink_domain": (8.0, 8.0), "power_w": (400.0, 1000.0)}, package_usd=6000.0)
    question = Question(TECHNOLOGY, [prefill(), decode()], [4e15, 1e15], ECONOMICS, limits)
    found = evolve(question, population=40, generations=9)
    again = evolve(question, population=40, generations=9)
    assert found.designs.row(0) == again.designs.row(0)
    best = found.scores
    assert best.costs.power_w[0] <= 1000
    assert best.costs.package_usd[0] <= 6000
    assert (np.diff(found.history) <= 1e-12).all()
    other = Scorer(question).score(BASE.change(power_w=1000.0))
    assert best.usd[0] < other.usd[0]
    low, high = found.ranges["bf16_flop_s"]
    assert low <= found.designs.bf16_flop_s[0] <= high


@pytest.mark.slow
def test_specialised_designs_save_more_than_the_searches_noise_or_nothing() -> None:
    limits = Limits({"nvlink_domain": (8.0, 8.0)})
    question = Question(TECHNOLOGY, [prefill(), decode()], [4e15, 1e15], ECONOMICS, limits)
    questions = {"general": question, **{w.name: question.only(w.name) for w in question.works}}
    found = converge(questions)
    general = found["general"].found
    assert max(one.noise for one in found.values()) < 0.01
    for w, work in enumerate(question.works):
        own = found[work.name].found
        assert own.scores.usd[0] <= general.scores.usd_by_work[0, w] * 1.005
    # Searched alone, without the layouts that the specialised designs found, it agrees within the noise allowed above.
    again = converge({"general": question})["general"].found
    assert again.scores.usd[0] == pytest.approx(general.scores.usd[0], rel=0.01)
    stacks = general.scores.costs.stacks[0]
    assert stacks == round(stacks), "memory is bought by the stack"


def test_a_design_says_what_its_power_limit_leaves_and_what_other_domains_would_do() -> None:
    question = Question(TECHNOLOGY, [training()], [1e15], ECONOMICS)
    scorer = Scorer(question)
    full = cost(BASE.change(power_w=np.inf), TECHNOLOGY).full_power_w
    left = [
        at_power_limit(question, d, cost(d, TECHNOLOGY)) for d in (BASE.change(power_w=f * full) for f in (1.0, 0.7))
    ]
    assert left[0]["clock"] == 1.0
    assert power_words(left[0]) == ""
    assert 0.5 < left[1]["clock"] < 1.0
    assert left[1]["bf16_flop_s"] == pytest.approx(left[1]["clock"] * 2000e12)
    assert f"would draw {full[0]:,.0f} W" in power_words(left[1])

    rows = other_domains(question, scorer, BASE)
    assert [r["nvlink_domain"] for r in rows] == sorted(TECHNOLOGY.domains)
    mine = rows[0]
    assert (mine["cost"], mine["seconds"], mine["system_usd"]) == (1.0, 1.0, 1.0)
    wide = Scorer(question).score(BASE.change(nvlink_domain=72.0), enforce=False)
    narrow = Scorer(question).score(BASE, enforce=False)
    assert rows[-1]["cost"] == pytest.approx(float(wide.usd[0] / narrow.usd[0]))
    assert rows[-1]["seconds"] == pytest.approx(float(narrow.tokens_per_s[0, 0] / wide.tokens_per_s[0, 0]))
    assert "Its NVLink domain is 8. The same accelerator over 16 would cost" in domain_words(rows, 8.0)
    # The least and the most allowed are told as limits, where there was a choice.
    limits = limits_met(BASE, narrow, question)
    assert "NVLink domain at its least" in limits
    held = Question(TECHNOLOGY, [training()], [1e15], ECONOMICS, Limits({"nvlink_domain": (8.0, 8.0)}))
    assert not any("domain" in line for line in limits_met(BASE, narrow, held))


def test_a_stack_at_its_fullest_or_fastest_is_told_as_a_limit() -> None:
    question = Question(TECHNOLOGY, [training()], [1e15], ECONOMICS)
    (least, _), (_, fastest) = TECHNOLOGY.stack_bytes, TECHNOLOGY.stack_bytes_s
    thin = BASE.change(hbm_bytes=4 * least, hbm_bandwidth_bytes_s=4 * fastest)
    told = limits_met(thin, Scorer(question).score(thin, enforce=False), question)
    assert f"capacity of an HBM stack at its least ({least / 1e9:g} GB)" in told
    assert f"bandwidth of an HBM stack at its most ({fastest / 1e12:g} TB/s)" in told
    middle = BASE.change(hbm_bytes=3.5 * TECHNOLOGY.stack_bytes[1], hbm_bandwidth_bytes_s=3.5 * fastest)
    assert not any(
        "of an HBM stack" in line
        for line in limits_met(middle, Scorer(question).score(middle, enforce=False), question)
    )


def test_two_objectives_give_a_front() -> None:
    question = Question(TECHNOLOGY, [decode()], [1e15], ECONOMICS, Limits({"nvlink_domain": (8.0, 8.0)}))
    found = evolve(question, objective="both", population=48, generations=12)
    assert len(found.designs) > 3
    assert (np.diff(found.scores.usd) >= 0).all()
    assert (np.diff(found.scores.joules) <= 0).all()
    assert fronts(np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [3.0, 3.0]])).tolist() == [0, 0, 1, 2]


def test_empty_ranges_and_ranges_outside_the_cost_model_are_refused() -> None:
    with pytest.raises(InputError, match=r"range of HBM capacity, 300 GB to 200 GB, is empty"):
        Limits({"hbm_bytes": (300e9, 200e9)})
    with pytest.raises(InputError, match=r"leaves the cost model's validity in n4p-hbm3e"):
        Question(TECHNOLOGY, [decode()], [1.0], ECONOMICS, Limits({"hbm_bytes": (100e9, 9000e9)}))
    with pytest.raises(InputError, match="unknown parameter 'hbm'"):
        Limits({"hbm": (1.0, 2.0)})
    with pytest.raises(
        InputError, match="no NVLink domain from 40 to 60 exists in n4p-hbm3e; there are 8, 16, 32, 72"
    ):
        Question(TECHNOLOGY, [decode()], [1.0], ECONOMICS, Limits({"nvlink_domain": (40.0, 60.0)}))
    with pytest.raises(
        InputError, match=r"no package can be made for \$10 in n4p-hbm3e: the least in these ranges costs \$"
    ):
        Question(TECHNOLOGY, [decode()], [1.0], ECONOMICS, Limits(package_usd=10.0))
    with pytest.raises(NoAnswerError, match="no design"):
        evolve(
            Question(TECHNOLOGY, [decode()], [1.0], ECONOMICS, Limits(silicon_mm2=10.0)), population=8, generations=2
        )


def test_the_joint_search_finds_what_a_loop_over_its_parts_finds() -> None:
    work = decode()
    spread = np.linspace(0.8, 1.2, 5)
    numbers = {n: v for n, v in BASE.row(0).items() if n != "hbm_bandwidth_bytes_s"}
    designs = Designs.of(**numbers, hbm_bandwidth_bytes_s=6.5e12 * spread)
    whole = joint_search(work, designs, TECHNOLOGY, ECONOMICS, caps=(0.6, 1.0))
    ways = Scorer(Question(TECHNOLOGY, [work], [1.0], ECONOMICS)).candidates(designs.take(slice(0, 1)), 0).ways
    parts = [
        joint_search(work, designs.take(slice(i, i + 1)), TECHNOLOGY, ECONOMICS, caps=(c,), ways=ways)
        for i in range(5)
        for c in (0.6, 1.0)
    ]
    assert whole.evaluated == sum(p.evaluated for p in parts)
    assert whole.tokens_per_usd[0] == pytest.approx(max(p.tokens_per_usd.max() for p in parts))
    assert whole.tokens_per_joule[-1] == pytest.approx(max(p.tokens_per_joule.max() for p in parts))
    assert (np.diff(whole.tokens_per_joule) > 0).all()
    assert (np.diff(whole.tokens_per_usd) < 0).all()
    with pytest.raises(InputError, match="power caps"):
        joint_search(work, designs, TECHNOLOGY, ECONOMICS, caps=(0.0,))


def plan_prices() -> Prices:
    quarters = [Quarter(4 * 2026 + i) for i in range(4)]
    market = Prices.market(
        quarters, systems=["dgx-h100"], power_usd_per_w_year=2.0, energy_usd_per_j=2e-8, token_usd={"chat": 2e-6}, discount_rate=0.1
    )  # fmt: skip
    racks = np.array([0.0, 10.0, 20.0, 20.0])
    return Prices(
        **(vars(market) | {
            "racks_used": {("chat", "dgx-h100"): racks},
            "racks_online": {"dgx-h100": racks},
            "racks_bought": {"dgx-h100": np.array([0.0, 10.0, 10.0, 0.0])},
            "tokens_made": {("chat", "dgx-h100"): racks * 1000.0 * SECONDS_PER_QUARTER},
        })
    )  # fmt: skip


def test_sensitivities_follow_the_envelope_theorem() -> None:
    prices, work = plan_prices(), decode()
    platform = Platform(machine("dgx-h100"), technology=technology("n4-hbm3"))
    found = {s.parameter: s for s in sensitivities(prices, {"dgx-h100": platform}, {"chat": work})}
    slope = elasticities(work, platform)
    worth = float((prices.token_usd["chat"] * prices.tokens_made["chat", "dgx-h100"]).sum())
    hbm = found["hbm_bandwidth_bytes_s"]
    assert hbm.usd == pytest.approx(worth * slope["hbm_bandwidth_bytes_s"] * 1e12 / 3.35e12)
    assert hbm.usd_per_accelerator == pytest.approx(hbm.usd / 160)
    assert hbm.low < hbm.usd < hbm.high
    drawn = found["power_drawn_w"]
    per_w = prices.watt_usd["dgx-h100"] + prices.joule_usd["dgx-h100"] * SECONDS_PER_QUARTER
    assert drawn.usd == pytest.approx(8 * float((prices.racks_online["dgx-h100"] * per_w).sum()))
    # HBM at $16/GB, tested and marked up 8.4 times, and nothing drawn by capacity alone.
    assert found["hbm_bytes"].cost_usd > 16 * 8.4
    assert found["hbm_bytes"].to_dict()["net_usd_per_accelerator"] is not None


def test_hbm_capacity_is_asked_stack_by_stack_since_it_acts_in_steps() -> None:
    prices, work = plan_prices(), decode()
    platform = Platform(machine("dgx-h100"), technology=technology("n4-hbm3"))
    row = next(s for s in sensitivities(prices, {"dgx-h100": platform}, {"chat": work}) if s.parameter == "hbm_bytes")
    # Five stacks of 16 GB: from three to ten, today's left out.
    assert [round(s.hbm_bytes / 16e9) for s in row.steps] == [3, 4, 6, 7, 8, 9, 10]
    worth = float((prices.token_usd["chat"] * prices.tokens_made["chat", "dgx-h100"]).sum())
    ways, cap = work.candidates(platform.hardware), np.full(1, float(platform.hardware.power_limit_w))
    now = work.output(design_grid(platform.hardware, 1.0), ways, cap).tokens_per_s[0]
    for s in row.steps:
        there = work.output(design_grid(platform.hardware, s.hbm_bytes / 80e9), ways, cap).tokens_per_s[0]
        assert s.usd == pytest.approx(worth * (there / now - 1), rel=0.02, abs=2e-3 * worth)
        assert s.usd_per_accelerator == pytest.approx(s.usd / 160)
        assert np.sign(s.cost_usd) == np.sign(s.more_bytes)
    assert (np.diff([s.usd for s in row.steps]) >= -1e-3 * worth).all(), "more memory is never worth less"
    told = row.to_dict()["steps"][0]
    assert told["gb"] == pytest.approx(48)
    assert told["usd_per_gb"] == pytest.approx(row.steps[0].usd_per_accelerator / -32)


def design_grid(hardware: Hardware, factor: float) -> Hardware:
    return _moved(hardware, {"hbm_bytes": np.array([factor])})


def step(gb: float, change: float, cost: float | None = 0.0) -> dict[str, object]:
    return {
        "gb": gb, "more_gb": gb - 80, "yields": {"chat": 1 + change}, "usd_per_accelerator": 1000 * change,
        "usd_per_gb": 1000 * change / (gb - 80), "cost_usd_per_accelerator": cost,
    }  # fmt: skip


def test_capacity_is_told_by_where_it_first_gains_and_first_loses() -> None:
    rows = [step(48, -1.0), step(64, -0.1, -300.0), step(96, 0.0), step(160, 0.2, 1500.0)]
    assert capacity_words(rows, 80) == [
        "HBM gains first at 160 GB (chat +20.0 %): worth $200 an accelerator, $2 for each GB more and costs $1,500.",
        "Less loses first at 64 GB (chat -10.0 %): $100 an accelerator, $6 for each GB less and saves $300.",
    ]
    flat = [step(48, 0.0), step(96, 0.001)]
    assert capacity_words(flat, 80) == [
        "More HBM than 80 GB gains nothing up to 96 GB: latency or arithmetic binds before it.",
        "Down to 48 GB nothing would be lost.",
    ]
    assert "chat no longer runs" in capacity_words([step(48, -1.0, None)], 80)[0]
    runs = step(160, 0.2) | {"yields": {"chat": 1.0, "frontier": 1.2, "research": 1.2, "next": 1.2}}
    assert "(frontier and 2 others +20.0 %)" in capacity_words([runs], 80)[0]


def test_of_capacities_that_yield_the_same_the_least_is_told() -> None:
    rows = [step(48, -0.1), step(64, -0.1), step(72, 0.0), step(96, 0.001), step(160, 0.2), step(176, 0.2)]
    assert [s["gb"] for s in plateaus(rows)] == [48, 72, 160]


def test_economics_come_from_the_plans_prices() -> None:
    prices = plan_prices()
    e = Economics.of(prices, "dgx-h100", life_years=5, discount_rate=0.1, maintenance=0.03)
    assert e.capital_per_s * 4 * SECONDS_PER_QUARTER == pytest.approx(0.28)
    assert e.watt_usd_per_s * 4 * SECONDS_PER_QUARTER == pytest.approx(2.0)
    with pytest.raises(InputError, match="no price of power for 'x'"):
        Economics.of(prices, "x")
    with pytest.raises(InputError, match="nothing costs anything"):
        Economics(0.0, 0.0, 0.0)


@pytest.mark.slow
def test_from_2020_the_next_accelerator_is_balanced_like_the_h100() -> None:
    question = question_of_2020(machine("dgx-a100"))
    came = machine("dgx-h100")
    found = retrodict(question, came)
    within = found.within(1.5)
    assert within["flop_per_hbm_byte"]
    assert within["hbm_byte_per_flop_s"]
    # NVLink is loosely determined: H100's own lies among the designs within 2 % of the least cost (docs/hardware-roadmap.md).
    low, high = found.found.ranges["scale_up_bytes_s"]
    assert low < float(came.scale_up_bytes_s) < high
    assert found.factor["nvlink_per_hbm"] > 0.5
    # What came takes the whole reticle too, and nearly the power allowed.
    assert found.found.scores.costs.die_mm2[0] > 780
    assert 550 < found.found.scores.costs.power_w[0] <= 700
