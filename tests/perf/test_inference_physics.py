"""What the serving model promises physically, whatever the parameters: limits, monotony, conservation."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigaforge.errors import InputError
from gigaforge.perf.inference import (
    Engine,
    ServingConfigurations,
    ServingResults,
    Speculation,
    Traffic,
    evaluate,
    search,
)
from gigaforge.perf.inference.forward import active_experts, forward
from gigaforge.perf.inference.memory import memory
from gigaforge.perf.inference.operate import Requests, operate, slots_taken
from gigaforge.perf.inference.shapes import Layout
from gigaforge.perf.power import clock_factor, least_cap_w, system_power_w

sys.path.insert(0, str(Path(__file__).parent))
from serving_fixtures import gb200, h100, served

LENGTH = st.floats(16, 32768)
BATCH = st.floats(1, 2048)
MACHINES = [(h100(), "llama-3-70b", "fp8"), (gb200(), "deepseek-v3", "nvfp4"), (h100(), "qwen3-30b-a3b", "bf16")]


def configuration(batch: object, accelerators: float = 8.0, **more: float) -> ServingConfigurations:
    return ServingConfigurations.aggregated(accelerators, batch, **more)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(MACHINES), LENGTH, LENGTH, BATCH, st.sampled_from([1.0, 8.0]))
def test_never_above_peak_flops_nor_memory_bandwidth(
    machine: tuple, input_len: float, output_len: float, batch: float, ranks: float
) -> None:
    hardware, model, precision = machine
    moe = model != "llama-3-70b"
    c = configuration(batch, attention_data_parallel=ranks if moe else 1.0, expert_parallel=ranks if moe else 1.0)
    engine = Engine.of(served(model), hardware, precision=precision)
    for closed in (True, False):
        point = operate(engine.machine, Requests(input_len, output_len, 0.0, closed), c)
        assert np.all(point.flop_s <= hardware.peak(precision) * 1.0001)
        assert np.all(point.hbm_bytes_s <= hardware.hbm_bandwidth_bytes_s * 1.0001)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(MACHINES), LENGTH, LENGTH)
def test_latency_never_falls_and_throughput_never_falls_with_load(
    machine: tuple, input_len: float, output_len: float
) -> None:
    hardware, model, precision = machine
    batch = 2.0 ** np.arange(0, 11)
    r = evaluate(served(model), hardware, Traffic(input_len, output_len), configuration(batch), precision=precision)
    assert np.all(np.diff(r.tpot_s) >= -1e-9)
    assert np.all(np.diff(r.ttft_s) >= -1e-9)
    assert np.all(np.diff(r.requests_per_s_per_gpu) >= -1e-9)
    assert np.all(r.tpot_p99_s >= r.tpot_s)
    assert np.all(r.ttft_p99_s >= r.ttft_s)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(MACHINES), st.sampled_from(["hbm_bandwidth_bytes_s", "scale_up_bytes_s", "hbm_bytes"]), BATCH)
def test_better_hardware_is_never_slower(machine: tuple, field: str, batch: float) -> None:
    hardware, model, precision = machine
    better = replace(hardware, **{field: 2.0 * getattr(hardware, field)})
    traffic = Traffic(2048, 512, concurrency=batch)
    one, two = (
        evaluate(served(model), h, traffic, configuration(batch), precision=precision) for h in (hardware, better)
    )
    if field != "hbm_bytes":  # with more memory a closed loop runs more requests at once, each slower
        assert two.tpot_s[0] <= one.tpot_s[0] * 1.0001
        assert two.ttft_s[0] <= one.ttft_s[0] * 1.0001
    assert two.tokens_per_s_per_gpu[0] >= one.tokens_per_s_per_gpu[0] * 0.9999


def test_no_time_beats_the_weights_that_must_be_read() -> None:
    """A decode step of a dense model reads every weight once: 70.6 GB over 8 x 3.35 TB/s takes 2.6 ms."""
    r = evaluate(served("llama-3-70b"), h100(), Traffic(1024, 1024), configuration(1.0), precision="fp8")
    floor = 69.5e9 / 8 / 3.35e12
    assert floor < r.tpot_s[0] < 4 * floor


@given(st.floats(1, 1e6), st.integers(2, 512), st.integers(1, 16))
def test_experts_touched_lie_between_one_token_and_all(tokens: float, experts: int, chosen: int) -> None:
    chosen = min(chosen, experts)
    touched = float(active_experts(float(experts), float(chosen), tokens))
    assert chosen * 0.999 <= touched <= experts * 1.000001


def test_links_carry_what_the_layout_sends() -> None:
    shapes = Engine.of(served("llama-3-70b"), h100(), precision="fp8").machine
    alone = forward(shapes.shapes, shapes.rates, Layout(1.0), 8.0, 1.0, 1000.0, decode=True)
    eight = forward(shapes.shapes, shapes.rates, Layout(8.0), 8.0, 1.0, 1000.0, decode=True)
    assert alone.wire_s == 0
    assert alone.messages == 0
    # Two all-reduces of 8 tokens x 8,192 x 2 bytes in each of 80 layers, 7/8 of it twice over each link.
    assert eight.wire_s == pytest.approx(160 * 2 * 7 / 8 * 8 * 8192 * 2 / 450e9)


def test_memory_holds_the_whole_model_and_the_cache() -> None:
    engine = Engine.of(served("llama-3-70b"), h100(), precision="bf16", kv_precision="bf16").machine
    m = memory(engine.parts, engine.shapes, engine.rates, Layout(8.0), 80e9, 2048.0)
    assert float(m.weights_bytes) * 8 == pytest.approx(2 * 70.55e9, rel=0.01)
    assert float(m.kv_bytes_per_token) * 8 == pytest.approx(80 * 2 * 8 * 128 * 2)


def test_latent_cache_is_small_and_not_cut_by_tensor_parallelism() -> None:
    engine = Engine.of(served("deepseek-v3"), gb200(), precision="nvfp4", kv_precision="fp8").machine
    one, eight = (memory(engine.parts, engine.shapes, engine.rates, Layout(n), 186e9, 4096.0) for n in (1.0, 8.0))
    assert float(one.kv_bytes_per_token) == pytest.approx(61 * 576)
    assert float(eight.kv_bytes_per_token) == pytest.approx(61 * 576)


def test_a_pool_of_its_own_for_prefill_spares_decode() -> None:
    both = configuration(64.0)
    apart = replace(both, prefill_accelerators=np.array([8.0]), prefill_share=np.array([2.0]))
    traffic = Traffic(8192, 512)
    a, d = (evaluate(served("llama-3-70b"), h100(), traffic, c, precision="fp8") for c in (both, apart))
    assert d.tpot_s[0] < a.tpot_s[0]
    assert d.requests_per_s_per_gpu[0] * (8 + 16) <= 2.0 / 0.01


def test_a_starved_decode_pool_is_limited_by_its_prefill_workers() -> None:
    c = replace(configuration(256.0), prefill_accelerators=np.array([8.0]), prefill_share=np.array([0.05]))
    little = evaluate(served("llama-3-70b"), h100(), Traffic(8192, 512), c, precision="fp8")
    enough = evaluate(
        served("llama-3-70b"), h100(), Traffic(8192, 512), replace(c, prefill_share=np.array([4.0])), precision="fp8"
    )
    rate = [float(r.requests_per_s_per_gpu[0] * n) for r, n in ((little, 8.4), (enough, 40.0))]
    assert rate[0] < 0.2 * rate[1]


def test_prefix_cache_hits_shorten_the_first_token() -> None:
    cold, warm = (
        evaluate(served("llama-3-70b"), h100(), Traffic(8192, 512, hit), configuration(16.0), precision="fp8")
        for hit in (0.0, 0.9)
    )
    assert warm.ttft_s[0] < 0.5 * cold.ttft_s[0]
    assert warm.tokens_per_s_per_gpu[0] > cold.tokens_per_s_per_gpu[0]


@settings(max_examples=30, deadline=None)
@given(st.floats(200.0, 700.0), BATCH)
def test_a_power_cap_holds_and_never_speeds_up(cap: float, batch: float) -> None:
    c, traffic = configuration(batch), Traffic(2048, 512)
    free = evaluate(served("llama-3-70b"), h100(), traffic, c, precision="fp8")
    capped = evaluate(served("llama-3-70b"), h100(), traffic, c, precision="fp8", power_cap_w=cap)
    assert capped.power_w[0] <= max(cap, 80.0) + 1e-6
    assert capped.tokens_per_s_per_gpu[0] <= free.tokens_per_s_per_gpu[0] * 1.0001
    assert free.power_w[0] <= 700.0


def test_a_lower_cap_costs_more_and_most_where_compute_binds() -> None:
    caps = np.array([700.0, 600.0, 500.0, 400.0, 300.0, 231.0])

    def kept(batch: float, traffic: Traffic) -> np.ndarray:
        rates = [
            evaluate(
                served("llama-3-70b"), h100(), traffic, configuration(batch), power_cap_w=w
            ).tokens_per_s_per_gpu[0]
            for w in caps
        ]
        return np.array(rates) / rates[0]

    decode, prefill = kept(8.0, Traffic(1024, 1024)), kept(64.0, Traffic(8192, 16))
    for curve in (decode, prefill):
        assert np.all(np.diff(curve) <= 1e-12)
    assert decode[4] > 0.95  # reading weights from HBM needs few cycles
    assert prefill[4] < 0.9


def test_the_clock_follows_the_cube_then_the_line() -> None:
    h = h100()
    fixed = (0.15 + 0.2 * 0.5) * 700.0
    cube = clock_factor(h, fixed + 0.8**3 * (700.0 - fixed))
    line = clock_factor(h, fixed + 0.55**2 * 0.45 * (700.0 - fixed))
    assert cube == pytest.approx(0.8)
    assert line == pytest.approx(0.45)
    assert clock_factor(h, least_cap_w(h)) == pytest.approx(0.35)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(MACHINES), LENGTH, LENGTH, BATCH, st.floats(0.01, 8.0), st.booleans())
def test_in_a_closed_loop_little_s_law_bounds_every_wait(
    machine: tuple, input_len: float, output_len: float, batch: float, share: float, apart: bool
) -> None:
    """Requests in flight are throughput times stay, so that TTFT never exceeds concurrency over throughput."""
    hardware, model, precision = machine
    c = configuration(batch)
    if apart:
        c = replace(c, prefill_accelerators=np.array([8.0]), prefill_share=np.array([share]))
    r = evaluate(served(model), hardware, Traffic(input_len, output_len, concurrency=batch), c, precision=precision)
    size = 8.0 + share * 8.0 if apart else 8.0
    stay = batch / (r.requests_per_s_per_gpu[0] * size)
    assert r.ttft_s[0] + output_len * r.tpot_s[0] == pytest.approx(stay, rel=1e-9)
    assert 0.0 < r.ttft_s[0] <= stay * (1.0 + 1e-9)


def test_drafted_tokens_pay_when_they_are_accepted() -> None:
    def tpot(speculation: Speculation | None) -> float:
        r = evaluate(
            served("deepseek-v3"), gb200(), Traffic(1024, 1024), configuration(4.0), precision="nvfp4",
            speculation=speculation,
        )  # fmt: skip
        return float(r.tpot_s[0])

    plain = tpot(None)
    assert tpot(Speculation(3, 0.9)) < 0.7 * plain
    assert tpot(Speculation(3, 0.0)) > plain
    assert Speculation(2, 0.5).tokens_per_step == pytest.approx(1.75)


def test_a_closed_loop_beyond_the_cache_waits_outside() -> None:
    r = evaluate(
        served("llama-3-70b"),
        h100(),
        Traffic(1024, 8192, concurrency=4096),
        configuration([8.0, 4096.0], 2.0),
        precision="fp8",
    )
    assert r.feasible.tolist() == [True, True]
    assert r.ttft_s[1] > 60.0
    assert r.tpot_s[1] < 1.0


def test_an_unmeasured_generation_is_predicted_from_its_data_sheet() -> None:
    rubin = gb200(
        name="vera-rubin", chip="rubin", generation="rubin", hbm_bandwidth_bytes_s=20e12,
        peak_flop_s={"bf16": 4e15, "fp8": 17.5e15, "fp4": 35e15}, hbm_bytes=288e9,
    )  # fmt: skip
    c = configuration(512.0, attention_data_parallel=8.0, expert_parallel=8.0)
    old, new = (
        evaluate(served("deepseek-v3"), h, Traffic(1024, 1024), c, precision="nvfp4") for h in (gb200(), rubin)
    )
    assert 1.2 < new.tokens_per_s_per_gpu[0] / old.tokens_per_s_per_gpu[0] < 4.0
    assert new.high is not None
    assert old.high is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"input_len": 0}, "input_len"),
        ({"output_len": float("nan")}, "output_len"),
        ({"prefix_hit": 1.0}, "prefix_hit"),
        ({"concurrency": 0}, "concurrency"),
        ({"tpot_s": -1.0}, "tpot_s"),
        ({"percentile": "p50"}, "p50"),
        ({"rate": 1.0, "concurrency": 1.0}, "not both"),
    ],
)
def test_impossible_traffic_is_named(change: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Traffic(**{"input_len": 100, "output_len": 100, **change})


def test_a_precision_that_the_chip_lacks_is_named() -> None:
    with pytest.raises(InputError, match="no fp4 arithmetic"):
        evaluate(served("llama-3-70b"), h100(), Traffic(100, 100), configuration(1.0), precision="nvfp4")
    with pytest.raises(InputError, match="batch"):
        evaluate(served("llama-3-70b"), h100(), Traffic(100, 100), configuration(0.0), precision="fp8")
    weight_only = evaluate(served("gpt-oss-120b"), h100(), Traffic(100, 100), configuration(1.0), precision="mxfp4")
    assert np.isfinite(weight_only.tpot_s[0])


def test_node_power_agrees_with_measured_servers() -> None:
    """MLPerf v5.1 closed power: 8 x B200 serve Llama-2-70B at 10.4 kW at the wall, switches not included."""
    node = gb200(
        name="dgx-b200", chip="b200", accelerators=8, nvlink_domain=8, power_limit_w=1000.0, system_power_w=14300.0,
        overhead_power_w=0.0,
    )  # fmt: skip
    assert float(system_power_w(node, 1000.0)) == pytest.approx(10400.0, rel=0.05)
    assert float(system_power_w(node, 140.0)) < 0.4 * 10400.0


def test_long_tailed_answers_hold_more_cache_than_their_mean() -> None:
    c = configuration(64.0)
    even, spread = (
        evaluate(served("llama-3-70b"), h100(), Traffic(1000, 1000, output_spread=s), c, precision="fp8")
        for s in (0.0, 1.0)
    )
    assert spread.kv_bytes[0] / even.kv_bytes[0] == pytest.approx(2000 / 1500)
    assert spread.tpot_s[0] > even.tpot_s[0]


def test_a_grid_of_machines_is_evaluated_at_once() -> None:
    """Hardware numbers aligned with the configurations: each row as if alone, across block borders."""
    n = 20_000
    bandwidth = np.linspace(2e12, 20e12, n)
    cap = np.linspace(400.0, 700.0, n)
    c = configuration(np.full(n, 32.0))
    many = evaluate(
        served("llama-3-70b"),
        h100(hbm_bandwidth_bytes_s=bandwidth),
        Traffic(1024, 512),
        c,
        precision="fp8",
        power_cap_w=cap,
    )
    assert np.all(np.diff(many.tpot_s) <= 1e-12)
    for i in (0, 16_384, n - 1):
        one = evaluate(
            served("llama-3-70b"), h100(hbm_bandwidth_bytes_s=bandwidth[i]), Traffic(1024, 512), configuration(32.0),
            precision="fp8", power_cap_w=cap[i],
        )  # fmt: skip
        assert one.tpot_s[0] == pytest.approx(many.tpot_s[i])
        assert one.power_w[0] == pytest.approx(many.power_w[i])


def test_small_prefill_chunks_cost_more_and_whole_prompts_need_more_memory() -> None:
    c, traffic = configuration(16.0), Traffic(32768, 512)
    small, usual, whole = (
        evaluate(served("llama-3-70b"), h100(), traffic, c, precision="fp8", chunk_tokens=n)
        for n in (512.0, 8192.0, np.inf)
    )
    assert small.ttft_s[0] > usual.ttft_s[0] > whole.ttft_s[0]
    assert whole.memory_bytes[0] > usual.memory_bytes[0]
    with pytest.raises(InputError, match="prefill pass"):
        evaluate(served("llama-3-70b"), h100(), traffic, c, precision="fp8", chunk_tokens=0.0)


def engine(**more: float) -> Engine:
    base = Engine.of(served("deepseek-v3"), gb200(), precision="nvfp4")
    return replace(base, machine=base.machine._replace(**more))


def pools(batch: float, ranks: float = 1.0) -> ServingConfigurations:
    """Four decode workers of eight beside prefill workers of four."""
    one = ServingConfigurations.aggregated(8.0, batch)
    many = {"prefill_accelerators": 4.0, "prefill_attention_data_parallel": ranks, "prefill_share": 1.0}
    return replace(one, **{name: np.array([value]) for name, value in many.items()})


def test_requests_beyond_the_slots_of_a_decode_worker_wait_for_one() -> None:
    requests = Requests(1024.0, 1024.0, closed=True)
    free, bound = (
        operate(engine(slots=slots, workers=4.0).machine, requests, pools(48.0)) for slots in (np.inf, 32.0)
    )
    assert bound.tpot_s[0] < free.tpot_s[0], "fewer run at a time"
    # A third of the requests wait outside: as long as half a decode.
    assert bound.ttft_s[0] - free.ttft_s[0] == pytest.approx(0.5 * 1024 * bound.tpot_s[0], rel=0.1)
    life = bound.ttft_s + 1024 * bound.tpot_s
    assert bound.requests_per_s[0] * life[0] == pytest.approx(48.0), "Little's law"
    roomy = operate(engine(slots=200.0, workers=4.0).machine, requests, pools(48.0))
    assert roomy.ttft_s[0] == pytest.approx(free.ttft_s[0], rel=1e-3)


def test_slots_in_use_never_exceed_slots_nor_requests() -> None:
    batch = np.array([0.5, 1.0, 4.0, 8.0, 31.0, 32.0, 64.0])
    used = slots_taken(batch, 32.0, 15.0)
    assert np.all(used <= np.minimum(batch, 32.0))
    assert np.all(np.diff(used) >= 0)
    assert used[-1] == pytest.approx(32.0)
    exactly = slots_taken(np.array([4.0]), 4.0, 15.0)[0]
    assert 0.96 < exactly / 4.0 < 1.0, "dealt in turn, a full pool waits a little"
    assert slots_taken(4.0, 4.0, 1.0) == pytest.approx(4.0)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(64, 16384), st.floats(8, 4096), st.floats(0.1, 4.0), st.sampled_from([1.0, 4.0]),
    st.sampled_from([4.0, 32.0, 256.0, np.inf]), st.integers(1, 8),
)  # fmt: skip
def test_separate_pools_answer_no_sooner_and_serve_no_less_under_more_load(
    prompt: float, answer: float, share: float, ranks: float, slots: float, workers: int
) -> None:
    c = pools(1.0, ranks)
    batch = np.geomspace(1.0, 1024.0, 16)
    many = replace(
        c,
        **{name: np.full(16, value[0]) for name, value in vars(c).items()}
        | {"batch": batch, "prefill_share": np.full(16, share)},
    )
    requests = Requests(prompt, answer, closed=True)
    point = operate(engine(slots=slots, workers=float(workers)).machine, requests, many)
    for values in (point.ttft_s, point.requests_per_s):
        assert np.all(np.diff(values) >= -0.02 * values[:-1])
    assert np.allclose(point.requests_per_s * (point.ttft_s + answer * point.tpot_s), batch, rtol=1e-6)


def test_prefill_supply_bounds_what_decodes() -> None:
    requests = Requests(8192.0, 1024.0, closed=True)
    points = [operate(engine().machine, requests, pools(batch)) for batch in (64.0, 512.0, 1024.0)]
    assert points[1].requests_per_s[0] == pytest.approx(points[2].requests_per_s[0], rel=1e-3)
    assert points[2].tpot_s[0] == pytest.approx(points[1].tpot_s[0], rel=0.05), "the rest wait before prefill"
    assert points[2].ttft_s[0] > points[1].ttft_s[0] > points[0].ttft_s[0]


def test_a_prompt_on_one_attention_rank_takes_the_time_of_its_rank() -> None:
    """Ranks prefill different prompts: more of them finish together, none of them sooner."""
    requests = Requests(8192.0, 1024.0, closed=True)
    split, whole = (operate(engine().machine, requests, pools(1.0, ranks)) for ranks in (4.0, 1.0))
    assert split.ttft_s[0] > 1.5 * whole.ttft_s[0]


def test_a_mixture_has_the_cache_and_at_will_the_attention_that_a_dense_model_has() -> None:
    dense, moe = served("llama-3-70b"), served("deepseek-v3")

    def rates(shape: object, machine: object, precision: str, **more: str) -> object:
        return Engine.of(shape, machine, precision=precision, **more).machine.rates  # type: ignore[arg-type]

    for machine in (h100(), gb200()):
        assert rates(moe, machine, "fp8").kv_element == rates(dense, machine, "fp8").kv_element == 1.0  # type: ignore[attr-defined]
    assert rates(moe, h100(), "fp8", software="vllm").kv_element == 2.0, (
        "as Hopper's recipes of vLLM and SGLang keep it"
    )  # type: ignore[attr-defined]
    assert rates(moe, gb200(), "nvfp4").linear_weight == 2.0, "as its checkpoint ships"  # type: ignore[attr-defined]
    alike = rates(moe, gb200(), "nvfp4", attention_precision="nvfp4")
    for name in ("linear_weight", "peak_linear", "linear_eta_c", "kv_element"):
        assert getattr(alike, name) == getattr(rates(dense, gb200(), "nvfp4"), name)


def test_a_power_cap_counts_when_a_rate_is_sized() -> None:
    def ask(cap: float | None, mode: str) -> ServingResults:
        traffic = Traffic(2000, 500, tpot_s=0.05, rate=20.0)
        return search(served("llama-3-70b"), h100(), traffic, modes=(mode,), power_cap_w=cap)

    for mode in ("aggregated", "disaggregated"):
        free, capped = ask(None, mode), ask(350.0, mode)
        flow = capped.requests_per_s_per_gpu * capped.configurations.total_accelerators
        assert np.allclose(flow, 20.0, rtol=1e-3)
        assert np.all(capped.power_w <= 350.0 * (1 + 1e-9))
        need, before = (float(r.best().configurations.total_accelerators[0]) for r in (capped, free))
        assert need > before
