"""HiGHS in one thread of the caller, with one number of threads after another."""

from __future__ import annotations

import highspy
import numpy as np
import pytest

from gigaforge.buildout.highs import quiet_highs, run_highs


def program(threads: int) -> highspy.Highs:
    """The most of x + y under x + 2 y <= 4, 3 x + y <= 6."""
    lp = highspy.HighsLp()
    lp.num_row_, lp.num_col_ = 2, 2
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = np.ones(2), np.zeros(2), np.full(2, highspy.kHighsInf)
    lp.row_lower_, lp.row_upper_ = np.full(2, -highspy.kHighsInf), np.array([4.0, 6.0])
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_ = np.array([0, 2, 4]), np.array([0, 1, 0, 1])
    lp.a_matrix_.value_, lp.sense_ = np.array([1.0, 3.0, 2.0, 1.0]), highspy.ObjSense.kMaximize
    highs = quiet_highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", threads)
    highs.passModel(lp)
    return highs


def test_every_run_is_answered_whatever_threads_the_one_before_had() -> None:
    one, two = program(1), program(2)
    for highs in (two, one, two, one):
        highs.clearSolver()
        run_highs(highs)
        assert highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
        assert highs.getInfo().objective_function_value == pytest.approx(2.8)
