"""What a person writes is checked, and wrong input is named with its remedy."""

import json
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

import gigaforge.operations as package
from gigaforge.cli.init import register
from gigaforge.errors import InputError
from gigaforge.operations.build import failure_table, fleet_of
from gigaforge.operations.fleet import hall_shares
from gigaforge.operations.modes import RackClass, default_failures
from gigaforge.operations.run import simulate
from gigaforge.operations.spec import FailureSpec, load_fleet_spec


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["sites", 0, "power"], 160, "has no unit; expected power"),
        (["sites", 0, "power"], "160 kg", "160 kg"),
        (["sites", 0, "powr"], "160 MW", "did you mean 'power'"),
        (
            ["training", 0, "racks"],
            5000,
            r"abilene has 1,000 racks of gb300-nvl72, its jobs need 5,250 \(frontier 5,000, chat 250\)",
        ),
        (["training", 0, "racks"], -3, "above 0 is expected"),
        (["training", 0, "site"], "nowhere", "unknown site 'nowhere'"),
        (["serving", 0, "demand"], "-1M token/s", "is negative; a token rate of at least zero"),
        (["serving", 0, "paid"], "150 %", "1 or less is expected"),
        (["failures"], {"modes": {"gpu": {"rate": "-0.1 /year"}}}, "is negative; a frequency of at least zero"),
        (["failures"], {"rate_multiplier": -1}, "0 or more is expected"),
        (["start"], "2027", "is not a quarter"),
        (["systems"], {}, "at least one"),
        (["research"], {"sizes": {"0.3": "100 %"}}, "a whole number, or a part that divides a rack"),
        (["research"], {"duration": "-1 h"}, "is negative"),
        (["failures"], {"outages": {"site": {"duration": "-2 h"}}}, "is negative"),
        (["failures"], {"repair": {"part_lead": 7}}, "has no unit"),
        (["sites", 0, "racks"], {"unknown": 3}, "unknown system 'unknown'"),
        (["name"], None, "is missing"),
        (["training", 0, "replica_racks"], 800, "a replica of 800 racks, and the run has 640"),
        (["training", 0, "spares"], 640, "leave none to work"),
        (["research"], {"sizes": {"1": "70 %", "2": "60 %"}}, "add up to 1.3 of the rack time"),
        (["sites", 0, "technicians"], 0, "1 or more is expected"),
    ],
)
def test_wrong_fleets_are_explained(edit, path, value, message):
    with pytest.raises(InputError, match=message) as problem:
        load_fleet_spec(edit(path, value))
    assert "fleet.yaml" in str(problem.value)


def test_a_file_that_is_not_a_fleet(tmp_path):
    for text in ("- 1\n- 2\n", "just text", "a: [", ""):
        file = tmp_path / "x.yaml"
        file.write_text(text)
        with pytest.raises(InputError):
            load_fleet_spec(file)


@pytest.mark.parametrize(
    "failures",
    [{"modes": {"gpu": {"rate": "1e9 /year"}}}, {"outages": {"site": "1e9 /year"}}, {"modes": {"planned_maintenance": {"rate": "1e9 /year"}}}],
)  # fmt: skip
def test_more_failures_than_memory_holds_are_refused(edit, failures):
    with pytest.raises(InputError, match="more than the 10,000,000 that can be simulated; check the rates"):
        simulate(fleet_of(load_fleet_spec(edit(["failures"], failures))))


def test_unknown_modes_are_named():
    with pytest.raises(InputError, match="unknown mode 'gremlin'"):
        failure_table(FailureSpec(modes={"gremlin": {"rate": "1 /year"}}))
    with pytest.raises(InputError, match="unknown outage"):
        failure_table(FailureSpec(outages={"comet": "1 /year"}))


