"""The blind prediction for Vera Rubin NVL72, and the same question asked of racks that were measured.

    python benchmarks/vera_rubin.py

DeepSeek-R1 in nvfp4 with MLPerf's traffic (mean 800 in, 3,880 out, spread 1), whole rack, best layout that the model finds,
parameters of tuned submissions ("mlperf"); rates include the drain of the longest answers after ten minutes. The same as
`gigaforge infer deepseek-r1 SYSTEM --mlperf SCENARIO`.
"""

from __future__ import annotations

from gigaforge.catalog import load_catalog
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference import DATASETS, ServingResults, Speculation, Traffic, search
from gigaforge.perf.inference.known import served_models

SCENARIOS = {"offline": None, "server": (2.0, 0.08), "interactive": (1.5, 0.015)}
SYSTEMS = ("gb200-nvl72", "gb300-nvl72", "vera-rubin-nvl72-max-p")


def main() -> None:
    catalog = load_catalog()
    data = next(d for d in DATASETS if d.name == "deepseek-r1")
    shape = next(s for _, s, _, _ in served_models() if s.name == "deepseek-v3")
    for name in SYSTEMS:
        system = catalog.systems[name]
        hardware = Hardware.from_catalog(system, catalog.accelerator(system.accelerator))
        for scenario, targets in SCENARIOS.items():
            for software, drafts in (("mlperf", 0), ("trtllm", 0), ("trtllm", 3)):
                ttft, tpot = targets or (None, None)
                traffic = Traffic(
                    data.input_len, data.output_len, output_spread=data.output_spread, ttft_s=ttft, tpot_s=tpot,
                    offline=targets is None, longest=data.longest,
                )  # fmt: skip
                speculation = Speculation(drafts, 0.72) if drafts else None
                found = search(
                    shape, hardware, traffic, precision="nvfp4", software=software, speculation=speculation
                )
                print(f"{name:24s} {scenario:12s} {software:7s} drafts {drafts}: {sentence(found)}")


def sentence(found: ServingResults) -> str:
    """The configuration with the largest rate within the targets, in words."""
    best = found.best()
    if not len(best):
        return "no configuration meets the targets"
    whole, c = best.whole()[0], best.configurations
    return (
        f"{whole['tokens_per_s']:9,.0f} tokens/s per rack ({whole['tokens_per_s_low']:,.0f} to"
        f" {whole['tokens_per_s_high']:,.0f}), TPOT {1e3 * best.tpot_s[0]:.1f} ms, {best.power_w[0]:.0f} W/GPU, batch"
        f" {c.batch[0]:.0f} on {c.accelerators[0]:.0f} GPUs, attention ranks {c.attention_data_parallel[0]:.0f}, ep"
        f" {c.expert_parallel[0]:.0f}, prefill {c.prefill_share[0]:.2f} x {c.prefill_accelerators[0]:.0f}"
    )


if __name__ == "__main__":
    main()
