"""The search: what it finds is valid, best, and found in time; the command says so."""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from gigaforge.cli.infer import register
from gigaforge.cli.infer_question import replaced, requests_of
from gigaforge.errors import GigaforgeError, InputError
from gigaforge.perf.inference import ServingConfigurations, ServingResults, Traffic, evaluate, search
from gigaforge.perf.inference.space import layouts
from gigaforge.perf.inference.traffic import dataset_of

sys.path.insert(0, str(Path(__file__).parent))
from serving_fixtures import ACCELERATOR, MODEL, SYSTEM, gb200, h100, served


def test_layouts_divide_heads_and_fill_replicas() -> None:
    space = layouts(served("deepseek-v3"), gb200(), 72)
    tensor = space.accelerators / space.pipeline_parallel / space.attention_data_parallel
    assert np.all(128 % tensor == 0)
    assert np.all(space.accelerators <= 72)
    assert {8.0, 64.0, 72.0} <= set(space.accelerators.tolist())
    wide = layouts(served("deepseek-v3"), h100(), 64)
    across = wide.accelerators / wide.pipeline_parallel > 8
    assert np.any(wide.expert_parallel[across] == 64), "wide expert parallelism leaves the NVLink domain"
    assert np.all((wide.accelerators / wide.pipeline_parallel / wide.attention_data_parallel)[across] <= 8)
    dense = layouts(served("llama-3-70b"), h100(), 8)
    assert np.all(dense.expert_parallel == 1)
    assert np.all(dense.attention_data_parallel == 1)


def test_the_front_is_not_dominated_and_the_best_meets_its_targets() -> None:
    traffic = Traffic(4000, 1000, ttft_s=2.0, tpot_s=0.03)
    r = search(served("deepseek-v3"), gb200(), traffic, precision="nvfp4")
    front, best = r.pareto(), r.best()
    assert len(front) > 10
    for i in range(len(front)):
        faster = r.tokens_per_s_per_user > front.tokens_per_s_per_user[i]
        assert not np.any(r.tokens_per_s_per_gpu[faster] > front.tokens_per_s_per_gpu[i])
    assert best.tpot_p99_s[0] <= 0.03
    assert best.ttft_p99_s[0] <= 2.0
    assert best.tokens_per_s_per_gpu[0] == r.tokens_per_s_per_gpu[r.meets_targets].max()
    assert best.memory_bytes[0] <= 192e9
    total = (
        best.configurations.accelerators
        + best.configurations.prefill_share * best.configurations.prefill_accelerators
    )
    assert total[0] <= 72


def test_separate_prefill_wins_long_prompts_under_a_tight_target() -> None:
    traffic = Traffic(16000, 500, tpot_s=0.012, ttft_s=5.0)
    both = search(served("deepseek-v3"), gb200(), traffic, precision="nvfp4").best()
    one = search(served("deepseek-v3"), gb200(), traffic, precision="nvfp4", modes=("aggregated",)).best()
    assert both.configurations.disaggregated[0]
    assert not len(one) or both.tokens_per_s_per_gpu[0] > one.tokens_per_s_per_gpu[0]


def test_search_agrees_with_evaluating_its_answer() -> None:
    traffic = Traffic(1024, 1024, tpot_s=0.02)
    best = search(served("llama-3-70b"), h100(), traffic, precision="fp8", modes=("aggregated",)).best()
    again = evaluate(served("llama-3-70b"), h100(), traffic, best.configurations, precision="fp8")
    assert again.tokens_per_s_per_gpu[0] == pytest.approx(best.tokens_per_s_per_gpu[0])


def test_a_rack_is_searched_completely() -> None:
    r = search(served("deepseek-v3"), gb200(), Traffic(4000, 1000, tpot_s=0.03), precision="nvfp4")
    assert r.evaluated > 20_000, "its speed is measured in benchmarks/inference.py"


