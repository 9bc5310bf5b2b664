"""What is at a path, where pathlib raises: a name that is too long, or a folder that may not be searched."""

from __future__ import annotations

from pathlib import Path


def exists(path: str | Path) -> bool:
    """Whether something is there, as far as can be seen."""
    try:
        return Path(path).exists()
    except OSError:
        return False


def is_file(path: str | Path) -> bool:
    """Whether a file is there, as far as can be seen."""
    return exists(path) and Path(path).is_file()


def is_folder(path: str | Path) -> bool:
    """Whether a folder is there, as far as can be seen."""
    return exists(path) and Path(path).is_dir()
