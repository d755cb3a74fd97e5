"""Precision is searched like any other choice: the best allowed wins on every chip, found and not assumed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gigaforge.codesign import serving_space as space_module
from gigaforge.codesign import training_points as training_module
from gigaforge.codesign.point import OperatingPoint
from gigaforge.codesign.precisions import serving_precisions, training_precisions
from gigaforge.codesign.serving_points import serving_points
from gigaforge.codesign.serving_space import serving_space
from gigaforge.codesign.training_points import training_points
from gigaforge.codesign.training_space import Known, training_space
from gigaforge.errors import NoAnswerError
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference.evaluate import Engine
from gigaforge.perf.training import TrainingJob
from gigaforge.quarters import Quarter
from gigaforge.scenario.precision import SERVING_PRECISIONS, TRAINING_PRECISIONS, precisions_of
from gigaforge.scenario.schema import Serving, TrainingRun
from tests.perf.serving_fixtures import gb200, h100, served

QUARTERS = [Quarter.parse("2026-Q3") + n for n in range(6)]
MODEL = served("llama-3-70b")
FLOP_S = {"bf16": 2.5e15, "fp8": 5e15, "fp4": 10e15}


def a100(**changes: Any) -> Hardware:
    return h100(name="dgx-a100", chip="a100", generation="ampere", peak_flop_s={"bf16": 312e12}, **changes)


def chat(**changes: Any) -> Serving:
    return Serving.model_validate(
        {"name": "chat", "model": "llama-3-70b", "weekly_users": "1M", "messages_per_user_week": 10,
         "input_tokens": {"2026-Q3": "1000 tokens", "2027-Q4": "6000 tokens"}, "output_tokens": "500 tokens", "ttft": "2 s",
         "tpot": "50 ms", "prices": dict.fromkeys(("input", "output", "cached"), "$1/Mtoken"), **changes}
    )  # fmt: skip


def run(**changes: Any) -> TrainingRun:
    return TrainingRun.model_validate(
        {
            "name": "run",
            "model": "llama-3-70b",
            "tokens": "2T tokens",
            "start": "2026-Q3",
            "end": "2026-Q4",
            **changes,
        }
    )


def formats(points: list[OperatingPoint]) -> set[str]:
    return {p.precision for p in points}


def test_a_string_is_the_narrowest_and_a_list_is_exact() -> None:
    assert precisions_of("fp4") == ("nvfp4", "fp8", "bf16")
    assert precisions_of("int4") == ("int4", "fp8", "bf16")
    assert precisions_of("fp8") == ("fp8", "bf16")
    assert precisions_of("bf16") == ("bf16",)
    assert precisions_of(["bf16", "fp4", "nvfp4"]) == ("nvfp4", "bf16")


def test_every_precision_that_a_scenario_may_name_is_modelled() -> None:
    for name in SERVING_PRECISIONS:
        for precision in precisions_of(name):
            Engine.of(MODEL, gb200(), precision=precision)
    for name in TRAINING_PRECISIONS:
        for precision in precisions_of(name):
            TrainingJob(8, 8, 4096, precision)
            gb200().peak(precision)


def test_a_chip_runs_what_it_computes_in_and_unpacks_four_bits() -> None:
    assert serving_precisions(gb200(), "fp4") == ("nvfp4", "fp8", "bf16")
    assert serving_precisions(h100(), "fp4") == ("mxfp4", "fp8", "bf16")
    assert serving_precisions(h100(), ["fp4", "fp8"]) == ("fp8",), "a list is exact: nothing else stands in for fp4"
    assert serving_precisions(a100(), "fp8") == ("bf16",)
    assert serving_precisions(a100(), ["w8a16"]) == ("w8a16",), "what is asked for is unpacked"
    assert training_precisions(h100(), "nvfp4") == ("fp8", "bf16")
    with pytest.raises(NoAnswerError, match="computes in bf16, and precision allows nvfp4 or fp8 only"):
        serving_precisions(a100(), ["fp4", "fp8"])
    with pytest.raises(NoAnswerError, match="computes in bf16 and fp8, and precision allows nvfp4 only"):
        training_precisions(h100(), ["nvfp4"])


def by_hand(hardware: Hardware, precision: str, **changes: Any) -> float:
    """Best yield of one precision alone."""
    found = serving_space(MODEL, hardware, chat(precision=[precision], **changes), QUARTERS, caps=3, moments=3).points
    return max((p.tokens_per_s_per_rack for p in found), default=0.0)


def test_four_bits_win_where_their_arithmetic_is_fast() -> None:
    found = serving_space(MODEL, gb200(), chat(), QUARTERS, caps=3, moments=3).points
    assert formats(found) == {"nvfp4"}
    assert max(p.tokens_per_s_per_rack for p in found) == by_hand(gb200(), "nvfp4") > by_hand(gb200(), "fp8")


def test_eight_bits_win_where_four_compute_slowly() -> None:
    """fp4 at a tenth of fp8's rate: prompts take longer in it, whatever its weights save in memory."""
    slow = gb200(peak_flop_s={**FLOP_S, "fp4": 0.5e15})
    found = serving_space(MODEL, slow, chat(), QUARTERS, caps=3, moments=3).points
    assert "fp8" in formats(found)
    best = max(found, key=lambda p: p.tokens_per_s_per_rack)
    assert best.precision == "fp8"
    assert best.tokens_per_s_per_rack == by_hand(slow, "fp8") > by_hand(slow, "nvfp4")
    assert formats(serving_points(MODEL, slow, chat(), QUARTERS)) == {"fp8"}, "and one after the other alike"


