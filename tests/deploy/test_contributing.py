"""CONTRIBUTING.md names files and parts of the code that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deploy.files import ROOT

TEXT = re.sub(r"^```.*?^```", "", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE | re.DOTALL)
NAMED = sorted(set(re.findall(r"`([^`]+)`", TEXT.replace("\n", " "))))
SOURCES = [file for name in ("vocab", "pipeline", "workers", "tests") for file in (ROOT / name).rglob("*.py")]


@pytest.mark.parametrize(
    "path", [name for name in NAMED if re.fullmatch(r"[\w/.]+(\.py|\.md|\.html|/)", name)]
)
def test_every_file_is_there(path):
    # A bare name is in the folder that the sentence is about.
    assert (ROOT / path).exists() if "/" in path else any(file.name == path for file in SOURCES)


def test_every_part_of_the_code_is_there():
    code = "\n".join(file.read_text() for file in SOURCES if file != Path(__file__))
    # Names with a capital or an underscore; plain words are commands and the like.
    names = [name for name in NAMED if re.fullmatch(r"\w*[A-Z_]\w*(\.[a-z]+|\(\))?", name)]
    parts = {
        part for name in names for part in re.split(r"\W+", name.removesuffix(".py").removesuffix(".md"))
    }
    files = {name.removesuffix(".py") for name in NAMED if name.endswith(".py")}

    missing = {part for part in parts - files if not re.search(rf"\b{part}\b", code)}

    assert missing == set()
    assert len(parts) > 25