def test_a_million_configurations_stay_flat_in_memory() -> None:
    n = 200_000
    c = ServingConfigurations.aggregated(8.0, np.linspace(1, 512, n))
    tracemalloc.start()
    r = evaluate(served("llama-3-70b"), h100(), Traffic(1024, 1024), c, precision="fp8")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(r) == n
    assert peak < 8 * n * 8 * 24  # a few dozen columns, no temporary of every operator


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    for kind, entry in (("accelerators", ACCELERATOR), ("systems", SYSTEM), ("models", MODEL)):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "test.yaml").write_text(yaml.safe_dump([entry]))
    return tmp_path


def run(overlay: Path, *words: str, columns: int = 120) -> tuple[int, str, BaseException | None]:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    lengths = [] if "--input-len" in words else ["--input-len", "1000", "--output-len", "500"]
    done = CliRunner().invoke(
        app,
        ["infer", "test-8b", "test-node", *lengths, "--catalog", str(overlay), *words],
        env={"COLUMNS": str(columns)},
    )
    return done.exit_code, done.stdout, done.exception


def test_the_command_prints_the_json_that_checks_read(overlay: Path) -> None:
    code, out, _ = run(overlay, "--tpot", "20 ms", "--ttft", "2 s", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["evaluated"] > 100
    assert told["wall_s"] < 1.0
    row = told["pareto"][0]
    assert {"layout", "batch", "ttft_s", "tpot_s", "tokens_per_s_per_gpu", "tokens_per_s_per_user", "memory_bytes",
            "power_w", "usd_per_mtok"} <= set(row)  # fmt: skip
    assert row["ttft_s"]["p99"] >= row["ttft_s"]["mean"]
    assert told["best"]["meets_targets"]
    assert told["best"]["usd_per_mtok"] > 0
    assert set(told["interval_80"]) == {"tpot", "ttft", "throughput"}


def test_the_command_shows_a_table_and_writes_a_figure(overlay: Path, tmp_path: Path) -> None:
    path = tmp_path / "front.html"
    code, out, _ = run(overlay, "--offline", "--figure", str(path))
    assert code == 0
    assert "TTFT" in out
    assert "tokens/s per user" in path.read_text()


@pytest.mark.parametrize("targets", [("--offline",), ("--tpot", "20 ms")])
def test_the_table_is_whole_at_80_columns(overlay: Path, targets: tuple[str, ...]) -> None:
    _, out, _ = run(overlay, *targets, columns=80)
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("\n* TP") == 1, "the best row is marked, once"
    assert all(head in out for head in ("batch", "tok/s", "/user", "/GPU", "/MW", "/Mtok"))


def test_a_target_that_nothing_meets_names_the_closest(overlay: Path) -> None:
    _, _, problem = run(overlay, "--tpot", "0.1 ms")
    assert isinstance(problem, GigaforgeError)
    assert problem.exit_code == 1
    assert "no configuration meets 0.1 ms TPOT" in str(problem)
    assert "the closest is" in str(problem)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--input-len", "9000", "--output-len", "100"), "holds 8,192"),
        (("--concurrency", "0"), "concurrency"),
        (("--offline", "--tpot", "10 ms"), "offline means no latency target"),
        (("--concurrency", "0.5"), "at least one request in flight"),
        (("--precision", "fp7"), "unknown precision"),
        (("--tpot", "30"), "has no unit"),
        (("--mode", "neither"), "aggregated, disaggregated and both"),
        (("--parameters", "nowhere.json"), "cannot be read"),
        (("--pue", "nan"), "--pue"),
        (("--pue", "0.5"), "at least 1"),
        (("--energy-price", "foo"), "--energy-price"),
        (("--energy-price", "-$60/MWh"), "--energy-price"),
        (("--power-cap", "900"), "has no unit"),
        (("--power-cap", "nan W"), "--power-cap"),
        (("--power-cap", "0 W"), "draws idle"),
        (("--power-cap", "-5 W"), "--power-cap"),
        (("--power-cap", "20 W"), "draws idle"),
        (("--software", "foo"), "trtllm, trtllm-bench"),
        (("--kv-precision", "foo"), "known: bf16, fp8"),
        (("--kv-precision", "fp4"), "known: bf16, fp8"),
    ],
)
def test_wrong_input_is_named(overlay: Path, words: tuple[str, ...], said: str) -> None:
    _, _, problem = run(overlay, *words)
    assert isinstance(problem, InputError)
    assert said in str(problem)


