"""The specification's fixtures, turned into cases for the terminal's profile.

The fixtures' keys are lower case, which alone would have every document refused. So each document
is also run with its keys translated (`name` -> `K01_NAME`, numbered in order of appearance, which
is also sorted order); a root primitive or array also as a field; an inline array also as a row.
Each translation is checked against `toon-format`: it must read the translated document as the
translated value, or refuse it where the fixture must fail. One that it does not is not used.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.toon_conformance.oracles import Number, Refused, python_decode
from tests.toon_conformance.profile import Message, kind_of_value, message_of

# Gone in TOON 4.0: keys are literal, so that nothing folds or expands.
GONE = ("key-folding.json", "path-expansion.json")

_KEY = r'"(?:[^"\\\n]|\\.)*"|[^\s":,|{}\[\]\-#][^":,|{}\[\]\n]*?'
_LINE_KEY = re.compile(rf"^( *(?:- )*)({_KEY})(?=[ \t]*[:\[])")
_FIELDS = re.compile(r"(\[[^\]\n]*\][ ]?)\{(.*)\}")
_FIELD = re.compile(r'"(?:[^"\\\n]|\\.)*"|[^\s"{},|][^"{},|\t]*')
_INLINE = re.compile(r'("(?:[^"\\]|\\.)*"|[^":\[\n]*)\[(\d+)([\t|]?)\]: ([^\n]+)')


@dataclass(frozen=True)
class Case:
    """A document and what reading it must give: a message, or None for a refusal."""

    name: str
    form: str
    text: str
    message: Message | None
    must_fail: bool


@dataclass(frozen=True)
class EncodeCase:
    """A message and what writing it must give; None where only the round trip is asked."""

    name: str
    message: Message
    kinds: list[tuple[str | None, str, str]]
    text: str | None


@dataclass
class Suite:
    """All cases, and what was left out and why."""

    decode: list[Case] = field(default_factory=list)
    encode: list[EncodeCase] = field(default_factory=list)
    gone: int = 0
    untranslated: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


class Untranslatable(Exception):
    """The document has no form with keys of the profile."""


def load(folder: Path) -> Suite:
    """Read all fixtures of the specification package."""
    suite = Suite()
    for path in sorted(folder.glob("*/*.json")):
        for test in json.loads(path.read_text(encoding="utf-8"))["tests"]:
            name = f"{path.parent.name}/{path.stem}: {test['name']}"
            if path.name in GONE or "expandPaths" in test.get("options", {}):
                suite.gone += 1
            else:
                add(suite, name, path.parent.name, test)
    return suite


def add(suite: Suite, name: str, category: str, test: dict[str, Any]) -> None:
    """Add the cases of one fixture."""
    text = test["input"] if category == "decode" else test["expected"]
    value = test["expected"] if category == "decode" else test["input"]
    options = test.get("options", {})
    as_we_read = options.get("strict", True) and options.get("indent", 2) == 2
    must_fail = bool(test.get("shouldError"))
    if as_we_read and outcome(text) != (None if must_fail else (value,)):
        suite.changed.append(name)
        return
    # Lenient reading or another indentation: what counts is what strict reading makes of it.
    must_fail = outcome(text) is None
    suite.decode.append(Case(name, "as written", text, read(text), must_fail))
    forms = list(translations(text, must_fail))
    if not forms:
        suite.untranslated.append(name)
    for form, document in forms:
        message = read(document)
        suite.decode.append(Case(name, form, document, message, must_fail))
        if category == "encode" and message is not None:
            suite.encode.append(encode_case(name, message, document, not options))


def outcome(text: str) -> tuple[Any] | None:
    """What strict reading gives, as plain JSON in a tuple; None for a refusal."""
    try:
        return (plain(python_decode(text)),)
    except Refused:
        return None


def plain(value: Any) -> Any:
    """The value with numbers as numbers."""
    if isinstance(value, Number):
        return json.loads(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def read(text: str) -> Message | None:
    """The message in the document by the oracle's reading."""
    try:
        return message_of(python_decode(text), text)
    except Refused:
        return None


