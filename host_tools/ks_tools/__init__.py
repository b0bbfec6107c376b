"""The `ks` command: demo, server, simulated terminals, keys and releases."""
