"""The tables, as the newest migration leaves them. What a row means is said here, and only here."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

RowId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts rows by itself only in a column that is exactly INTEGER."""


def _waiting(table: str, still_open: str) -> Index:
    """Of what is not done only: many processes look for it every few seconds, among years of what is."""
    return Index(
        f"{table}_waiting", "thread", sqlite_where=text(still_open), postgresql_where=text(still_open)
    )


deliveries = Table(
    "deliveries",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("guid", String, nullable=False, unique=True),
    # Two deliveries with other GUIDs may tell of one act: the second finds this taken.
    Column("semantic_key", String, unique=True),
    Column("event", String, nullable=False),
    Column("action", String),
    Column("repository_id", BigInteger),
    Column("repository", String),
    Column("number", Integer),
    Column("actor_id", BigInteger),
    Column("actor", String),
    Column("installation_id", BigInteger),
    Column("received_at", Double, nullable=False),
    # zlib-compressed raw bytes: 25 KB of JSON become about 3, and with them the write-ahead log's pages.
    Column("body", LargeBinary, nullable=False),
    # pending → handled | failed; or at once: ignored | duplicate | refused
    Column("state", String, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("text", Text, nullable=False, default=""),
    Column("command", String, nullable=False, default=""),
    Column("thread", String),
)

threads = Table(
    "threads",
    metadata,
    Column("id", String, primary_key=True),
    # Null for a local thread (`darner exec`).
    Column("repository_id", BigInteger),
    Column("repository", String),
    Column("number", Integer),
    Column("installation_id", BigInteger),
    Column("created_at", Double, nullable=False),
    # Who stopped it: nothing starts here by itself until somebody says `resume`.
    Column("stopped_by", String),
    # Set aside by the operator: not listed, and nothing starts here.
    Column("archived_at", Double),
    # Who asked for a short history while nothing was at work: the next turn begins with that.
    Column("compact_by", String),
    # What people allow all of its turns together; null: what the operator's limits say.
    Column("budget_tokens", BigInteger),
    Column("budget_micros", BigInteger),  # millionths of the price table's currency
)

inbox = Table(
    "inbox",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("thread", String, nullable=False),
    # One of the two: a delivery from outside, or an internal event as JSON.
    Column("delivery", RowId, ForeignKey("deliveries.id")),
    Column("event", Text),
    # The delivery that all of this goes back to: `why` follows it.
    Column("origin", RowId, ForeignKey("deliveries.id")),
    Column("state", String, nullable=False),  # pending → handled | failed
    Column("attempts", Integer, nullable=False, default=0),
    Column("not_before", Double, nullable=False, default=0.0),
    Column("created_at", Double, nullable=False),
    # Set: it waits until nothing more of this kind comes; the newest takes the place of the others.
    Column("quiet_kind", String),
    Index("inbox_pending", "thread", "state", "id"),
    _waiting("inbox", "state = 'pending'"),
    Index("inbox_origin", "origin"),
)

effects = Table(
    "effects",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("key", String, nullable=False, unique=True),
    Column("thread", String, nullable=False),
    Column("cause", RowId, ForeignKey("inbox.id"), nullable=False),
    Column("type", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String, nullable=False),  # pending → done | failed
    # Counted before each try: more than one means that the write may have happened already.
    Column("attempts", Integer, nullable=False, default=0),
    Column("not_before", Double, nullable=False, default=0.0),
    Column("result", Text, nullable=False, default="{}"),
    Column("error", Text, nullable=False, default=""),
    Column("done_at", Double),
    # The time that the limit gave it; null while it has not asked. Later than now: it waits for that.
    Column("slot", Double),
    Index("effects_pending", "thread", "state", "id"),
    _waiting("effects", "state = 'pending'"),
    Index("effects_cause", "cause"),
)

turns = Table(
    "turns",
    metadata,
    Column("id", String, primary_key=True),
    Column("seq", RowId, nullable=False),  # order within the thread
    Column("thread", String, ForeignKey("threads.id"), nullable=False),
    Column("start", Text, nullable=False),  # the StartTurn effect as JSON; `{}` for a local turn
    Column("origin", RowId, ForeignKey("deliveries.id")),  # the delivery that asked for it
    Column("request", Text, nullable=False, default=""),  # the briefing, once composed
    Column("status", String, nullable=False),  # queued → running (→ parked → running) → ended
    Column("not_before", Double, nullable=False, default=0.0),  # until when it is parked
    Column("parked_for", Text),  # what it waits for, in words; null while it is not parked
    Column("attempts", Integer, nullable=False, default=0),  # how often it was taken since it last waited
    Column("owner", String),  # the token of the worker that may write
    Column("outcome", Text),
    Column("snapshot", String),  # the commit in the mirror that holds what the turn left
    Column("usage", Text),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    # A fork: its history is that of the turn named here and what that one follows; null: the thread's
    # turns before it that are no forks.
    Column("follows", String),
    Column("kind", String, nullable=False, default="task", server_default="task"),  # task | review
    UniqueConstraint("thread", "seq"),
    _waiting("turns", "status != 'ended'"),
)

items = Table(
    "items",
    metadata,
    Column("turn", String, ForeignKey("turns.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("life", String, nullable=False),  # started | completed
    Column("item", String, nullable=False),
    Column("type", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", Double, nullable=False),
    # Few rows: a turn's history begins with the last of them.
    Index(
        "items_compactions",
        "turn",
        sqlite_where=text("type = 'compaction'"),
        postgresql_where=text("type = 'compaction'"),
    ),
)

messages = Table(
    "messages",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("turn", String, ForeignKey("turns.id"), nullable=False),
    # steer: for the model before its next step; stop: the turn ends; pause, resume: the last of them counts;
    # compact: the history is made short.
    # The journal tells what was heard.
    Column("kind", String, nullable=False),
    Column("author", String, nullable=False),
    Column("text", Text, nullable=False, default=""),
    # The effect's: one comment is one message.
    Column("key", String, nullable=False, unique=True),
    Column("at", Double, nullable=False),
    Index("messages_turn", "turn", "id"),
)

requests = Table(
    "requests",
    metadata,
    Column("id", String, primary_key=True),  # short: people write it after `approve`
    Column("thread", String, nullable=False),
    Column("turn", String, ForeignKey("turns.id"), nullable=False),
    # The letter whose handling asked: it goes back to what the turn has told of itself.
    Column("cause", RowId, ForeignKey("inbox.id"), nullable=False),
    # command | network | paths | held | question | companion
    Column("kind", String, nullable=False),
    Column("asked", Text, nullable=False),  # what exactly, as JSON
    Column("digest", String, nullable=False),  # of what is asked: an answer is to this and nothing else
    Column("head_sha", String, nullable=False),  # the head it was asked at
    Column("state", String, nullable=False),  # open → approved | denied | answered | expired | void
    Column("until", Double, nullable=False),
    Column("decided_by", String, nullable=False, default=""),
    Column("words", Text, nullable=False, default=""),
    Column("asked_at", Double, nullable=False),
    Column("decided_at", Double),
    Index("requests_thread", "thread", "state"),
)

reviews = Table(
    "reviews",
    metadata,
    # The last review of a conversation that has ended.
    Column("thread", String, primary_key=True),
    Column("turn", String, nullable=False),
    Column("head_sha", String, nullable=False),
    Column("patches", Text, nullable=False),  # patch ids by path, as JSON
    Column("reading", Text, nullable=False),  # what of it was read, as JSON
    Column("at", Double, nullable=False),
)

findings = Table(
    "findings",
    metadata,
    Column("thread", String, primary_key=True),
    Column("id", String, primary_key=True),  # short: the agent and people name it
    Column("seq", Integer, nullable=False),  # order within the thread
    Column("comment", BigInteger),  # begins its thread at the forge; null where it has none
    # open | fixed | withdrawn | dismissed
    Column("state", String, nullable=False),
    Column("body", Text, nullable=False),  # all of it: `handlers.review.memory.Remembered` as JSON
    Column("at", Double, nullable=False),
    Index("findings_comment", "thread", "comment"),
)

charges = Table(
    "charges",
    metadata,
    # One answered model request, or one command, whose time counts: written with its journal entry, and so
    # never twice.
    Column("turn", String, primary_key=True),
    Column("item", String, primary_key=True),
    Column("thread", String, nullable=False),
    Column("repository_id", BigInteger),
    Column("actor_id", BigInteger),
    Column("model", String, nullable=False),  # empty for a command
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("micros", BigInteger),  # by the price table as it was then; null: it had no price for the model
    Column("seconds", Double, nullable=False),
    Column("at", Double, nullable=False),
    Index("charges_thread", "thread"),
    Index("charges_repository", "repository_id", "at"),
    Index("charges_actor", "actor_id", "at"),
    Index("charges_at", "at"),
)

throttles = Table(
    "throttles",
    metadata,
    # `github/INSTALLATION` or `model/HOST`: what the whole deployment shares.
    Column("name", String, primary_key=True),
    Column("next_at", Double, nullable=False),  # the next write, not before
    Column("blocked_until", Double, nullable=False),  # no write before: the other side said so
    Column("closed_until", Double, nullable=False),  # no request at all before
    Column("strikes", Integer, nullable=False),  # blocks in a row
    Column("remaining", BigInteger),  # of the primary budget, when last told
    Column("budget", BigInteger),
    Column("resets_at", Double),
)

grants = Table(
    "grants",
    metadata,
    # The times given to content-creating writes within the last hour: GitHub counts those apart.
    Column("id", RowId, primary_key=True),
    Column("name", String, nullable=False),  # the throttle's
    Column("at", Double, nullable=False),
    Index("grants_name", "name", "at"),
)

ci_heads = Table(
    "ci_heads",
    metadata,
    # `REPOSITORY/SHA`: a head whose checks are looked after.
    Column("id", String, primary_key=True),
    Column("repository_id", BigInteger, nullable=False),
    Column("sha", String, nullable=False),
    Column("fingerprint", String, nullable=False, default=""),  # what failed at the last look
    Column("tests", Text, nullable=False, default="[]"),  # of that, as JSON
    Column("reruns", Integer, nullable=False, default=0),
)

ci_attempts = Table(
    "ci_attempts",
    metadata,
    Column("turn", String, primary_key=True),
    Column("thread", String, nullable=False),
    Column("fingerprint", String, nullable=False),  # of what it was to repair
    Column("left", String),  # what its commit's checks showed: empty, all passed; null, not heard of
    Column("at", Double, nullable=False),
    Index("ci_attempts_thread", "thread"),
)

ci_calls = Table(
    "ci_calls",
    metadata,
    # `THREAD/FINGERPRINT`: a person was called for this failure, and is not called again.
    Column("id", String, primary_key=True),
    Column("thread", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Index("ci_calls_thread", "thread"),
)

ci_flakes = Table(
    "ci_flakes",
    metadata,
    # The ledger: what each test did, over all heads of a repository.
    Column("repository_id", BigInteger, primary_key=True),
    Column("test", String, primary_key=True),
    Column("failed", Integer, nullable=False),
    Column("passed", Integer, nullable=False),
    Column("flaked", Integer, nullable=False),  # on how many commits it did both
)

workers = Table(
    "workers",
    metadata,
    Column("id", String, primary_key=True),  # new at every start
    Column("host", String, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),  # by the database's clock
)

leases = Table(
    "leases",
    metadata,
    # `darner-events/THREAD` or `darner-turns/THREAD`: who drives it, among all processes.
    Column("name", String, primary_key=True),
    Column("owner", String, nullable=False),  # new each time it is taken
    Column("worker", String, nullable=False),
    Column("until", Double, nullable=False),  # by the database's clock
    # Somebody came for it in vain: whoever holds it looks once more for work when done.
    Column("wanted", Boolean, nullable=False, default=False),
    Index("leases_worker", "worker"),
)

keys = Table(
    "keys",
    metadata,
    Column("name", String, primary_key=True),  # `markers`: signs the hidden markers
    Column("value", LargeBinary, nullable=False),
)
