"""Clips and live streams over HTTP, from a real server that sees what is asked of it."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import pytest

from pipeline.errors import SourceError
from pipeline.sources import Notice, Source, SourceOptions, open_source, parse_source
from tests import make_clips

FAST = SourceOptions(open_timeout_s=5.0, stall_timeout_s=5.0, decoder="cpu", backoff_initial_s=0.05)


class Site:
    """A folder served over HTTP; `paths` are the paths asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: list[str] = []
        self.elsewhere = ""
        site = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                site.paths.append(self.path)
                if self.path.startswith("/mjpeg"):
                    site.send_motion_jpeg(self)
                elif self.path.startswith("/secret"):
                    self.send_error(401)
                elif self.path.startswith("/elsewhere"):
                    self.send_response(302)
                    self.send_header("Location", site.elsewhere)
                    self.end_headers()
                elif self.path.startswith("/endless/"):
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write((site.folder / self.path.rpartition("/")[2]).read_bytes())
                elif self.path.startswith("/hang"):
                    site.release.wait(20)
                else:
                    super().do_GET()

            def log_message(self, *_args: object) -> None:
                pass

        self.release = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def send_motion_jpeg(self, handler: SimpleHTTPRequestHandler) -> None:
        """A camera's Motion JPEG: pictures without any time, a tenth of a second apart."""
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        handler.end_headers()
        picture = jpeg()
        head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture)
        try:
            while not self.release.wait(0.1):
                handler.wfile.write(head + picture + b"\r\n")
        except OSError:
            pass  # the reader has gone

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{path}"


def jpeg() -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 160, 96, "yuvj420p"
    encoder.time_base = make_clips.MILLISECOND
    frame = av.VideoFrame.from_ndarray(make_clips.picture(0, (160, 96)), format="rgb24")
    return b"".join(bytes(p) for p in (*encoder.encode(frame.reformat(format="yuvj420p")), *encoder.encode()))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    served = Site(tmp_path)
    yield served
    served.release.set()
    served.server.shutdown()
    served.server.server_close()


def opened(url: str, notices: list[Notice] | None = None, options: SourceOptions = FAST) -> Source:
    return open_source(parse_source(url), options, [].append if notices is None else notices.append)


def playlist(segments: list[str], ended: bool = True) -> str:
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", "#EXT-X-MEDIA-SEQUENCE:0"]
    lines += [line for name in segments for line in ("#EXTINF:1.0,", name)]
    return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if ended else [])]) + "\n"


def segments(folder: Path, count: int) -> list[str]:
    """Segments of one second each, on one time line."""
    names = [f"part{i}.ts" for i in range(count)]
    for i, name in enumerate(names):
        make_clips.timed(folder / name, range(1000 * i, 1000 * (i + 1), 100))
    return names


def test_a_clip_over_http_gives_every_frame_even_to_a_slow_reader(site: Site) -> None:
    make_clips.steady(site.folder / "a.mp4", frames=30, rate=10)
    source = opened(site.url("a.mp4"))
    frames = source.frames()
    first = [next(frames) for _ in range(3)]
    time.sleep(0.2)  # the decoder meanwhile runs into its full queue
    times = [d.times.pts_s for d in (*first, *frames)]
    assert times == pytest.approx([i / 10 for i in range(30)], abs=0.002)
    assert (source.info.live, source.state, source.take_dropped()) == (False, "ended", {})


def test_a_finished_hls_stream_is_read_like_a_file(site: Site) -> None:
    (site.folder / "list.m3u8").write_text(playlist(segments(site.folder, 3)))
    source = opened(site.url("list.m3u8"))
    times = [d.times.pts_s for d in source.frames()]
    assert source.info.live is False
    assert times == pytest.approx([i / 10 for i in range(30)], abs=0.002)


def test_only_the_first_quality_of_an_hls_stream_is_fetched(site: Site) -> None:
    names = segments(site.folder, 12)  # probing reads the first seconds of both
    (site.folder / "one.m3u8").write_text(playlist(names))
    others = [f"other-{name}" for name in names]
    for name, other in zip(names, others, strict=True):
        (site.folder / other).write_bytes((site.folder / name).read_bytes())
    (site.folder / "two.m3u8").write_text(playlist(others))
    head = "#EXT-X-STREAM-INF:BANDWIDTH=%d\n"
    (site.folder / "all.m3u8").write_text(f"#EXTM3U\n{head % 100}one.m3u8\n{head % 900}two.m3u8\n")
    assert len(list(opened(site.url("all.m3u8")).frames())) == 120
    assert "/part11.ts" in site.paths
    assert "/other-part11.ts" not in site.paths


