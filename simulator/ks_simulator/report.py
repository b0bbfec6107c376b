"""What a run showed: checked expectations and figures, as JSON and as JUnit XML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

# XML 1.0 cannot hold these at all, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Check:
    """One expectation: what was expected, whether it held, what was seen instead."""

    name: str
    ok: bool
    detail: str = ""
    group: str = "run"
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """A run's outcome; `figures` are numbers and texts worth keeping."""

    name: str
    checks: Sequence[Check]
    figures: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether there were expectations and all held."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    def as_json(self) -> str:
        """An object with name, ok, seconds, figures and checks."""
        document = {
            "name": self.name,
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
            "figures": dict(self.figures),
            "checks": [asdict(check) for check in self.checks],
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def as_junit(self) -> bytes:
        """A JUnit XML document: one suite, a case for each expectation."""
        suites = ElementTree.Element("testsuites")
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=_xml_text(self.name),
            tests=str(len(self.checks)),
            failures=str(sum(not check.ok for check in self.checks)),
            errors="0",
            skipped="0",
            time=f"{self.seconds:.3f}",
        )
        properties = ElementTree.SubElement(suite, "properties")
        for key, value in self.figures.items():
            ElementTree.SubElement(
                properties, "property", name=_xml_text(key), value=_xml_text(str(value))
            )
        for check in self.checks:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=_xml_text(f"{self.name}.{check.group}"),
                name=_xml_text(check.name),
                time=f"{check.seconds:.3f}",
            )
            if not check.ok:
                detail = _xml_text(check.detail)
                ElementTree.SubElement(case, "failure", message=detail).text = detail
        ElementTree.indent(suites)
        return bytes(ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)) + b"\n"

    def write(self, path: Path) -> None:
        """Write JUnit XML to a name that ends in .xml, JSON to any other."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".xml":
            path.write_bytes(self.as_junit())
        else:
            path.write_text(self.as_json(), encoding="utf-8")


def _xml_text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
