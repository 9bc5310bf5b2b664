"""Files of the service that others on this machine have no business with."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from pipeline.errors import UsageError


def private_folder(name: str) -> Path:
    """A folder of this user alone among temporary files, made if missing.

    Raises:
        UsageError: somebody else has one of that name, or it cannot be made.
    """
    folder = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / f"{name}-{os.geteuid()}"
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise UsageError(f"{folder} is not ours: delete it, or set another TMPDIR")
        folder.chmod(0o700)
    except OSError as error:
        raise UsageError(f"cannot make {folder}: {error.strerror}; set another TMPDIR") from error
    return folder


def ray_token_readable() -> Path | None:
    """The file of Ray's token, where others may read it."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    try:
        return path if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) else None
    except OSError:
        return None
