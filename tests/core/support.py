"""What a core test may use besides the core: works on CPython and on MicroPython.

A core test is a plain function with bare asserts in `tests/core/test_*.py`; pytest collects it on
CPython and `tests/core/run.py` runs it on MicroPython.
"""

try:
    from unittest import SkipTest
except ImportError:

    class SkipTest(Exception):
        """Raised by `skip`; the runner counts it apart from failures."""


def raises(exception_class, function, *arguments):
    """Call `function(*arguments)` and return the `exception_class` that it raises.

    Any other exception goes through; a call that raises nothing is an AssertionError.
    """
    try:
        function(*arguments)
    except exception_class as error:
        return error
    raise AssertionError("%s was not raised" % exception_class.__name__)


def skip(reason):
    """End the running test as skipped, saying why."""
    raise SkipTest(reason)


def packed_last(manifest):
    """An encoded manifest with PACKED as the last column of FILE, as stage 0 reads it: toon writes
    columns in the order of their names.
    """
    lines = []
    is_packed = False
    for line in manifest.split(b"\n"):
        if line.startswith(b"FILE["):
            is_packed = b"{PACKED," in line
        first, comma, others = line.partition(b",")
        if is_packed and line.startswith(b"FILE["):
            lines.append(line.replace(b"{PACKED,", b"{").replace(b"}", b",PACKED}"))
        elif is_packed and line.startswith(b"  "):
            lines.append(b"  " + others + comma + first[2:])
        else:
            lines.append(line)
    return b"\n".join(lines)
