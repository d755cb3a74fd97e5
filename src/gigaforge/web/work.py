"""What jobs do: plan a scenario, study its risk, verify the ledger. Run in a process of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gigaforge.web.jobs import Report, Work

if TYPE_CHECKING:
    from gigaforge.buildout.risk.study import RiskResult
    from gigaforge.catalog import Catalog
    from gigaforge.scenario import Scenario

__all__ = ["WORK", "plan", "risk", "study_risk", "verify"]


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
    from gigaforge.catalog import load_catalog  # noqa: PLC0415
    from gigaforge.scenario import parse_scenario, with_objective  # noqa: PLC0415

    scenario = parse_scenario(request["scenario"])
    if request.get("objective"):
        scenario = with_objective(scenario, request["objective"])
    result = study_risk(scenario, load_catalog(*request.get("catalog", [])), request.get("samples", 256), report)
    return dict(result.summary)


def study_risk(scenario: Scenario, catalog: Catalog, samples: int, report: Report) -> RiskResult:
    """A risk study in this very process, so that stopping the job stops the study."""
    from gigaforge.buildout.risk.study import risk as study  # noqa: PLC0415

    def watch(what: str, done: int, total: int) -> None:
        report(
            {
                "stage": f"{what}: {done:,} of {total:,}" if total else what,
                **({"share": done / total} if total else {}),
            }
        )

    return study(scenario, catalog, samples=samples, workers=1, watch=watch)


def verify(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Verify the ledger; returns what was found."""
    from gigaforge.ledger.storage import open_engine  # noqa: PLC0415
    from gigaforge.ledger.verification import verify as check  # noqa: PLC0415

    return check(open_engine(request["ledger"]), watch=lambda n: report({"stage": f"{n:,} events read"})).to_dict()


WORK: Final[dict[str, Work]] = {"plan": plan, "risk": risk, "verify": verify}
"""By the kind of job."""
