"""Deliveries and acceptance tests in bulk, from CSV or Parquet: one event for each row, all or nothing, or the good ones.

The file itself is stored as evidence, and every event names it and its row. A row's idempotency key is its own content, so a
file that is sent again, mended or longer, records only what is new.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import IO, Any, Final, NamedTuple

import sqlalchemy as sa

from gigaforge.errors import GigaforgeError, InputError
from gigaforge.ledger import kinds as k
from gigaforge.ledger.book import MAX_EVIDENCE_BYTES, Ledger
from gigaforge.ledger.canonical import canonical, sha256
from gigaforge.ledger.errors import RefusedError
from gigaforge.ledger.event import Actor, Draft, Evidence
from gigaforge.ledger.register import StoredRegister
from gigaforge.ledger.storage import among, events, writing
from gigaforge.ledger.writer import Writer, printable, store_evidence

__all__ = ["COLUMNS", "ERROR_COLUMNS", "ImportReport", "RowError", "import_rows", "write_errors"]

COLUMNS: Final[Mapping[str, dict[str, bool]]] = {
    "delivery": {"rack": True, "system": True, "site": True, "delivered_on": True, "order": False},
    "acceptance": {"rack": True, "throughput": True, "power_w": True, "tested_on": True},
}
"""Columns by kind of event, and whether each row needs it."""

_DAY: Final = {"delivery": "delivered_on", "acceptance": "tested_on"}
_MOST_ROWS: Final = 1_000_000
_SHOWN: Final = 10_000
"""Row errors kept in a report."""
_BATCH: Final = 2000
_CHUNK: Final = 500


ERROR_COLUMNS: Final = ("row", "field", "problem")
"""What a list of rows in error says of each, before the row itself; read again, they say nothing."""


class _Row(NamedTuple):
    """Its number in the file, its fields by column, and whether it has as many as the header (more stand under None)."""

    number: int
    fields: dict[Any, Any]
    whole: bool = True


@dataclass(frozen=True)
class RowError:
    """A row that was not recorded.

    Attributes
    ----------
    row : int
        Line of a CSV (the header is 1), or position in a Parquet file counted so.
    field : str
        Column, where one is to blame.
    given : dict
        The row as it stood in the file, so that it can be mended and sent again.

    """

    row: int
    field: str
    problem: str
    given: dict[str, str]


@dataclass
class ImportReport:
    """What became of a file.

    Attributes
    ----------
    rows, recorded, good, known, refused : int
        In the file; recorded now; without fault, recorded or not; recorded before; in error.
    kept : bool
        False: nothing was recorded, because something was wrong, or because only a check was asked for.

    """

    rows: int = 0
    recorded: int = 0
    good: int = 0
    known: int = 0
    refused: int = 0
    kept: bool = True
    errors: list[RowError] = field(default_factory=list)

    def add(self, row: _Row, name: str, problem: str) -> None:
        """Note a row in error."""
        self.refused += 1
        if len(self.errors) < _SHOWN:
            given = {str(column): _written(value) for column, value in row.fields.items() if column is not None}
            self.errors.append(RowError(row.number, name, problem, given))

    def to_dict(self) -> dict[str, Any]:
        """As JSON output shows it."""
        return {**self.__dict__, "errors": [e.__dict__ for e in self.errors]}


def write_errors(report: ImportReport, file: IO[str]) -> None:
    """Write the rows in error as CSV: what is wrong, then the row itself; mended, the file can be imported as it is."""
    columns = [c for c in (report.errors[0].given if report.errors else {}) if c not in ERROR_COLUMNS]
    rows = csv.writer(file)
    rows.writerow([*ERROR_COLUMNS, *columns])
    rows.writerows([e.row, e.field, e.problem, *(e.given[c] for c in columns)] for e in report.errors)


def import_rows(
    ledger: Ledger,
    actor: Actor,
    kind: str,
    content: bytes,
    name: str,
    *,
    resume: bool = False,
    check: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Record every row of a file as an event.

    Parameters
    ----------
    ledger : Ledger
        Where.
    actor : Actor
        Who.
    kind : str
        delivery or acceptance.
    content, name : bytes, str
        The file, CSV (UTF-8, header) or Parquet.
    resume : bool
        Record the good rows and report the others, instead of recording nothing when one is wrong.
    check : bool
        Record nothing; only report.
    watch : callable
        Told rows done and rows in all.

    Raises
    ------
    InputError
        Not CSV or Parquet, columns missing or unknown, too large.

    """
    if kind not in COLUMNS:
        raise InputError(f"{kind!r} cannot be imported; known: {', '.join(COLUMNS)}", "kind")
    rows = _read(content, name, kind)
    report = ImportReport(rows=len(rows))
    file = Evidence(
        sha256(content),
        printable(name),
        "text/csv" if content[:4] != b"PAR1" else "application/vnd.apache.parquet",
        len(content),
    )
    with writing(ledger.engine) as connection:
        store_evidence(connection, file.sha256, content)
        register = StoredRegister(connection)
        state = ledger.state_in(connection)
        writer = Writer(connection, state, register, state.ledger)
        drafts = [_draft(actor, kind, row, file) for row in rows]
        known = _known(connection, drafts)
        seen: dict[str, int] = {}
        for start in range(0, len(rows), _BATCH):
            batch = drafts[start : start + _BATCH]
            register.prefetch(d.data["racks"][0] for d in batch if isinstance(d, Draft))
            for draft, row in zip(batch, rows[start : start + _BATCH], strict=True):
                _one(writer, draft, row, known, seen, report)
            writer.write_events()
            if watch:
                watch(start + len(batch), len(rows))
        if check or (report.refused and not resume):
            connection.rollback()
            report.kept = False
        else:
            writer.flush()
            report.recorded = report.good
    return report


