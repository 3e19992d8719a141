"""How Alembic runs our migrations: on the connection it is handed, in the caller's transaction."""

from alembic import context

from app.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="darner_migrations",
    render_as_batch=True,
)
context.run_migrations()
