"""What the database holds, by subject. Functions with a `connection` run in the caller's transaction."""
