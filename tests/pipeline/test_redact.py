"""No credential of a URL survives `redact`."""

import pytest

from pipeline.redact import redact, redact_path


@pytest.mark.parametrize(
    "password",
    [
        "simple",
        "p@ss",
        "a:b:c",
        "sl/ash",
        "%40%2F%3A",
        "q?uery",
        "ha#sh",
        "@@",
        "it's",
        "a=b&c",
        "p@ss/w:rd?x#y",
    ],
)
def test_user_and_password_are_hidden_whatever_they_contain(password: str) -> None:
    shown = redact(f"cannot open rtsp://admin:{password}@cam.local:554/live/1: refused")
    assert shown == "cannot open rtsp://***@cam.local:554/live/1: refused"


@pytest.mark.parametrize(
    "query",
    [
        "token=S3CRET",
        "X-Amz-Signature=S3CRET%2Fmore",
        "id=S3CRET&pw=S3CRET",
        "loginuse=S3CRET&loginpas=S3CRET",
        "psw=S3CRET",
        "code=S3CRET",
        "jwt=S3.CR.ET",
        "S3CRET",
        "quality=S3CRET",
        "a;b=S3CRET",
        "=S3CRET",
        "a=S3CRET?b=S3CRET",
        "a=1#S3CRET",
    ],
)
def test_every_value_of_a_query_is_hidden_whatever_its_name(query: str) -> None:
    shown = redact(f"http://host:8080/a.m3u8?start=3&{query}&x=1, says it")
    assert "S3CRET" not in shown
    assert shown.startswith("http://host:8080/a.m3u8?start=***&")
    assert shown.endswith(", says it")


def test_the_names_of_parameters_stay() -> None:
    shown = redact("http://h/cgi-bin/snapshot.cgi?id=admin&pw=x&channel=2")
    assert shown == "http://h/cgi-bin/snapshot.cgi?id=***&pw=***&channel=***"


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        ("services/T024BE7LD/B01ABCD/Xq3Ya9bZk2Lm8Nc4Pd6Re1Sf", "Xq3Ya9"),
        ("api/webhooks/1034567890123456789/aB-cD_eF1gH2iJ3kL4mN5oP6qR7sT8uV9wX0yZ", "aB-cD"),
        ("bot123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/send", "AAHdq"),
        ("hls/6b1f7b3e-96a4-4c49-9f55-0f3d8a1f1d6e/live.m3u8", "96a4"),
        ("live/session=S3CRET/x", "S3CRET"),
        ("live/x;jsessionid=S3CRET", "S3CRET"),
        ("live/eyJhbGciOiJIUzI1NiJ9.e30.x", "eyJhb"),
    ],
)
def test_what_stands_like_a_key_in_a_path_is_hidden(path: str, secret: str) -> None:
    shown = redact(f"https://host/{path}")
    assert secret not in shown
    assert shown.startswith("https://host/")
    assert shown.count("/") == 3 + path.count("/")


@pytest.mark.parametrize(
    "path",
    [
        "live/1",
        "Streaming/Channels/101",
        "h264Preview_01_main",
        "axis-media/media.amp",
        "videoMain",
        "onvif1",
        "live/cam-1/index.m3u8",
        "Front%20Door/hd",
        "clips/2026-11-26/gate_01.mp4",
    ],
)
def test_the_paths_of_cameras_stay(path: str) -> None:
    assert redact(f"rtsp://camera:554/{path}") == f"rtsp://camera:554/{path}"


def test_of_a_webhook_only_the_host_is_shown() -> None:
    assert (
        redact_path("https://me:pw@hooks.example:8443/short/key?x=1#y")
        == "https://***@hooks.example:8443/***"
    )
    assert redact_path("http://[fd12::1]:80") == "http://[fd12::1]:80/***"


@pytest.mark.parametrize("authority", ["h", "10.0.0.4:554", "[fd12::1]:554", "[::1]", "a:1,b:2"])
def test_hosts_and_ports_stay(authority: str) -> None:
    assert redact(f"at rtsp://{authority}/x.") == f"at rtsp://{authority}/x."
    assert redact(f"(rtsp://{authority})") == f"(rtsp://{authority})"


def test_credentials_in_a_path_as_some_recorders_want_them_are_hidden() -> None:
    shown = redact("rtsp://10.0.0.4:554/user=admin_password=hunter2_channel=1_stream=0.sdp")
    assert "hunter2" not in shown
    assert shown.startswith("rtsp://10.0.0.4:554/")


def test_every_url_of_a_text_is_redacted_and_the_rest_is_left_alone() -> None:
    text = "from rtsp://a:b@one/x to http://c:d@two/y?key=1, then me@example.org, 12:30 and C:/clips/a.mp4"
    shown = redact(text)
    assert "a:b" not in shown
    assert "c:d" not in shown
    assert "key=***," in shown
    assert shown.endswith("then me@example.org, 12:30 and C:/clips/a.mp4")


def test_redacting_twice_changes_nothing_more() -> None:
    once = redact("rtsp://u:p@h/x/AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw?token=1&y#z")
    assert redact(once) == once
