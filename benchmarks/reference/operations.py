"""Runs on MicroPython: does operations of one engine, and tells what they took.

    micropython -m operations ENGINE

reads orders, one a line, and answers each with one number:

    OPERATION COUNT     microseconds for all of them; wrong results end the program
    garbage OPERATION   bytes that one leaves to the garbage collector
    live                bytes alive that were not before the engine was imported

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
    """A module of `ks_crypto`."""
    module = getattr(__import__("ks_crypto." + name), name)
    found = {
        "keygen": lambda i: check(module.public_key(vectors.SEEDS[i]) == vectors.PUBLICS[i]),
        "sign": lambda i: check(
            module.sign(vectors.SEED, (vectors.MESSAGES[i],)) == vectors.SIGNATURES[i]
        ),
    }
    if hasattr(module, "verify"):
        found["verify"] = lambda i: check(
            module.verify(vectors.PUBLIC, (vectors.MESSAGES[i],), vectors.SIGNATURES[i])
        )
    if hasattr(module, "verify_prepared"):
        key = []

        def prepare(_):
            del key[:]
            key.append(module.prepare(vectors.PUBLIC))
            while not key[0].step():
                pass

        def verify_prepared(i):
            key or prepare(i)
            message, signature = (vectors.MESSAGES[i],), vectors.SIGNATURES[i]
            check(module.verify_prepared(key[0], message, signature))

        found["prepare"] = prepare
        found["verify-prepared"] = verify_prepared
    return found


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
        else:
            print(timed(operations[words[0]], int(words[1])))


main(sys.argv[1])