def _one(
    writer: Writer,
    draft: Draft | InputError,
    row: _Row,
    known: set[str],
    seen: dict[str, int],
    report: ImportReport,
) -> None:
    try:
        if isinstance(draft, InputError):
            raise draft
        if draft.key in seen:
            report.add(row, "rack", f"says the same as row {seen[draft.key]}")
            return
        seen[draft.key] = row.number
        if draft.key in known:
            report.known += 1
            return
        writer.add(draft)
        report.good += 1
    except RefusedError as problem:
        report.add(row, "", problem.problem)
    except InputError as problem:
        report.add(row, problem.where.split(".")[-1], problem.problem)
    except GigaforgeError as problem:
        report.add(row, "", str(problem))


def _draft(actor: Actor, kind: str, row: _Row, file: Evidence) -> Draft | InputError:
    """A row as an event, or what is wrong with it."""
    if not row.whole:
        beyond = ", ".join(map(repr, row.fields.get(None, [])))[:100]
        return InputError(
            "has not as many fields as the header" + (f"; beyond it stand {beyond}" if beyond else ""), ""
        )
    try:
        data, day = _fields(kind, row.fields)
    except InputError as problem:
        return problem
    # The key is the row's own content: the same row in another file is the same event.
    key = "import/" + sha256(canonical([kind, data, day.isoformat()]))
    return Draft(kind, actor, {**data, "file_row": row.number}, day, (file,), key)


def _fields(kind: str, row: dict[str, Any]) -> tuple[dict[str, Any], date]:
    column = _DAY[kind]
    data: dict[str, Any] = {}
    for name, needed in COLUMNS[kind].items():
        value = row.get(name)
        if value in ("", None) or (isinstance(value, float) and math.isnan(value)):
            if needed:
                raise InputError("is blank", name)
            continue
        if name == "rack":
            try:
                data["racks"] = [k.rack_name(value)]
            except ValueError as problem:
                raise InputError(str(problem), name) from None
        elif name in ("throughput", "power_w"):
            data[name] = _number(value, name)
        elif name != column:
            data[name] = str(value).strip()
    return data, _date(row[column], column)


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{str(value)[:60]!r} is not a number", name) from None
    if not math.isfinite(number) or number <= 0:
        raise InputError(f"{number} must be above zero", name)
    return number