def test_memory_and_latency_turn_it() -> None:
    """Where only four bits fit they are taken, slow as they are; where only eight are in time, these."""
    slow: dict[str, Any] = {"peak_flop_s": {**FLOP_S, "fp4": 2.0e15}, "accelerators": 1, "nvlink_domain": 1,
                            "system_power_w": 2e3, "overhead_power_w": 0.0}  # fmt: skip
    assert formats(serving_space(MODEL, gb200(**slow), chat(), QUARTERS, caps=3, moments=3).points) >= {"fp8"}
    small = gb200(**slow, hbm_bytes=70e9)
    assert by_hand(small, "fp8") == 0.0 < by_hand(small, "nvfp4")
    assert formats(serving_space(MODEL, small, chat(), QUARTERS, caps=3, moments=3).points) == {"nvfp4"}
    short = {"input_tokens": "20 tokens", "tpot": "15 ms"}
    assert by_hand(gb200(**slow), "nvfp4", **short) == 0.0 < by_hand(gb200(**slow), "fp8", **short)
    assert formats(serving_space(MODEL, gb200(**slow), chat(**short), QUARTERS, caps=3, moments=3).points) == {"fp8"}


@pytest.fixture
def in_full(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Searches without what saves time."""

    def switch() -> None:
        monkeypatch.setattr(space_module, "_probes", lambda asked: {(t.input_len, t.output_len) for t in asked})
        monkeypatch.setattr(training_module, "_CLEARLY_SLOWER", np.inf)

    return switch


@pytest.mark.parametrize("fp4_flop_s", [10e15, 3e15, 0.5e15])
def test_what_the_probes_leave_out_no_price_would_choose(fp4_flop_s: float, in_full: Any) -> None:
    chip = gb200(peak_flop_s={**FLOP_S, "fp4": fp4_flop_s})
    few = serving_space(MODEL, chip, chat(), QUARTERS, caps=4, moments=6)
    in_full()
    every = serving_space(MODEL, chip, chat(), QUARTERS, caps=4, moments=6)
    assert few.points == every.points
    assert few.evaluated < every.evaluated


def test_training_takes_the_faster_precision_under_every_cap() -> None:
    usual = training_space(MODEL, gb200(), run(), caps=4)
    assert formats(usual) == {"fp8"}
    slow = gb200(peak_flop_s={**FLOP_S, "fp8": 2.0e15})
    found = training_space(MODEL, slow, run(), caps=4)
    assert formats(found) == {"bf16"}
    alone = [training_space(MODEL, slow, run(precision=[p]), caps=4) for p in ("fp8", "bf16")]
    assert all(p.tokens_per_s_per_rack >= q.tokens_per_s_per_rack for p, q in zip(found, alone[0], strict=True))
    assert formats(training_points(MODEL, slow, run())) == {"bf16"}
    assert formats(training_points(MODEL, h100(), run(precision="nvfp4"))) == {"fp8"}


@pytest.mark.parametrize("fp8_flop_s", [5e15, 3e15, 2.6e15])
def test_a_precision_that_is_not_searched_would_not_have_won(fp8_flop_s: float, in_full: Any) -> None:
    chip, known, every = gb200(peak_flop_s={**FLOP_S, "fp8": fp8_flop_s}), Known(), Known()
    found = training_space(MODEL, chip, run(), caps=4, known=known)
    in_full()
    assert found == training_space(MODEL, chip, run(), caps=4, known=every)
    assert known.evaluated <= every.evaluated


def test_why_there_is_no_point_is_told() -> None:
    with pytest.raises(NoAnswerError, match="precision allows nvfp4 only"):
        serving_space(MODEL, h100(), chat(precision=["fp4"]), QUARTERS)
    large = serving_space(MODEL, h100(accelerators=1, nvlink_domain=1), chat(precision="bf16"), QUARTERS, caps=2)
    assert not large.points
    assert "does not fit into its memory in any layout of one system, in bf16" in large.why
    hasty = serving_space(MODEL, h100(), chat(tpot="0.1 ms"), QUARTERS, caps=2)
    assert not hasty.points
    assert hasty.evaluated > 0
    assert "TPOT 0.1 ms at once, in mxfp4, fp8 or bf16 (least of each by itself: " in hasty.why
    with pytest.raises(NoAnswerError, match=r"TPOT 0\.1 ms at once"):
        serving_points(MODEL, h100(), chat(tpot="0.1 ms"), QUARTERS)
    with pytest.raises(NoAnswerError, match=r"does not fit into the memory of 4,096 of it .* in fp8 or bf16"):
        training_points(MODEL, h100(hbm_bytes=1e9), run())
