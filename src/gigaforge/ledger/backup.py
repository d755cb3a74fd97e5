"""Copies: of the events (what a party keeps), and of everything (to restore from)."""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NoReturn

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from gigaforge.errors import InputError, NoAnswerError
from gigaforge.ledger.book import Ledger
from gigaforge.ledger.canonical import sha256
from gigaforge.ledger.event import Event
from gigaforge.ledger.storage import events, evidence, migrate, open_engine, reading, writing
from gigaforge.ledger.verification import Verification, verify
from gigaforge.ledger.writer import insert_all

__all__ = ["backup", "export", "restore", "whole_file"]

_FORMAT: Final = "gigaforge ledger backup 1"
_MOST_BYTES: Final = 2**36
"""Refuse to unpack more than this from a backup. [B]"""
_KEPT: Final = (
    "its history was rewritten or cut off since (or the copy was changed). The copy is left as it was, and is your proof: "
    "`gigaforge ledger verify --copy` says what differs; write the ledger as it is now under another name"
)


@contextmanager
def whole_file(path: Path, *, new: bool = False) -> Iterator[IO[bytes]]:
    """A file that appears whole or not at all, on disk when the block ends; a link stays, and what it leads to is written.

    Parameters
    ----------
    path : Path
        Where.
    new : bool
        Refuse to write over a file that stands there: it may be the only proof that somebody changed the record since.

    Raises
    ------
    InputError
        It cannot be written, or it exists and should be new.

    """
    if new and path.exists():
        raise InputError(
            "exists and may be a proof that you need; it is not written over, choose another name", str(path)
        )
    path = Path(os.path.realpath(path))
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as problem:
        raise InputError(f"cannot be written there: {problem.strerror}", str(path)) from None
    work = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        work.replace(path)
    except BaseException:
        work.unlink(missing_ok=True)
        raise


def export(ledger: Ledger, path: Path) -> tuple[int, str]:
    """Write every event, byte for byte, one a line: a party's own copy. Returns how many, and the head.

    A copy that stands there is only ever extended: where the ledger lacks or changed what it holds, it is the proof of that.

    Raises
    ------
    InputError
        The file that stands there is no copy of this ledger, or cannot be read or written.
    NoAnswerError
        It holds events that the ledger no longer holds so; it is left as it was.

    """
    count, head = 0, ""
    with _standing(path) as before, whole_file(path) as file:
        for event in ledger.all_events():
            line = event.body + b"\n"
            kept = before.readline(len(line) + 1)
            if kept not in (b"", line):
                _differs(path, event.seq)
            file.write(line)
            count, head = event.seq, event.hash
        if before.read(1):
            raise NoAnswerError(f"{path} holds more than the ledger's {count:,} events: {_KEPT}")
    return count, head


def _standing(path: Path) -> IO[bytes]:
    """The copy that stands there; nothing where there is none."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        return io.BytesIO()
    except OSError as problem:
        raise InputError(f"cannot be read: {problem.strerror}", str(path)) from None


def _differs(path: Path, seq: int) -> NoReturn:
    if seq == 1:
        raise InputError("exists and is not a copy of this ledger's events; choose another name", str(path))
    raise NoAnswerError(f"event {seq} of {path} is not the ledger's: {_KEPT}")


def backup(ledger: Ledger, path: Path) -> dict[str, Any]:
    """Write events and evidence, as of one moment, into one file that holds on any database.

    Tokens are left out: who may log in is not part of the record. `InputError` where the file exists.
    """
    with whole_file(path, new=True) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        count, head, files = 0, "", []
        with reading(ledger.engine) as connection:
            with archive.open("events.jsonl", "w", force_zip64=True) as lines:
                rows = connection.execution_options(yield_per=1000).execute(
                    sa.select(events.c.seq, events.c.hash, events.c.body).order_by(events.c.seq)
                )
                for row in rows:
                    lines.write(bytes(row.body) + b"\n")
                    count, head = row.seq, row.hash
            for name in connection.execute(sa.select(evidence.c.sha256).order_by(evidence.c.sha256)).scalars().all():
                content = connection.execute(
                    sa.select(evidence.c.content).where(evidence.c.sha256 == name)
                ).scalar_one()
                archive.writestr(f"evidence/{name}", bytes(content))
                files.append(name)
        about = {"format": _FORMAT, "events": count, "head": head, "evidence": len(files)}
        archive.writestr("about.json", json.dumps(about))
    return about


def restore(path: Path, where: str) -> dict[str, Any]:
    """Make a ledger from a backup; it is verified in full before it is kept.

    Raises
    ------
    InputError
        Not a backup, or the destination holds a ledger, or the backup does not verify.

    """
    try:
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read("about.json"))
            if not isinstance(about, dict) or about.get("format") != _FORMAT:
                raise InputError("is not a backup of `gigaforge ledger backup`", str(path))
            if sum(item.file_size for item in archive.infolist()) > _MOST_BYTES:
                raise InputError("unpacks to more than 64 GiB; refused", str(path))
            return _restore(archive, about, path, where)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, RecursionError) as problem:
        if isinstance(problem, InputError):
            raise
        raise InputError(
            f"is not a backup of `gigaforge ledger backup`, or was damaged ({problem})", str(path)
        ) from None


def _restore(archive: zipfile.ZipFile, about: dict[str, Any], path: Path, where: str) -> dict[str, Any]:
    engine = open_engine(where)
    new = engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).exists()
    try:
        migrate(engine)
        _copy_in(archive, engine, where)
        ledger = Ledger(engine)
        ledger.rebuild()
        result = verify(engine)
        _compare(result, about, path)
    except BaseException:
        engine.dispose()
        if new:
            for suffix in ("", "-wal", "-shm"):
                Path(str(engine.url.database) + suffix).unlink(missing_ok=True)
        raise
    ledger.close()
    return {"events": result.events, "evidence": result.evidence_files, "head": result.head,
            "remarks": [f"{f.where}: {f.problem}" for f in result.findings]}  # fmt: skip


def _copy_in(archive: zipfile.ZipFile, engine: Engine, where: str) -> None:
    with writing(engine) as connection:
        if connection.execute(sa.select(sa.func.count()).select_from(events)).scalar():
            raise InputError("holds a ledger already; restore into a new one", where)
        for item in archive.infolist():
            if item.filename.startswith("evidence/"):
                content = archive.read(item)
                connection.execute(sa.insert(evidence).values(sha256=sha256(content), content=content))
        with archive.open("events.jsonl") as lines:
            insert_all(connection, (Event.read(n, line.rstrip(b"\n")) for n, line in enumerate(lines, 1)))


def _compare(result: Verification, about: dict[str, Any], path: Path) -> None:
    if not result.whole or (result.events, result.head) != (about.get("events"), about.get("head")):
        reasons = (
            "; ".join(f"{f.where}: {f.problem}" for f in result.findings if not f.stands)
            or "it lacks its last events"
        )
        raise InputError(f"the backup does not verify: {reasons}", str(path))
