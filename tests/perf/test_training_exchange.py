"""Communication inside a block, the network beyond the pod, and effects that one switch turns on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_fixtures import GPT3, LLAMA_8B, MIXTRAL, TINY, dgx_h100, job

from gigaforge.errors import InputError
from gigaforge.perf.collectives import Fabric, all_gather_s
from gigaforge.perf.training import CONTEXT_MODES, SearchSpace, TrainingStrategies, evaluate, search, search_hardware
from gigaforge.perf.training.exchange import Shape, expert_exchange_s
from gigaforge.perf.training.layer import layer_times
from gigaforge.perf.training.machine import Machine
from gigaforge.perf.training.parameters import key_of, shipped
from gigaforge.perf.transformer import Transformer

RING, GATHER, ULYSSES = range(3)
DEEPSEEK = Transformer(
    "deepseek-v3", 61, 7168, 128, 128, 128, 18432, 129280, 61, 3, 58, experts=256, experts_per_token=8,
    expert_d_ff=2048, expert_d_model=7168, shared_d_ff=2048, q_lora_rank=1536, kv_lora_rank=512, rope_head_dim=64,
    v_head_dim=128,
)  # fmt: skip


def step(model=LLAMA_8B, hardware=None, work=None, **columns):
    columns = {"data_parallel": 8, **columns}
    return evaluate(model, hardware or dgx_h100(), work or job(8, 64, 8192), TrainingStrategies.of(**columns))


def seconds(result, part):
    return float(result.breakdown[part][0])


def machine_and_constants(precision="bf16", **figures):
    hardware = dgx_h100(**figures)
    return Machine.of(hardware, precision), shipped().constants(key_of(hardware, precision, "megatron-bridge"))


def test_each_context_mode_pays_for_what_it_moves():
    columns = {"data_parallel": 1, "context_parallel": 8}
    ring, gather, ulysses = (
        seconds(step(work=job(8, 8, 65536), context_mode=m, **columns), "context_comm") for m in range(3)
    )
    # A gather hides nothing of what the ring hides in part.
    assert 0 < ring < gather
    # Llama 3 8B: queries and outputs of 32 heads, keys and values of 8, against all 8 key-value heads of 8 ranks.
    moved = (2 * 32 + 2 * 8) * 128 / 8 * 7 / 8
    gathered = 2 * 8 * 128 * 7 / 8
    assert ulysses / gather == pytest.approx(moved / gathered, rel=0.1)


def test_without_context_parallelism_there_is_one_mode():
    assert {seconds(step(context_mode=m), "context_comm") for m in range(3)} == {0.0}


def test_ulysses_needs_a_head_for_every_rank():
    long = job(64, 8, 65536)
    words = {"data_parallel": 1, "tensor_parallel": 4, "context_parallel": 16}
    with pytest.raises(InputError, match="does not divide 32 heads"):
        step(work=long, context_mode=ULYSSES, **words)
    found = search(LLAMA_8B, dgx_h100(), long, keep=10_000, space=SearchSpace.usual(context_mode=(0, 1, 2)))
    s = found.strategies
    modes = s.context_mode == ULYSSES
    assert modes.any()
    assert (32 % (s.tensor_parallel * s.context_parallel)[modes] == 0).all()
    assert found.strategies.row(0)["context_mode"] in CONTEXT_MODES


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([2, 4, 8, 16, 64, 256]),
    st.sampled_from([1, 4, 8, 72]),
    st.sampled_from([1, 2, 8]),
    st.floats(1.0, 3.0),
)
def test_grouped_dispatch_never_sends_more(expert_parallel, domain, chosen, load):
    machine, c = machine_and_constants(nvlink_domain=domain)
    model = replace(DEEPSEEK, experts_per_token=chosen)
    shape = Shape(1, 4096, 1, 1, expert_parallel, 1, 0, expert_load=load)
    grouped, plain = (
        float(expert_exchange_s(model, machine, c, replace(shape, grouped_dispatch=g), 1.0, 1.0, 1.0))
        for g in (1.0, 0.0)
    )
    assert 0 < grouped <= plain * (1 + 1e-12)


@settings(max_examples=25, deadline=None)
@given(st.floats(1.0, 4.0), st.floats(1.0, 2.0))
def test_an_uneven_load_of_experts_is_never_cheaper(load, more):
    columns = {"data_parallel": 16, "expert_parallel": 8, "expert_tensor_parallel": 1}
    even, uneven = (step(MIXTRAL, work=job(16, 64, 4096, expert_load=x), **columns) for x in (load, load * more))
    assert float(uneven.step_time_s[0]) >= float(even.step_time_s[0]) * (1 - 1e-12)
    assert float(uneven.memory_bytes[0]) >= float(even.memory_bytes[0]) * (1 - 1e-12)


@settings(max_examples=25, deadline=None)
@given(st.floats(1.0, 8.0), st.floats(1.0, 4.0), st.sampled_from(["data", "pipeline", "sharded"]))
def test_a_narrower_network_is_never_faster(oversubscription, more, kind):
    columns = {
        "data": {"data_parallel": 64},
        "pipeline": {"data_parallel": 8, "pipeline_parallel": 8},
        "sharded": {"data_parallel": 64, "sharding": 3},
    }[kind]
    work = job(64, 128, 4096)

    def time(o, rate):
        network = {"oversubscription": o, "pod": 16, "site_accelerators": 32, "site_bytes_s": rate}
        return float(step(GPT3, dgx_h100(**network, site_latency_s=2e-3), work, **columns).step_time_s[0])

    assert time(oversubscription * more, 2e9) >= time(oversubscription, 2e9) * (1 - 1e-12)
    assert time(oversubscription, 2e9 / more) >= time(oversubscription, 2e9) * (1 - 1e-12)
    assert time(1.0, 2e9) > float(step(GPT3, dgx_h100(), work, **columns).step_time_s[0])


def test_every_edge_of_a_ring_passes_all_pieces_but_one():
    # nccl-tests' bus bandwidth of an all-gather is data x (n - 1)/n over time, whatever the nodes.
    fabric = Fabric(8, 450e9, 50e9, 0.0, 0.0)
    assert float(all_gather_s(16, 8, 8e9, fabric)) == pytest.approx(8e9 * 15 / 16 / (8 * 50e9))


def test_hybrid_sharding_keeps_what_one_group_shares():
    work = job(64, 128, 4096)
    whole, hybrid = (step(work=work, data_parallel=64, sharding=3, sharding_group=g) for g in (0, 8))
    assert float(hybrid.memory["optimizer"][0]) == pytest.approx(8 * float(whole.memory["optimizer"][0]))
    found = search(LLAMA_8B, dgx_h100(), work, keep=50, space=SearchSpace.usual(sharding=(3,), sharding_group=(8,)))
    assert (found.strategies.sharding_group == 8).all()


def test_a_pipeline_sends_each_tensor_ranks_share():
    work = job(32, 32, 4096)
    columns = {"data_parallel": 1, "pipeline_parallel": 4, "micro_batch": 1}
    parts = [
        seconds(step(GPT3, work=work, tensor_parallel=8, sequence_parallel=sp, **columns), "pipeline_comm")
        for sp in (0, 1)
    ]
    # Without sequence parallelism the receivers gather the rest inside their node, a ninth of the network's time.
    assert parts[1] < parts[0] < 2 * parts[1]


def test_precision_conversion_costs_traffic_and_bf16_has_none():
    shape = Shape(1, 4096, 1, 1, 1, 1, 0)
    for precision, dearer in (("bf16", False), ("fp8", True)):
        machine, c = machine_and_constants(precision)
        free, paid = (layer_times(LLAMA_8B, machine, replace(c, quantise=q), shape) for q in (0.0, 1.0))
        assert (float(paid.linear_f) > float(free.linear_f)) == dearer


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"mtp_layers": 1}, "linear"),
        ({"shared_d_ff": 8192}, "linear"),
        ({"sliding_window": 0}, "attention"),
        ({"ff_matrices": 3}, "elementwise"),
    ],
)
def test_every_part_of_an_architecture_takes_its_time(changes, part):
    machine, c = machine_and_constants()
    shape = Shape(1, 8192, 1, 1, 1, 1, 0)
    base = replace(DEEPSEEK, mtp_layers=0, shared_d_ff=2048, sliding_window=1024, ff_matrices=2)
    less, more = (getattr(layer_times(t, machine, c, shape), f"{part}_f") for t in (base, replace(base, **changes)))
    assert float(more) > float(less)


@pytest.mark.parametrize("cap", [0.0, 50.0, 200.0, float("nan")])
def test_a_cap_that_cannot_be_kept_is_refused_by_search_too(cap):
    with pytest.raises(InputError, match="least cap"):
        search(TINY, dgx_h100(), job(8, 8), power_cap_w=cap)
    with pytest.raises(InputError, match="least cap"):
        evaluate(TINY, dgx_h100(), job(8, 8), TrainingStrategies.of(data_parallel=8), power_cap_w=cap)


def test_a_grid_of_hardware_is_searched_point_by_point():
    axes = {"hbm_bandwidth_bytes_s": (2e12, 4e12), "flop_s": (1.0, 2.0)}
    points = list(search_hardware(TINY, dgx_h100(), job(8, 64), axes))
    assert [tuple(p.figures.values()) for p in points] == [(2e12, 1.0), (2e12, 2.0), (4e12, 1.0), (4e12, 2.0)]
    alone = search(TINY, dgx_h100(hbm_bandwidth_bytes_s=4e12), job(8, 64), keep=1)
    assert float(points[2].results.step_time_s[0]) == float(alone.step_time_s[0])
    times = [float(p.results.step_time_s[0]) for p in points]
    assert times[3] == min(times)
    with pytest.raises(InputError, match="'warp' is none"):
        search_hardware(TINY, dgx_h100(), job(8, 64), {"warp": (1.0,)})
    with pytest.raises(InputError, match="above zero"):
        search_hardware(TINY, dgx_h100(), job(8, 64), {"flop_s": (0.0,)})
