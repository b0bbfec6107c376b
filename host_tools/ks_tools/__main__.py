"""`python -m ks_tools`: the same as `ks`."""

from .cli import main

if __name__ == "__main__":
    main()
