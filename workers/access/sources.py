"""Which sources the service may be made to read. Whoever adds a stream need not be trusted with the rest."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UsageError
from pipeline.sources import SourceSpec, parse_source
from workers.access.addresses import AllowedHosts
from workers.access.files import allowed_file
from workers.settings.schema import AccessSettings


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
    if spec.scheme not in access.allow_schemes:
        allowed = ", ".join(access.allow_schemes) or "none"
        raise UsageError(
            f"the source {spec.display} may not be read: {spec.scheme!r} is not among the schemes allowed "
            f"here ({allowed}), which the setting access.allow_schemes names"
        )
    if spec.kind == "file":
        refusal = f"the file {spec.display} may not be read"
        real = allowed_file(Path(spec.location), access, refusal)
        return SourceSpec("file", str(real), spec.name, spec.display)
    if spec.host is not None:
        AllowedHosts(access.allow_hosts).check(spec.host, spec.display)
    return spec
