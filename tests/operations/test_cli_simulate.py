"""The command: one JSON object on stdout, files in --out, clear messages."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gigaforge.cli import main
from gigaforge.cli.simulate import register
from gigaforge.errors import InputError, StoppedError
from gigaforge.operations import engine, validation
from gigaforge.operations.traces import sample_path
from gigaforge.operations.validation import CASES

REAL_VALIDATE = validation.validate
KEYS = {
    "racks", "simulated_s", "wall_s", "events", "goodput", "availability", "waterfall", "energy_j", "pue", "peak_power_w",
    "tokens_served", "tokens_demanded", "slo_violations", "cost_usd",
}  # fmt: skip


@pytest.fixture
def call():
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)

    def run(*args):
        return CliRunner().invoke(app, ["simulate", *map(str, args)], catch_exceptions=False)

    return run


def test_json_has_the_published_shape(call, plan_dir):
    done = call(plan_dir, "--years", 0.5, "--json")
    assert done.exit_code == 0
    data = json.loads(done.stdout)
    assert set(data) >= KEYS
    assert sum(data["waterfall"].values()) == pytest.approx(1.0)


def test_the_terminal_summary_and_the_files(call, sample_yaml, tmp_path):
    done = call(sample_yaml, "--years", 0.25, "--out", tmp_path / "o")
    assert "goodput" in done.stdout
    assert "training rack time" in done.stdout
    names = {p.name for p in (tmp_path / "o").iterdir()}
    assert {
        "sites.parquet",
        "serving.parquet",
        "training.parquet",
        "simulation.html",
        "simulation.json",
        "state.json",
    } <= names
    html = (tmp_path / "o" / "simulation.html").read_text()
    assert "cdn.jsdelivr" not in html.split("<body")[0].replace("sourceMappingURL", "")[:2000]


def test_tables_speak_peoples_units(call, sample_yaml):
    done = call(sample_yaml, "--years", 0.1, "--compare", "mode=synchronous", "--workers", 1).stdout
    assert " pt" in done
    assert "GWh" in done
    assert "…" not in done
    assert "e+" not in done
    done = call(sample_yaml, "--years", 0.1, "--replications", 2, "--workers", 1).stdout
    assert "availability" in done
    assert "…" not in done


def test_comparisons_and_replications(call, sample_yaml):
    done = json.loads(
        call(sample_yaml, "--years", 0.25, "--compare", "mode=synchronous", "--workers", 1, "--json").stdout
    )
    assert done["difference"]["goodput"]["mean"] < 0
    assert done["replications"] == 5
    assert not done["no_effect"]
    assert "mode=synchronous" in done["compared"]["second"]
    done = json.loads(call(sample_yaml, "--years", 0.25, "--replications", 2, "--workers", 1, "--json").stdout)
    assert done["replications"] == 2


def test_a_change_without_effect_says_so(call, sample_yaml):
    given = (sample_yaml, "--years", 0.1, "--compare", "planned_s=300", "--replications", 2, "--workers", 1)
    said = " ".join(call(*given).stdout.split())
    assert "2 pairs of runs" in said
    assert "The change had no effect: the fleet had planned_s=300 already." in said


def test_validation_and_replay(call, monkeypatch):
    monkeypatch.setattr(
        validation, "validate", lambda: REAL_VALIDATE(cases=CASES[:6])
    )  # all of them: test_validation
    done = json.loads(call("--validate", "--json").stdout)
    assert done["rows"] == done["reproduced"] == 6
    assert "6 of 6 reproduced" in call("--validate").stdout
    assert json.loads(call("--replay", sample_path("philly.csv"), "--json").stdout)["jobs"] == 200


@pytest.mark.parametrize(
    ("args", "message"),
    [((), "give a plan folder"), (("/nowhere",), "no such plan folder"), (("SAMPLE", "--seed", "-1"), "below zero"),
     (("SAMPLE", "--years", "-2"), "more than 0"), (("SAMPLE", "--compare", "faster"), "neither a fleet nor a policy"),
     (("SAMPLE", "--replications", "2", "--workers", "0"), "at least 1"), (("SAMPLE", "--replications", "0"), "at least 1"),
     (("SAMPLE", "--compare", "spares=-3"), "below zero"),
     (("SAMPLE", "--compare", "spares=3", "--replications", "1"), "1; at least 2 is needed"),
     (("SAMPLE", "--compare", "technicians=0"), "technicians 0; at least 1"), (("SAMPLE", "--compare", "parts=0"), "parts 0; at least 1"),
     (("SAMPLE", "--compare", "interval_s=nan"), "interval_s nan; a finite number"), (("SAMPLE", "--compare", "spares=1.5"), "not a whole number"),
     (("SAMPLE", "--compare", "replica_racks=900"), "a replica of 900 racks, and the run has 640"),
     (("SAMPLE", "--events"), "--events: writes failures.parquet into --out"), (("SAMPLE", "--from", "2040-Q1"), "start: 2027-Q1")],
)  # fmt: skip
def test_wrong_calls_are_explained(call, sample_yaml, args, message):
    with pytest.raises(InputError, match=message):
        call(*[sample_yaml if a == "SAMPLE" else a for a in args])


def test_a_run_stopped_by_hand_keeps_what_it_has(call, sample_yaml, tmp_path, monkeypatch):
    real, seen = engine.run_window, []

    def stopped(*args):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(1)
        return real(*args)

    monkeypatch.setattr(engine, "run_window", stopped)
    with pytest.raises(StoppedError, match="keeps the quarters that are done, the same command continues") as stop:
        call(sample_yaml, "--out", tmp_path / "o", "--json")
    assert stop.value.exit_code == 130
    monkeypatch.setattr(engine, "run_window", real)
    rest = json.loads(call(sample_yaml, "--out", tmp_path / "o", "--json").stdout)
    whole = json.loads(call(sample_yaml, "--json").stdout)
    assert rest["goodput"] == whole["goodput"]
    assert rest["cost_usd"] == whole["cost_usd"]


def test_the_page_holds_every_case_and_every_option_is_documented():
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "operations-validation.md").read_text(encoding="utf-8")
    assert all(case.name in page for case in CASES)
    text = (docs / "operations.md").read_text(encoding="utf-8")
    assert all(
        f"--{name}" in text for name in ("out", "compare", "replications", "validate", "replay", "events", "json")
    )


@pytest.mark.parametrize(
    ("option", "says"),
    [(["--from", "foo"], "--from: 'foo' is not a quarter")],
)
def test_wrong_options_are_one_message(option, says, tmp_path):
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "gigaforge", "simulate", str(tmp_path), *option],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_has_one_message(monkeypatch, capsys, tmp_path):
    """What is kept, and nothing that contradicts it."""

    def stopped(*_, **__):
        raise KeyboardInterrupt

    left = []
    monkeypatch.setattr("gigaforge.operations.run.simulate", stopped)
    monkeypatch.setattr("os._exit", left.append)
    monkeypatch.setattr("sys.argv", ["gigaforge", "simulate", str(sample_path("fleet.yaml")), "--out", str(tmp_path)])
    main()
    assert left == [130]
    assert (
        capsys.readouterr().err
        == f"interrupted; {tmp_path} keeps the quarters that are done, the same command continues\n"
    )


def test_a_site_above_its_limit_is_named_beside_the_figures(call, edit):
    site = edit(["sites", 0, "power"], "1 MW")
    said = " ".join(call(site, "--years", 0.02).stdout.split())
    assert "abilene is above its limit for" in said
    assert "1 MW allowed, although everything gave way that may" in said


def test_a_hole_in_a_trace_is_named(call, tmp_path):
    trace = tmp_path / "gap.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n0,100,50\n10,100,50\n20,100,50\n5000,100,50\n")
    assert "gap of 83 min" in " ".join(call("--replay", trace).stdout.split())
    assert "gap of" not in call("--replay", sample_path("azure.csv")).stdout
