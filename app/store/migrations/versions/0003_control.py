"""What people decide about a thread, what a turn asks of them, what it costs, and who works on what."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


WAITING = {"inbox": "state = 'pending'", "effects": "state = 'pending'", "turns": "status != 'ended'"}


def upgrade() -> None:
    op.add_column("threads", sa.Column("stopped_by", sa.String(), nullable=True))
    op.add_column("threads", sa.Column("archived_at", sa.Double(), nullable=True))
    op.add_column("threads", sa.Column("budget_tokens", sa.BigInteger(), nullable=True))
    op.add_column("threads", sa.Column("budget_micros", sa.BigInteger(), nullable=True))
    op.add_column("turns", sa.Column("follows", sa.String(), nullable=True))
    op.add_column("threads", sa.Column("compact_by", sa.String(), nullable=True))
    compactions = sa.text("type = 'compaction'")
    op.create_index(
        "items_compactions", "items", ["turn"], sqlite_where=compactions, postgresql_where=compactions
    )
    op.add_column("turns", sa.Column("parked_for", sa.Text(), nullable=True))
    op.create_table(
        "requests",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("thread", sa.String(), nullable=False),
        sa.Column("turn", sa.String(), nullable=False),
        sa.Column("cause", RowId, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("head_sha", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("decided_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["turn"], ["turns.id"]),
        sa.ForeignKeyConstraint(["cause"], ["inbox.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("requests_thread", "requests", ["thread", "state"])
    op.create_table(
        "charges",
        sa.Column("turn", sa.String(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("thread", sa.String(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=True),
        sa.Column("actor_id", sa.BigInteger(), nullable=True),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("turn", "item"),
    )
    op.create_index("charges_thread", "charges", ["thread"])
    op.create_index("charges_repository", "charges", ["repository_id", "at"])
    op.create_index("charges_actor", "charges", ["actor_id", "at"])
    op.create_index("charges_at", "charges", ["at"])
    op.create_table(
        "throttles",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=False),
        sa.Column("blocked_until", sa.Double(), nullable=False),
        sa.Column("closed_until", sa.Double(), nullable=False),
        sa.Column("strikes", sa.Integer(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=True),
        sa.Column("budget", sa.BigInteger(), nullable=True),
        sa.Column("resets_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "grants",
        sa.Column("id", RowId, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("grants_name", "grants", ["name", "at"])
    op.add_column("inbox", sa.Column("quiet_kind", sa.String(), nullable=True))
    op.add_column("effects", sa.Column("slot", sa.Double(), nullable=True))
    op.create_table(
        "workers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("worker", sa.String(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("leases_worker", "leases", ["worker"])
    for table, still_open in WAITING.items():
        op.create_index(
            f"{table}_waiting",
            table,
            ["thread"],
            sqlite_where=sa.text(still_open),
            postgresql_where=sa.text(still_open),
        )


def downgrade() -> None:
    for table in WAITING:
        op.drop_index(f"{table}_waiting", table)
    op.drop_column("effects", "slot")
    op.drop_column("inbox", "quiet_kind")
    for table in ("leases", "workers", "grants", "throttles", "charges", "requests"):
        op.drop_table(table)
    op.drop_index("items_compactions", "items")
    op.drop_column("threads", "compact_by")
    op.drop_column("turns", "parked_for")
    op.drop_column("turns", "follows")
    for column in ("budget_micros", "budget_tokens", "archived_at", "stopped_by"):
        op.drop_column("threads", column)
