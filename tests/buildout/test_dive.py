"""The first plan that the search starts from: whole, within every rule, and close to what divisible racks could do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gigaforge.buildout.dive import first_plan
from gigaforge.buildout.problem import problem_from
from gigaforge.buildout.programme import build
from gigaforge.buildout.solver import SolverOptions, relax
from tests.buildout.small import catalog, points, scenario

TERMS = {
    "equal tranches": {},
    "a schedule": {"investment": {"ceiling": "$20B", "schedule": [{"at": "0.3 GW", "amount": "$5B"},
                                                                  {"at": "1.5 GW", "amount": "$15B"}]}},
    "nothing to place": {"training": []},
}  # fmt: skip


@pytest.mark.parametrize("changes", TERMS.values(), ids=TERMS.keys())
def test_a_first_plan_breaks_no_rule_and_is_close_to_the_relaxation(changes: dict[str, Any]) -> None:
    model = build(problem_from(scenario(**changes), catalog(), points())).model
    relaxation = relax(model)
    start = first_plan(model, SolverOptions(time_limit_s=60), relaxation)
    assert start is not None
    columns, values = start
    m = model.matrices
    assert columns.tolist() == list(range(len(m.c)))
    assert (values >= m.lb - 1e-6).all()
    assert (values <= m.ub + 1e-6).all()
    whole = np.asarray(m.vtypes) != "C"
    assert np.allclose(values[whole], np.rint(values[whole]), atol=1e-5)
    left, scale = m.A @ values - m.b, 1e-5 * (1 + np.abs(m.b))
    assert (left[m.sense == "<"] <= scale[m.sense == "<"]).all()
    assert (left[m.sense == ">"] >= -scale[m.sense == ">"]).all()
    assert (np.abs(left[m.sense == "="]) <= scale[m.sense == "="]).all()
    worth = float(m.c @ values)
    assert relaxation.objective * 0.97 <= worth <= relaxation.objective + 1e-6
