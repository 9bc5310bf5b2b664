"""Imports go one way, workers to pipeline to vocab; and the rooms of workers import in no circle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DEPLOYMENTS = {"workers.gateway", "workers.inference", "workers.ingest", "workers.keeper"}


def imports(package: str) -> dict[str, set[str]]:
    """What every module of a package imports, anywhere in it, by dotted name."""
    found = {}
    for path in (ROOT / package).rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        nodes = list(ast.walk(ast.parse(path.read_text())))
        found[name] = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
        found[name] |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert found
    return found


def room(module: str) -> str:
    """The part of `workers` that a module lies in: a folder, or a file beside the folders."""
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize(
    ("package", "never"),
    [
        ("vocab", {"pipeline", "workers", "ray", "fastapi"}),
        ("pipeline", {"workers", "ray", "fastapi"}),
        ("workers/contract", DEPLOYMENTS),
        ("workers/settings", DEPLOYMENTS),
        ("workers/telemetry", DEPLOYMENTS),
        ("workers/sinks", DEPLOYMENTS),
        ("workers/access", DEPLOYMENTS),
        ("workers/run", {"ray", "fastapi"} | DEPLOYMENTS),
    ],
)
def test_what_lies_below_imports_nothing_from_above(package: str, never: set[str]) -> None:
    for module, imported in imports(package).items():
        for name in imported:
            assert not any(name == above or name.startswith(f"{above}.") for above in never), module


def test_the_rooms_of_workers_import_each_other_without_circles() -> None:
    rooms: dict[str, set[str]] = {}
    for module, imported in imports("workers").items():
        into = {room(name) for name in imported if name.startswith("workers.")} - {room(module)}
        rooms.setdefault(room(module), set()).update(into)
    assert "workers.run" in rooms["workers.commands"]

    assert list(TopologicalSorter(rooms).static_order())
