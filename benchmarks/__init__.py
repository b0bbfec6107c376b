"""What is measured of the product: `python -m benchmarks [TOPIC...]`, or `make bench` for all.

Speed is a ratio to a peer (a library that does the like), taken in the same run and in turns, so
that a busy or slow machine changes both. Times are CPU times of the process concerned, for the
same reason. A topic is a module whose `measure(run)` yields figures, named in `registry`.
"""
