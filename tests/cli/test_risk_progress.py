"""The time that a risk study has taken, and is likely to take still."""

from __future__ import annotations

from gigaforge.cli.risk import Pace


def test_time_left_is_told_where_a_step_has_a_count_and_falls_as_time_goes() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    now[0] = 10.0
    pace.step("learning", 0, 0)
    assert pace.words() == "0:10 taken"
    pace.step("living", 8, 16)  # eight were kept from an earlier run
    now[0] = 70.0
    pace.step("living", 10, 16)
    assert pace.words() == "1:10 taken, 3:00 left"
    now[0] = 100.0
    assert pace.words() == "1:40 taken, 2:30 left"
    pace.step("writing the report", 0, 0)
    now[0] = 3700.0
    assert pace.words() == "1:01:40 taken"
