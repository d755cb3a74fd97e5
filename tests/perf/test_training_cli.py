"""``gigaforge train``: ranks, explains, draws, and says why not."""

from __future__ import annotations

import json
import re

import pytest
import typer
import yaml
from serving_fixtures import ACCELERATOR, MODEL, SYSTEM
from typer.testing import CliRunner

from gigaforge.cli import train
from gigaforge.errors import InputError, NoAnswerError

APP = typer.Typer()


@APP.callback()
def _root():
    pass


train.register(APP)


@pytest.fixture
def run(tmp_path):
    for kind, entry in (("accelerators", ACCELERATOR), ("systems", SYSTEM), ("models", MODEL)):
        folder = tmp_path / "mine" / kind
        folder.mkdir(parents=True)
        (folder / "own.yaml").write_text(yaml.safe_dump([entry]), encoding="utf-8")

    def call(*words):
        base = ["train", "test-8b", "test-node", "--gpus", "16", "--global-batch", "64", "--seq", "4096"]
        return CliRunner().invoke(APP, [*base, "--catalog", str(tmp_path / "mine"), *words])

    return call


def test_it_ranks_strategies_as_one_json_object(run):
    done = run("--json", "--precision", "fp8", "--top", "3")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    best = told["best"]
    assert told["evaluated"] >= told["feasible"] > 0
    assert len(best) == 3
    assert best[0]["step_time_s"] <= best[1]["step_time_s"] <= best[2]["step_time_s"]
    assert sum(best[0]["breakdown"].values()) == pytest.approx(best[0]["step_time_s"])
    for field in ("mfu", "tokens_per_s_per_gpu", "memory_bytes", "power_w", "joules_per_token", "tensor_parallel"):
        assert best[0][field] > 0
    assert best[0]["interval"]["low"] < best[0]["step_time_s"] < best[0]["interval"]["high"]


def test_with_all_degrees_it_explains_that_one(run, tmp_path):
    figure = tmp_path / "fall.svg"
    degrees = ["--tp", "2", "--pp", "1", "--cp", "1", "--mbs", "2", "--recompute", "none", "--sharding", "optimizer"]
    done = run(*degrees, "--figure", str(figure))
    assert done.exit_code == 0, done.output
    assert "linear" in done.stdout
    assert "and its memory" in done.stdout
    assert "Where a step" in figure.read_text(encoding="utf-8")


def test_what_does_not_fit_says_how_much_is_over_in_one_object(run):
    tight = [
        "--dp",
        "1",
        "--tp",
        "1",
        "--pp",
        "1",
        "--cp",
        "16",
        "--sharding",
        "none",
        "--recompute",
        "none",
        "--mbs",
        "64",
    ]
    done = run(*tight, "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert "GB over" in told["error"]
    assert told["feasible"] == 0
    assert isinstance(run(*tight).exception, NoAnswerError)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--vpp", "7"], NoAnswerError),
        (["--recompute", "some"], InputError),
        (["--precision", "nvfp4"], InputError),
        (["--figure", "plot.gif"], InputError),
    ],
)
def test_bad_questions_get_a_clear_answer(run, words, problem):
    assert isinstance(run(*words).exception, problem)


@pytest.mark.parametrize(
    ("cap", "words"),
    [
        ("900", "'900' is not a power with a unit"),
        ("nan W", "'nan W' is not a power"),
        ("", "is not a power"),
        ("0 W", "above 0 W"),
        ("-5 W", "above 0 W"),
        ("10 W", "below its idle"),
    ],
)
def test_a_power_cap_that_cannot_be_is_refused_in_one_line(run, cap, words):
    problem = run("--power-cap", cap).exception
    assert isinstance(problem, InputError)
    assert words in str(problem)
    assert "\n" not in str(problem)


def test_a_cap_that_the_lowest_clock_overruns_is_refused_with_the_least_one(run):
    problem = run("--power-cap", "20 W").exception
    assert isinstance(problem, InputError)
    least = re.search(r"the least cap is ([\d,]+) W", str(problem))[1].replace(",", "")
    assert "lowest clock" in str(run("--power-cap", f"{int(least) - 2} W").exception)
    done = run("--power-cap", f"{least} W", "--json", "--top", "1")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["best"][0]["power_w"] <= int(least)


def test_unknown_software_is_refused_with_the_known_names(run):
    problem = run("--software", "foo").exception
    assert isinstance(problem, InputError)
    assert "'foo'" in str(problem)
    assert "nemo" in str(problem)
    assert run("--software", "vtrain", "--json").exit_code == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--tp", "3"], "32 heads are not divisible by tensor parallel 3"),
        (["--tp", "2", "--pp", "2", "--dp", "3"], "tensor 2 x pipeline 2 x data 3 = 12, not 16 GPUs"),
        (["--tp", "8", "--pp", "8"], "tensor 8 x pipeline 8 = 64, which does not divide 16 GPUs"),
        (["--tp", "2", "--pp", "2", "--cp", "1", "--dp", "2"], "pipeline 2 x context 1 x data 2 = 8, not 16 GPUs"),
        (["--dp", "5"], "data parallel 5 does not divide 16 GPUs"),
        (["--pp", "64"], "pipeline parallel 64 exceeds 32 layers"),
        (["--pp", "2", "--vpp", "7"], "32 layers do not divide into pipeline parallel 2 x virtual pipeline 7"),
        (["--ep", "2"], "has no experts"),
        (["--mbs", "3"], "a global batch of 64 is not divisible by micro-batch 3"),
    ],
)
def test_degrees_that_cannot_be_are_refused_with_the_one_that_stands_in_the_way(run, words, reason):
    problem = run(*words).exception
    assert isinstance(problem, InputError)
    assert reason in str(problem)


def test_a_chip_without_published_figures_says_so(run, tmp_path):
    bare = {k: v for k, v in ACCELERATOR.items() if k not in {"bf16", "fp8"}} | {"status": "announced_only"}
    (tmp_path / "mine" / "accelerators" / "own.yaml").write_text(yaml.safe_dump([bare]), encoding="utf-8")
    assert "not published yet" in str(run().exception)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--context-mode", "spiral"], "none of ring, all-gather, ulysses"),
        (["--expert-load", "0.5"], "at least 1"),
        (["--oversubscription", "2"], "give --pod"),
        (["--oversubscription", "0.5", "--pod", "8"], "at least 1"),
        (["--site-gpus", "8"], "--site-bandwidth"),
        (["--site-gpus", "8", "--site-bandwidth", "3 W"], "expected a bandwidth"),
        (["--sharding-group", "3"], "3 does not divide 16 GPUs"),
    ],
)
def test_networks_and_modes_that_cannot_be_are_refused(run, words, reason):
    problem = run(*words).exception
    assert isinstance(problem, InputError)
    assert reason in str(problem)


def test_sites_and_a_narrow_tree_slow_the_best_step(run):
    def best(*words):
        return json.loads(run("--json", "--top", "1", *words).stdout)["best"][0]

    near = best()
    far = best("--oversubscription", "4", "--pod", "8", "--site-gpus", "8", "--site-bandwidth", "1 GB/s")
    assert far["step_time_s"] > near["step_time_s"]
    assert near["power_w"] < near["system_power_w"] < 4 * near["power_w"]
    assert near["context_mode"] == "ring"


def test_the_ranking_fits_a_narrow_terminal(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("--top", "3").stdout.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert any("J/tok" in line for line in lines)
