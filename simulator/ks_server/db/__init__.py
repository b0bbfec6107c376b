"""The server's database: schema, engine and migrations (SQLAlchemy Core)."""
