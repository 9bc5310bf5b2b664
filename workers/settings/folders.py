"""Where a service keeps what lies on disk."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.clips.folder import ClipFolder
from workers.settings.schema import ServiceSettings


def data_folder(settings: ServiceSettings) -> Path:
    """The folder of all else."""
    if settings.data_folder is not None:
        return settings.data_folder
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path("~/.local/state").expanduser()) / "vwt"


def clip_folder(settings: ServiceSettings) -> ClipFolder:
    """The clips of events."""
    return ClipFolder(settings.clip_folder or data_folder(settings) / "clips", settings.clip_bytes)
