"""Kernel laws: never faster than the machine, and what a forward pass adds up is these laws."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigaforge.errors import InputError
from gigaforge.perf import kernels as laws
from gigaforge.perf.hardware import chip_key, precision_family
from gigaforge.perf.parameters import constants, fallback_chips, load_parameters

sys.path.insert(0, str(Path(__file__).parent))
from serving_fixtures import gb200, h100

WIDTH = st.integers(6, 15).map(lambda p: float(2**p))
TOKENS = st.floats(1, 65536)
CASES = [(h100(), "bf16"), (h100(), "fp8"), (h100(), "fp8_block"), (gb200(), "nvfp4"), (gb200(), "mxfp4")]


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(CASES), TOKENS, WIDTH, WIDTH)
def test_a_linear_layer_never_beats_the_roofline(case: tuple, m: float, n: float, k: float) -> None:
    hardware, precision = case
    kind = laws.compute_precision(hardware, precision)
    floor = max(2 * m * n * k / hardware.peak(precision), n * k * kind.weight_bytes / hardware.hbm_bandwidth_bytes_s)
    assert float(laws.gemm_s(hardware, precision, m, n, k)) > floor


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CASES), TOKENS, st.integers(1, 256), WIDTH)
def test_experts_never_beat_the_roofline(case: tuple, pairs: float, active: int, d_ff: float) -> None:
    hardware, precision = case
    experts = min(float(active), max(pairs, 1.0))
    weights = 3 * 4096 * d_ff
    kind = laws.compute_precision(hardware, precision)
    floor = max(
        2 * pairs * weights / hardware.peak(precision),
        experts * weights * kind.weight_bytes / hardware.hbm_bandwidth_bytes_s,
    )
    assert float(laws.grouped_gemm_s(hardware, precision, pairs, experts, 4096.0, d_ff)) > floor


@settings(max_examples=60, deadline=None)
@given(st.floats(1, 512), st.floats(16, 32768), st.sampled_from(["bf16", "fp8"]))
def test_attention_never_beats_the_roofline(sequences: float, context: float, precision: str) -> None:
    cache = 2 * 8 * 128 * (1.0 if precision == "fp8" else 2.0)
    decode = laws.attention_decode_s(h100(), cache, 4 * 64 * 128, sequences, context, precision)
    assert float(decode) > sequences * context * cache / 3.35e12
    prefill = laws.attention_prefill_s(h100(), precision, sequences, context, 0.0, 64, 8, 128)
    assert float(prefill) > 2 * sequences * 64 * context**2 / 2 * 256 / h100().peak(precision)
    windowed = laws.attention_prefill_s(h100(), precision, sequences, context, 0.0, 64, 8, 128, window=128)
    assert float(windowed) <= float(prefill)


def test_element_wise_work_runs_at_the_stream_rate() -> None:
    assert float(laws.memory_bound_s(h100(), 3.35e9, 0.0)) == pytest.approx(1e-3 / 0.85)


def test_large_products_reach_the_rates_that_were_measured() -> None:
    """ml-engineering's best matmul on H100: 794 TFLOP/s of 989 in bf16, 1,403 of 1,979 in fp8 (burst kernels reach a bit more)."""
    for precision, measured in (("bf16", 794e12), ("fp8", 1403e12)):
        seconds = float(laws.gemm_s(h100(), precision, 16384.0, 16384.0, 16384.0))
        assert 2 * 16384.0**3 / seconds == pytest.approx(measured, rel=0.08)


def test_a_chip_without_constants_takes_its_generation_s() -> None:
    table = load_parameters("kernels")["gemm"]
    assert fallback_chips("h800", "hopper", table) == ["h100", "h200"]
    assert fallback_chips("rubin", "rubin", table) == ["b300", "gb300"]
    mean = np.sqrt(table["b300"]["nvfp4"]["eta_c"] * table["gb300"]["nvfp4"]["eta_c"])
    assert constants("gemm", "rubin", "rubin", "nvfp4")["eta_c"] == pytest.approx(mean)
    assert all(0 < row[key] <= 1 for rows in table.values() for row in rows.values() for key in ("eta_c", "eta_m"))


def test_names_of_precisions_and_chips() -> None:
    assert precision_family("nvfp4") == "fp4"
    assert chip_key("h100-sxm") == "h100"
    assert chip_key("h100-pcie") == "h100-pcie"
    with pytest.raises(InputError, match="unknown precision"):
        laws.compute_precision(h100(), "fp3")
    with pytest.raises(InputError, match="no shipped parameters"):
        load_parameters("nothing")
