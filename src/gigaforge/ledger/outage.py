"""A database that fails, told so that people know what to do: who is to blame, and what became of what they sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from gigaforge.errors import InputError
from gigaforge.ledger.errors import UnavailableError

__all__ = ["Work", "explained", "shown"]

_OUTCOMES: Final = {
    "reading": "",
    "writing": "; nothing was recorded",
    "keeping": "; the connection was lost while the record was being kept, so it may stand in the ledger or not: look before you "
    "send it again, or send it with the key that it had (--once), which records it once",
}
_READ_ONLY: Final = "25006"
"""PostgreSQL's code for a server that takes no writes, as a copy that was not put in charge yet."""


@dataclass
class Work:
    """How far a transaction came."""

    stage: Literal["reading", "writing", "keeping"]


@contextmanager
def explained(engine: Engine, stage: Literal["reading", "writing"] = "reading") -> Iterator[Work]:
    """Turn what the database's driver says into an error of our own.

    Raises
    ------
    UnavailableError
        The server is gone, the disk is full, the file may not be written, a lock was not to be had.
    InputError
        What was opened is not a ledger.

    """
    work = Work(stage)
    try:
        yield work
    except sa.exc.DBAPIError as problem:
        if not _unavailable(problem):
            raise InputError(f"is not a ledger, or a damaged one: {_said(problem)}", shown(engine)) from None
        raise UnavailableError(_said(problem) + _OUTCOMES[work.stage], shown(engine)) from None
    except sa.exc.TimeoutError:
        raise UnavailableError(f"too many wait for it at once{_OUTCOMES[work.stage]}", shown(engine)) from None


def _unavailable(problem: sa.exc.DBAPIError) -> bool:
    if isinstance(problem, sa.exc.OperationalError):
        return not str(problem.orig).startswith("no such ")  # SQLite's word for tables that are not there
    return isinstance(problem, sa.exc.InterfaceError) or getattr(problem.orig, "sqlstate", None) == _READ_ONLY


def _said(problem: sa.exc.DBAPIError) -> str:
    """On one line, as PostgreSQL's messages are not."""
    return " ".join(str(problem.orig).split()).rstrip(".")


def shown(engine: Engine) -> str:
    """The file or address, without a password."""
    if engine.dialect.name == "sqlite" and engine.url.database:
        return engine.url.database
    return engine.url.set(drivername=engine.dialect.name).render_as_string(hide_password=True)