def translations(text: str, must_fail: bool) -> Iterator[tuple[str, str]]:
    """(form, document) pairs that mean the same in terms of the profile."""
    original = outcome(text)
    value = original[0] if original else None
    forms = [("keys translated", translated(text, value))]
    if text.startswith("["):
        forms.append(("root array as a field", translated(f"root{text}", {"root": value})))
    if text and "\n" not in text:
        if must_fail or not isinstance(value, dict | list):
            forms.append(("root primitive as a field", (f"K01_V: {text}", {"K01_V": value})))
        forms.append(("inline array as a row", inline_as_row(text, value)))
    for form, (document, wanted) in forms:
        if document != text and outcome(document) == (None if original is None else (wanted,)):
            yield form, document


def translated(text: str, value: Any) -> tuple[str, Any]:
    """The document and its value with the profile's keys; as it was where that cannot be."""
    translator = Translator()
    try:
        return translator.document(text), translator.value(value)
    except Untranslatable:
        return text, value


def inline_as_row(text: str, value: Any) -> tuple[str, Any]:
    """`a[2]: x,y` as the table `K00[1]{K01,K02}:` with the row `x,y`."""
    inline = _INLINE.fullmatch(text)
    if not inline:
        return text, value
    count, symbol, cells = int(inline[2]), inline[3], inline[4]
    fields = [f"K{number + 1:02d}" for number in range(count)]
    table = f"K00[1{symbol}]{{{(symbol or ',').join(fields)}}}:\n  {cells}"
    values = next(iter(value.values())) if isinstance(value, dict) else value
    return table, {"K00": [dict(zip(fields, values or (), strict=False))]}


class Translator:
    """Gives keys of the profile to a document and to its value."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}

    def document(self, text: str) -> str:
        """The document with translated keys; quoted keys stay quoted."""
        return "\n".join(self.line(line) for line in text.split("\n"))

    def line(self, line: str) -> str:
        """One line; rows and scalars have no key and stay as they are."""
        key = _LINE_KEY.match(line)
        if key is None:
            return line
        rest = line[key.end() :]
        if rest.startswith("["):
            rest = _FIELDS.sub(self.fields, rest, count=1)
        return key[1] + self.token(key[2]) + rest

    def fields(self, header: re.Match[str]) -> str:
        """A header's field list."""
        return f"{header[1]}{{{_FIELD.sub(lambda name: self.token(name[0]), header[2])}}}"

    def token(self, token: str) -> str:
        """A key as it stands in the document."""
        if not token.startswith('"'):
            return self.key(token)
        try:
            return f'"{self.key(json.loads(token, strict=False))}"'
        except ValueError:
            raise Untranslatable from None

    def key(self, key: str) -> str:
        """The profile's key for a key of the fixture."""
        letters = re.sub(r"[^A-Z0-9]+", "_", key.upper()).strip("_")
        return self.keys.setdefault(key, f"K{len(self.keys):02d}_{letters}")

    def value(self, value: Any) -> Any:
        """The value with the same keys translated."""
        if isinstance(value, dict):
            try:
                return {self.keys[key]: self.value(item) for key, item in value.items()}
            except KeyError:
                raise Untranslatable from None
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value


def encode_case(name: str, message: Message, text: str, exact: bool) -> EncodeCase:
    """Write the message; byte for byte as in the fixture where one kind a column allows it."""
    kinds: dict[tuple[str | None, str], str] = {}
    mixed = False
    for key, item in python_decode(text).items():
        cells = [(key, row) for row in item] if isinstance(item, list) else [(None, {key: item})]
        for owner, row in cells:
            for column, value in row.items():
                if value is not None:
                    kind = kind_of_value(value)
                    mixed = mixed or kinds.setdefault((owner, column), kind) != kind
    listed = [(owner, key, kind) for (owner, key), kind in kinds.items()]
    # The fixtures quote only keys that need it; translated keys never do.
    unquoted = re.sub(r'"(K\d\d_[A-Z0-9_]*)"', r"\1", text)
    return EncodeCase(name, message, listed, unquoted if exact and not mixed else None)
