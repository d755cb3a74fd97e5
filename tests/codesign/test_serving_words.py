"""Pools of a serving point are stated in whole workers."""

from __future__ import annotations

import pytest

from gigaforge.codesign.serving_points import layout_words, whole_workers

ROW = {
    "accelerators": 12.0, "attention_data_parallel": 12.0, "expert_parallel": 12.0, "pipeline_parallel": 1.0, "batch": 768.0,
    "prefill_accelerators": 3.0, "prefill_share": 0.6, "replicas": 5.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("share", "workers"),
    [(0.6, (5, 3)), (3.4, (2, 7)), (1.0, (1, 1)), (0.94, (12, 11)), (2.0, (1, 2)), (0.6123, (5, 3)), (1 / 7, (7, 1)), (0.001, (1000, 1))],
)  # fmt: skip
def test_the_smallest_whole_numbers_keep_the_ratio(share: float, workers: tuple[int, int]) -> None:
    assert whole_workers(share) == workers
    assert workers[1] / workers[0] == pytest.approx(share, rel=0.03)


def test_a_layout_is_told_in_whole_workers_and_over_how_many_systems() -> None:
    assert layout_words(ROW, 72) == (
        "5 decode workers of 12 GPUs (attention DP 12, EP 12, batch 768) with 3 prefill workers of 3 GPUs"
    )
    assert layout_words(ROW | {"prefill_share": 0.94}, 72).endswith(
        "with 11 prefill workers of 3 GPUs, over 3 systems"
    )
    one = ROW | {"prefill_share": 1.0, "prefill_accelerators": 1.0}
    assert layout_words(one, 72).startswith("1 decode worker of 12 GPUs (")
    assert layout_words(one, 72).endswith("with 1 prefill worker of 1 GPU")
    assert layout_words(ROW | {"prefill_accelerators": 0.0}, 72) == "12 GPUs, attention DP 12, EP 12, batch 768"
