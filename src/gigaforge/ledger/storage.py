"""Where events are kept: SQLite in one file, or PostgreSQL; the same tables and code for both."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import QueuePool

from gigaforge.errors import InputError
from gigaforge.ledger.outage import explained, shown

__all__ = [
    "access_log", "among", "events", "evidence", "metadata", "migrate", "open_engine", "plain_writing", "projection", "racks", "reading",
    "revision_of", "sessions", "tokens", "writing",
]  # fmt: skip


def _content(value: Any) -> bytes:
    """Bytes, whatever the database holds: who tampers with a file may leave text or a number where bytes were."""
    if isinstance(value, bytes | memoryview | bytearray):
        return bytes(value)
    return b"" if value is None else str(value).encode("utf-8", "surrogateescape")


class _Bytes(sa.LargeBinary):
    inherit_cache = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], bytes]:
        del dialect, coltype
        return _content


metadata = sa.MetaData()
_Seq = sa.BigInteger().with_variant(sa.Integer, "sqlite")

events = sa.Table(
    "events", metadata,
    sa.Column("seq", _Seq, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("party", sa.String(64), nullable=False),
    sa.Column("key", sa.String(200), nullable=True, unique=True),
    sa.Column("body", _Bytes, nullable=False),
    sa.Index("events_kind", "kind", "seq"),
)  # fmt: skip
"""The truth: canonical bytes of every event and their hash. The other columns repeat the body, to search by."""

evidence = sa.Table(
    "evidence", metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("content", _Bytes, nullable=False),
)  # fmt: skip

racks = sa.Table(
    "racks", metadata,
    sa.Column("rack", sa.String(64), primary_key=True),
    sa.Column("system", sa.String(64), nullable=False),
    sa.Column("site", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("delivered", sa.Integer, nullable=False),
    sa.Column("online", sa.Integer, nullable=False),
    sa.Column("accepted", sa.Integer, nullable=False),
    sa.Column("retired", sa.Integer, nullable=False),
    sa.Column("counted_w", sa.BigInteger, nullable=False),
    sa.Column("claim", sa.BigInteger, nullable=False),
    sa.Column("disputes", sa.Text, nullable=False),
    sa.Column("history", sa.Text, nullable=False),
    sa.Column("last_seq", sa.BigInteger, nullable=False),
    sa.Column("beside", sa.Text, nullable=False, server_default="[]"),
    sa.Index("racks_place", "site", "system", "status", "rack"),
    sa.Index("racks_claim", "claim", "status", "last_seq", "rack"),
)  # fmt: skip
"""A view of the fold, kept for speed; `gigaforge ledger verify` folds anew and compares every row."""

projection = sa.Table(
    "projection", metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("head", sa.String(64), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("body", _Bytes, nullable=False),
    sa.Column("fold", sa.Integer, nullable=False, server_default="0"),
)  # fmt: skip
"""The state at the head (one row), kept for speed as the racks are; `fold` is the `state.FOLD` of the version that folded both."""

tokens = sa.Table(
    "tokens", metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False, unique=True),
    sa.Column("party", sa.String(64), nullable=False),
    sa.Column("person", sa.String(128), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("label", sa.String(200), nullable=False),
    sa.Column("created_at", sa.String(32), nullable=False),
    sa.Column("expires_at", sa.String(32), nullable=False),
    sa.Column("revoked_at", sa.String(32), nullable=True),
)  # fmt: skip
"""Who may use the API; only the hash of a token is kept."""

sessions = sa.Table(
    "sessions", metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("token", sa.String(16), nullable=True),
    sa.Column("party", sa.String(64), nullable=False),
    sa.Column("person", sa.String(128), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("expires_at", sa.String(32), nullable=False),
)  # fmt: skip

access_log = sa.Table(
    "access_log", metadata,
    sa.Column("id", _Seq, primary_key=True),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("party", sa.String(64), nullable=False),
    sa.Column("person", sa.String(128), nullable=False),
    sa.Column("what", sa.String(200), nullable=False),
)  # fmt: skip
"""Who read what of the sensitive figures, and when."""

_SCHEME: Final = re.compile(r"^[a-z][a-z0-9+]*://")
_BUSY_S: Final = 60.0
_OPTIONS: Final = "-c synchronous_commit=on -c plan_cache_mode=force_custom_plan"
"""A plan kept from when a table was empty reads all of it: an import of 100,000 racks took ten minutes."""
_PATIENCE: Final = {
    "connect_timeout": 5, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000,
}  # fmt: skip
"""How soon a PostgreSQL server that went away is given up [s; the last in ms]; the address may say otherwise."""
_LOCK: Final = 0x6769676166
_TURNS: Final[WeakKeyDictionary[Engine, threading.Lock]] = WeakKeyDictionary()
_REVISION: Final = "0005"
"""The migration that this version's tables need."""


