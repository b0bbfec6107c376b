"""What the database holds, by subject. What takes a `connection` is in the caller's transaction."""