def test_a_rate_beyond_the_system_says_how_many_would_do(overlay: Path) -> None:
    _, _, problem = run(overlay, "--rate", "100000", "--gpus", "8")
    assert isinstance(problem, GigaforgeError)
    assert problem.exit_code == 1
    assert "8 accelerators do not serve 100,000 requests/s" in str(problem)
    assert "accelerators would do" in str(problem)


def test_the_first_line_says_what_the_whole_system_does(overlay: Path) -> None:
    _, out, _ = run(overlay, "--tpot", "20 ms")
    assert out.startswith("8 accelerators, as many requests as the targets allow (20 ms TPOT, p99): ")
    _, out, _ = run(overlay, "--rate", "50", "--tpot", "20 ms", "--json")
    best = json.loads(out)["best"]
    assert best["deployment"]["requests_per_s"] == pytest.approx(50.0, rel=1e-3)
    assert best["deployment"]["accelerators"] == best["layout"]["accelerators_in_use"]


def test_a_benchmark_s_lengths_and_targets_are_taken_by_name(overlay: Path) -> None:
    _, _, problem = run(overlay, "--mlperf", "server")
    assert "MLPerf has no data set for test-8b" in str(problem)
    assert dataset_of("deepseek-r1").targets["interactive"] == (1.5, 0.015)


def test_json_says_why_there_is_no_best(overlay: Path) -> None:
    code, out, _ = run(overlay, "--tpot", "0.1 ms", "--json")
    told = json.loads(out)
    assert code == 1
    assert told["best"] is None
    assert "no configuration meets 0.1 ms TPOT" in told["error"]
    assert told["closest"]["tpot_s"]["p99"] > 1e-4


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([("deepseek-v3", "nvfp4"), ("llama-3-70b", "fp8")]),
    st.floats(64, 16000),
    st.floats(16, 4000),
    st.sampled_from([None, 3.0, 100.0, 3000.0]),
    st.sampled_from([8, 20, 72]),
)
def test_pools_have_whole_workers_and_never_more_than_there_are(
    case: tuple[str, str], input_len: float, output_len: float, concurrency: float | None, total: int
) -> None:
    traffic = Traffic(input_len, output_len, concurrency=concurrency)
    r = search(served(case[0]), gb200(), traffic, precision=case[1], accelerators=total)
    c = r.configurations
    prefills = c.prefill_share * c.replicas
    assert np.allclose(c.replicas, np.round(c.replicas))
    assert np.allclose(prefills, np.round(prefills))
    assert np.all(prefills[c.disaggregated] >= 1 - 1e-9)
    assert np.all(c.total_accelerators <= total + 1e-6)
    assert np.all(r.tokens_per_s_per_gpu > 0)
    if concurrency is not None:
        # Little's law over the whole deployment: nobody waits longer than all requests in flight take to leave.
        flow = r.requests_per_s_per_gpu * total
        assert np.allclose(r.ttft_s + output_len * r.tpot_s, np.maximum(concurrency, c.replicas) / flow, rtol=1e-6)


@settings(max_examples=6, deadline=None)
@given(st.floats(0.05, 5000.0), st.sampled_from(["aggregated", "disaggregated"]))
def test_a_rate_is_served_exactly_and_more_of_it_needs_more(rate: float, mode: str) -> None:
    def ask(wanted: float) -> ServingResults:
        traffic = Traffic(2000, 500, tpot_s=0.05, rate=wanted)
        return search(served("llama-3-70b"), h100(), traffic, modes=(mode,))

    one, two = ask(rate), ask(2.0 * rate)
    served_rate = one.requests_per_s_per_gpu * one.configurations.total_accelerators
    assert np.allclose(served_rate, rate, rtol=1e-3)
    assert two.best().configurations.total_accelerators[0] >= one.best().configurations.total_accelerators[0]


