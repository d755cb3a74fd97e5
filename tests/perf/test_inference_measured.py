"""Validation and calibration against measured rows: every row accounted for, figures that the documentation states."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gigaforge.catalog import load_catalog
from gigaforge.cli.calibrate_view import show_serving
from gigaforge.errors import InputError, NoAnswerError
from gigaforge.perf.calibration.inference import Calibration, calibrate_inference, shipped_measurements
from gigaforge.perf.inference.effects import QUANTITIES, Effects, Group
from gigaforge.perf.inference.known import canonical_model
from gigaforge.perf.inference.rates import sustained
from gigaforge.perf.inference.traffic import DATASETS
from gigaforge.perf.parameters import load_parameters
from gigaforge.perf.validation.inference import validate_inference
from gigaforge.perf.validation.intervals import quantile_table
from gigaforge.perf.validation.serving_layout import layout_of
from gigaforge.perf.validation.serving_names import (
    Unpredictable,
    hardware_of,
    model_of,
    precision_of,
    software_of,
)
from gigaforge.perf.validation.serving_pools import Printed, published_pools
from gigaforge.perf.validation.serving_recipes import Recipe, recipe_of

sys.path.insert(0, str(Path(__file__).parent))
from serving_fixtures import gb200, h100, served, small_catalog


@pytest.fixture(scope="module")
def shipped() -> pd.DataFrame:
    return pd.read_parquet(shipped_measurements())


@pytest.fixture(scope="module")
def hopper(shipped: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of H100 and H200, which the tests' small catalogue holds."""
    rows = shipped[shipped["gpu_id"].isin(["h100", "h200"])]
    path = tmp_path_factory.mktemp("rows") / "hopper.parquet"
    rows.to_parquet(path)
    return path


def test_every_shipped_row_names_its_source(shipped: pd.DataFrame) -> None:
    assert len(shipped) == 8286
    assert shipped["source_url"].astype(str).str.match("https?://").all()
    assert shipped_measurements().stat().st_size < 400_000
    assert all(d.source.startswith("https://") for d in DATASETS)


def test_hopper_rows_reach_the_documented_error(hopper: Path) -> None:
    report = validate_inference(hopper, catalog=small_catalog())
    told = report.summary()
    assert told["rows"] == told["predicted"] + sum(told["skipped"].values())
    assert told["cross_validated"] > 2000
    by = told["by"]["metric"]
    assert by["tpot_ms"]["median_ape"] < 0.18
    assert by["output_tok_s"]["median_ape"] < 0.16
    assert by["ttft_ms"]["median_ape"] < 0.30
    assert 0.7 < told["coverage_80"] < 0.9
    assert abs(told["bias"]) < 0.1


def test_every_row_comes_back_in_order(hopper: Path, tmp_path: Path) -> None:
    report = validate_inference(hopper, catalog=small_catalog())
    report.write(tmp_path / "out.csv")
    back = pd.read_csv(tmp_path / "out.csv")
    assert list(back.columns[:7]) == ["id", "metric", "measured", "predicted", "low", "high", "note"]
    assert len(back) == len(pd.read_parquet(hopper))
    missing = back[back["predicted"].isna()]
    assert missing["note"].str.len().gt(5).all()
    assert np.all(back["low"].dropna() <= back["predicted"].dropna())


