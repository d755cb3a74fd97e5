"""The blind prediction for Vera Rubin NVL72, and the same question asked of racks that were measured.

    python benchmarks/vera_rubin.py

DeepSeek-R1 in nvfp4 with MLPerf's traffic (mean 800 in, 3,880 out, spread 1), whole rack, best layout that the model finds,
parameters of tuned submissions ("mlperf"); rates include the drain of the longest answers after ten minutes.
"""

from __future__ import annotations

import numpy as np

from gigaforge.catalog import load_catalog
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference import DATASETS, Speculation, Traffic, search
from gigaforge.perf.inference.known import served_models
from gigaforge.perf.parameters import load_parameters

SCENARIOS = {"offline": None, "server": (2.0, 0.08), "interactive": (1.5, 0.015)}
SYSTEMS = ("gb200-nvl72", "gb300-nvl72", "vera-rubin-nvl72-max-p")


def main() -> None:
    catalog = load_catalog()
    data = next(d for d in DATASETS if d.name == "deepseek-r1")
    shape = next(s for _, s, _, _ in served_models() if s.name == "deepseek-v3")
    far = load_parameters("serving")["intervals"]["new_generation"]["throughput"]
    for name in SYSTEMS:
        system = catalog.systems[name]
        hardware = Hardware.from_catalog(system, catalog.accelerator(system.accelerator))
        for scenario, targets in SCENARIOS.items():
            for software, drafts in (("mlperf", 0), ("trtllm", 0), ("trtllm", 3)):
                ttft, tpot = targets or (None, None)
                traffic = Traffic(
                    data.input_len, data.output_len, output_spread=data.output_spread, ttft_s=ttft, tpot_s=tpot,
                    offline=targets is None,
                )  # fmt: skip
                speculation = Speculation(drafts, 0.72) if drafts else None
                found = search(
                    shape, hardware, traffic, precision="nvfp4", software=software, speculation=speculation
                )
                print(
                    f"{name:24s} {scenario:12s} {software:7s} drafts {drafts}: {sentence(found, data, hardware, far, 0.5 if targets else 0.2)}"
                )


def sentence(found, data, hardware, far, drain) -> str:
    """The configuration with the largest rate, drain included, in words."""
    rate = found.tokens_per_s_per_gpu * 600.0 / (600.0 + drain * data.longest * found.tpot_s)
    rate = np.where(found.meets_targets, rate, 0.0)
    if not np.any(rate > 0):
        return "no configuration meets the targets"
    i = int(np.argmax(rate))
    rack, c = float(rate[i]) * hardware.accelerators, found.configurations
    low, high = far[""]
    return (
        f"{rack:9,.0f} tokens/s per rack ({rack * low:,.0f} to {rack * high:,.0f}), TPOT {1e3 * found.tpot_s[i]:.1f} ms,"
        f" {found.power_w[i]:.0f} W/GPU, batch {c.batch[i]:.0f} on {c.accelerators[i]:.0f} GPUs, attention ranks"
        f" {c.attention_data_parallel[i]:.0f}, ep {c.expert_parallel[i]:.0f}, prefill {c.prefill_share[i]:.2f} x"
        f" {c.prefill_accelerators[i]:.0f}"
    )


if __name__ == "__main__":
    main()
