"""What jobs do: plan a scenario, study its risk, verify the ledger. Run in a process of their own."""

from __future__ import annotations

from typing import Any, Final

from gigaforge.web.jobs import Report, Work

__all__ = ["WORK", "plan", "risk", "verify"]


def plan(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Plan a scenario; returns what `plan.json` holds and the deployment table."""
    from gigaforge.buildout.planner import Stage  # noqa: PLC0415
    from gigaforge.buildout.planner import plan as make_plan  # noqa: PLC0415
    from gigaforge.buildout.solver import SolverOptions  # noqa: PLC0415
    from gigaforge.catalog import load_catalog  # noqa: PLC0415
    from gigaforge.scenario import parse_scenario, with_objective  # noqa: PLC0415

    def watch(stage: Stage) -> None:
        step: dict[str, Any] = {"stage": stage.name}
        if stage.solver and abs(stage.solver.best) < 1e29:
            solver = stage.solver
            step |= {"best": solver.best, "bound": solver.bound, "gap": solver.gap, "seconds": solver.seconds}
        report(step)

    scenario = parse_scenario(request["scenario"])
    if request.get("objective"):
        scenario = with_objective(scenario, request["objective"])
    options = SolverOptions(gap=request.get("gap", 0.01), time_limit_s=request.get("time_limit_s", 120.0), threads=1)
    result = make_plan(scenario, load_catalog(*request.get("catalog", [])), options=options, watch=watch)
    return {"plan": result.summary, "deployment": result.tables["deployment"].to_dict("records")}


def risk(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Study a scenario's risk; returns what `gigaforge risk --json` prints."""
    import json  # noqa: PLC0415
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415
    import tempfile  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    import yaml  # noqa: PLC0415

    from gigaforge.errors import InputError, NoAnswerError  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scenario.yaml"
        file.write_text(yaml.safe_dump(request["scenario"], allow_unicode=True), encoding="utf-8")
        command = [sys.executable, "-m", "gigaforge", "risk", str(file), "--samples", str(request.get("samples", 256)),
                   "--workers", "1", "--json", *(w for c in request.get("catalog", []) for w in ("--catalog", str(c)))]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
            assert process.stdout is not None
            assert process.stderr is not None
            for line in process.stderr:
                report({"stage": line.strip()[:200]})
            text = process.stdout.read()
        told: dict[str, Any] = json.loads(text) if text.strip().startswith("{") else {"error": "no result"}
        if process.returncode == 2:
            raise InputError(str(told.get("error")))
        if process.returncode:
            raise NoAnswerError(str(told.get("error")), list(told.get("reasons", [])))
        return told


def verify(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Verify the ledger; returns what was found."""
    from gigaforge.ledger.storage import open_engine  # noqa: PLC0415
    from gigaforge.ledger.verification import verify as check  # noqa: PLC0415

    return check(open_engine(request["ledger"]), watch=lambda n: report({"stage": f"{n:,} events read"})).to_dict()


WORK: Final[dict[str, Work]] = {"plan": plan, "risk": risk, "verify": verify}
"""By the kind of job."""
