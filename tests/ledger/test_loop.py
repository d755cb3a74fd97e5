"""What was recorded goes back into the plan and the calibration; files go in and statements come out; the command line works."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from gigaforge.buildout.actuals import past_from, read_actuals
from gigaforge.catalog import load_catalog
from gigaforge.cli import main
from gigaforge.cli.ledger_fields import RECORDED
from gigaforge.errors import InputError, NoAnswerError
from gigaforge.ledger import Ledger, actions
from gigaforge.ledger.actuals import actuals, current_quarter, measured_runs, read_measured
from gigaforge.ledger.contract import terms_from
from gigaforge.ledger.importing import import_rows
from gigaforge.ledger.keys import read_key
from gigaforge.ledger.statement import unsigned
from gigaforge.ledger.statement_signing import check_statement, sign_statement, write_statement
from gigaforge.perf.validation.runs import run_of
from gigaforge.quarters import Quarter
from tests.ledger.world import (
    ANN,
    BOB,
    CHO,
    COUNTED_W,
    DAN,
    RACK_W,
    accept,
    approved,
    deliver,
    new_ledger,
    parties,
    racks,
    ready,
)

ALLIANCE = Path("scenarios/alliance-10gw.yaml")


def deliveries(count: int) -> pd.DataFrame:
    return pd.DataFrame({
        "rack": [f"I{n:04d}" for n in range(count)], "system": "rack", "site": "abilene", "delivered_on": "2026-07-05",
    })  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_files_are_recorded_whole_resumed_and_never_twice(ledger: Ledger, form: str) -> None:
    def content(table: pd.DataFrame) -> bytes:
        out = io.BytesIO()
        table.to_parquet(out, index=False) if form == "parquet" else table.to_csv(out, index=False)
        return out.getvalue()

    table = deliveries(30)
    wrong = table.copy()
    wrong.loc[7, "site"], wrong.loc[9, "rack"] = "nowhere", "I0003"
    report = import_rows(ledger, CHO, "delivery", content(wrong), f"d.{form}")
    assert not report.kept
    assert [e.row for e in report.errors] == [9, 11]
    assert ledger.state().total("delivered") == 0
    report = import_rows(ledger, CHO, "delivery", content(wrong), f"d.{form}", resume=True)
    assert (report.recorded, report.refused) == (28, 2)
    report = import_rows(ledger, CHO, "delivery", content(table), f"d.{form}")
    assert (report.recorded, report.known, report.refused) == (2, 28, 0)
    event = ledger.events(kind="delivery")[0]
    assert ledger.evidence(event.evidence[0].sha256) == content(wrong)
    assert event.data["file_row"] == 2


def test_a_ragged_line_is_one_row_in_error(ledger: Ledger) -> None:
    content = b"rack,system,site,delivered_on\nA,rack,abilene,2026-10-05\n\nB,rack,abilene\nC,rack,abilene,2026-10-05,x\nD,rack,nowhere,2026-10-05\n"
    report = import_rows(ledger, CHO, "delivery", content, "d.csv", resume=True)
    assert [e.row for e in report.errors] == [4, 5, 6]
    assert (report.recorded, report.refused, report.kept) == (1, 3, True)
    assert report.errors[1].problem == "has not as many fields as the header; beyond it stand 'x'"


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_rows_in_error_are_written_out_mended_and_sent_again(
    tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    where, file, wrong = str(tmp_path / "l.db"), tmp_path / f"d.{form}", tmp_path / "wrong.csv"
    new_ledger(where, tmp_path).close()
    table = deliveries(5).assign(delivered_on=pd.Timestamp("2026-07-05"))
    table.loc[[1, 3], "site"] = ["nowhere", 'müll, "x"']
    table.to_parquet(file, index=False) if form == "parquet" else table.to_csv(file, index=False)
    words = ("import", "deliveries", str(file), "--as", "nvidia/cho", "--ledger", where, "--resume", "--errors")
    told = run(capsys, *words, str(wrong))
    assert (told["code"], told["recorded"], told["errors"][0]["given"]["rack"]) == (2, 3, "I0001")
    listed = pd.read_csv(wrong)
    assert list(listed.columns) == ["row", "field", "problem", "rack", "system", "site", "delivered_on"]
    assert list(listed["site"]) == ["nowhere", 'müll, "x"']
    listed.assign(site="abilene").to_csv(wrong, index=False)
    again = run(capsys, "import", "deliveries", str(wrong), "--as", "nvidia/cho", "--ledger", where)
    assert (again["code"], again["recorded"]) == (0, 2)
    for place in (file, tmp_path / "nowhere" / "x.csv"):
        assert "--errors" in run(capsys, *words, str(place))["error"]


def test_racks_before_the_horizon_are_named_with_their_events(tmp_path: Path) -> None:
    where = str(tmp_path / "ledger.db")
    with new_ledger(where, tmp_path, first_quarter="2026-Q3") as ledger:
        deliver(ledger, "A", day="2026-07-05")
        accept(ledger, "A", day="2026-07-06")
        early = deliver(ledger, *(f"B{n}" for n in range(5)), day="2025-03-05")
        tested = accept(ledger, *(f"B{n}" for n in range(5)), day="2025-03-06")
        horizon = SimpleNamespace(quarters=[Quarter.parse("2026-Q3") + n for n in range(8)], scenario="x")
        with pytest.raises(InputError) as told:
            past_from(read_actuals(f"ledger:{where}#2026-Q3"), horizon)
        assert f"(racks B0, B1, B2 and 2 more, events {early.seq}, {tested.seq}): 5 racks added" in str(told.value)
        assert "let the horizon begin with 2025-Q1" in str(told.value)
        for wrong in (tested, early):
            ledger.append(actions.correction(ledger, wrong.actor, wrong.seq, "2026, not 2025"))
        assert list(actuals(where, "2026-Q3")["quarter"]) == ["2026-Q3"]
        late = deliver(ledger, "B0", day="2025-06-05")
        accept(ledger, "B0", day="2026-07-06")
        with pytest.raises(InputError, match=rf"\(rack B0, event {late.seq}\): 1 rack delivered in 2025-Q2"):
            past_from(read_actuals(f"ledger:{where}#2026-Q3"), horizon)


def test_actuals_say_what_stood_at_the_end_of_each_quarter(tmp_path: Path) -> None:
    where = str(tmp_path / "ledger.db")
    with new_ledger(where, tmp_path, first_quarter="2026-Q2") as ledger:
        deliver(ledger, "A", "B", "C", day="2026-07-05")
        data = {"racks": ["A", "B", "C"], "throughput": 1000.0, "power_w": 180e3}
        ledger.append(actions.draft("installation", CHO, {"racks": ["A", "B", "C"]}, happened_on="2026-08-01"))
        ledger.append(actions.draft("acceptance", ANN, data, happened_on="2026-10-02"))
        ledger.append(actions.draft("decommissioning", ANN, {"racks": ["B"]}, happened_on="2026-10-03"))
    table = actuals(where, "2026-Q4")
    assert list(table["quarter"]) == ["2026-Q2", "2026-Q3", "2026-Q4"]
    assert list(table["racks_added"]) == [0, 3, 0]
    assert list(table["racks_delivered"]) == [0, 3, 0]
    assert list(table["racks_retired"]) == [0, 0, 1]
    assert list(table["racks_online"]) == [0, 3, 2]
    assert list(table["it_power_w"]) == [0, 3 * RACK_W, 2 * RACK_W]
    assert list(table["accepted_w"]) == [0, 0, 3 * COUNTED_W]
    planner = read_actuals(f"ledger:{where}#2026-Q3")
    assert list(planner["racks_added"]) == [0, 3]
    with pytest.raises(NoAnswerError):
        actuals(where, "2026-Q2")
    assert not actuals(where, str(current_quarter())).empty
    for ahead in (
        f"{where}#{current_quarter() + 1}",
        f"ledger:{where}#2099-Q4",
    ):  # nothing can have been built there yet
        with pytest.raises(InputError, match="has not begun"):
            actuals(ahead)
    with pytest.raises(InputError, match="clear"):
        actuals("http://example.org")


def test_acceptance_tests_become_measured_runs_of_the_calibration(tmp_path: Path) -> None:
    terms = terms_from(ALLIANCE, load_catalog())
    where = str(tmp_path / "ledger.db")
    with Ledger.create(where, "Alliance", parties(tmp_path), ANN) as ledger:
        event = ledger.append(
            actions.draft("commitment", ANN, {"terms": terms.model_dump(mode="json", exclude_none=True)})
        )
        for actor in (BOB, CHO):
            ledger.append(actions.approval(ledger, actor, event.seq))
        deliver(ledger, "G1", "G2", "G3", system="gb300-nvl72")
        for rack, rate in (("G1", 28000.0), ("G2", 29000.0), ("G3", 29500.0)):
            data = {"racks": [rack], "throughput": rate, "power_w": 148e3}
            assert ledger.append(actions.draft("acceptance", ANN, data)).data["verdict"] == "pass"
        row = measured_runs(ledger)["training"][0]
    assert row["tokens_per_s_per_gpu"] == 29000.0
    run = run_of(row, row["id"])  # the calibration understands it
    assert run.key.precision == "bf16"
    assert run.measured_tokens == 29000.0
    assert read_measured(f"ledger:{where}", "training")[0]["id"] == row["id"]
    with pytest.raises(NoAnswerError):
        read_measured(where, "inference")


def test_a_statement_holds_until_anybody_changes_it(ledger: Ledger, tmp_path: Path) -> None:
    ready(ledger)
    claim = approved(ledger)
    ledger.append(actions.release(ledger, DAN, claim.seq, "<wire & 1>"))
    file, page = write_statement(ledger, 1, tmp_path / "out", [])
    assert "None yet" in page.read_text(encoding="utf-8")
    for who in (DAN, ANN):  # each where its key is, without the ledger
        sign_statement(file, [(who, read_key(tmp_path / f"{who.party}.key"))])
    with pytest.raises(InputError, match="already"):
        sign_statement(file, [(BOB, read_key(tmp_path / "openai.key"))])
    ledger.append(actions.dispute(CHO, claim.seq, "later"))  # the record goes on; what was signed still holds
    told = check_statement(file.read_bytes(), file.name, ledger)
    assert (told.findings, told.signers) == ([], ["nvidia/dan", "openai/ann"])
    text = page.read_text(encoding="utf-8")
    assert "$10M" in text
    assert "&lt;wire &amp; 1&gt;" in text
    whole = json.loads(file.read_text(encoding="utf-8"))
    for change in ({"amount_usd": 1.0}, {"amount_cents": 1}, {"hash": "0" * 64}, {"by": {"party": "crusoe", "person": "eve"}},
                   {"approvals": [{"party": "crusoe", "person": "eve", "seq": 9}]}):  # fmt: skip
        said = whole["statement"] | {"claim": whole["statement"]["claim"] | change}
        forged = json.dumps(unsigned(said)).encode()  # a hash that fits, and nobody's signature
        assert len(check_statement(forged, "forged", ledger).findings) == 1, change
        forged = json.dumps(whole | {"statement": said}).encode()
        assert len(check_statement(forged, "forged", ledger).findings) == 4, change
    less = unsigned(whole["statement"] | {"racks": whole["statement"]["racks"][1:]})
    assert check_statement(json.dumps(less).encode(), "less", ledger).findings == [
        "its racks are not those of the claim"
    ]


def test_a_statement_says_what_was_taken_back_since(ledger: Ledger, tmp_path: Path) -> None:
    deliver(ledger, *racks(4))
    accept(ledger, *racks(3))
    test = accept(ledger, "R00003")
    claim = approved(ledger)
    ledger.append(actions.release(ledger, DAN, claim.seq, "wire"))
    before = write_statement(ledger, 1, tmp_path / "before", [])[0].read_bytes()
    correction = ledger.append(actions.correction(ledger, ANN, test.seq, "wrong meter"))
    told = check_statement(before, "before", ledger)
    lacks = f"tranche 1 is paid, now lacks 250 kW: correction in event {correction.seq}"
    assert (told.findings, told.remarks) == ([], [lacks])
    page = write_statement(ledger, 1, tmp_path / "after", [])[1].read_text(encoding="utf-8")
    assert f"taken back (event {correction.seq})" in page
    assert f"takes back event {test.seq}; wrong meter" in page
    assert "None<" not in page


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"statement": 1, "signatures": [], "sha256": ""}', b"[" * 100_000, b"\xff"]
)
def test_what_is_no_statement_is_said_so(ledger: Ledger, content: bytes) -> None:
    with pytest.raises(InputError, match="is not a statement"):
        check_statement(content, "x.json", ledger)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    code = 0
    sys.argv = ["gigaforge", "ledger", *words, "--json"]
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    told = json.loads(capsys.readouterr().out)
    assert isinstance(told, dict)
    return {**told, "code": code}


def test_the_command_line_from_init_to_verify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setenv("GIGAFORGE_LEDGER", str(tmp_path / "l.db"))
    keys = tmp_path / "keys"
    made = run(capsys, "init", str(ALLIANCE), "--as", "openai/ann", "--keys", str(keys))
    for who in ("openai/bob", "nvidia/cho"):
        key = str(keys / f"{who.split('/')[0]}.key")
        assert run(capsys, "approve", str(made["commitment"]), "--as", who, "--key", key)["kind"] == "approval"
    rack = ("system=gb300-nvl72", "site=abilene", "racks=a-1")
    assert run(capsys, "record", "delivery", *rack, "--as", "nvidia/cho")["data"]["racks"] == ["A-1"]
    again = run(capsys, "record", "delivery", *rack, "--as", "nvidia/cho")
    assert (again["code"], again["exit_code"]) == (1, 1)
    assert "delivered before" in again["error"]
    wrong = run(capsys, "record", "meter", "site=abilene", "energy_mwh=3", "--as", "openai/ann")
    assert wrong["code"] == 2
    assert all(
        word in wrong["error"] for word in ("since: is missing", "energy_j: is missing", "energy_mwh: is not a field")
    )
    assert [row["field"] for row in run(capsys, "fields", "meter")["meter"]] == [
        "site",
        "since",
        "until",
        "energy_j",
        "it_energy_j",
        "peak_w",
    ]
    assert set(run(capsys, "fields")) == {*RECORDED, "code"}
    for asked in (
        ("events", "--kind", "zzz"),
        ("events", "--party", "zzz"),
        ("actuals", "--out", str(tmp_path / "a.xlsx")),
    ):
        told = run(capsys, *asked)
        assert (told["code"], asked[-1] in told["error"]) == (2, True), told
    assert run(capsys, "record", "approval", "subject=2", "--as", "openai/ann")["code"] == 2
    assert (tmp_path / "l.db").stat().st_mode & 0o777 == 0o600
    power = run(capsys, "record", "energisation", "site=abilene", "power_w=200 MW", "--as", "openai/ann")
    assert power["data"]["power_w"] == 200_000_000
    order = run(capsys, "record", "order", "order=17", "supplier=nvidia", "system=gb300-nvl72", "racks=1,000", "amount_cents=$4M",
                "--as", "openai/ann")  # fmt: skip
    assert order["data"] == {
        "order": "17",
        "supplier": "nvidia",
        "system": "gb300-nvl72",
        "racks": 1000,
        "amount_cents": 400_000_000,
    }
    told = run(capsys, "record", "energisation", "site=abilene", "power_w=200", "--as", "openai/ann")
    assert (told["code"], "'200' has no unit" in told["error"]) == (2, True), told
    for word, said in (("racks=many", "'many' is not a whole number"), ("racks=2.5", "'2.5' is not a whole number"),
                       ("amount_cents=-$4M", "'-$4M' is negative")):  # fmt: skip
        told = run(
            capsys, "record", "order", "order=18", "supplier=nvidia", "system=gb300-nvl72", word, "--as", "openai/ann"
        )
        assert (told["code"], said in told["error"]) == (2, True), told
    fresh = keys / "fresh.key"
    for held, code in (
        ("nvidia", 1),
        ("openai", 0),
    ):  # another party's key vouches for nothing, and leaves no file behind
        told = run(
            capsys, "keys", "rotate", "--key", str(keys / f"{held}.key"), "--out", str(fresh), "--as", "openai/ann"
        )
        assert (told["code"], fresh.exists()) == (code, code == 0), told
    kept, copy = tmp_path / "kept.json", tmp_path / "copy.jsonl"
    run(capsys, "checkpoint", "--as", "openai/ann", "--key", str(fresh), "--out", str(kept))
    run(capsys, "export", "--out", str(copy))
    events, first = run(capsys, "state")["events"], kept.read_bytes()
    again = run(capsys, "checkpoint", "--as", "openai/ann", "--key", str(fresh), "--out", str(kept))
    assert (again["code"], "not written over" in again["error"], kept.read_bytes()) == (2, True, first)
    assert run(capsys, "state")["events"] == events  # and nothing was recorded
    held = run(capsys, "verify", "--checkpoint", str(kept), "--copy", str(copy))
    assert (held["sound"], held["checkpoints"], held["copies"], len(held["agreeing"])) == (True, 1, 1, 2)
    assert run(capsys, "state")["kinds"]["delivery"] == 1
    run(capsys, "backup", "--out", str(tmp_path / "b.zip"))
    assert run(capsys, "restore", str(tmp_path / "b.zip"), "--ledger", str(tmp_path / "r.db"))["events"] == 9
    copy.write_bytes(copy.read_bytes().replace(b"abilene", b"abileme", 1))
    assert run(capsys, "verify", "--ledger", str(copy))["code"] == 1
