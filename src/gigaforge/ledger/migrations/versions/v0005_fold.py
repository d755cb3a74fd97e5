"""The kept view says which version folded it, so that an opening cut short between the tables and the fold is made up for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["downgrade", "upgrade"]

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A column; 0 says that an earlier version folded it."""
    op.add_column("projection", sa.Column("fold", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    """Without it."""
    op.drop_column("projection", "fold")
