"""The terminal's profile of TOON, told from what an oracle reads: is it a message, and which?"""

import re
from typing import Any

from tests.toon_conformance.oracles import Number

Message = dict[str, Any]

_KEY = re.compile(r"[A-Z][A-Z0-9_]*")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
# A header at depth 0 that opens a list or carries values: a length, and no field list.
_LIST_HEADER = re.compile(r'^("[^"]*"|[^\s"#:\[][^":\[]*)\[[1-9][0-9]*[\t|]?\]:', re.MULTILINE)


def message_of(value: object, text: str) -> Message | None:
    """The message in the document `text` that an oracle reads as `value`; None if it is none."""
    if not isinstance(value, dict) or _LIST_HEADER.search(text):
        return None
    message: Message = {}
    for key, item in value.items():
        if not _KEY.fullmatch(key):
            return None
        if isinstance(item, list):
            rows = [row_of(row) for row in item]
            if not all(rows):
                return None
            message[key] = rows
        else:
            scalar = text_of(item)
            if scalar is None or key.endswith("_COUNT"):
                return None
            message[key] = scalar
    return message


def row_of(value: object) -> dict[str, str] | None:
    """A row without its nulls; None when it is none of the profile."""
    if not isinstance(value, dict):
        return None
    row = {}
    for key, item in value.items():
        if not _KEY.fullmatch(key) or isinstance(item, dict | list):
            return None
        text = text_of(item)
        if text is not None:
            row[key] = text
    return row


def text_of(value: object) -> str | None:
    """The text of a scalar; None for null and for anything that is no scalar."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str) else None


def kind_of_value(value: object) -> str:
    """The token kind that an oracle's scalar stands for."""
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, Number):
        return "decimal" if set(".eE") & set(value) else "integer"
    return "text"


def same(ours: Message, theirs: object) -> bool:
    """Whether the two are one message: text for text, numbers by value."""
    if not isinstance(theirs, dict) or ours.keys() != theirs.keys():
        return False
    return all(same_item(item, theirs[key]) for key, item in ours.items())


def same_item(ours: Any, theirs: object) -> bool:
    """As `same`, for a scalar or a table."""
    if not isinstance(ours, list):
        return same_text(ours, theirs)
    if not isinstance(theirs, list) or len(ours) != len(theirs):
        return False
    for row, other in zip(ours, theirs, strict=True):
        present = {key: item for key, item in other.items() if item is not None}
        if row.keys() != present.keys():
            return False
        if not all(same_text(row[key], present[key]) for key in row):
            return False
    return True


def same_text(ours: str, theirs: object) -> bool:
    """Whether our literal text is the oracle's scalar."""
    if isinstance(theirs, Number):
        return bool(_NUMBER.fullmatch(ours)) and float(ours) == float(theirs)
    return ours == text_of(theirs)
