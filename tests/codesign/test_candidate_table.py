"""The whole set of points as a table: costs an hour from the scenario's own prices, and which points none beats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gigaforge.buildout.candidate_table import candidate_table, pareto
from gigaforge.buildout.problem import Problem
from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.report.point_tables import point_tables
from gigaforge.report.view import PlanView
from tests.buildout.small import catalog
from tests.codesign.test_coordinate import tight_power


@pytest.fixture(scope="module")
def problem() -> Problem:
    return tight_power()


def test_every_point_has_its_costs_an_hour(problem: Problem) -> None:
    frame = candidate_table(problem, catalog()).set_index("id")
    assert len(frame) == len(problem.points) + len(problem.training_points)
    f, o = problem.scenario.finance, problem.scenario.operations
    hours = SECONDS_PER_QUARTER / 3600
    for point in problem.points:
        k = problem.systems.index(point.system)
        capital, running, count = 0.0, 0.0, 0
        for s, tenure in enumerate(problem.tenures):
            assert tenure != "cloud"
            for t in np.flatnonzero(problem.can_host[s, k]):
                price, pue = problem.rack_price_usd[k, t], problem.pue_peak[s]
                building = problem.facility_usd_per_w[s] * (1 / f.facility_life_years + f.discount_rate / 2) / 4
                capital += price * (1 / f.system_life_years + f.discount_rate / 2) / 4
                capital += point.held_w_per_rack * pue * building
                running += price * o.maintenance / 4
                running += (
                    point.held_w_per_rack
                    * pue
                    * (
                        problem.lease_usd_per_w[s]
                        + o.staff * SECONDS_PER_QUARTER
                        - problem.curtailment_usd_per_w[s, t]
                    )
                )
                joules = point.it_power_w_per_rack * problem.pue_quarter[s, t] * SECONDS_PER_QUARTER
                running += joules * problem.energy_usd_per_j[s, t]
                count += 1
        row = frame.loc[point.id]
        assert row["capital_usd_per_hour"] == pytest.approx(capital / count / hours)
        assert row["running_usd_per_hour"] == pytest.approx(running / count / hours)
        usd = row["capital_usd_per_hour"] + row["running_usd_per_hour"]
        assert row["tokens_per_usd"] == pytest.approx(3600 * point.tokens_per_s_per_rack / usd)


def test_a_system_that_no_site_can_host_costs_what_it_would_there(problem: Problem) -> None:
    usd = ["capital_usd_per_hour", "running_usd_per_hour"]
    shipped = np.broadcast_to((np.cumsum(problem.supply, axis=1) > 0)[problem.line_of], problem.can_host.shape)
    frame = candidate_table(replace(problem, can_host=np.zeros_like(problem.can_host)), catalog())
    anywhere = candidate_table(replace(problem, can_host=shipped), catalog())
    assert not frame["can_stand"].any()
    assert anywhere["can_stand"].all()
    assert (frame[usd] > 0).all(axis=None)
    assert frame[usd].to_numpy() == pytest.approx(anywhere[usd].to_numpy())


def test_pareto_rows_are_those_that_none_beats() -> None:
    tokens = np.array([[10.0, 10.0], [9.0, 11.0], [9.0, 10.0], [8.0, 8.0], [10.0, 10.0]])
    held = np.array([5.0, 5.0, 5.0, 4.0, 6.0])
    assert pareto(tokens, held).tolist() == [True, True, False, True, False]


def test_the_report_tells_the_ends_of_each_set(problem: Problem) -> None:
    known = candidate_table(problem, catalog())
    used = str(known["id"][3])
    frame = candidate_table(problem, catalog(), {used: 12.0})
    tables = point_tables(PlanView({"title": "small"}, {"candidates": frame}))
    assert len(tables) == frame["workload"].nunique()
    rows = [row for table in tables for row in table.rows]
    assert sum(str(row[1]).startswith("tokens") for row in rows) == frame.groupby(["workload", "system"]).ngroups
    assert sum("in the plan" in str(row[1]) for row in rows) == 1
    assert point_tables(PlanView({"title": "small"}, {})) == []


def test_the_report_shows_the_five_workloads_that_take_most_racks(problem: Problem) -> None:
    frame = candidate_table(problem, catalog())
    one = frame[frame["workload"] == frame["workload"].iloc[0]]
    many = pd.concat([one.assign(workload=f"run-{n}", rack_quarters=float(n)) for n in range(7)], ignore_index=True)
    tables = point_tables(PlanView({"title": "small"}, {"candidates": many}))
    assert [t.caption.split(":")[0] for t in tables] == ["Run 6", "Run 5", "Run 4", "Run 3", "Run 2"]
    assert "5 workloads of 7" in tables[-1].note
