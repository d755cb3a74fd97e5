"""What a step's prediction promises, whatever the strategy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_fixtures import GPT3, LLAMA_8B, MIXTRAL, TINY, dgx_h100, job

from gigaforge.errors import InputError
from gigaforge.perf.training import BREAKDOWN, MEMORY, TrainingJob, TrainingStrategies, evaluate
from gigaforge.perf.training.step import stage_blocks

MODELS = st.sampled_from([GPT3, LLAMA_8B, MIXTRAL, TINY])


@st.composite
def layouts(draw):
    model = draw(MODELS)
    tp, pp, cp, dp = (draw(st.sampled_from(c)) for c in ([1, 2, 4, 8], [1, 2, 4], [1, 2], [1, 2, 4, 16]))
    micro, steps = draw(st.sampled_from([1, 2])), draw(st.sampled_from([4, 8]))
    strategies = TrainingStrategies.of(
        tensor_parallel=tp, pipeline_parallel=pp, context_parallel=cp, data_parallel=dp, micro_batch=micro,
        recompute=draw(st.sampled_from([0, 1, 2])), sharding=draw(st.sampled_from([0, 1, 3] if pp == 1 else [0, 1])),
        sequence_parallel=int(tp > 1), schedule=draw(st.sampled_from([0, 1, 2, 3] if pp > 1 else [0])),
        expert_parallel=draw(st.sampled_from([1, 2])) if model is MIXTRAL and dp * cp * tp > 1 else 1,
        expert_tensor_parallel=1,
    )  # fmt: skip
    precision = draw(st.sampled_from(["bf16", "fp8"]))
    return model, strategies, job(tp * pp * cp * dp, dp * micro * steps, 2048, precision=precision)


@settings(max_examples=60, deadline=None)
@given(layouts())
def test_no_step_beats_the_peak_and_its_parts_add_up(case):
    model, strategies, work = case
    r = evaluate(model, dgx_h100(), work, strategies)
    assert np.isfinite(r.step_time_s).all()
    assert 0 < float(r.mfu[0]) < 1
    assert sum(float(r.breakdown[k][0]) for k in BREAKDOWN) == pytest.approx(float(r.step_time_s[0]), rel=1e-9)
    assert sum(float(r.memory[k][0]) for k in MEMORY) == pytest.approx(float(r.memory_bytes[0]), rel=1e-9)
    assert all(float(r.breakdown[k][0]) >= 0 for k in BREAKDOWN)
    assert 75.0 <= float(r.power_w[0]) <= 700.0


@settings(max_examples=40, deadline=None)
@given(layouts(), st.sampled_from(["hbm_bandwidth_bytes_s", "scale_up_bytes_s", "scale_out_bytes_s"]))
def test_more_bandwidth_is_never_slower(case, which):
    model, strategies, work = case
    base = dgx_h100()
    faster = replace(base, **{which: 2 * getattr(base, which)})
    slow, fast = (float(evaluate(model, h, work, strategies).step_time_s[0]) for h in (base, faster))
    assert fast <= slow * (1 + 1e-9)


@settings(max_examples=30, deadline=None)
@given(layouts())
def test_more_flops_are_never_slower(case):
    model, strategies, work = case
    faster = dgx_h100(peak_flop_s={"bf16": 2e15, "fp8": 4e15})
    slow, fast = (float(evaluate(model, h, work, strategies).step_time_s[0]) for h in (dgx_h100(), faster))
    assert fast <= slow * (1 + 1e-9)


def one(**columns):
    return TrainingStrategies.of(**{"data_parallel": 8, **columns})


def test_recompute_trades_time_for_memory():
    work = job(8, 64)
    kept, again = (evaluate(LLAMA_8B, dgx_h100(), work, one(recompute=k, micro_batch=2)) for k in (0, 2))
    assert float(again.memory["activations"][0]) < 0.3 * float(kept.memory["activations"][0])
    assert 1.1 < float(again.step_time_s[0] / kept.step_time_s[0]) < 1.45


def test_sharding_divides_what_it_says():
    states = [evaluate(LLAMA_8B, dgx_h100(), job(8, 64), one(sharding=z)).memory for z in range(4)]
    optimizer = [float(m["optimizer"][0]) for m in states]
    weights = [float(m["weights"][0]) for m in states]
    assert optimizer[0] / optimizer[1] == pytest.approx(8)
    assert weights[0] == weights[2] > 2 * weights[3]
    assert optimizer[0] == pytest.approx(12 * float(LLAMA_8B.parameters), rel=0.001)


def test_interleaving_shortens_the_bubble_and_zero_bubble_removes_it():
    columns = {"data_parallel": 1, "tensor_parallel": 8, "pipeline_parallel": 8, "micro_batch": 1}
    plain, inter, zero = (
        evaluate(GPT3, dgx_h100(), job(64, 32), TrainingStrategies.of(**columns, **extra))
        for extra in ({}, {"virtual_pipeline": 6}, {"schedule": 2})
    )
    bubble = [float(r.breakdown["bubble"][0]) for r in (plain, inter, zero)]
    assert bubble[0] == pytest.approx(7 / 32 * (float(plain.step_time_s[0]) - bubble[0]), rel=0.25)
    assert bubble[0] > 3 * bubble[1] > bubble[2]
    # ... and pays with memory
    assert float(zero.memory["activations"][0]) > 1.8 * float(plain.memory["activations"][0])


def test_a_power_cap_slows_compute_and_saves_power():
    results = [
        evaluate(GPT3, dgx_h100(), job(64, 64), one(tensor_parallel=8), power_cap_w=w) for w in (None, 500.0, 300.0)
    ]
    times = [float(r.step_time_s[0]) for r in results]
    watts = [float(r.power_w[0]) for r in results]
    assert times[0] < times[1] < times[2]
    assert watts[0] > watts[1] > watts[2]
    assert watts[2] <= 300.0


def test_hardware_may_be_a_grid():
    grid = dgx_h100(hbm_bandwidth_bytes_s=np.array([2e12, 3.35e12, 8e12]))
    r = evaluate(TINY, grid, job(8, 64), TrainingStrategies.of(data_parallel=[8, 8, 8], micro_batch=8))
    assert (np.diff(np.sort(r.step_time_s)) > 0).all()


def test_expert_parallelism_across_nodes_costs_more_than_within():
    def exchange(ep, domain):
        s = TrainingStrategies.of(data_parallel=16, expert_parallel=ep, expert_tensor_parallel=1)
        r = evaluate(MIXTRAL, dgx_h100(nvlink_domain=domain), job(16, 64), s)
        return float(r.breakdown["expert_comm"][0])

    assert exchange(1, 8) == 0.0
    assert exchange(8, 8) < exchange(8, 4)


def test_stages_share_the_blocks_with_embedding_and_head():
    # Llama 3.1 405B: 126 blocks, embedding and head count as one each over 8 stages of 8 chunks
    first, middle, last = (float(x) for x in stage_blocks(126, 8, 8))
    assert (first, middle, last) == (15, 16, 15)
    assert [float(x) for x in stage_blocks(80, 4, 5)] == [20, 20, 20]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"tensor_parallel": 2}, "must multiply to 8"),
        ({"tensor_parallel": 3, "data_parallel": 1}, "must multiply"),
        ({"tensor_parallel": 0}, "at least 1"),
        ({"micro_batch": 5}, "not a multiple"),
        ({"expert_parallel": 2}, "dense model"),
    ],
)
def test_impossible_degrees_are_named(columns, words):
    with pytest.raises(InputError, match=words):
        evaluate(LLAMA_8B, dgx_h100(), job(8, 64), one(**columns))


def test_heads_must_divide():
    with pytest.raises(InputError, match="32 heads"):
        evaluate(LLAMA_8B, dgx_h100(), job(3, 3), TrainingStrategies.of(tensor_parallel=3))


def test_a_precision_the_chip_lacks_is_refused():
    with pytest.raises(InputError, match="fp4"):
        evaluate(LLAMA_8B, dgx_h100(), job(8, 64, precision="nvfp4"), one())


@pytest.mark.parametrize("field", ["accelerators", "global_batch", "seq_len"])
def test_a_job_needs_positive_counts(field):
    with pytest.raises(InputError, match=field):
        TrainingJob(**{"accelerators": 8, "global_batch": 8, "seq_len": 8, field: 0})
