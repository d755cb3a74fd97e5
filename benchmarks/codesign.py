"""Speed of the joint search over strategies, power caps and designs, and its memory.

``python benchmarks/codesign.py`` prints evaluations, seconds, and how much more memory 10^7 points take than 10^6, on two cores, beside the
same points evaluated one design at a time (a naive version) in the same run.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import Executor

import numpy as np
from usage import own_usage

from gigaforge.catalog import load_catalog
from gigaforge.codesign.hardware import Designs, Economics, ServingWork, TrainingWork, Work, joint_search, technology
from gigaforge.executor import open_executor
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference import ServingConfigurations, Traffic, evaluate
from gigaforge.perf.transformer import Transformer

ECONOMICS = Economics.market(capital_per_year=0.28, watt_usd_per_year=1.6, joule_usd=0.075 / 3.6e6 * 1.2)


def works() -> list[Work]:
    """Decode and training of published models."""
    catalog = load_catalog()
    moe = Transformer.from_catalog(catalog.model("deepseek-v3"))
    traffic = Traffic(4096, 1024, ttft_s=2.0, tpot_s=0.03, percentile="mean")
    return [
        ServingWork("decode", moe, traffic, "decode", "nvfp4"),
        TrainingWork("training", moe, 2304, 63e6, 4096, "fp8"),
    ]


def grid(count: int, seed: int = 0) -> Designs:
    """Designs around GB200, spread by a third each way."""
    random = np.random.default_rng(seed)
    spread = np.exp(random.uniform(-0.3, 0.3, (count, 5)))
    middle = np.array([2000e12, 170e9, 7e12, 900e9, 60e9])
    names = ("bf16_flop_s", "hbm_bytes", "hbm_bandwidth_bytes_s", "scale_up_bytes_s", "scale_out_bytes_s")
    numbers = {name: middle[i] * spread[:, i] for i, name in enumerate(names)}
    return Designs.of(**numbers, power_w=1600.0, nvlink_domain=72.0)


def used_by(executor: Executor, workers: int) -> tuple[float, int]:
    """Processor time of this process and its workers [s], which a loaded machine does not stretch; their most memory [byte]."""
    each = {pid: (cpu, peak) for pid, cpu, peak in (own_usage(0), *executor.map(own_usage, range(16 * workers)))}
    return sum(cpu for cpu, _ in each.values()), sum(peak for _, peak in each.values())


def naive(count: int = 40) -> float:
    """Evaluations per second of serving points asked one at a time, as a script around the serving model would."""
    work = works()[0]
    assert isinstance(work, ServingWork)
    hardware = load_hardware("gb200-nvl72")
    batches = ServingConfigurations.aggregated(8.0, 2.0 ** np.arange(count) / 2.0**30 + 8.0)
    started = time.perf_counter()
    for i in range(count):
        one = batches.take(slice(i, i + 1))
        evaluate(work.transformer, hardware, work.phase_traffic, one, precision=work.precision, power_cap_w=900.0)
    return count / (time.perf_counter() - started)


def load_hardware(name: str) -> Hardware:
    """A system of the catalogue."""
    catalog = load_catalog()
    system = catalog.system(name)
    return Hardware.from_catalog(system, catalog.accelerator(system.accelerator))


def main(points: float = 1e7, workers: int = 2) -> dict[str, float]:
    """Run both works, half the points each."""
    t = technology("n4p-hbm3e")
    out: dict[str, float] = {}
    evaluated, search_s, growth = 0, 0.0, 0
    with open_executor(workers) as executor:
        for work in works():
            per_design = joint_search(work, grid(8), t, ECONOMICS, executor=executor).evaluated / 8
            count = points / 2 / per_design
            joint_search(work, grid(round(count / 10)), t, ECONOMICS, executor=executor)
            before = used_by(executor, workers)[1]
            result = joint_search(work, grid(round(count)), t, ECONOMICS, executor=executor)
            growth = max(growth, used_by(executor, workers)[1] - before)
            evaluated += result.evaluated
            search_s += result.wall_s
            out[f"{work.name} evaluations per second"] = result.evaluated / result.wall_s
            out[f"{work.name} front"] = len(result.cap)
        out |= {"evaluated": evaluated, "memory_growth_mb": growth / 1e6, "search_s": search_s}
        out["cpu_s"] = used_by(executor, workers)[0]
    out["naive evaluations per second"] = naive()
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=float, default=1e7)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    for name, value in main(args.points, args.workers).items():
        print(f"{name:32} {value:14,.4g}")