def test_repair_outages_and_age_are_the_users_to_change():
    table = failure_table(FailureSpec.model_validate({
        "repair": {"hands_on_median": "5 h", "part_lead": "14 day", "cures_lemons": "80 %"}, "wear_per_year": 0.1,
        "outages": {"site": {"duration": "24 h"}, "power_feed": "0.5 /year"}, "infant_time": "60 day",
        "degradations": {"rate": "1 /year", "slowdown": "10 %"},
    }))  # fmt: skip
    assert (table.repair.hands_on_median_s, table.repair.part_lead_s, table.repair.sticks) == (
        18000.0,
        14 * 86400.0,
        0.8,
    )
    assert table.repair.burn_in_s == default_failures().repair.burn_in_s
    outages = {o.kind: o for o in table.outages}
    assert outages["site"].duration_s == 86400.0
    assert outages["power_feed"].rate == pytest.approx(0.5 / (365.25 * 86400))
    assert (table.wear_per_year, table.infant_s, table.degraded_slowdown) == (0.1, 60 * 86400.0, 0.1)


def test_a_published_node_rate_scales_every_cause():
    table = failure_table(FailureSpec(node_rate_per_1000_days=6.5))
    node = RackClass("n", 8)
    assert table.interrupt_rate(node) * 86400e3 == pytest.approx(6.5, rel=1e-6)
    gpu = {m.kind: m.rate for m in table.modes}["gpu"] / {m.kind: m.rate for m in default_failures().modes}["gpu"]
    assert gpu == pytest.approx(6.5 / (default_failures().interrupt_rate(node) * 86400e3))


def test_a_fleet_to_start_from_is_written_and_every_key_is_documented(tmp_path):
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    target = tmp_path / "mine.yaml"
    done = CliRunner().invoke(app, ["init", "--fleet", str(target)], catch_exceptions=False)
    assert "gigaforge simulate" in done.stdout
    assert load_fleet_spec(target).name == "small-fleet"
    schema = json.loads(CliRunner().invoke(app, ["init", "--fleet", "--schema"], catch_exceptions=False).stdout)
    page = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text(encoding="utf-8")
    for block in (schema, *schema["$defs"].values()):
        for key in block.get("properties", {}):
            assert f"| `{key}` |" in page, key


def test_every_rate_of_the_table_has_a_source():
    data = yaml.safe_load((Path(package.__file__).parent / "data" / "failure_modes.yaml").read_text())
    for entry in [*data["modes"], *data["outages"]]:
        sources = [v for k, v in entry.items() if k.endswith("_source")]
        assert sources
        assert all(s.startswith(("https://", "assumption:")) for s in sources), entry["kind"]
        assert "auto" not in entry or "auto_source" in entry


def test_llama_3_is_the_table():
    """419 interruptions of 16,384 GPUs in 54 days."""
    rate = default_failures().plain().interrupt_rate(RackClass("n", 8)) * 2048
    assert rate * 54 * 86400 == pytest.approx(419, rel=0.01)


def test_the_best_mode_is_chosen_and_left_over_racks_do_research(sample_yaml):
    fleet = fleet_of(load_fleet_spec(sample_yaml))
    run = next(g for g in fleet.groups if g.kind == "training")
    assert {p.mode for p in run.policies} <= {"elastic", "fault_tolerant"}
    rest = {g.name: int(g.racks[0]) for g in fleet.groups if g.kind == "research"}
    assert rest == {"research@abilene/gb300-nvl72": 110, "research@port-washington/gb300-nvl72": 100}


def test_feeders_belong_to_halls_that_fill_up_job_by_job(edit):
    fleet = fleet_of(load_fleet_spec(edit(["sites", 0, "feeder_power"], "15 MW")))
    assert fleet.sites[0].feeder_w == pytest.approx(15e6)
    assert fleet.sites[1].feeder_w is None
    halls = hall_shares(fleet, 0, 0)  # 640 racks train, 250 serve, 110 do research, in halls of 128
    assert sum(halls.values()) == 8
    first = next(iter(halls))
    assert halls[first] == 5
    assert first == ((0, 128 / 640),)
    for g in (0, 1, 3):
        assert sum(n * dict(parts).get(g, 0.0) for parts, n in halls.items()) == pytest.approx(1.0)
