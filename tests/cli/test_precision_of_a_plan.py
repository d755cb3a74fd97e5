"""Precision in a whole plan: a chip without fp4 serves in another, and who is asked for what it cannot do is told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[2]


def small() -> dict[str, Any]:
    """Four quarters of one site with two kinds of system; the large model fits into no H200 node in eight bits."""
    data = yaml.safe_load((ROOT / "scenarios" / "power-bound.yaml").read_text(encoding="utf-8"))
    chat, agents = data["serving"]
    chat |= {
        "model": "llama-3.1-70b",
        "weekly_users": "20M",
        "input_tokens": "4000 tokens",
        "output_tokens": "1000 tokens",
    }
    agents |= {"weekly_users": "0.1M", "precision": ["fp8", "bf16"]}
    lines = [
        {"name": "hopper", "systems": ["dgx-h200"], "ships": "2027-Q1", "supply": {"2027-Q1": 400}},
        {"name": "vera-rubin", "systems": ["vera-rubin-nvl72-max-p"], "ships": "2027-Q1", "supply": {"2027-Q1": 12}},
    ]
    run = {
        "name": "frontier",
        "model": "llama-3.1-70b",
        "tokens": "0.2T tokens",
        "start": "2027-Q2",
        "end": "2027-Q3",
    }
    keep = {"horizon", "commitment", "platforms", "sites", "finance", "operations"}
    return data | {
        "name": "two-chips", "horizon": {"first": "2027-Q1", "last": "2027-Q4"}, "commitment": {"power": "20 MW"},
        "platforms": lines, "training": [run], "sites": [{"site": "abilene", "power": {"2027-Q1": "20 MW"}}],
        "because": {k: v for k, v in data["because"].items() if k in keep}
        | {"training": "assumption: a small run", "serving": "assumption: for the test"},
    }  # fmt: skip


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gigaforge", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("precision") / "two-chips.yaml"
    path.write_text(yaml.safe_dump(small()), encoding="utf-8")
    return path


UNFIT = "No plan runs agents on dgx-h200: assistant-2026 does not fit into its memory in any layout of one system, in fp8 or bf16."


def test_a_plan_serves_on_a_chip_without_fp4_and_says_what_it_leaves_out(scenario: Path) -> None:
    out = scenario.parent / "plan"
    done = run("plan", scenario, "--out", out)
    assert done.returncode == 0, done.stderr
    told = json.loads((out / "plan.json").read_text(encoding="utf-8"))
    assert UNFIT in told["warnings"]
    assert UNFIT in " ".join(done.stdout.split())
    assert UNFIT in (out / "report.html").read_text(encoding="utf-8")
    points = pd.read_parquet(out / "operating_points.parquet").groupby(["workload", "system"])["precision"].agg(set)
    assert points.to_dict() == {
        ("chat", "dgx-h200"): {"fp8"},
        ("chat", "vera-rubin-nvl72-max-p"): {"nvfp4"},
        ("agents", "vera-rubin-nvl72-max-p"): {"fp8"},  # not narrower than its list
        ("frontier", "dgx-h200"): {"fp8"},
        ("frontier", "vera-rubin-nvl72-max-p"): {"fp8"},
    }


@pytest.mark.slow
def test_co_design_says_in_which_precision_each_point_runs(scenario: Path) -> None:
    out = scenario.parent / "codesign"
    done = run("codesign", scenario, "--out", out, "--caps", 3, "--no-roadmaps")
    assert done.returncode == 0, done.stderr
    points = pd.read_parquet(out / "candidates.parquet")
    assert set(points[points["system"] == "dgx-h200"]["precision"]) == {"fp8"}
    assert set(points[points["workload"] == "agents"]["precision"]) == {"fp8"}
    told = json.loads((out / "plan.json").read_text(encoding="utf-8"))
    assert UNFIT in told["warnings"]
    used = told["codesign"]["best"]["points"][0]
    assert used["precision"] in ("nvfp4", "fp8")
    assert f"{used['workload']} on {used['system']} in {used['precision']}" in done.stdout
    page = (out / "report.html").read_text(encoding="utf-8")
    assert re.search(r"<th[^>]*>Precision</th>", page)
    assert re.search(r"<td[^>]*>nvfp4</td>", page)


def test_a_workload_that_nothing_runs_is_refused_with_each_systems_reason(scenario: Path) -> None:
    done = run(
        "plan", scenario, "--set", "serving.chat.precision=[fp4]", "--set", "platforms.vera-rubin.systems=[dgx-h100]"
    )
    assert done.returncode == 2
    words = " ".join(done.stderr.split())
    assert "serving.chat: no system of this scenario (dgx-h200, dgx-h100) serves 'llama-3.1-70b'" in words
    assert "dgx-h200: it computes in bf16 and fp8, and precision allows nvfp4 only" in words


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("serving.chat.precision=fp3", "serving.0.precision: 'fp3' is no precision that is modelled here; known: fp4, nvfp4,"),
        ("serving.chat.precision=[]", "serving.0.precision: is an empty list; name at least one of fp4,"),
        ("training.frontier.precision=int4", "training.0.precision: 'int4' is no precision that is modelled here; known: fp4,"),
    ],
)  # fmt: skip
def test_an_unknown_precision_is_refused_before_any_search(scenario: Path, setting: str, told: str) -> None:
    done = run("plan", scenario, "--set", setting)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
    assert "operating points" not in done.stderr
    assert "Traceback" not in done.stderr
