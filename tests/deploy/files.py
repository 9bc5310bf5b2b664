"""The deployment files as tests read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERAY = DEPLOY / "kuberay"


def documents(path: Path) -> list[dict[str, Any]]:
    """The YAML documents of a file, merge keys resolved."""
    return [one for one in yaml.safe_load_all(path.read_text()) if one is not None]


def document(path: Path) -> dict[str, Any]:
    """The only one of a file."""
    (one,) = documents(path)
    return one


def pinned(package: str) -> str:
    """The version that constraints.txt names."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    (found,) = [line.partition("==")[2] for line in lines if line.startswith(f"{package}==")]
    return found
