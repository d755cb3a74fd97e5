"""Speed of the serving model: configurations per second per core, beside a naive loop and the peer's measured rate.

    python benchmarks/inference.py [--json]

The peer: aiconfigurator (commit 095f58a, measured on a 2-core machine, CPU-seconds): 2,900-6,500 candidates per
CPU-second, 45-50 CPU-seconds for DeepSeek-V3 on 72 GB200, about 1 CPU-second for a single point.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np

from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference import ServingConfigurations, Traffic, evaluate, search
from gigaforge.perf.inference.known import served_models
from gigaforge.perf.inference.space import layouts, with_batches

PEER = {"candidates_per_cpu_s": 6500.0, "rack_search_cpu_s": 45.2, "point_cpu_s": 0.95}


def gb200() -> Hardware:
    peaks = {"bf16": 2.5e15, "fp8": 5e15, "fp4": 10e15}
    return Hardware("gb200-nvl72", "gb200", "blackwell", 72, 72, peaks, 186e9, 8e12, 900e9, 50e9, 148.0, 1200.0, 140.0,
                    125e3, 18e3)  # fmt: skip


def timed(work, repeats: int = 3) -> tuple[float, object]:
    """Best CPU time of several runs, and the last result."""
    best, result = np.inf, None
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return best, result


def run() -> dict[str, float]:
    shapes = {shape.name: shape for _, shape, _, _ in served_models()}
    deepseek, hardware, traffic = shapes["deepseek-v3"], gb200(), Traffic(4000, 1000, tpot_s=0.03)
    grid = with_batches(layouts(deepseek, hardware, 72), 72)
    repeat = np.tile(np.arange(len(grid)), 400_000 // len(grid) + 1)[:400_000]
    many = grid.take(repeat)

    seconds, _ = timed(lambda: evaluate(deepseek, hardware, traffic, many, precision="nvfp4"))
    rack_s, rack = timed(lambda: search(deepseek, hardware, traffic, precision="nvfp4"))
    one = ServingConfigurations.aggregated(8.0, 64.0)
    point_s, _ = timed(
        lambda: evaluate(shapes["llama-3-70b"], hardware, Traffic(1024, 1024), one, precision="nvfp4"), 20
    )

    def naive() -> None:
        for i in range(300):
            evaluate(deepseek, hardware, traffic, grid.take(np.array([i])), precision="nvfp4")

    naive_s, _ = timed(naive, 1)
    rate, naive_rate = len(many) / seconds, 300 / naive_s
    return {
        "configurations_per_s_per_core": rate,
        "over_naive_loop": rate / naive_rate,
        "over_peer": rate / PEER["candidates_per_cpu_s"],
        "deepseek_72_gb200_evaluated": rack.evaluated,
        "deepseek_72_gb200_s": rack_s,
        "deepseek_over_peer": PEER["rack_search_cpu_s"] / rack_s,
        "point_ms": point_s * 1e3,
        "point_over_peer": PEER["point_cpu_s"] / point_s,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    result = run()
    if "--json" in sys.argv:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:34s} {value:,.2f}")