@settings(max_examples=5, deadline=None)
@given(st.floats(0.5, 200.0), st.integers(2, 5), st.sampled_from(["aggregated", "disaggregated"]))
def test_so_many_times_the_rate_needs_at_most_so_many_times_as_many(rate: float, times: int, mode: str) -> None:
    def needed(wanted: float) -> float:
        traffic = Traffic(4000, 1000, ttft_s=5.0, tpot_s=0.03, rate=wanted)
        best = search(served("llama-3-70b"), h100(), traffic, modes=(mode,)).best()
        return float(best.configurations.total_accelerators[0])

    one = needed(rate)
    assert one <= needed(rate * times) <= times * one + 1e-6


def test_an_answer_of_one_token_has_no_time_per_token(overlay: Path) -> None:
    code, out, _ = run(
        overlay, "--input-len", "2000", "--output-len", "1", "--ttft", "2 s", "--tpot", "1 ms", "--json"
    )
    best = json.loads(out)["best"]
    assert code == 0
    assert best["tpot_s"] == {"mean": None, "p99": None}
    assert best["ttft_s"]["p99"] <= 2.0
    many = evaluate(served("llama-3-70b"), h100(), Traffic(2000, 2), ServingConfigurations.aggregated(8.0, 1.0))
    one = evaluate(served("llama-3-70b"), h100(), Traffic(2000, 1), ServingConfigurations.aggregated(8.0, 1.0))
    assert one.requests_per_s_per_gpu[0] >= many.requests_per_s_per_gpu[0]


def test_own_lengths_beside_a_benchmark_s_name_are_said() -> None:
    own = requests_of("deepseek-r1", "server", 4000.0, None, None, False, None, "50 ms")
    said = replaced("deepseek-r1", "server", own)
    assert "not MLPerf server as it stands" in said
    assert "--input-len 4,000 tokens instead of 800 tokens" in said
    assert "--tpot 0.05 s instead of 0.08 s" in said
    as_it_stands = requests_of("deepseek-r1", "server", None, None, None, False, None, None)
    assert replaced("deepseek-r1", "server", as_it_stands) == ""
    assert replaced("deepseek-r1", None, own) == ""


def test_a_precision_that_the_chip_lacks_is_refused_with_what_runs_weights_as_small(overlay: Path) -> None:
    _, _, refused = run(overlay, "--precision", "nvfp4", "--json")
    assert isinstance(refused, InputError)
    assert "does not compute in nvfp4" in str(refused)
    assert "ask for mxfp4" in str(refused)
    code, out, _ = run(overlay, "--precision", "mxfp4", "--json")
    assert code == 0
    assert json.loads(out)["precision"] == "mxfp4"


def test_a_cap_above_the_limit_caps_nothing_and_is_refused(overlay: Path) -> None:
    _, _, refused = run(overlay, "--power-cap", "9 kW")
    assert isinstance(refused, InputError)
    assert "would cap nothing" in str(refused)


def test_a_busier_deployment_answers_later() -> None:
    def ask(rate: float) -> ServingResults:
        return search(served("llama-3-70b"), h100(), Traffic(2000, 500, rate=rate), modes=("aggregated",))

    def at_eight(r: ServingResults) -> ServingResults:
        c = r.configurations
        return r.take(np.flatnonzero((c.accelerators == 8) & (c.pipeline_parallel == 1) & (c.replicas == 1)))

    calm, busy = at_eight(ask(0.5)), at_eight(ask(4.0))
    assert busy.ttft_p99_s[0] > calm.ttft_p99_s[0]
    assert busy.tpot_s[0] > calm.tpot_s[0]
    assert busy.power_w[0] > calm.power_w[0]


def test_unknown_modes_are_refused() -> None:
    with pytest.raises(InputError, match="known"):
        search(served("llama-3-70b"), h100(), Traffic(10, 10), modes=("somehow",))
