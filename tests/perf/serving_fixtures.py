"""Machines, models and a small catalogue for the serving tests, independent of the shipped catalogue."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gigaforge.catalog.schema import Accelerator, System
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference.known import served_models
from gigaforge.perf.transformer import Transformer


def h100(**changes: Any) -> Hardware:
    values: dict[str, Any] = {
        "name": "dgx-h100", "chip": "h100", "generation": "hopper", "accelerators": 8, "nvlink_domain": 8,
        "peak_flop_s": {"bf16": 989e12, "fp8": 1979e12}, "hbm_bytes": 80e9, "hbm_bandwidth_bytes_s": 3.35e12,
        "scale_up_bytes_s": 450e9, "scale_out_bytes_s": 50e9, "multiprocessors": 132.0, "power_limit_w": 700.0,
        "idle_w": 80.0, "system_power_w": 10200.0, "overhead_power_w": 1500.0,
    }  # fmt: skip
    return Hardware(**{**values, **changes})


def gb200(**changes: Any) -> Hardware:
    values: dict[str, Any] = {
        "name": "gb200-nvl72", "chip": "gb200", "generation": "blackwell", "accelerators": 72, "nvlink_domain": 72,
        "peak_flop_s": {"bf16": 2.5e15, "fp8": 5e15, "fp4": 10e15}, "hbm_bytes": 186e9, "hbm_bandwidth_bytes_s": 8e12,
        "scale_up_bytes_s": 900e9, "scale_out_bytes_s": 50e9, "multiprocessors": 148.0, "power_limit_w": 1200.0,
        "idle_w": 140.0, "system_power_w": 125e3, "overhead_power_w": 18e3,
    }  # fmt: skip
    return Hardware(**{**values, **changes})


def served(name: str) -> Transformer:
    return next(shape for _, shape, _, _ in served_models() if shape.name == name)


def figure(text: str) -> dict[str, str]:
    return {"value": text, "assumption": "a figure of the tests"}


ACCELERATOR: dict[str, Any] = {
    "name": "test-h200", "label": "H200 of the tests", "vendor": "NVIDIA", "generation": "Hopper", "status": "shipping",
    "bf16": figure("989 TFLOP/s"), "fp8": figure("1979 TFLOP/s"), "hbm_capacity": figure("141 GB"),
    "hbm_bandwidth": figure("4.8 TB/s"), "scale_up_bandwidth": figure("450 GB/s"), "power": figure("700 W"),
    "multiprocessors": 132,
}  # fmt: skip
SYSTEM: dict[str, Any] = {
    "name": "test-node", "label": "a node of the tests", "accelerator": "test-h200", "accelerators": 8, "nvlink_domain": 8,
    "status": "shipping", "scale_out_bandwidth": figure("400 Gb/s"), "power": figure("10.2 kW"),
    "price": figure("$300K"),
}  # fmt: skip
MODEL: dict[str, Any] = {
    "name": "test-8b", "label": "8B of the tests", "family": "dense", "assumption": "a model of the tests", "layers": 32,
    "d_model": 4096, "heads": 32, "kv_heads": 8, "head_dim": 128, "d_ff": 14336, "vocab": 128256, "max_context": 8192,
}  # fmt: skip


def small_catalog() -> Any:
    """What validation asks of a catalogue: the systems that the printed names H100 and H200 mean."""
    chip = Accelerator.model_validate({**ACCELERATOR, "name": "h200"})
    slower = Accelerator.model_validate({**ACCELERATOR, "name": "h100-sxm", "hbm_capacity": figure("80 GB"),
                                         "hbm_bandwidth": figure("3.35 TB/s")})  # fmt: skip
    systems = {
        "dgx-h200": System.model_validate({**SYSTEM, "name": "dgx-h200", "accelerator": "h200"}),
        "dgx-h100": System.model_validate({**SYSTEM, "name": "dgx-h100", "accelerator": "h100-sxm"}),
    }
    return SimpleNamespace(models={}, systems=systems, accelerator={"h200": chip, "h100-sxm": slower}.__getitem__)