def test_a_live_hls_stream_is_paced_so_that_no_frame_of_a_segment_is_dropped(site: Site) -> None:
    names = segments(site.folder, 3)
    (site.folder / "live.m3u8").write_text(playlist(names, ended=False))
    notices: list[Notice] = []
    source = opened(site.url("live.m3u8"), notices)
    assert source.info.live is True
    times = []
    for decoded in source.frames():
        times.append(decoded.times.pts_s)
        assert decoded.times.captured_at is not None
        if len(times) == 25:
            # The broadcaster says that it is over: the source ends instead of playing it again.
            (site.folder / "live.m3u8").write_text(playlist(names))
    assert times == pytest.approx([i / 10 for i in range(30)], abs=0.002)
    assert "late" not in source.take_dropped()
    assert source.state == "ended"
    assert notices[-1].kind == "ended"


def test_motion_jpeg_gets_its_times_from_the_clock_not_from_an_assumed_rate(site: Site) -> None:
    source = opened(site.url("mjpeg"))
    assert (source.info.live, source.info.rate) == (True, None)
    frames = source.frames()
    seen = [next(frames) for _ in range(6)]
    source.close()
    assert seen[0].times.pts_s == 0.0
    # FFmpeg alone would say 0.2 s (25 per second); sent over half a second they cannot arrive in less.
    assert seen[-1].times.pts_s is not None
    assert seen[-1].times.pts_s > 0.35


@pytest.mark.parametrize("segment", ["file:///etc/hostname", "gopher://127.0.0.1/x", "a.txt", "missing.ts"])
def test_a_playlist_that_leads_to_no_video_is_refused_with_what_to_do(site: Site, segment: str) -> None:
    (site.folder / "a.txt").write_text("no video")
    (site.folder / "list.m3u8").write_text(playlist([segment]))
    with pytest.raises(SourceError, match=r"playlist leads to no video .* http or https .* open one of its"):
        opened(site.url("list.m3u8") + "?token=x")


@pytest.mark.parametrize("target", ["a.ts", "/etc/hostname"])
def test_a_playlist_over_http_cannot_open_local_files(site: Site, tmp_path: Path, target: str) -> None:
    if target == "a.ts":
        target = str(make_clips.steady(tmp_path / "a.ts"))
    (site.folder / "evil.m3u8").write_text(playlist([f"file://{target}"]))
    with pytest.raises(SourceError, match=r"cannot open|no picture"):
        opened(site.url("evil.m3u8"))


def test_a_playlist_cannot_name_another_protocol(site: Site) -> None:
    (site.folder / "evil.m3u8").write_text(
        playlist(["concat:a.ts|b.ts", "gopher://127.0.0.1/x", "data:video/mp2t,x"])
    )
    with pytest.raises(SourceError):
        opened(site.url("evil.m3u8"))


def test_a_redirect_is_followed_over_http_but_not_to_a_file(site: Site) -> None:
    clip = make_clips.steady(site.folder / "a.mp4", frames=5)
    site.elsewhere = site.url("a.mp4")
    assert len(list(opened(site.url("elsewhere")).frames())) == 5
    site.elsewhere = f"file://{clip}"
    with pytest.raises(SourceError):
        opened(site.url("elsewhere"))


def test_refusals_name_their_cause_and_no_credential(site: Site) -> None:
    (site.folder / "page.html").write_text("<html>not a video</html>")
    cases = {
        "nope.mp4": "404",
        "secret.mp4": "401.*user name and password",
        "page.html": "no video we can read",
    }
    for path, why in cases.items():
        url = site.url(path).replace("//", "//viewer:hunter2@") + "?token=swordfish"
        with pytest.raises(SourceError, match=why) as refusal:
            opened(url)
        assert "hunter2" not in str(refusal.value)
        assert "swordfish" not in str(refusal.value)
        assert refusal.value.__cause__ is None
        assert refusal.value.__context__ is None


def test_a_host_that_does_not_exist_is_named(unused_port: int) -> None:
    with pytest.raises(SourceError, match=r"host name nowhere\.invalid cannot be resolved"):
        opened("http://nowhere.invalid/a.mp4")
    with pytest.raises(SourceError, match="check that the server runs"):
        opened(f"http://127.0.0.1:{unused_port}/a.mp4")


