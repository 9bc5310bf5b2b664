"""What a user may write as a source."""

import importlib.util
from pathlib import Path

import pytest

from pipeline.errors import SourceError, UsageError
from pipeline.sources import SAMPLES, parse_source


@pytest.mark.parametrize(
    ("text", "kind", "name", "display"),
    [
        ("clips/My Bikes (1).mp4", "file", "my-bikes-1", "clips/My Bikes (1).mp4"),
        ("./cam:1.mp4", "file", "cam-1", "./cam:1.mp4"),
        ("rtsp://cam.local/live/1", "rtsp", "cam-local-live-1", "rtsp://cam.local/live/1"),
        ("RTSPS://cam.local:322/x", "rtsp", "cam-local-322-x", "rtsps://cam.local:322/x"),
        ("https://h/a.m3u8?token=abc&q=1", "http", "h-a-m3u8", "https://h/a.m3u8?token=***&q=***"),
        ("http://[::1]:8000/a.mp4", "http", "1-8000-a-mp4", "http://[::1]:8000/a.mp4"),
        ("camera:02", "camera", "camera-2", "camera:2"),
        ("sample:bikes", "sample", "bikes", "sample:bikes"),
        ("/дача.mp4", "file", "stream", "/дача.mp4"),
    ],
)
def test_a_source_is_told_by_its_form_and_gets_a_slug_for_a_name(
    text: str, kind: str, name: str, display: str
) -> None:
    spec = parse_source(text)
    assert (spec.kind, spec.name, spec.display) == (kind, name, display)


@pytest.mark.parametrize(
    ("text", "scheme", "host", "local"),
    [
        ("clips/a.mp4", "file", None, True),
        ("sample:bikes", "sample", None, True),
        ("camera:0", "camera", None, False),
        ("RTSPS://user:p%40ss@Cam.local:322/x", "rtsps", "cam.local", False),
        ("http://[::1]:8000/a.mp4", "http", "::1", False),
    ],
)
def test_a_source_says_where_it_is(text: str, scheme: str, host: str | None, local: bool) -> None:
    spec = parse_source(text)
    assert (spec.scheme, spec.host, spec.local) == (scheme, host, local)


@pytest.mark.parametrize(
    "text",
    [
        "concat:a.mp4|b.mp4",
        "file:/etc/passwd",
        "file:///etc/passwd",
        "data:text/plain,x",
        "crypto:http://h/x",
        "async:x.mp4",
        "udp://239.0.0.1:5000",
        "ftp://h/x.mp4",
        "rtmp://h/x",
        "pipe:0",
        "http:x.mp4",
    ],
)
def test_other_schemes_and_pseudo_protocols_never_reach_the_library(text: str) -> None:
    with pytest.raises(UsageError, match="may not start with"):
        parse_source(text)


@pytest.mark.parametrize(
    "text", ["", "  ", "a\0b", "camera:", "camera:x", "camera:-1", "sample:cats", "rtsp://"]
)
def test_what_cannot_be_a_source_is_bad_usage(text: str) -> None:
    with pytest.raises(UsageError):
        parse_source(text)


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://u:hun ter2@h/x",
        "rtsp://u:hun/ter2@h/x",
        "rtsp://u:x@hun/ter2@h/x",
        "rtsp://u:hun#ter2@h/x",
        "rtsp://hun:1#ter2@h/x",
    ],
)
def test_a_url_that_must_be_percent_encoded_is_refused_without_showing_the_password(url: str) -> None:
    with pytest.raises(UsageError, match="percent-encode") as refusal:
        parse_source(url)
    assert "hun" not in str(refusal.value)
    assert "ter2" not in str(refusal.value)


def test_no_credential_is_in_name_display_or_repr() -> None:
    spec = parse_source("rtsp://admin:hunter2@cam/user=root_password=swordfish?token=abc123")
    shown = f"{spec!r} {spec.name} {spec.display}"
    assert not any(secret in shown for secret in ("admin", "hunter2", "root", "swordfish", "abc123"))
    assert "hunter2" in spec.location


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_sample_is_an_installed_clip(sample: str) -> None:
    assert Path(parse_source(f"sample:{sample}").location).is_file()


def test_a_sample_whose_package_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SourceError, match=r"pip install 'vwt-stream\[samples\]'"):
        parse_source("sample:bikes")