def _date(value: Any, name: str) -> date:
    if isinstance(value, date):
        return date(value.year, value.month, value.day)
    try:
        return date.fromisoformat(str(value).strip())
    except ValueError:
        raise InputError(f"{str(value)[:60]!r} is not a day; write it like 2026-10-31", name) from None


def _written(value: Any) -> str:
    """A cell as a CSV holds it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return date(value.year, value.month, value.day).isoformat() if isinstance(value, date) else str(value)


def _known(connection: sa.Connection, drafts: list[Draft | InputError]) -> set[str]:
    """Keys of rows that were recorded before."""
    keys = [f"{d.actor.party} {d.key}" for d in drafts if isinstance(d, Draft)]
    out: set[str] = set()
    for start in range(0, len(keys), _CHUNK):
        query = sa.select(events.c.key).where(among(connection, events.c.key, keys[start : start + _CHUNK]))
        out.update(key.split(" ", 1)[1] for key in connection.execute(query).scalars())
    return out


def _read(content: bytes, name: str, kind: str) -> list[_Row]:
    if len(content) > MAX_EVIDENCE_BYTES:
        raise InputError(f"{len(content):,} bytes; at most {MAX_EVIDENCE_BYTES:,} can be imported at once", name)
    if content[:2] == b"PK":
        raise InputError("is a spreadsheet or an archive (.xlsx, .ods, .zip); save its sheet as CSV", name)
    columns, rows = _parquet(content, name) if content[:4] == b"PAR1" else _csv(content, name)
    missing = [c for c, needed in COLUMNS[kind].items() if needed and c not in columns]
    if not rows:
        raise InputError("has no rows", name)
    if missing:
        raise InputError(f"lacks the columns {', '.join(missing)}", name)
    mended = ERROR_COLUMNS if set(ERROR_COLUMNS) <= set(columns) else ()  # rows in error, mended and sent again
    unknown = [str(c)[:40] for c in columns if c not in COLUMNS[kind] and c not in mended]
    if unknown:
        raise InputError(f"has unknown columns {', '.join(unknown)}; known: {', '.join(COLUMNS[kind])}", name)
    return rows


def _csv(content: bytes, name: str) -> tuple[list[str], list[_Row]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise InputError(f"is neither Parquet nor CSV in UTF-8 (byte {problem.start})", name) from None
    rows: list[_Row] = []
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        header = list(reader.fieldnames or [])
        if len(set(header)) != len(header):
            raise InputError("names a column twice in its header", name)
        for row in reader:
            ragged = None in row or None in row.values()
            rows.append(_Row(reader.line_num, row, not ragged))
            if len(rows) > _MOST_ROWS:
                raise InputError(f"has more than {_MOST_ROWS:,} rows; split it", name)
    except csv.Error as problem:
        raise InputError(f"is not CSV: {problem}", name) from None
    return header, rows


def _parquet(content: bytes, name: str) -> tuple[list[str], list[_Row]]:
    import pyarrow as pa  # noqa: PLC0415 (0.1 s, only for Parquet)
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        if file.metadata.num_rows > _MOST_ROWS:
            raise InputError(f"has more than {_MOST_ROWS:,} rows; split it", name)
        if file.metadata.num_columns > 100:
            raise InputError("has more than 100 columns", name)
        table = file.read()
        rows = [_Row(number, row) for number, row in enumerate(table.to_pylist(), 2)]
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError) as problem:
        if isinstance(problem, InputError):
            raise
        raise InputError(f"is not a readable Parquet file: {str(problem)[:200]}", name) from None
    return list(table.column_names), rows
