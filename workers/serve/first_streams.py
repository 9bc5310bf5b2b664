"""The sources named on the command line of `vwt serve`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.sources import SourceSpec, are_images, fixed_part, parse_source
from vocab.connection import RedisClient
from vocab.paths import is_file
from workers.access.sources import check_source
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.gateway.admission import no_room
from workers.settings.schema import AccessSettings, ServiceSettings

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
            if not (is_file(path) or are_images(path)):
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


def add_given(
    client: RedisClient, given: Sequence[Given], settings: ServiceSettings, say: Callable[[str], None]
) -> dict[str, Given]:
    """Makes streams of sources; one that is there from an earlier run goes on.

    Args:
        client: of the service's Redis.
        given: the sources.
        settings: of the service.
        say: told of each source that is left out because Redis has no room for its stream.

    Returns:
        The sources by the ids of their streams, in order.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    store = StreamStore(client)
    before = sorted(store.all().values(), key=lambda spec: spec.created_at)
    streams = {}
    for one in given:
        known = next((spec for spec in before if spec.source == one.text), None)
        if known is not None:
            before.remove(known)
            # The new revision also starts one again that had failed.
            streams[store.change(known.id, {"paused": False}).id] = one
            continue
        fields = {"source": one.text, **settings.model_settings} | (_AS_A_CAMERA if one.looped else {})
        asked = StreamSpec(id=one.spec.name, **fields)
        if (why := no_room(client, store.all().values(), asked, settings)) is not None:
            say(f"no stream of {one.spec.display}: {why}")
            continue
        streams[store.add_named(asked.id, fields).id] = one
    return streams