def open_engine(where: str) -> Engine:
    """Open a database by path or URL; SQLite in WAL mode with full synchronisation, so that a commit outlives a crash.

    Raises
    ------
    InputError
        Neither a path nor a PostgreSQL URL.

    """
    where = where.removeprefix("ledger:")
    if not where:
        raise InputError("no ledger given; write a file such as alliance.db, or a postgresql:// address", "--ledger")
    if not _SCHEME.match(where) or where.startswith("sqlite:///"):
        return _sqlite(Path(where.removeprefix("sqlite:///")))
    if not where.startswith(("postgresql://", "postgres://", "postgresql+psycopg://")):
        raise InputError(
            f"{where.split(':')[0]!r} is not a kind of ledger; give a file or a postgresql:// address", "--ledger"
        )
    try:
        url = sa.make_url(re.sub(r"^postgres(ql)?(\+psycopg)?://", "postgresql+psycopg://", where))
    except sa.exc.ArgumentError:
        raise InputError("is not a database address; write postgresql://user@host/name", "--ledger") from None
    # Read committed is enough: writers take turns on a lock before they look at anything.
    patience = {name: value for name, value in _PATIENCE.items() if name not in url.query}
    return sa.create_engine(
        url, pool_pre_ping=True, pool_size=5, max_overflow=20,
        connect_args={"options": _OPTIONS, **patience},
    )  # fmt: skip


def _sqlite(path: Path) -> Engine:
    """A file that nobody else may read: it holds prices and evidence. SQLite gives its companions the same rights."""
    if path.is_dir():
        raise InputError("is a folder; name a file in it, e.g. ledger.db", str(path))
    if not path.parent.is_dir():
        raise InputError("lies in a folder that does not exist", str(path))
    # Connections are kept: closing the last one makes SQLite fold its log into the file, some 40 ms each time.
    engine = sa.create_engine(
        f"sqlite:///{path}", poolclass=QueuePool, pool_size=5, max_overflow=20, pool_timeout=_BUSY_S,
        connect_args={"timeout": _BUSY_S, "check_same_thread": False},
    )  # fmt: skip

    @sa.event.listens_for(engine, "do_connect")
    def _make(*_: object) -> None:
        with suppress(OSError):  # it exists, or cannot be made, which SQLite says better
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, record: Any) -> None:
        del record
        connection.isolation_level = None  # SQLAlchemy's own BEGIN, below
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes the lock at once: two that read first and write later would refuse each other.
        mode = "IMMEDIATE" if connection.get_execution_options().get("writing") else "DEFERRED"
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction of the one writer at a time; all of it is kept, or nothing."""
    # Writers of this process queue fairly here; SQLite itself lets them poll, and the unlucky wait long.
    turn = _TURNS.setdefault(engine, threading.Lock()) if engine.dialect.name == "sqlite" else nullcontext()
    with turn, _transaction(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        yield connection


@contextmanager
def plain_writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that touches no event: tokens, sessions, the log of reads."""
    with _transaction(engine) as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A view of one moment."""
    options = (
        {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    )
    with explained(engine), engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


@contextmanager
def _transaction(engine: Engine) -> Iterator[Connection]:
    with (
        explained(engine, "writing") as work,
        engine.connect().execution_options(writing=True) as connection,
        connection.begin(),
    ):
        yield connection
        work.stage = "keeping"


def among(connection: Connection, column: sa.Column[Any], values: Sequence[str]) -> sa.ColumnElement[bool]:
    """Whether a column holds one of many values.

    PostgreSQL gets them as one array: with a parameter for each it compared every row with every one, a second for 500 names
    among 100,000 rows.
    """
    if connection.dialect.name == "postgresql":
        return column == sa.any_(sa.bindparam(None, list(values), type_=ARRAY(sa.String)))
    return column.in_(values)


def revision_of(engine: Engine) -> str | None:
    """Which migration the tables have; None where there are none."""
    with reading(engine) as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def migrate(engine: Engine) -> None:
    """Bring the tables to this version's shape (Alembic); safe to run by several at once, and all or nothing.

    Raises
    ------
    InputError
        The tables are of a later version than this one knows.

    """
    found = revision_of(engine)
    if found == _REVISION:
        return
    if found is not None and found > _REVISION:
        raise InputError(
            f"was written by a later version (tables {found}, known {_REVISION}); upgrade", shown(engine)
        )
    from alembic import command  # noqa: PLC0415 (0.1 s)
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "gigaforge.ledger:migrations")
    with _transaction(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
