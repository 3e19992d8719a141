"""Alembic migrations, from the first table on. Applied at start; never edited once released."""
