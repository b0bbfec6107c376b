"""Every engine of ks_crypto, on every interpreter, gives the answers of the vectors and of PyNaCl.

An engine is asked all its questions in one process, on MicroPython with the heap of a plain ESP32.
By default the viper engine on 32 bit crosses 10,000 random messages with PyNaCl, the big-integer
engine 250 on MicroPython, and the others 1,000; everything else is asked of all. KS_ALL_VECTORS=1
in the environment gives all 10,000 to every engine, which takes some minutes:

    KS_ALL_VECTORS=1 make test ARGUMENTS=tests/vectors
"""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.vectors import cases, corpus, reference, speccheck
from tests.vectors.engines import (
    ENGINES,
    SET_NAMES,
    TARGETS,
    Run,
    Target,
    engine_names,
)

EACH_SET = [
    pytest.param(target, name, id=f"{target}-{name}") for target in TARGETS for name in SET_NAMES
]
# How many cases there are at least, so that a broken generator is noticed.
AT_LEAST = {
    "RFC 8032": 10,
    "cryptography's": 2048,
    "random": 525,
    "plain": 100,
    "flipped bits": 850,
    "swapped parts": 30,
    "scalars": 100,
    "small order": 400,
    "mixed order": 190,
    "not canonical": 100,
    "not on the curve": 300,
    "known multiples": 100,
    "speccheck": 12,
    "wrong calls": 300,
    "prepared keys": 10,
    "prepared keys of mixed order": 150,
}
# Where a lax verifier and libsodium part.
TELLING = ("scalars", "small order", "mixed order", "not canonical")


@pytest.mark.parametrize(("target", "name"), EACH_SET)
def test_an_engine_answers_as_libsodium_does(
    target: Target, name: str, run_of: Callable[[Target], Run]
) -> None:
    answers = run_of(target).answers[name]
    wrong = [
        f"{case.name}: {said} instead of {case.answer}\n    {case.line}"
        for case, said in answers
        if said != case.answer
    ]
    assert len(answers) >= AT_LEAST[name]
    assert not wrong, f"{len(wrong)} of {len(answers)}:\n" + "\n".join(wrong[:10])


def test_every_engine_that_there_is_gets_asked() -> None:
    assert engine_names() == set(ENGINES)


def test_rfc_8032_s_own_messages_are_among_the_published_ones() -> None:
    known = set(cases.published_signatures())
    assert len(known) == 1024
    lengths = {
        len(message): (seed, public, message, signature) in known
        for seed, public, message, signature in cases.rfc_8032_signatures()
    }
    # Only SHA-512 of "abc" stands in the RFC alone.
    assert lengths == {0: True, 1: True, 2: True, 1023: True, 64: False}


def test_the_corpus_tells_a_lax_verifier_from_a_strict_one() -> None:
    taken: Counter[str] = Counter()
    groups = {name: corpus.GROUPS[name] for name in TELLING}
    for group in (*groups.values(), speccheck.speccheck):
        for name, public, message, signature in group():
            finding = reference.examine(public, message, signature)
            truth = cases.judged(public, message, signature)
            assert finding.strictly() == truth, name
            if not truth:
                taken.update(lax for lax in reference.LAX if reference.accepts(finding, lax))
    assert set(taken) == set(reference.LAX)


def test_the_twelve_kinds_of_speccheck_get_libsodium_s_verdicts() -> None:
    verdicts = [cases.judged(public, said, made) for _, public, said, made in speccheck.speccheck()]
    assert verdicts == [False, False, False, True] + 8 * [False]
