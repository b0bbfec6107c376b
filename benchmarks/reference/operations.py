"""Runs on MicroPython: does operations of one engine, and tells what they took.

    micropython -m operations ENGINE

reads orders, one a line, and answers each with a line:

    OPERATION COUNT     microseconds for all of them; wrong results end the program
    garbage OPERATION   bytes that one leaves to the garbage collector
    table               bytes of the table that the last `prepare` has made
    live                bytes alive that were not before the engine was imported
    operations          names of those that the engine has

The operations are keygen, sign, verify, prepare and verify-prepared, as far as the engine has them.
An operation's first order makes the tables that stay, and the first `sign` expands the key.
"""

# mypy: ignore-errors

import gc
import sys
import time

import vectors


def reference():
    """RFC 8032's code, which keeps nothing: each signature expands the key anew."""
    import rfc8032

    return {
        "keygen": lambda i: check(rfc8032.secret_to_public(vectors.SEEDS[i]) == vectors.PUBLICS[i]),
        "sign": lambda i: check(
            rfc8032.sign(vectors.SEED, vectors.MESSAGES[i]) == vectors.SIGNATURES[i]
        ),
        "verify": lambda i: check(
            rfc8032.verify(vectors.PUBLIC, vectors.MESSAGES[i], vectors.SIGNATURES[i])
        ),
    }


def engine(name):
    """`ks_crypto.ed25519` as the agent calls it, with the engine of that name."""
    from ks_crypto import ed25519

    if name != ed25519.ENGINE:
        raise ValueError("the engine is " + ed25519.ENGINE)
    found = {
        "keygen": lambda i: check(ed25519.public_key(vectors.SEEDS[i]) == vectors.PUBLICS[i]),
        "sign": lambda i: check(
            ed25519.sign(vectors.SEED, (vectors.MESSAGES[i],)) == vectors.SIGNATURES[i]
        ),
        "verify": lambda i: check(
            ed25519.verify(vectors.PUBLIC, (vectors.MESSAGES[i],), vectors.SIGNATURES[i])
        ),
    }
    if ed25519.TABLE_BYTES:
        found.update(with_table(ed25519))
    return found


def with_table(ed25519):
    """What an engine does that can keep a table of a public key."""
    kept = []

    def prepare(_):
        prepared = ed25519.prepare(vectors.PUBLIC)
        while not prepared.step():
            pass
        kept[:] = [prepared]

    def verify_prepared(i):
        if not kept:
            prepare(i)
        pieces, signature = (vectors.MESSAGES[i],), vectors.SIGNATURES[i]
        check(ed25519.verify(vectors.PUBLIC, pieces, signature, kept[0]))

    return {
        "prepare": prepare,
        "verify-prepared": verify_prepared,
        "table": lambda: len(kept[0].table),
    }


def check(is_right):
    if not is_right:
        raise ValueError("a wrong result")


def timed(operation, count):
    """Microseconds for `count` runs of the operation, with one vector after the other."""
    samples = len(vectors.SEEDS)
    gc.collect()
    start = time.ticks_us()
    for i in range(count):
        operation(i % samples)
    return time.ticks_diff(time.ticks_us(), start)


def garbage(operation):
    """Bytes that the operation leaves, once it is over."""
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    operation(1)  # not the vector that the first order has used
    after = gc.mem_alloc()
    gc.enable()
    return after - before


def live():
    """Bytes alive in the heap."""
    gc.collect()
    return gc.mem_alloc()


def main(name):
    before = live()
    operations = reference() if name == "reference" else engine(name)
    while True:
        words = sys.stdin.readline().split()
        if not words:
            return
        if words[0] == "live":
            print(live() - before)
        elif words[0] == "garbage":
            print(garbage(operations[words[1]]))
        elif words[0] == "operations":
            print(" ".join(operations))
        elif words[0] == "table":
            print(operations["table"]())
        else:
            print(timed(operations[words[0]], int(words[1])))


main(sys.argv[1])
