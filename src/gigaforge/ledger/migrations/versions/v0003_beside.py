"""Racks keep the events beside their way (taken back, disputed, claimed); terms, who signed them; claims, what lessened them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["downgrade", "upgrade"]

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A column; the kept view is folded anew afterwards."""
    op.add_column("racks", sa.Column("beside", sa.Text, nullable=False, server_default="[]"))


def downgrade() -> None:
    """Without it."""
    op.drop_column("racks", "beside")
