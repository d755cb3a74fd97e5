"""The main job: how long stating and solving the reference programme takes, and against a rebuild-per-solve habit."""

from __future__ import annotations

import time
from pathlib import Path

from gigaforge.buildout.problem import problem_from
from gigaforge.buildout.programme import build
from gigaforge.buildout.solver import SolverOptions, relax, solve
from gigaforge.catalog import load_catalog
from gigaforge.codesign.operating_points import operating_points
from gigaforge.scenario import load_scenario


def timed(what: str, work):
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    print(f"{what:42s} {time.perf_counter() - wall:7.2f} s wall {time.process_time() - cpu:7.2f} s CPU")
    return result


def main() -> None:
    scenario = load_scenario(Path(__file__).parents[1] / "scenarios" / "alliance-10gw.yaml")
    catalog = timed("load the catalogue", load_catalog)
    points = timed("find operating points", lambda: operating_points(scenario, catalog))
    problem = problem_from(scenario, catalog, points)
    model = timed("state the programme", lambda: build(problem)).model
    print(f"{'':42s} {model.nvars:,} variables, {model.ncons:,} constraints")
    timed("solve the relaxation", lambda: relax(model))
    for gap in (0.005, 0.001):
        solution = timed(f"solve to a gap of {gap:.1%}", lambda g=gap: solve(model, SolverOptions(gap=g)))
        print(f"{'':42s} gap {solution.gap:.3%}, {solution.nodes} nodes")


if __name__ == "__main__":
    main()
