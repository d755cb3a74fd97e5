"""How Alembic runs the migrations: inside the caller's transaction."""

from __future__ import annotations

from alembic import context

from gigaforge.ledger.storage import metadata

__all__: list[str] = []


def _run() -> None:
    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


if getattr(context, "_proxy", None) is not None:  # else imported without Alembic, by documentation and tests
    _run()
