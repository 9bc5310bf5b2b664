"""The documents lead to places that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deploy.files import ROOT

_DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "deploy" / "README.md",
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
