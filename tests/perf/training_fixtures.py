"""Machines, models and jobs that the training tests share."""

from __future__ import annotations

from gigaforge.perf.hardware import Hardware
from gigaforge.perf.training import TrainingJob
from gigaforge.perf.transformer import Transformer

GPT3 = Transformer("gpt3-175b", 96, 12288, 96, 96, 128, 49152, 51200, 96, 96, ff_matrices=2, tied_embeddings=1)
LLAMA_8B = Transformer("llama-3-8b", 32, 4096, 32, 8, 128, 14336, 128256, 32, 32)
MIXTRAL = Transformer(
    "mixtral-8x7b", 32, 4096, 32, 8, 128, 14336, 32000, 32, 0, 32, experts=8, experts_per_token=2, expert_d_ff=14336,
    expert_d_model=4096,
)  # fmt: skip
TINY = Transformer("tiny", 4, 1024, 16, 16, 64, 4096, 51200, 4, 4, ff_matrices=2)


def dgx_h100(**changes) -> Hardware:
    figures = {
        "name": "dgx-h100", "chip": "h100", "generation": "hopper", "accelerators": 8, "nvlink_domain": 8,
        "peak_flop_s": {"bf16": 989.5e12, "fp8": 1979e12}, "hbm_bytes": 80 * 2**30, "hbm_bandwidth_bytes_s": 3.35e12,
        "scale_up_bytes_s": 450e9, "scale_out_bytes_s": 50e9, "multiprocessors": 132, "power_limit_w": 700.0,
        "idle_w": 75.0, "system_power_w": 10200.0, "overhead_power_w": 1000.0,
    }  # fmt: skip
    return Hardware(**{**figures, **changes})


def job(accelerators=64, global_batch=128, seq_len=2048, **more) -> TrainingJob:
    return TrainingJob(accelerators, global_batch, seq_len, **more)
