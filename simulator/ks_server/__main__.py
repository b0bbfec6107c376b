"""`python -m ks_server`: the server, configured by environment and `.env`."""

from .run import main

if __name__ == "__main__":
    main()
