"""Versions of releases: semver's form, and its order (docs/protocol.md, releases)."""

from support import raises

from ks_agent import bundle
from ks_agent.errors import Malformed


def test_versions_are_ordered_as_semver_orders_them():
    ordered = (
        "0.0.0",
        "0.0.1-0",
        "0.0.1",
        "0.1.0",
        "1.0.0-1",
        "1.0.0-2",
        "1.0.0-10",
        "1.0.0--",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.9.9",
        "1.10.0",
        "2.0.0",
        "10.0.0",
    )
    keys = [bundle.version(text) for text in ordered]
    for index in range(len(keys) - 1):
        assert keys[index] < keys[index + 1], ordered[index + 1]


def test_build_metadata_does_not_count():
    assert (
        bundle.version("1.0.0+build.5") == bundle.version("1.0.0+0001") == bundle.version("1.0.0")
    )
    assert bundle.version("1.0.0-rc.1+a-b") == bundle.version("1.0.0-rc.1")


def test_what_is_no_version_is_refused():
    for text in (
        "",
        "1",
        "1.2",
        "1.2.3.4",
        "v1.2.3",
        "1.2.x",
        "01.2.3",
        "1.2.3-",
        "1.2.3-a..b",
        "1.2.3-01",
        "1.2.3-a_b",
        "1.2.3-\u00e9",
        "1.2.3+",
        "1.2.3+a..b",
        "1.2.3+a b",
        "1.2.3+a+b",
        "-1.2.3",
        "1.-2.3",
        "1.2.3 ",
        " 1.2.3",
        "1..3",
        "1.2." + "9" * 16,
    ):
        raises(Malformed, bundle.version, text)
