"""Measured runs: every row accounted for, accuracy that may only rise, parameter files that work."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from gigaforge.cli import calibrate, validate
from gigaforge.errors import InputError, NoAnswerError
from gigaforge.perf.calibration.folds import group_folds, merge_alike
from gigaforge.perf.calibration.study import FOLDS, fit_without, folds_of, prepare, weights_of
from gigaforge.perf.calibration.training import Runs, fit
from gigaforge.perf.training.parameters import TrainingParameters, shipped
from gigaforge.perf.validation.models import catalogue_model
from gigaforge.perf.validation.runs import read_runs, run_of
from gigaforge.perf.validation.training import shipped_runs, validate_training

COLUMNS = (
    "id", "model_name", "n_layers", "d_model", "n_heads", "n_kv_heads", "d_ff", "vocab", "seq_len",
    "global_batch_sequences", "micro_batch", "gpu", "n_gpus", "tp", "pp", "cp", "ep", "precision", "step_time_s",
)  # fmt: skip
GOOD = {
    "id": "mine", "model_name": "Llama3-8B", "n_layers": 32, "d_model": 4096, "n_heads": 32, "n_kv_heads": 8,
    "d_ff": 14336, "vocab": 128256, "seq_len": 8192, "global_batch_sequences": 128, "micro_batch": 1, "gpu": "H100 SXM",
    "n_gpus": 8, "tp": 1, "pp": 1, "cp": 2, "ep": "", "precision": "bf16", "step_time_s": 13.0,
}  # fmt: skip


def write(path, *rows):
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows([{**GOOD, **row} for row in rows])
    return path


def app(module):
    out = typer.Typer()

    @out.callback()
    def _root():
        pass

    module.register(out)
    return out


@pytest.fixture(scope="module")
def shipped_validation():
    return validate_training()


def test_every_published_row_is_predicted_or_listed_with_the_reason(shipped_validation):
    v = shipped_validation
    s = v.summary()
    assert s["rows"] == 1580
    assert s["predicted"] + sum(s["skipped"].values()) == s["rows"]
    blank = v.table[v.table["predicted"].isna()]
    assert len(blank) == sum(s["skipped"].values())
    assert blank["note"].str.len().min() > 5
    assert np.isfinite(v.table.loc[v.table["predicted"].notna(), ["predicted", "low", "high"]]).all(axis=None)


def test_left_out_accuracy_is_as_documented(shipped_validation):
    s = shipped_validation.summary()
    assert s["left_out"] == s["predicted"]  # none is in-sample
    assert s["median_ape"] < 0.064
    assert s["p90_ape"] < 0.24
    assert abs(s["bias"]) < 0.02
    assert s["by"]["model_kind"]["moe"]["median_ape"] < 0.09
    assert s["memory"]["median_ape"] < 0.08
    assert s["ranking"]["reached"] > 0.95
    assert 0.75 <= s["coverage_80"] <= 0.85
    assert s["interval_width"] <= 1.5


def test_a_chip_left_out_is_predicted_from_its_data_sheet():
    fitted = shipped().fitted
    assert fitted["without_chip"]["median_ape"] < 0.15
    assert fitted["without_each_chip"]["gb300"]["median_ape"] < 0.15


def test_users_need_only_few_columns(tmp_path):
    v = validate_training(write(tmp_path / "runs.csv", {}, {"id": "two", "tp": 2, "cp": 1}))
    assert v.summary()["predicted"] == 2
    assert v.left_out == 0
    assert 0.5 < float((v.table["predicted"] / v.table["measured"]).iloc[0]) < 2


def write_few(path, *names):
    """Only the needed columns: no dimension of the architecture."""
    columns = ("model_name", "seq_len", "global_batch_sequences", "micro_batch", "gpu", "n_gpus", "tp", "pp", "cp", "ep",
               "precision", "step_time_s")  # fmt: skip
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns)
        writer.writeheader()
        writer.writerows([{**{c: GOOD[c] for c in columns}, "model_name": name} for name in names])
    return path


def test_a_model_of_the_catalogue_needs_no_dimensions(tmp_path):
    names = ("Llama 3.1 8B", "llama-3.1-8b", "LLAMA_3.1 8b", "meta-llama/Llama-3.1-8B-Instruct", "Llama3-8B (SFT)")
    few = validate_training(write_few(tmp_path / "few.csv", *names)).table["predicted"]
    whole = validate_training(write(tmp_path / "whole.csv", {})).table["predicted"]
    np.testing.assert_allclose(few, whole.iloc[0])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("DeepSeek-V3", "deepseek-v3"), ("deepseek v3", "deepseek-v3"), ("GPT-3 175B", "gpt3-175b"),
        ("gpt3_175b", "gpt3-175b"), ("Meta Llama 3.1 70B", "llama-3.1-70b"), ("Mixtral-8x7B", "mixtral-8x7b"),
        ("foo", None),
    ],
)  # fmt: skip
def test_a_name_is_found_however_it_is_punctuated(name, found):
    model = catalogue_model(name)
    assert (model and model.name) == found


def test_given_dimensions_win_over_the_catalogue():
    runs = {**GOOD, "d_model": "", "n_layers": 16}
    half = run_of(runs, "half").transformer
    assert (half.layers, half.attention_layers, half.d_model) == (16, 16, 4096)
    deep = {"model_name": "DeepSeek-V3", "n_layers": 13, "n_experts": 64, "top_k": 4}
    few = {k: v for k, v in GOOD.items() if not k.startswith(("n_layers", "d_", "n_heads", "n_kv", "vocab"))}
    moe = run_of({**few, **deep}, "deep").transformer
    assert (moe.dense_layers, moe.moe_layers, moe.experts, moe.experts_per_token) == (3, 10, 64, 4)


def test_heads_and_widths_left_blank_come_from_the_catalogue():
    row = {**GOOD, "model_name": "Llama 3.1 8B"}
    blank = run_of({**row, "n_heads": "", "n_kv_heads": "", "d_ff": "", "vocab": ""}, "blank").transformer
    assert (blank.heads, blank.kv_heads, blank.d_ff, blank.vocab) == (32, 8, 14336, 128256)


def test_the_rank_of_latent_attention_is_no_fine_tuning():
    assert run_of({**GOOD, "notes": "MLA (kv_lora 512, qk_nope 128)"}, "latent").trainable == 1.0
    assert run_of({**GOOD, "notes": "fine-tuning: LoRA"}, "tuned").trainable == 0.0


def test_scale_goes_by_number_and_every_worst_row_has_its_reason(shipped_validation):
    s = shipped_validation.summary()
    assert list(s["by"]["scale"]) == ["1-8", "9-64", "65-512", "513-4096", "4097+"]
    worst = shipped_validation.worst(8)
    assert worst["reason"].str.contains("predicted time: ").all()
    assert worst["reason"].str.contains("least known: ").all()
    assert worst["reason"].str.contains("contradicted: the same job ran").any()


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_when_no_row_can_be_predicted_the_report_is_written_all_the_same(tmp_path, form):
    path, out = write_few(tmp_path / "few.csv", *(f"foo{i}" for i in range(12))), tmp_path / "rows.csv"
    done = CliRunner().invoke(app(validate), ["validate", "training", str(path), "--out", str(out), *form])
    assert done.exit_code == 1
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 12
    assert all("not in the catalogue" in r["note"] and not r["predicted"] for r in rows)
    if form:
        told = json.loads(done.stdout)
        assert (told["rows"], told["predicted"], sum(told["skipped"].values())) == (12, 0, 12)
        assert "and 2 more" in told["error"]
    else:
        assert "0 of 12 rows predicted" in done.stdout
        assert isinstance(done.exception, NoAnswerError)
        assert "and 2 more" in str(done.exception)


@pytest.mark.parametrize(
    ("nonsense", "words"),
    [
        ({"tp": 3}, "does not divide n_gpus"),
        ({"tp": 3, "n_gpus": 9, "cp": 1}, "tp is 3, which does not divide the model's 32 heads"),
        ({"pp": 64, "n_gpus": 64, "cp": 1}, "pp is 64, more than the model's 32 layers"),
        ({"n_gpus": 8.5}, "n_gpus is 8.5, not a whole number"),
        ({"micro_batch": 1.5}, "micro_batch is 1.5, not a whole number"),
        ({"seq_len": ""}, "seq_len is blank"),
        ({"n_gpus": "many"}, "'many', not a number"),
        ({"step_time_s": -1}, "must be above 0"),
        ({"precision": "fp3"}, "'fp3'"),
        ({"gpu": "Abacus"}, "'Abacus'"),
        ({"precision": "nvfp4"}, "no fp4 arithmetic"),
        (
            {"model_name": "foo", "d_model": "nan"},
            "model 'foo' is not in the catalogue and d_model is blank; nearest: ",
        ),
        ({"model_name": "", "d_model": ""}, "model_name and d_model are blank"),
        ({"tp": 1.5}, "not a whole number"),
        ({"step_time_s": ""}, "neither step_time_s nor"),
    ],
)
def test_a_row_that_cannot_be_predicted_is_listed_with_column_and_value(tmp_path, nonsense, words):
    v = validate_training(write(tmp_path / "runs.csv", {}, {"id": "bad", **nonsense}))
    note = v.table.set_index("id").loc["bad", "note"]
    assert words in note
    assert sum(v.skipped.values()) == 1


def test_a_file_without_a_needed_column_or_any_good_row_is_refused(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("model_name,gpu\na,b\n", encoding="utf-8")
    with pytest.raises(InputError, match="seq_len"):
        read_runs(path)
    with pytest.raises(InputError, match="cannot read"):
        read_runs(tmp_path / "absent.csv")
    assert isinstance(validate_training(write(path, {"gpu": "Abacus"})).problem, NoAnswerError)


def test_folds_keep_together_what_is_alike():
    group = merge_alike(["a", "a", "b", "c", "d"], [1, 2, 3, 2, 4])
    assert group.tolist() == [0, 0, 1, 0, 2]
    folds = group_folds(group, 2, np.ones(5))
    assert len(set(folds[[0, 1, 3]])) == 1
    assert set(folds) == {0, 1}


def test_the_fit_finds_constants_that_made_the_data():
    runs = shipped_runs()[0][:120]
    stacked = Runs.of(runs)
    truth = np.zeros(len(stacked.names))
    truth[stacked.names.index("gemm.ampere.bf16")] = -0.2
    made = stacked.predict(truth)
    data = Runs(**{**vars(stacked), "measured_step_s": made.times.step_time_s})
    found = fit(data, np.ones(120), np.zeros(120))
    again = data.predict(found).times.step_time_s / made.times.step_time_s
    assert np.median(np.abs(again - 1)) < 0.01


def test_a_parameter_file_survives_reading(tmp_path):
    path = tmp_path / "p.json"
    path.write_text(shipped().text(), encoding="utf-8")
    again = TrainingParameters.read(path)
    assert again.fold_of_group == shipped().fold_of_group
    assert again.deviations == pytest.approx(dict(shipped().deviations), abs=1e-4)
    with pytest.raises(InputError, match="calibrate training"):
        TrainingParameters.read(write(tmp_path / "not.json", {}))


def test_validate_prints_one_json_object_and_writes_every_row(tmp_path):
    path, out, figure = (
        write(tmp_path / "runs.csv", {}, {"id": "bad", "tp": 3}),
        tmp_path / "rows.csv",
        tmp_path / "f.svg",
    )
    done = CliRunner().invoke(
        app(validate), ["validate", "training", str(path), "--json", "--out", str(out), "--figure", str(figure)]
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["rows"], told["predicted"]) == (2, 1)
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert [r["id"] for r in rows] == ["mine", "bad"]
    assert list(rows[0]) == ["id", "metric", "measured", "predicted", "low", "high", "note"]
    assert figure.read_text(encoding="utf-8").startswith("<svg")


def test_validate_in_words_names_the_worst_rows(tmp_path):
    done = CliRunner().invoke(app(validate), ["validate", "training", str(write(tmp_path / "runs.csv", {}))])
    assert done.exit_code == 0, done.output
    assert "1 of 1 rows predicted" in done.stdout
    assert "mine" in done.stdout


def test_calibrate_alone_on_a_file_writes_parameters_that_validate_reads(tmp_path):
    rows = [
        {"id": f"r{i}", "cp": c, "step_time_s": 13.0 * f} for i, (c, f) in enumerate([(1, 1.0), (2, 1.05), (4, 1.1)])
    ]
    path, out = write(tmp_path / "runs.csv", *rows), tmp_path / "p.json"
    done = CliRunner().invoke(
        app(calibrate), ["calibrate", "training", str(path), "--only", "--out", str(out), "--json"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"] == 3
    own = validate_training(path, TrainingParameters.read(out), in_sample=True).summary()
    assert own["median_ape"] < 0.12


@pytest.mark.slow
def test_the_shipped_parameters_are_what_calibrate_finds():
    runs, _ = shipped_runs()
    stacked = prepare(runs)
    weights, memory = weights_of(runs)
    theta = fit(stacked, weights, memory)
    assert _apart(stacked, theta, shipped().deviations) < 0.02
    # A fold that leaves out much and one that leaves out little stand for the ten.
    fold = folds_of(runs, weights)
    size = np.bincount(fold, weights=weights, minlength=FOLDS)
    for k in (int(size.argmax()), int(size.argmin())):
        part = fit_without(fold == k, stacked, weights, memory, theta, max_nfev=10)
        assert _apart(stacked, part, shipped().folds[k]) < 0.02


def test_the_shipped_error_is_that_of_the_shipped_folds():
    runs, _ = shipped_runs()
    stacked = prepare(runs)
    fold = folds_of(runs, weights_of(runs)[0])
    step = np.zeros(len(runs))
    for k in range(FOLDS):
        theta = np.array([shipped().folds[k].get(n, 0.0) for n in stacked.names])
        step[fold == k] = stacked.predict(theta).times.step_time_s[fold == k]
    tier_a = np.array([str(r.row.get("tier", "A")) not in {"B", "C"} for r in runs])
    off = np.abs(stacked.measured_step_s / step - 1)[tier_a]
    assert np.median(off) == pytest.approx(shipped().fitted["cross_validated"]["median_ape"], abs=0.002)


def _apart(stacked: Runs, theta: np.ndarray, written: Mapping[str, float]) -> float:
    """Largest difference of a deviation from what is written; what is too small to matter is not written."""
    return max(abs(v - written.get(n, 0.0)) for n, v in zip(stacked.names, theta, strict=True) if n)
