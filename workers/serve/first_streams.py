"""The sources named on the command line of `vwt serve`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.sources import SourceSpec, are_images, fixed_part, parse_source
from workers.access.sources import check_source
from workers.contract.stream_store import StreamStore
from workers.settings.schema import AccessSettings

_AS_A_CAMERA: dict[str, Any] = {"loop": True, "realtime": True, "policy": "drop-oldest"}


@dataclass(frozen=True, slots=True)
class Given:
    """A source to be a stream from the start.

    Attributes:
        text: as the service keeps it; a file by its full path.
        spec: what it names.
    """

    text: str
    spec: SourceSpec

    @property
    def looped(self) -> bool:
        """Whether it is a clip, which stands for a camera: played at its pace, again and again.

        Images have no pace: they are read once.
        """
        return self.spec.local and not (self.spec.kind == "file" and are_images(self.text))


def given_sources(texts: Sequence[str], access: AccessSettings) -> tuple[list[Given], AccessSettings]:
    """Checks the sources; whoever starts the service need not allow what they name.

    Returns:
        The sources, and the access with their files and hosts allowed.

    Raises:
        UsageError: one is no source, no file, or of a scheme that is not allowed.
        SourceError: a sample clip's package is not installed.
    """
    given, hosts, files = [], list(access.allow_hosts), list(access.allow_folders)
    for text in texts:
        spec = parse_source(text)
        if spec.kind == "file":
            path = Path(spec.location).resolve()
            if not (path.is_file() or are_images(path)):
                raise UsageError(f"there is no file {spec.display}")
            files.append(fixed_part(path))
            text = str(path)
        elif spec.host is not None:
            hosts.append(spec.host)
        given.append(Given(text, spec))
    wider = access.model_copy(update={"allow_hosts": hosts, "allow_folders": files})
    for one in given:
        check_source(one.text, wider)
    return given, wider


def add_given(store: StreamStore, given: Sequence[Given], model: Mapping[str, str | None]) -> list[str]:
    """Makes streams of sources; one that the store has from an earlier run goes on.

    Args:
        store: of the service.
        given: the sources.
        model: `ServiceSettings.model_settings`.

    Returns:
        The ids of the streams, in order.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    before = sorted(store.all().values(), key=lambda spec: spec.created_at)
    ids = []
    for one in given:
        known = next((spec for spec in before if spec.source == one.text), None)
        if known is None:
            settings = {"source": one.text, **model} | (_AS_A_CAMERA if one.looped else {})
            ids.append(store.add_named(one.spec.name, settings).id)
        else:
            before.remove(known)
            # The new revision also starts one again that had failed.
            ids.append(store.change(known.id, {"paused": False}).id)
    return ids
