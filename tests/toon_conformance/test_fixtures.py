"""Every fixture inside the profile passes; every other one, and every must-fail one, is refused."""

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ks_agent import toon
from ks_agent.errors import ToonError
from tests.toon_conformance import fixtures
from tests.toon_conformance.fixtures import Case, EncodeCase, Suite
from tests.toon_conformance.oracles import fetched
from tools.micropython import ARCHITECTURES

FIXTURES = 376  # of 400; the rest are about key folding and path expansion
GONE = 24
MAX_BYTES = 100_000
MAX_TOKENS = 1000
LIMIT_S = 120

# Bare in the fixture; quoted by our writer, which trusts other decoders with 15 digits and with
# nothing that they might print with an exponent.
CAUTIOUS = {
    "encode/primitives: encodes small decimal from scientific notation",
    "encode/primitives: encodes large number",
    "encode/primitives: encodes MAX_SAFE_INTEGER",
    "encode/primitives: encodes repeating decimal with full precision",
}


@pytest.fixture(scope="module")
def suite() -> Suite:
    return fixtures.load(fetched() / "spec" / "tests" / "fixtures")


def decoded(text: str) -> object:
    """The message; None for a refusal that says where and why."""
    try:
        return toon.decode(text.encode(), MAX_BYTES, MAX_TOKENS)
    except ToonError as error:
        lines = text.split("\n")
        assert 1 <= error.line <= len(lines)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1
        assert error.reason
        return None


def encoded(case: EncodeCase) -> str:
    table = {(owner, key): kind for owner, key, kind in case.kinds}
    return str(toon.encode(case.message, lambda key, owner: table[owner, key]).decode())


def expectation(case: Case) -> str:
    if case.must_fail:
        return "must fail"
    return "outside the profile" if case.message is None else "message"


def test_a_fixture_is_read_as_the_specification_says_or_refused(suite: Suite) -> None:
    wrong = [
        (case.name, case.form, case.text)
        for case in suite.decode
        if decoded(case.text) != case.message
    ]
    assert wrong == []


def test_a_fixture_is_written_as_the_specification_says(suite: Suite) -> None:
    different = {
        case.name for case in suite.encode if case.text is not None and encoded(case) != case.text
    }
    assert different == CAUTIOUS


def test_what_is_written_for_a_fixture_is_read_back(suite: Suite) -> None:
    for case in suite.encode:
        assert decoded(encoded(case)) == case.message, case.name


def test_no_case_is_lost_unnoticed(suite: Suite) -> None:
    cases = Counter((case.form, expectation(case)) for case in suite.decode)
    assert suite.gone == GONE
    assert suite.changed == []
    assert sum(count for (form, _), count in cases.items() if form == "as written") == FIXTURES
    assert cases == {
        ("as written", "message"): 2,
        ("as written", "outside the profile"): 322,
        ("as written", "must fail"): 52,
        ("keys translated", "message"): 116,
        ("keys translated", "outside the profile"): 118,
        ("keys translated", "must fail"): 47,
        ("root array as a field", "message"): 7,
        ("root array as a field", "outside the profile"): 12,
        ("root array as a field", "must fail"): 1,
        ("root primitive as a field", "message"): 69,
        ("root primitive as a field", "outside the profile"): 2,
        ("root primitive as a field", "must fail"): 2,
        ("inline array as a row", "message"): 58,
        ("inline array as a row", "must fail"): 2,
    }
    assert len(suite.encode) == 103
    assert sum(case.text is not None for case in suite.encode) == 85


def test_a_fixture_without_a_translation_has_no_key_to_translate(suite: Suite) -> None:
    assert suite.untranslated == [
        "decode/indentation-errors: throws on tab at start of line",
        "decode/root-form: parses empty document as empty object",
        "decode/root-form: parses literal [] at root as empty array",
        "decode/validation-errors: throws on two primitives at root depth in strict mode",
        "encode/arrays-nested: encodes empty root-level array",
        "encode/objects: encodes empty objects as empty string",
    ]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_fixtures_have_the_same_outcome_on_micropython(
    architecture: str, suite: Suite, tmp_path: Path, micropython: Callable[[str], Path]
) -> None:
    program = micropython(architecture)
    lines: list[list[Any]] = [
        ["decode", f"{case.name} ({case.form})", case.text, case.message] for case in suite.decode
    ]
    lines += [
        [
            "encode",
            case.name,
            case.message,
            case.kinds,
            None if case.name in CAUTIOUS else case.text,
        ]
        for case in suite.encode
    ]
    file = tmp_path / "cases.jsonl"
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    heap = "128k" if architecture == "i386" else "256k"
    done = subprocess.run(
        [program, "-X", f"heapsize={heap}", Path(__file__).with_name("on_micropython.py"), file],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.stdout.endswith(f"cases: {len(lines)} passed, 0 failed\n"), said
    assert done.returncode == 0, said
