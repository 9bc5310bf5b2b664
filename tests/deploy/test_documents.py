"""The documents lead to places that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deploy.files import ROOT

_DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "deploy").glob("*.md")),
]
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def links() -> list[tuple[Path, str]]:
    found = [(path, link) for path in _DOCUMENTS for link in _LINK.findall(path.read_text())]
    return [(path, link) for path, link in found if not link.startswith("http")]


def anchors(path: Path) -> set[str]:
    """Where headings can be jumped to, as hosts of repositories name them."""
    heads = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize(("path", "link"), links(), ids=lambda one: getattr(one, "name", one))
def test_a_link_leads_somewhere(path, link):
    name, _, anchor = link.partition("#")
    target = path.parent / name if name else path
    document = target / "README.md" if target.is_dir() else target

    assert document.exists()
    assert not anchor or anchor in anchors(document)


def test_the_readme_shows_the_way_to_everything_that_was_taken_out_of_it():
    named = {(path.parent / link).resolve() for path, link in links() if path == ROOT / "README.md"}

    assert {*(ROOT / "docs").resolve().glob("*.md"), (ROOT / "CONTRIBUTING.md").resolve()} <= named


def test_every_promise_about_security_has_tests_that_exist():
    promises = (ROOT / "deploy" / "SECURITY.md").read_text().partition("## What is promised")[2]
    rows = [row for row in promises.splitlines() if row.startswith("| ")][1:]

    assert len(rows) > 10
    for row in rows:
        shown = re.findall(r"`([^`]+)`", row.split(" | ")[-1])
        assert shown, row
        targets = (ROOT / "Makefile").read_text()
        for one in shown:
            known = (ROOT / one).is_file() if one.startswith("tests/") else f"\n{one[5:]}:" in targets
            assert known, one
