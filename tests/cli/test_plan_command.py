"""The main job as its user runs it: files in, a plan folder out, one clear message when something is wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from gigaforge.buildout.check import check_plan
from gigaforge.buildout.folder import read_plan_folder

ROOT = Path(__file__).parents[2]
SINGLE = ROOT / "scenarios" / "single-site.yaml"


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gigaforge", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd or ROOT, timeout=300, check=False)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The tutorial's plan folder, and what the terminal said."""
    out = tmp_path_factory.mktemp("plans") / "single"
    done = run("plan", SINGLE, "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


@pytest.fixture(scope="module")
def folder(planned: tuple[Path, str]) -> Path:
    return planned[0]


SHAPE = [
    "name",
    "status",
    "objective",
    "objective_value",
    "mip_gap",
    "bound",
    "solve_s",
    "quarters",
    "it_power_w",
    "facility_power_w",
    "deployed_w",
    "tokens_served",
    "tokens_demanded",
    "tranches",
    "training_runs",
    "npv_usd",
    "irr",
    "capex_usd",
    "opex_usd",
    "shadow_prices",
    "options",
    "inputs",
    "versions",
]
COLUMNS = {
    "deployment": "quarter site system racks_added racks_retired racks_online it_power_w facility_power_w",
    "sites": "quarter site energised_w pue",
    "supply": "quarter system racks_available",
    "cash": "quarter party flow amount_usd",
    "allocation": "quarter site system workload point racks tokens",
    "operating_points": "id workload kind system model tokens_per_s_per_rack it_power_w_per_rack",
    "tranches": "index threshold_w amount_usd released",
}


def test_the_plan_folder_has_its_promised_shape(folder: Path) -> None:
    summary, tables = read_plan_folder(folder)
    assert set(SHAPE) <= set(summary)
    for table, columns in COLUMNS.items():
        assert set(columns.split()) <= set(tables[table].columns), table
    count = len(summary["quarters"])
    for name in ("it_power_w", "facility_power_w", "deployed_w", "tokens_served", "tokens_demanded"):
        assert len(summary[name]) == count
    assert summary["inputs"].keys() == {str(SINGLE)}
    assert (folder / "report.html").stat().st_size < 5e6


def test_the_tutorial_reaches_its_commitment_and_says_why_one_date_is_not_kept(folder: Path) -> None:
    summary = json.loads((folder / "plan.json").read_text())
    met = [m["reached"] is not None and m["reached"] <= m["by"] for m in summary["milestones"]]
    assert met == [True, False, True]
    assert "cost more than being late" in summary["milestones"][1]["why"]
    assert max(summary["shadow_prices"]["power"]["abilene"]) > 0


def test_the_folder_passes_the_independent_check(folder: Path) -> None:
    assert [c.rule for c in check_plan(*read_plan_folder(folder)) if not c.passed] == []


def test_a_plan_may_be_replaced_but_nothing_else_is(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    done = run("plan", SINGLE, "--out", tmp_path / "mine")
    assert done.returncode == 2
    assert "not a plan folder" in done.stderr
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine"]


def broken(tmp_path: Path, **changes: Any) -> Path:
    data = yaml.safe_load(SINGLE.read_text()) | changes
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in data.items() if v is not ...}, allow_unicode=True))
    return path


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"commitmnt": {}}, 2, "did you mean 'commitment'"),
        ({"commitment": {"power": "10 GB"}}, 2, "is data; expected power"),
        ({"sites": [{"site": "abilen"}]}, 2, "did you mean 'abilene'"),
        ({"horizon": {"first": "2029-Q2", "last": "2026-Q3"}}, 2, "before first"),
        ({"finance": ...}, 2, "finance: is missing"),
        ({"commitment": {"power": "9 GW", "milestones": [{"power": "9 GW", "by": "2027-Q4"}]}}, 1, "supply gives"),
    ],
)
def test_bad_input_is_one_message_and_no_folder(tmp_path: Path, changes: Any, code: int, says: str) -> None:
    path = broken(tmp_path, **changes, because={})
    done = run("plan", path, "--out", tmp_path / "out", "--json")
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout)["exit_code"] == code
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--gap", "much"], "--gap: 'much'"),
        (["--time-limit", "5 GW"], "expected a duration"),
        (["--objective", "fame"], "known: npv"),
        (["--catalog", "/no/such/folder"], "no such folder"),
    ],
)
def test_bad_options_are_one_message(tmp_path: Path, arguments: list[str], says: str) -> None:
    done = run("plan", SINGLE, "--out", tmp_path / "out", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_summary_fits_a_terminal(planned: tuple[Path, str]) -> None:
    assert "One site in Texas" in planned[1]
    assert max(map(len, planned[1].splitlines())) <= 100


def test_init_writes_a_scenario_that_can_be_planned(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    assert run("init", path).returncode == 0
    assert run("init", path).returncode == 2  # never over an existing file
    done = run("plan", path, "--out", tmp_path / "plan", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((tmp_path / "plan" / "plan.json").read_text())


def test_a_users_own_figures_overlay_the_catalogue(folder: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "mine" / "systems"
    overlay.mkdir(parents=True)
    (overlay / "mine.yaml").write_text(
        "- name: vera-rubin-nvl72-max-q\n  price: {value: $1M, assumption: a friend's price}\n"
        "- name: vera-rubin-nvl72-max-p\n  price: {value: $1M, assumption: a friend's price}\n"
    )
    cheap = run("plan", SINGLE, "--out", tmp_path / "a", "--json", "--catalog", tmp_path / "mine")
    usual = json.loads((folder / "plan.json").read_text())
    assert json.loads(cheap.stdout)["objective_value"] > usual["objective_value"]
    assert any("mine.yaml" in name for name in json.loads(cheap.stdout)["inputs"])


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_plan_so_far(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "gigaforge", "plan", str(ROOT / "scenarios" / "alliance-10gw.yaml"),
               "--out", str(out), "--gap", "0 %", "--json"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if "searching" in line:
                break
        time.sleep(8)
        child.send_signal(signal.SIGINT)
        stdout, stderr = child.communicate()
    assert child.returncode == 0, stderr
    summary = json.loads(stdout)
    assert summary["status"] in ("interrupted", "optimal")
    assert 0 <= summary["mip_gap"] < 1
    assert [c.rule for c in check_plan(*read_plan_folder(out)) if not c.passed] == []


@pytest.mark.slow
def test_the_alliance_plan_is_credible(tmp_path: Path) -> None:
    """Ten gigawatts, a tranche for each, all training done, and headline figures near what was published."""
    out = tmp_path / "out"
    done = run("plan", ROOT / "scenarios" / "alliance-10gw.yaml", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["mip_gap"] <= 0.005
    assert max(summary["deployed_w"]) >= 10e9
    assert sum(t["amount_usd"] for t in summary["tranches"] if t["released"]) == 100e9
    assert all(run_["end"] <= run_["window"][1] for run_ in summary["training_runs"])
    for milestone in summary["milestones"]:
        assert milestone["shortfall_w"] < 1e3 or (milestone["why"] and milestone["cost_usd"] > 0)
    by_name = {c["what"]: c for c in summary["cross_checks"]}
    assert by_name["capital cost per gigawatt"]["inside"]
    assert by_name["messages a week per 700M users"]["inside"]
    assert [c.rule for c in check_plan(*read_plan_folder(out)) if not c.passed] == []


@pytest.mark.slow
def test_operating_the_fleet_and_planning_again_ends_in_agreement(tmp_path: Path) -> None:
    done = run("plan", SINGLE, "--operate", "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    check = json.loads(done.stdout)["fleet_check"]
    assert check["agreement"] == "reached"
    assert 0.9 < check["availability"] <= 1
