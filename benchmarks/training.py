"""How fast training strategies are judged: beside a plain loop over the same physics, and beside Calculon's rate.

Calculon 1.0.0 (https://github.com/calculon-ai/calculon), run on a 2-core machine of this kind with its debug logging
off: 1,385 to 1,972 strategies per CPU-second (186 to 267 as it ships), 1.3 core-hours for the 6,582,816 strategies of
its GPT-3 175B / 512 A100 space.

Its axes for that job are tensor, pipeline, virtual pipeline, data parallel, micro-batch, sequence parallel, recompute
(full, attention, none) and optimizer sharding. Its best time for the job is not published, so what is compared is the best
of those axes and the best of all of ours, both judged by our model, beside the best of 21 strategies that vTrain measured
on 512 A100 (https://arxiv.org/abs/2312.12391, artifact of the paper): 53.91 s at tp 4, pp 32, micro-batch 2.

Run: python benchmarks/training.py [--grid]     (--grid: 10^8 strategies x hardware, a minute more)
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import replace

import numpy as np

from gigaforge.perf.hardware import Hardware
from gigaforge.perf.training import (
    SearchSpace,
    TrainingJob,
    TrainingStrategies,
    evaluate,
    search,
    search_hardware,
)
from gigaforge.perf.training.space import grids
from gigaforge.perf.transformer import Transformer

CALCULON_PER_CPU_S = 1972.0
CALCULON_SPACE = 6_582_816
CALCULON_SPACE_CPU_S = 1.3 * 3600

GPT3 = Transformer("gpt3-175b", 96, 12288, 96, 96, 128, 49152, 51200, 96, 96, ff_matrices=2, tied_embeddings=1)
DEEPSEEK = Transformer(
    "deepseek-v3", 61, 7168, 128, 128, 128, 18432, 129280, 61, 3, 58, experts=256, experts_per_token=8,
    expert_d_ff=2048, expert_d_model=7168, shared_d_ff=2048, q_lora_rank=1536, kv_lora_rank=512, rope_head_dim=64,
    v_head_dim=128,
)  # fmt: skip
A100 = Hardware(
    "dgx-a100",
    "a100",
    "ampere",
    8,
    8,
    {"bf16": 312e12},
    80 * 2**30,
    2.039e12,
    300e9,
    25e9,
    108,
    400.0,
    50.0,
    6500.0,
    0.0,
)
WIDE = SearchSpace(recompute_shares=tuple(np.round(np.linspace(1 / 64, 1.0, 64), 4)), context_mode=(0,))
"""Recompute on any 64th of the blocks: more strategies than Calculon's space of the same job."""


CALCULON_AXES = SearchSpace.usual(sharding=(0, 1), recompute_shares=(1.0,), context_parallel=(1,))
GRID = {"hbm_bandwidth_bytes_s": (1.5e12, 2.0e12, 3.0e12, 4.0e12), "scale_out_bytes_s": (12.5e9, 25e9, 50e9, 100e9)}
"""Sixteen machines: with the 6.9 million strategies of `WIDE`, 1.1 x 10^8 evaluations."""
MEASURED = {"tensor_parallel": 4, "pipeline_parallel": 32, "data_parallel": 4, "micro_batch": 2, "recompute": 2,
            "sharding": 0, "sequence_parallel": 0}  # fmt: skip


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def hardware_grid(job):
    """Every strategy on every machine of `GRID`; only the best of each machine is kept."""
    before = peak_mb()
    points, cpu_s = timed(lambda: list(search_hardware(GPT3, A100, job, GRID, space=WIDE)))
    count = sum(p.results.evaluated for p in points)
    best = min(points, key=lambda p: float(p.results.step_time_s[0]))
    return {
        "machines": len(points), "evaluated": count, "cpu_s": cpu_s, "per_cpu_s": count / cpu_s,
        "peak_rss_mb": peak_mb(), "grown_mb": peak_mb() - before,
        "best": best.figures | {"step_s": float(best.results.step_time_s[0])},
    }  # fmt: skip


def best_times():
    """GPT-3 175B on 512 A100 at the batch that was measured, by Calculon's axes and by all."""
    job = TrainingJob(512, 1536, 2048, software="vtrain")
    theirs = search(GPT3, A100, job, space=CALCULON_AXES, keep=1)
    ours = search(GPT3, A100, job, keep=1)
    # Memory freed of its limit: what was measured used states that were never sharded.
    same = evaluate(GPT3, A100, job, TrainingStrategies.of(**MEASURED))
    return {
        "measured_best_s": 53.91,
        "same_strategy_s": float(same.step_time_s[0]),
        "best_of_calculons_axes_s": float(theirs.step_time_s[0]),
        "calculons_axes": theirs.evaluated,
        "best_of_all_axes_s": float(ours.step_time_s[0]),
        "all_axes": ours.evaluated,
    }


def timed(call):
    start = time.process_time()
    out = call()
    return out, time.process_time() - start


def one_by_one(t, hardware, job, count):
    """The same functions, called for one strategy at a time: what a loop over strategies costs."""
    some = []
    for grid in grids(t, job, SearchSpace()):
        index = np.linspace(0, grid.rows * grid.columns - 1, 40).astype(int)
        some.append(grid.row(np.unique(index)))
        if sum(s.size for s in some) > count:
            break
    every = TrainingStrategies.concatenate(some)
    for i in range(min(count, every.size)):
        evaluate(t, hardware, job, every.take(slice(i, i + 1)))
    return min(count, every.size)


def main():
    job = TrainingJob(512, 1536, 2048, software="megatron-core")
    search(GPT3, A100, TrainingJob(64, 64, 2048))
    usual, usual_s = timed(lambda: search(GPT3, A100, job))
    wide, wide_s = timed(lambda: search(GPT3, A100, job, space=WIDE))
    count, loop_s = timed(lambda: one_by_one(GPT3, A100, job, 200))
    moe, moe_s = timed(lambda: search(DEEPSEEK, replace(A100, hbm_bytes=192e9), TrainingJob(2048, 8192, 4096)))
    before = peak_mb()
    grid = replace(A100, hbm_bandwidth_bytes_s=2e12)
    more, more_s = timed(lambda: search(GPT3, grid, replace(job, global_batch=6144), space=WIDE))
    after = peak_mb()
    rate = wide.evaluated / wide_s
    result = {
        "gpt3_512": {"evaluated": usual.evaluated, "cpu_s": usual_s, "per_cpu_s": usual.evaluated / usual_s},
        "gpt3_512_wide": {
            "evaluated": wide.evaluated, "cpu_s": wide_s, "per_cpu_s": rate, "best_step_s": float(wide.step_time_s[0]),
            "over_calculon": rate / CALCULON_PER_CPU_S,
            "calculon_cpu_s_for_its_space": CALCULON_SPACE_CPU_S, "ours_cpu_s_for_as_many": CALCULON_SPACE / rate,
        },
        "one_at_a_time": {"evaluated": count, "per_cpu_s": count / loop_s, "vectorised_over_loop": rate * loop_s / count},
        "deepseek_v3_2048": {"evaluated": moe.evaluated, "cpu_s": moe_s, "per_cpu_s": moe.evaluated / moe_s},
        "linear": {"evaluated": more.evaluated, "per_cpu_s": more.evaluated / more_s, "grown_mb": after - before},
        "best_times": best_times(),
    }  # fmt: skip
    if "--grid" in sys.argv:
        result["hardware_grid"] = hardware_grid(job)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    sys.exit(main())
