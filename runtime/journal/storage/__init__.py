"""Where the journal is kept: SQLite or PostgreSQL."""
