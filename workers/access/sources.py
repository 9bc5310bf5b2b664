"""Which sources the service may be made to read. Whoever adds a stream need not be trusted with the rest."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pipeline.errors import UsageError
from pipeline.sources import SourceSpec, parse_source
from workers.access.addresses import AllowedHosts
from workers.settings import AccessSettings


def check_source(text: str, access: AccessSettings) -> SourceSpec:
    """Reads a source as users write it, and refuses what the service may not read.

    Blocks for up to 3 s while a host is looked up. The address may change afterwards, so whoever opens the
    source checks it again.

    Args:
        text: a full path, or what else `parse_source` takes.
        access: what is allowed.

    Returns:
        The source; a file is located by its real path.

    Raises:
        UsageError: it is refused, or is no source; credentials are not quoted.
        SourceError: a sample clip's package is not installed.
    """
    spec = parse_source(text)
    scheme = "file" if spec.kind == "file" else text.partition(":")[0].lower()
    if scheme not in access.allow_schemes:
        allowed = ", ".join(access.allow_schemes) or "none"
        raise UsageError(
            f"the source {spec.display} may not be read: {scheme!r} is not among the schemes allowed here "
            f"({allowed}), which the setting access.allow_schemes names"
        )
    if spec.kind == "file":
        return _check_file(spec, access)
    if spec.kind in ("rtsp", "http"):
        host = urlsplit(spec.location).hostname or ""
        AllowedHosts(access.allow_hosts).check(host, spec.display)
    return spec


def _check_file(spec: SourceSpec, access: AccessSettings) -> SourceSpec:
    path = Path(spec.location)
    if not path.is_absolute() or ".." in path.parts:
        raise UsageError(f"the file {spec.display} may not be read: give its full path, without ..")
    try:
        real = path.resolve()
        folders = [folder.resolve() for folder in access.allow_folders]
    except (OSError, RuntimeError):
        raise UsageError(f"the file {spec.display} may not be read: its links lead nowhere") from None
    if not any(real.is_relative_to(folder) for folder in folders):
        raise UsageError(
            f"the file {spec.display} may not be read: it is in none of the folders allowed here; if it may, "
            f"start the service with --allow-folder {path.parent}"
        )
    return SourceSpec("file", str(real), spec.name, spec.display)
