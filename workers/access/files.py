"""Which files the service may touch."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UsageError
from workers.settings.schema import AccessSettings


def allowed_file(path: Path, access: AccessSettings, refusal: str) -> Path:
    """The real path of a file in a folder that is allowed.

    Args:
        path: as the caller gave it.
        access: names the folders.
        refusal: what an error begins with, such as "the file X may not be read".

    Raises:
        UsageError: it is no full path, its links lead nowhere, or it lies in none of the folders.
    """
    if not path.is_absolute() or ".." in path.parts:
        raise UsageError(f"{refusal}: give its full path, without ..")
    try:
        real = path.resolve()
        folders = [folder.resolve() for folder in access.allow_folders]
    except (OSError, RuntimeError):
        raise UsageError(f"{refusal}: its links lead nowhere") from None
    if not any(real.is_relative_to(folder) for folder in folders):
        raise UsageError(
            f"{refusal}: it is in none of the folders allowed here; if it may, "
            f"start the service with --allow-folder {path.parent}"
        )
    return real
