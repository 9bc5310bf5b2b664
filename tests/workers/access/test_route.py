"""What a source leads FFmpeg to is checked where the connection is made.

The servers of these tests listen at 127.0.0.2, which is allowed, and 127.0.0.1, which is not.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import workers.access.addresses
from pipeline.errors import SourceError
from pipeline.sources import Notice, Source, SourceOptions, open_source, parse_source
from tests import make_clips
from tests.workers.access.site import Site
from tests.workers.certificates import certificate
from workers.access.addresses import AllowedHosts
from workers.access.route import CheckedRoute
from workers.access.sources import check_source
from workers.settings.schema import AccessSettings

ALLOWED, FORBIDDEN = "127.0.0.2", "127.0.0.1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_clips.steady(tmp_path / "a.mp4", frames=20, rate=10)
    make_clips.timed(tmp_path / "part.ts", range(0, 1000, 100))
    return tmp_path


Serve = Callable[..., Site]


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    """Starts a server of the folder, at an address."""
    sites: list[Site] = []

    def start(host: str, secure: bool = False) -> Site:
        sites.append(Site(folder, host, certificate(folder, "camera") if secure else None))
        return sites[-1]

    yield start
    for site in sites:
        site.close()


class Opener:
    """Opens sources by routes that allow 127.0.0.2; `refusals` are what was refused."""

    def __init__(self) -> None:
        self.refusals: list[str] = []
        self._routes: list[CheckedRoute] = []
        self._sources: list[Source] = []

    def __call__(self, url: str, allowed: str = ALLOWED, **options: object) -> Source:
        route = CheckedRoute(AllowedHosts([allowed]), self.refusals.append)
        self._routes.append(route)
        known = SourceOptions(
            open_timeout_s=10.0,
            stall_timeout_s=5.0,
            decoder="cpu",
            route=route,
            **options,  # type: ignore[arg-type]
        )
        source = open_source(parse_source(url), known, self._heard)
        self._sources.append(source)
        return source

    def frames(self, url: str, **options: object) -> int:
        return sum(1 for _ in self(url, **options).frames())

    def close(self) -> None:
        for source in self._sources:
            source.close()
        for route in self._routes:
            route.close()

    def _heard(self, notice: Notice) -> None:
        pass


@pytest.fixture
def opened() -> Iterator[Opener]:
    opener = Opener()
    yield opener
    opener.close()


def _playlist(folder: Path, name: str, *places: str, key: str = "") -> None:
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", "#EXT-X-MEDIA-SEQUENCE:0"]
    lines += [f'#EXT-X-KEY:METHOD=AES-128,URI="{key}"'] if key else []
    lines += [line for place in places for line in ("#EXTINF:1.0,", place)]
    (folder / name).write_text("\n".join([*lines, "#EXT-X-ENDLIST"]) + "\n")


@pytest.mark.parametrize("secure", [False, True])
def test_a_clip_is_read_whole_in_the_clear_and_over_tls(secure: bool, serve: Serve, opened: Opener) -> None:
    site = serve(ALLOWED, secure)
    assert opened.frames(site.url("a.mp4?v=1")) == 20
    assert site.asked[0] == "GET /a.mp4?v=1"
    assert opened.refusals == []


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_playlist_may_name_full_addresses_and_redirects(
    secure: bool, chunked: bool, serve: Serve, folder: Path, opened: Opener
) -> None:
    site = serve(ALLOWED, secure)
    site.chunked = chunked
    _playlist(folder, "list.m3u8", site.url("part.ts"), "part.ts", site.url("part.ts").partition(":")[2])
    site.elsewhere = site.url("list.m3u8")
    assert opened.frames(site.url("elsewhere.m3u8")) == 30
    assert opened.refusals == []


@pytest.mark.parametrize("secure", [False, True])
def test_a_redirect_to_a_forbidden_address_is_refused_and_never_connected(
    secure: bool, serve: Serve, opened: Opener
) -> None:
    site, forbidden = serve(ALLOWED), serve(FORBIDDEN, secure)
    site.elsewhere = forbidden.url("a.mp4")
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:\d+, where http.* leads, may not be read.*loopback"):
        opened(site.url("elsewhere"))
    assert forbidden.asked == []


@pytest.mark.parametrize("what", ["segment", "key", "variant", "httpproxy"])
def test_what_a_playlist_names_at_a_forbidden_address_is_refused_and_never_connected(
    what: str, serve: Serve, folder: Path, opened: Opener
) -> None:
    site, forbidden = serve(ALLOWED), serve(FORBIDDEN)
    (folder / "key").write_bytes(bytes(16))
    if what == "segment":
        _playlist(folder, "list.m3u8", forbidden.url("part.ts"))
    elif what == "httpproxy":
        _playlist(folder, "list.m3u8", f"httpproxy://{FORBIDDEN}:{forbidden.port}/part.ts")
    elif what == "key":
        _playlist(folder, "list.m3u8", "part.ts", key=forbidden.url("key"))
    else:
        _playlist(folder, "all.m3u8", "part.ts")
        variant = f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100\n{forbidden.url('all.m3u8')}\n"
        (folder / "list.m3u8").write_text(variant)
    with pytest.raises(SourceError):
        opened(site.url("list.m3u8"))
    assert forbidden.asked == []
    assert site.asked
    assert what == "httpproxy" or opened.refusals


def test_a_machine_with_no_proxy_for_the_host_is_no_way_around(
    serve: Serve, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    site, forbidden = serve(ALLOWED), serve(FORBIDDEN)
    site.elsewhere = forbidden.url("a.mp4")
    with pytest.raises(SourceError):
        opened(site.url("elsewhere"))
    assert forbidden.asked == []


def test_a_name_that_leads_elsewhere_by_the_time_it_is_connected_is_refused(
    serve: Serve, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbidden = serve(FORBIDDEN)
    answers = iter([ALLOWED, FORBIDDEN])
    real = socket.getaddrinfo

    def look_up(host: str, *a: object, **k: object) -> object:
        if host != "rebinding.example":
            return real(host, *a, **k)  # type: ignore[arg-type]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers, FORBIDDEN), 0))]

    monkeypatch.setattr(workers.access.addresses.socket, "getaddrinfo", look_up)
    # As the service does when the stream is added.
    check_source("http://rebinding.example/", AccessSettings(allow_hosts=[ALLOWED]))
    with pytest.raises(SourceError, match=r"may not be read: its address 127\.0\.0\.1"):
        opened(forbidden.url("a.mp4", "rebinding.example"))
    assert forbidden.asked == []


def test_a_server_that_is_away_is_told_as_such(opened: Opener) -> None:
    with socket.create_server((ALLOWED, 0)) as held:
        port = held.getsockname()[1]
    with pytest.raises(SourceError, match="Connection refused: check that the server runs"):
        opened(f"http://{ALLOWED}:{port}/a.mp4")
    with pytest.raises(SourceError, match="Connection refused: check that the server runs"):
        opened(f"rtsp://{ALLOWED}:{port}/a")


@pytest.fixture
def camera(folder: Path) -> Iterator[int]:
    """The port of a real RTSP server at 127.0.0.1."""
    process = subprocess.Popen(
        [
            "/usr/bin/python3",
            "tests/rtsp_server.py",
            str(folder / "a.mp4"),
            "--user",
            "u",
            "--password",
            "pw",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        pytest.skip("no RTSP server: apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi")
    yield int(line.rpartition(":")[2].partition("/")[0])
    process.kill()
    process.wait()


class Redirecting:
    """An RTSP server that sends everybody elsewhere."""

    def __init__(self, location: str) -> None:
        self._socket = socket.create_server((ALLOWED, 0))
        self.url = f"rtsp://u:pw@{ALLOWED}:{self._socket.getsockname()[1]}/clip"
        self._location = location
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            with connection:
                while asked := connection.recv(65536).decode():
                    number = asked.partition("CSeq: ")[2].partition("\r\n")[0]
                    answer = f"RTSP/1.0 302 Moved\r\nCSeq: {number}\r\nLocation: {self._location}\r\n\r\n"
                    connection.sendall(answer.encode())

    def close(self) -> None:
        self._socket.close()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_is_read_over_rtsp_also_by_a_redirect(camera: int, opened: Opener, transport: str) -> None:
    server = Redirecting(f"rtsp://u:pw@{FORBIDDEN}:{camera}/clip")
    for url in (f"rtsp://u:pw@{FORBIDDEN}:{camera}/clip", server.url):
        frames = opened(url, "127.0.0.0/8", rtsp_transport=transport, reconnect=False).frames()
        assert [next(frames) for _ in range(5)]
    server.close()


def test_a_redirect_over_rtsp_to_a_forbidden_address_is_refused_and_never_connected(opened: Opener) -> None:
    with socket.create_server((FORBIDDEN, 0)) as forbidden:
        forbidden.settimeout(0.2)
        server = Redirecting(f"rtsp://{FORBIDDEN}:{forbidden.getsockname()[1]}/clip")
        with pytest.raises(SourceError, match=r"127\.0\.0\.1:\d+, where rtsp.* leads, may not be read"):
            opened(server.url)
        with pytest.raises(TimeoutError):
            forbidden.accept()
    server.close()


def test_pictures_over_udp_are_asked_for_only_at_the_address_connected_to() -> None:
    from workers.access.dialer import Dialer
    from workers.access.rtsp_relay import RtspRelay

    relay = RtspRelay(Dialer(AllowedHosts([]), "cam", "cam", print), "rtsp://cam/")
    answer = b"RTSP/1.0 200 OK\r\nTransport: RTP/AVP;unicast;source=10.0.0.1;server_port=5-6\r\n\r\n"
    whole, taken = relay._whole(bytearray(answer + b"$\0\0\4abcd$\0\0\4ab"), "8.8.8.8")
    assert b"source=8.8.8.8" in whole
    assert b"10.0.0.1" not in whole
    assert whole.endswith(b"$\0\0\4abcd")
    assert taken == len(answer) + 8


def test_closing_a_route_ends_its_thread() -> None:
    route = CheckedRoute(AllowedHosts([]), print)
    route.way(parse_source("http://8.8.8.8/a"))
    route.close()
    route._thread.join(5)
    assert not route._thread.is_alive()
