"""The search finds what brute force finds, and says why nothing fits."""

from __future__ import annotations

import numpy as np
import pytest
from training_fixtures import GPT3, LLAMA_8B, MIXTRAL, dgx_h100, job

from gigaforge.errors import NoAnswerError
from gigaforge.perf.training import SearchSpace, TrainingStrategies, evaluate, search
from gigaforge.perf.training.space import grids


def everything(model, work, space):
    parts = [g.row(np.arange(g.rows * g.columns)) for g in grids(model, work, space, 512)]
    return TrainingStrategies.concatenate(parts)


@pytest.mark.parametrize("model", [LLAMA_8B, MIXTRAL])
def test_the_best_is_the_best_of_all(model):
    work = job(16, 32)
    found = search(model, dgx_h100(), work, keep=5, chunk=1000)
    brute = evaluate(model, dgx_h100(), work, everything(model, work, SearchSpace()))
    assert found.evaluated == brute.strategies.size
    assert found.feasible_count == brute.feasible_count
    np.testing.assert_allclose(found.step_time_s, brute.step_time_s[:5], rtol=1e-9)


def test_the_size_of_the_chunks_changes_nothing():
    work = job(64, 128)
    small, large = (search(LLAMA_8B, dgx_h100(), work, keep=3, chunk=c) for c in (300, 100_000))
    np.testing.assert_array_equal(small.step_time_s, large.step_time_s)
    assert small.strategies.row(0) == large.strategies.row(0)


def test_every_strategy_found_is_valid():
    work = job(48, 96)
    found = search(MIXTRAL, dgx_h100(), work, keep=200)
    s = found.strategies
    assert (s.tensor_parallel * s.pipeline_parallel * s.context_parallel * s.data_parallel == 48).all()
    assert (96 % (s.data_parallel * s.micro_batch) == 0).all()
    ranks = s.tensor_parallel * s.context_parallel * s.data_parallel
    assert (ranks % (s.expert_parallel * s.expert_tensor_parallel) == 0).all()


def test_the_best_first_and_what_fits_before_what_does_not():
    found = search(GPT3, dgx_h100(), job(64, 64), keep=500)
    assert (np.diff(found.feasible.astype(int)) <= 0).all()
    fits = found.step_time_s[found.feasible]
    assert (np.diff(fits) >= 0).all()


def test_gpt3_on_512_takes_the_layout_of_the_record_run():
    # MLPerf v4.0/v4.1: 512 H100, fp8, tp 4, pp 8, micro-batch 2, batch 2,048: 9.5 s a step (8-point median of logs)
    # https://github.com/mlcommons/training_results_v4.1
    found = search(
        GPT3, dgx_h100(), job(512, 2048, precision="fp8", software="mlperf"), keep=3, space=SearchSpace.usual()
    )
    best = found.strategies.row(0)
    assert (best["tensor_parallel"], best["recompute"]) == (4, "none")
    assert float(found.step_time_s[0]) == pytest.approx(9.5, rel=0.15)


def test_a_model_too_large_says_by_how_much():
    found = search(GPT3, dgx_h100(), job(8, 8), keep=1)
    assert not found.feasible[0]
    assert found.feasible_count == 0
    assert float(found.memory_over_bytes[0]) > 100e9


def test_degrees_that_cannot_be_are_explained():
    with pytest.raises(NoAnswerError) as caught:
        search(LLAMA_8B, dgx_h100(), job(8, 64), space=SearchSpace(tensor_parallel=(3,)))
    assert any("tensor parallel 3" in reason for reason in caught.value.reasons)


def test_a_sharding_that_no_pipeline_takes_is_answered():
    space = SearchSpace.usual(sharding=(3,), pipeline_parallel=(2,))
    with pytest.raises(NoAnswerError, match="sharding full"):
        search(LLAMA_8B, dgx_h100(), job(8, 64), space=space)
