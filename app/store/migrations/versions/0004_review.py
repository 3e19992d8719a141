"""What reviews have found, and what became of it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("turns", sa.Column("kind", sa.String(), nullable=False, server_default="task"))
    op.create_table(
        "reviews",
        sa.Column("thread", sa.String(), nullable=False),
        sa.Column("turn", sa.String(), nullable=False),
        sa.Column("head_sha", sa.String(), nullable=False),
        sa.Column("patches", sa.Text(), nullable=False),
        sa.Column("reading", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("thread"),
    )
    op.create_table(
        "findings",
        sa.Column("thread", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("comment", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("thread", "id"),
    )
    op.create_index("findings_comment", "findings", ["thread", "comment"])


def downgrade() -> None:
    op.drop_table("findings")
    op.drop_table("reviews")
    op.drop_column("turns", "kind")