def test_a_server_that_never_answers_fails_at_the_deadline(site: Site) -> None:
    with pytest.raises(SourceError, match=r"gave no picture within 0\.4 s"):
        opened(site.url("hang.mp4"), options=SourceOptions(open_timeout_s=0.4, decoder="cpu"))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_clip_of_no_stated_length_whose_connection_closes_has_ended(site: Site, suffix: str) -> None:
    clip = make_clips.steady(site.folder / "a.mp4")
    make_clips.index_first(site.folder / f"b.{suffix}", clip)
    notices: list[Notice] = []
    source = opened(site.url(f"endless/b.{suffix}"), notices)
    assert source.info.live is False
    assert len(list(source.frames())) == 30
    assert notices == []


def test_fragments_of_no_stated_length_are_live_however_long_the_first_says_it_is(site: Site) -> None:
    clip = make_clips.fragmented(site.folder / "a.mp4", make_clips.steady(site.folder / "b.mp4"))
    assert opened(site.url("a.mp4")).info.live is False
    lost = threading.Event()

    def on_notice(notice: Notice) -> None:
        if notice.kind == "reconnecting":
            lost.set()

    source = open_source(parse_source(site.url(f"endless/{clip.name}")), FAST, on_notice)
    assert source.info.live is True
    frames = source.frames()
    assert next(frames).times.captured_at is not None
    reading = threading.Thread(target=lambda: list(frames))
    reading.start()
    assert lost.wait(20)
    source.close()
    reading.join(10)


def test_a_transport_stream_of_no_stated_length_that_would_begin_anew_was_a_clip(site: Site) -> None:
    make_clips.timed(site.folder / "a.ts", range(0, 1000, 40))
    notices: list[Notice] = []
    source = opened(site.url("endless/a.ts"), notices)
    assert source.info.live is True
    assert len(list(source.frames())) == 25
    assert [n.kind for n in notices] == ["reconnecting", "ended"]
    assert source.state == "ended"
    assert source.take_dropped() == {}


def test_a_transport_stream_that_goes_on_with_other_pictures_stays_live(site: Site) -> None:
    first, second = segments(site.folder, 2)
    lost = threading.Event()

    def on_notice(notice: Notice) -> None:
        if notice.kind == "reconnecting" and not lost.is_set():
            lost.set()
            (site.folder / second).replace(site.folder / first)

    source = open_source(parse_source(site.url(f"endless/{first}")), FAST, on_notice)
    frames = source.frames()
    assert len([next(frames) for _ in range(15)]) == 15
    source.close()
    assert lost.is_set()
    assert source.take_dropped()["gap"] == 1


def test_a_file_of_a_stated_length_has_an_end_even_without_times(site: Site) -> None:
    make_clips.steady(site.folder / "a.h264", frames=10)
    source = opened(site.url("a.h264"))
    assert source.info.live is False
    assert len(list(source.frames())) == 10


@pytest.mark.parametrize("name", ["a.mjpeg", "a.mjpg"])
def test_pictures_in_a_row_are_read_over_http_too(site: Site, name: str) -> None:
    pictures = (cv2.imencode(".jpg", make_clips.picture(number, (160, 96)))[1] for number in range(6))
    (site.folder / name).write_bytes(b"".join(picture.tobytes() for picture in pictures))
    source = opened(site.url(name))
    assert source.info.rate is None
    assert len(list(source.frames())) == 6


@pytest.mark.parametrize("name", ["part{}.php?id={}", "part{}.image", "part{}.jpg", "part{}"])
def test_segments_of_any_name_are_read_by_what_they_hold(site: Site, name: str) -> None:
    names = []
    for number, segment in enumerate(segments(site.folder, 3)):
        names.append(name.format(number, number))
        (site.folder / segment).rename(site.folder / names[-1].partition("?")[0])
    (site.folder / "list.m3u8").write_text(playlist(names))
    assert len(list(opened(site.url("list.m3u8")).frames())) == 30


def test_a_segment_that_is_no_media_opens_nothing_it_names(site: Site) -> None:
    (inner,) = segments(site.folder, 1)
    (site.folder / "inner.txt").write_text(f"ffconcat version 1.0\nfile {inner}\n")
    (site.folder / "list.m3u8").write_text(playlist(["inner.txt"]))
    with pytest.raises(SourceError):
        opened(site.url("list.m3u8"))
    assert f"/{inner}" not in site.paths
