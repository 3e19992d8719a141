"""The store: SQLAlchemy Core over SQLite or PostgreSQL. The only place where SQL is written."""
