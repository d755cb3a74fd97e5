"""Shapes: parameter counts and FLOPs against published figures."""

from __future__ import annotations

import numpy as np
import pytest

from gigaforge.catalog.schema import Model
from gigaforge.perf.transformer import Transformer

LLAMA_70B = Transformer("llama-3-70b", 80, 8192, 64, 8, 128, 28672, 128256, 80, 80)
DEEPSEEK_V3 = Transformer(
    "deepseek-v3", 61, 7168, 128, 128, 128, 18432, 129280, 61, 3, 58, experts=256, experts_per_token=8,
    expert_d_ff=2048, expert_d_model=7168, shared_d_ff=2048, q_lora_rank=1536, kv_lora_rank=512, rope_head_dim=64,
    v_head_dim=128,
)  # fmt: skip
NEMOTRON_H = Transformer(
    "nemotron-h-56b", 118, 8192, 64, 8, 128, 32768, 131072, 10, 54, 0, 54, ff_matrices=2, mamba_inner=16384,
    mamba_state=256, mamba_groups=8, mamba_heads=256,
)  # fmt: skip


@pytest.mark.parametrize(
    ("model", "total", "active"),
    # https://huggingface.co/meta-llama/Meta-Llama-3-70B, https://arxiv.org/abs/2412.19437, https://arxiv.org/abs/2504.03624
    [(LLAMA_70B, 70.55e9, 70.55e9), (DEEPSEEK_V3, 671e9, 37e9), (NEMOTRON_H, 56.3e9, 56.3e9)],
)
def test_parameters_match_what_is_published(model, total, active):
    assert float(model.parameters) == pytest.approx(total, rel=0.005)
    assert float(model.active_parameters) == pytest.approx(active, rel=0.02)


def test_training_flops_are_six_per_parameter_plus_causal_attention():
    matrices = float(LLAMA_70B.parameters) - 128256 * 8192  # the input embedding multiplies nothing
    attention = 3 * 4 * 80 * 8192 * 4096  # three passes, two products, half of 8,192 keys
    assert float(LLAMA_70B.training_flops_per_token(8192)) == pytest.approx(6 * matrices + attention, rel=1e-3)


def test_a_window_bounds_attention_and_full_layers_mix_in():
    windowed = Transformer("w", 36, 2880, 64, 8, 64, 2880, 201088, 36, 36, sliding_window=128, global_every=2)
    assert float(windowed.attended_keys(4096)) == pytest.approx((2048 + 128 - 128**2 / 8192) / 2)
    assert float(windowed.attended_keys(64)) == pytest.approx(32)


def test_a_stack_gives_what_each_gives():
    stack = Transformer.stack([LLAMA_70B, DEEPSEEK_V3, NEMOTRON_H])
    for name in ("parameters", "active_parameters"):
        each = [float(getattr(t, name)) for t in (LLAMA_70B, DEEPSEEK_V3, NEMOTRON_H)]
        np.testing.assert_allclose(getattr(stack, name), each)
    np.testing.assert_allclose(stack.take(1).kv_bytes_per_token(), DEEPSEEK_V3.kv_bytes_per_token())


def test_latent_attention_caches_the_latent():
    assert float(DEEPSEEK_V3.kv_bytes_per_token(2.0)) == 61 * (512 + 64) * 2


def test_the_catalogue_entry_becomes_the_same_shape():
    entry = Model(
        name="llama-3-70b", label="Llama 3 70B", family="dense", source=["https://arxiv.org/abs/2407.21783"], layers=80,
        d_model=8192, heads=64, kv_heads=8, head_dim=128, d_ff=28672, vocab=128256,
    )  # fmt: skip
    assert float(Transformer.from_catalog(entry).parameters) == float(LLAMA_70B.parameters)
