"""Every engine of ks_crypto, on every interpreter, gives the answers of the vectors and of PyNaCl.

An engine is asked all its questions in one process, on MicroPython with the heap of a plain ESP32.
By default each engine is asked everything on one interpreter, and of the larger sets a sample on
its others: libsodium and the big-integer engine everything on CPython, the viper engine on 32 bit.
There it crosses 10,000 random messages with PyNaCl too, the others fewer. KS_ALL_VECTORS=1 in the
environment asks every engine everything everywhere, which takes some minutes:

    KS_ALL_VECTORS=1 make test ARGUMENTS=tests/vectors
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.vectors import cases, corpus, reference, speccheck
from tests.vectors.engines import (
    ENGINES,
    LARGE_SET,
    SET_NAMES,
    TARGETS,
    Target,
    ask,
    case_sets,
    engine_names,
)

# How many cases there are at least, so that a broken generator is noticed.
AT_LEAST = {
    "RFC 8032": 10,
    "cryptography's": 2048,
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


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_an_engine_answers_as_libsodium_does(target: Target, tmp_path: Path) -> None:
    if reason := target.missing():
        pytest.skip(reason)
    answers = ask(target, tmp_path / "engine")
    assert set(answers) == set(SET_NAMES)
    wrong = [
        f"{name}: {case.name}: {said} instead of {case.answer}\n    {case.line}"
        for name, some in answers.items()
        for case, said in some
        if said != case.answer
    ]
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:10])
    for name, some in answers.items():
        assert len(some) >= at_least(name, target), name


def at_least(name: str, target: Target) -> int:
    """How many cases of a set a target has to have answered."""
    if name == "random":
        return 2 * target.random_messages()
    whole = AT_LEAST[name]
    return whole if whole < LARGE_SET else whole // target.every()


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_is_asked_every_case_on_one_interpreter_at_least(engine: str) -> None:
    targets = [target for target in TARGETS if target.engine == engine]
    assert any(target.every() == 1 for target in targets)
    most = max(sum(map(len, case_sets(target).values())) for target in targets)
    assert most >= sum(AT_LEAST.values()) - AT_LEAST["prepared keys of mixed order"]


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
