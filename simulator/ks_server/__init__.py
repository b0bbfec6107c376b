"""The reference server: the device API, the admin API and what they store."""
