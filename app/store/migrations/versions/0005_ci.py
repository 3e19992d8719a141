"""What was found out about failed checks: by head, by failure, by attempt, by test."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ci_heads",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("sha", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("tests", sa.Text(), nullable=False),
        sa.Column("reruns", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "ci_attempts",
        sa.Column("turn", sa.String(), nullable=False),
        sa.Column("thread", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("left", sa.String(), nullable=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("turn"),
    )
    op.create_index("ci_attempts_thread", "ci_attempts", ["thread"])
    op.create_table(
        "ci_calls",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("thread", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ci_calls_thread", "ci_calls", ["thread"])
    op.create_table(
        "ci_flakes",
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("test", sa.String(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("passed", sa.Integer(), nullable=False),
        sa.Column("flaked", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "test"),
    )


def downgrade() -> None:
    for table in ("ci_flakes", "ci_calls", "ci_attempts", "ci_heads"):
        op.drop_table(table)