def test_a_file_of_ones_own_needs_few_columns(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(
        "model_name,gpu,n_gpus,input_len,output_len,concurrency,metric,value\n"
        "meta-llama/Llama-3.1-70B,H200,8,1024,1024,64,tpot_ms,13.5\n"
        "Llama-3.1-70B,H200,,1024,1024,64,tpot_ms,13.5\n"
        "Llama-3.1-70B,H200,8,1024,1024,64,joules,13.5\n"
        "Llama-3.1-70B,Abacus 9000,8,1024,1024,64,tpot_ms,13.5\n"
        "nobody-knows,H200,8,1024,1024,64,tpot_ms,13.5\n"
        "Llama-3.1-70B,H200,8,many,1024,64,tpot_ms,13.5\n"
        "Llama-3.1-70B,H200,8,1024,1024,0,tpot_ms,13.5\n"
        "Llama-3.1-70B,H200,8,1024,1024,64,tpot_ms,-1\n"
    )
    report = validate_inference(path, catalog=small_catalog())
    assert np.isfinite(report.table["predicted"]).tolist() == [True] + [False] * 7
    assert 0.5 < report.table["predicted"][0] / 13.5 < 2.0
    for words in (
        "n_gpus",
        "joules",
        "Abacus 9000",
        "nobody-knows",
        "'many' is not a number",
        "concurrency",
        "positive",
    ):
        assert any(words in reason for reason in report.skipped), words
    assert sum(report.skipped.values()) == 7
    assert report.table["id"].tolist() == [f"row {i}" for i in range(2, 10)], "as a spreadsheet counts them"
    assert "concurrency 0 is not at least one request in flight" in report.skipped
    assert report.summary()["assumed"] == {
        "precision_weights not given: bf16; software not given: an average stack": 1
    }
    (worst,) = report.summary()["worst"]
    assert (worst["id"], worst["gpu"], worst["metric"], worst["measured"]) == ("row 2", "h200", "tpot_ms", 13.5)
    assert worst["error"] == pytest.approx(worst["predicted"] / 13.5 - 1.0)


def test_rows_longer_than_the_context_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(
        "model_name,gpu,n_gpus,input_len,output_len,concurrency,metric,value,software\n"
        "Llama-3.1-70B,H200,8,1024,1024,64,tpot_ms,13.5,lmdeploy\n"
        "Llama-3.1-70B,H200,8,131000,1024,64,tpot_ms,13.5,vllm\n"
    )
    report = validate_inference(path)
    assert report.skipped == {"input_len + output_len = 132,024 tokens, but llama-3-70b holds 131,072": 1}
    assert "'lmdeploy' was never fitted: an average stack" in report.table["note"][0]


def test_a_chip_without_the_precision_is_predicted_with_packed_weights(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(
        "id,model_name,gpu,n_gpus,input_len,output_len,concurrency,metric,value,precision_weights,software\n"
        "good,Llama-3.1-70B,H100,8,1024,1024,64,tpot_ms,13.5,fp8,vllm\n"
        "eight,Llama-3.1-70B,A100,8,1024,1024,64,tpot_ms,30,int8,vllm\n"
        "old,Llama-3.1-8B,V100,8,1024,1024,64,tpot_ms,30,fp8,vllm\n"
        "four,Llama-3.1-70B,H100,8,1024,1024,64,tpot_ms,20,nvfp4,vllm\n"
    )
    table = validate_inference(path).table
    assert np.isfinite(table["predicted"]).all()
    assert table["note"][0] == ""
    assert table["note"][1].startswith("A100 does not compute in int8: taken as weight-only")
    assert table["note"][2].startswith("V100 does not compute in fp8")
    assert table["note"][3].startswith("H100 does not compute in nvfp4")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"precision_weights": "banana"}, "precision_weights 'banana' is not known"),
        ({"n_gpus": "0"}, "n_gpus is 0: a whole number"),
        ({"n_gpus": "2.5"}, "n_gpus is 2.5: a whole number"),
        ({"tp": "3"}, "tp 3 does not divide n_gpus 8"),
        ({"model_name": "Llama-3.1-405B", "n_gpus": "1", "tp": ""}, "the weights do not fit"),
        ({"concurrency": "inf"}, "concurrency is inf: a finite number"),
        ({"concurrency": "nan"}, "neither concurrency nor a known load"),
        ({"input_len": "-4"}, "input_len is -4: a positive number is expected"),
        ({"output_len": "1"}, "an answer of one token"),
    ],
)
def test_nonsense_is_skipped_with_its_reason(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    good = {
        "model_name": "Llama-3.1-70B", "gpu": "H100", "n_gpus": "8", "tp": "8", "input_len": "1024", "output_len": "1024",
        "concurrency": "64", "metric": "tpot_ms", "value": "20", "precision_weights": "fp8", "software": "vllm",
    }  # fmt: skip
    path = tmp_path / "own.csv"
    pd.DataFrame([good, {**good, **changes}]).to_csv(path, index=False)
    report = validate_inference(path, catalog=small_catalog())
    assert np.isfinite(report.table["predicted"]).tolist() == [True, False]
    (reason,) = report.skipped
    assert said in reason


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2\n", "are missing"), ("", "cannot be read"), (None, "no such file")],
)
def test_unreadable_files_are_named(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "bad.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=said):
        validate_inference(path, catalog=small_catalog())


def test_nothing_predictable_is_an_answer_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(
        "model_name,gpu,n_gpus,input_len,output_len,load,metric,value\nLlama-3.1-70B,Abacus,8,1,1,Offline,tpot_ms,1\n"
    )
    with pytest.raises(NoAnswerError, match="no row"):
        validate_inference(path, catalog=small_catalog())


def test_calibration_recovers_a_factor_that_was_put_in(shipped: pd.DataFrame, tmp_path: Path) -> None:
    """Rows made twice as slow for one software: the fit finds slower quantities for it and predicts them."""
    some = shipped[
        (shipped["gpu_id"] == "h200") & shipped["doubt"].isin(["", None]) & (shipped["metric"] == "tpot_ms")
        & shipped["software"].astype(str).str.startswith("vllm")
    ].copy()  # fmt: skip
    slow = some.copy()
    slow["software"] = "sglang"
    slow["value"] *= 2.0
    slow["id"] = "slow-" + slow["id"].astype(str)
    path = tmp_path / "rows.parquet"
    pd.concat([some, slow]).astype({"software": str}).to_parquet(path)
    result = calibrate_inference(path, catalog=small_catalog(), folds=2, chips_left_out=False)
    assert result.used == len(some) * 2
    report = validate_inference(path, catalog=small_catalog(), parameters=result.parameters)
    ratio = (
        report.table.assign(r=report.table["predicted"] / report.table["measured"]).groupby("software")["r"].median()
    )
    assert 0.85 < ratio["vllm"] < 1.3
    assert 0.7 < ratio["sglang"] < 1.15
    result.write(tmp_path / "mine.json")
    assert (tmp_path / "mine_folds.json").is_file()
    assert set(result.parameters["quantities"]) == set(QUANTITIES)


def test_a_calibration_is_shown_with_its_errors_and_what_each_quantity_means(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shipped_fit = load_parameters("serving")
    show_serving(Calibration(shipped_fit, {}, {"step_s||": 0.25}, 8286, 6594), None)
    told = capsys.readouterr().out
    assert "fitted to 6,594 of 8,286 rows" in told
    assert "without their chip" in told
    assert "[s]" in told, "units are not taken for markup"
    assert all(name in told for name in QUANTITIES)
    assert max(len(line) for line in told.splitlines()) <= 80


def test_too_few_rows_to_fit_is_said(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(
        "model_name,gpu,n_gpus,input_len,output_len,concurrency,metric,value\nLlama-3.1-70B,H200,8,1024,1024,64,tpot_ms,13\n"
    )
    with pytest.raises(InputError, match="rows can be fitted"):
        calibrate_inference(path, catalog=small_catalog())


def test_unknown_groups_take_the_base() -> None:
    known = Effects.of(Group("vllm", "hopper", "fp8"))
    unknown = Effects.of(Group("a-new-engine", "a-new-generation", "fp9", "a-new-model"))
    assert np.isfinite(unknown.prefill)
    assert known.step_s != unknown.step_s


def test_a_size_is_not_the_active_part_of_another_s_name() -> None:
    assert canonical_model("qwen2-57b-a14b") == "qwen2-57b-a14b"
    assert canonical_model("Qwen/Qwen2.5-14B-Instruct") == "qwen2.5-14b"


def test_names_are_understood() -> None:
    assert software_of("vLLM v0.9") == "vllm"
    assert software_of("TensorRT 10.11", "MLPerf Inference v5.1 closed") == "mlperf"
    assert model_of("deepseek-ai/DeepSeek-R1-0528")[0].name == "deepseek-v3"
    shape, note = model_of("mystery-300b", 300.0, 25.0)
    assert "architecture unknown" in note
    assert float(np.asarray(shape.parameters)) == pytest.approx(300e9, rel=0.15)
    with pytest.raises(Unpredictable, match="mystery"):
        model_of("mystery")
    dense, moe = served("llama-2-70b"), served("deepseek-v3")
    assert precision_of("fp16", "llama2-70b", h100(), dense, "mlperf") == "fp8"
    assert precision_of("nvfp4/mxfp4", "gpt-oss-120b", gb200(), moe, "trtllm") == "mxfp4"
    assert precision_of("fp8", "deepseek", h100(), moe, "vllm") == "fp8_block"
    assert precision_of("", "Qwen3-32B", h100(), dense, "vllm") == "bf16"
    assert precision_of("", "deepseek-r1", h100(), moe, "vllm") == "fp8_block", "published in nothing else"
    assert software_of("ROCm 6", "MLPerf Inference v4.1 closed") == "rocm-2024"


def test_a_model_is_found_by_name_size_or_dimensions() -> None:
    assert model_of("DeepSeek-R1-Distill-Llama-70B")[0].name == "llama-3-70b"
    assert model_of("grok-1") == (model_of("grok-1")[0], ""), "the catalogue's"
    shape, note = model_of("Yi-34B")
    assert "architecture unknown" in note
    assert float(np.asarray(shape.parameters)) == pytest.approx(34e9, rel=0.05)
    moe, _ = model_of("Nobody-300B-A20B")
    assert float(np.asarray(moe.experts)) > 1
    row = {
        "model_name": "mine",
        "n_layers": 40,
        "d_model": 5120,
        "n_heads": 40,
        "n_kv_heads": 8,
        "d_ff": 13824,
        "vocab": 128000,
    }
    mine, note = model_of("mine", row=row)
    assert (mine.layers, mine.kv_heads, note) == (40.0, 8.0, "")


@pytest.mark.parametrize(
    ("printed", "chip"),
    [
        ("NVIDIA L4", "l4"), ("A10G", "a10g"), ("L40", "l40"), ("NVIDIA L40S", "l40s"), ("RTX 4090", "rtx-4090"),
        ("GeForce RTX 5090", "rtx-5090"), ("RTX 6000 Ada", "rtx-6000-ada"), ("Tesla T4", "t4"), ("MI300X", "mi300x"),
        ("MI300A", "mi300a"), ("AMD Instinct MI355X", "mi355x"), ("Gaudi3", "gaudi-3"), ("TPU v6e", "tpu-v6e"),
        ("TPU7x", "tpu-v7"), ("Trainium2", "trainium2"), ("VR200 NVL72", "rubin"), ("A100-SXM4-40GB", "a100"),
    ],
)  # fmt: skip
def test_accelerators_are_found_by_what_people_print(printed: str, chip: str) -> None:
    machine = hardware_of(printed, load_catalog())
    assert machine.chip == chip
    assert machine.hbm_bandwidth_bytes_s > 0


def test_recipes_say_how_a_benchmark_was_launched() -> None:
    run = {
        "source": "SemiAnalysis InferenceMAX", "software": "sglang", "gpu": "b200", "model": "deepseek-v3",
        "precision": "nvfp4", "date": "2026-03-25", "input_len": 1024.0, "output_len": 1024.0, "concurrency": 64.0,
        "tp": 8.0, "ranks": 1.0,
    }  # fmt: skip
    assert recipe_of(run) == Recipe(0.9, 16384.0, 15.0)
    assert recipe_of({**run, "concurrency": 4.0}).admission_steps == 5.0, "polls more often at little load"
    assert recipe_of({**run, "software": "trtllm", "date": "2025-12-15"}).chunk_tokens == 1024.0 + 64.0
    assert recipe_of({**run, "source": "own"}) == Recipe()


def test_mixtures_of_tables_that_print_tensor_parallelism_only_ran_spread() -> None:
    row = {"source": "NVIDIA TensorRT-LLM perf-overview v1.0", "tp": 8.0, "dp_attention": "n"}
    assert layout_of(row, 8.0, moe=True) == (8.0, 8.0, 8.0, 1.0, 1.0), "enable_attention_dp and --ep of its commands"
    assert layout_of(row, 8.0, moe=False) == (8.0, 1.0, 1.0, 1.0, 1.0)
    assert layout_of({**row, "source": "own"}, 8.0, moe=True) == (8.0, 1.0, 1.0, 1.0, 1.0)


def test_separate_pools_are_read_as_their_published_configuration_sets_them() -> None:
    printed = Printed(1.0, 4.0, 4.0, 4.0, 8.0, 1.0)
    run = {
        "source": "SemiAnalysis InferenceX", "gpu": "gb200", "model": "deepseek-v3", "precision": "nvfp4",
        "software": "trtllm", "date": "2026-03-23", "input_len": 1024.0, "output_len": 1024.0, "concurrency": 192.0,
        "accelerators": 36.0, "drafts": 0.0,
    }  # fmt: skip
    pools = published_pools(run, printed)
    assert pools is not None
    assert (pools.slots, pools.drafts, pools.sizes) == (32.0, 0.0, printed)
    assert published_pools({**run, "concurrency": 193.0}, printed) is None
    assert published_pools({**run, "source": ""}, printed) is None, "a run of one's own may be set otherwise"
    earlier = published_pools({**run, "concurrency": 564.0, "date": "2025-11-17"}, None)
    assert earlier is not None, "the sum of both pools finds a configuration where they are not printed"
    assert earlier.sizes.decode_workers * earlier.sizes.decode_size == 32.0
    drafting = published_pools({**run, "concurrency": 512.0, "date": "2025-11-17"}, None)
    assert drafting is not None
    assert drafting.drafts == 3.0, "the only one of that size at that load drafts"


def test_published_pools_fit_their_accelerators() -> None:
    table = json.loads((shipped_measurements().parent / "serving_pools.json").read_text())
    at = {name: i for i, name in enumerate(table["columns"])}
    for row in table["pools"]:
        assert row[at["prefill_ranks"]] <= row[at["prefill_size"]]
        assert row[at["decode_ranks"]] <= row[at["decode_size"]]
        assert row[at["slots"]] is None or row[at["slots"]] >= 1
        assert row[at["source"]] in table["sources"]


def test_a_row_that_its_source_mislabels_stands_beside_with_its_doubt() -> None:
    table = validate_inference().table.set_index("id")
    assert "mislabelled" in table.loc["I00644", "doubt"]
    assert np.isfinite(table.loc["I00644", "predicted"])


def test_a_chip_that_reaches_less_of_its_peak_computes_slower() -> None:
    books = load_catalog()
    share = {
        name: float(np.asarray(sustained(h).peak_flop_s["bf16"])) / float(np.asarray(h.peak_flop_s["bf16"]))
        for name in ("mi300x", "mi325x", "h100")
        if (h := hardware_of(name, books))
    }
    assert share["mi300x"] < share["mi325x"] < share["h100"]


def test_intervals_hold_their_share() -> None:
    rng = np.random.default_rng(1)
    ratio = rng.normal(0.1, 0.3, 4000)
    table = quantile_table(ratio, np.full(4000, "tpot"), np.full(4000, "vllm"))
    low, high = np.log(table["tpot"]["vllm"])
    assert np.mean((ratio >= low) & (ratio <= high)) == pytest.approx(0.8, abs=0.01)


def test_a_generation_that_is_not_known_is_no_older_one() -> None:
    assert model_of("Llama-2-70b-chat")[1] == ""
    assert model_of("llama2-7b")[0].name == model_of("Llama-7B")[0].name == "llama-2-7b"
    assert "architecture unknown" in model_of("llama-9-70b")[1]
