"""No credential of a URL survives `redact`."""

import pytest

from pipeline.redact import redact


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
    "parameter",
    [
        "token=S3CRET",
        "access_token=S3CRET",
        "apiKey=S3CRET",
        "password=S3CRET",
        "pwd=S3CRET",
        "X-Amz-Signature=S3CRET",
        "X-Amz-Security-Token=S3CRET",
        "sig=S3CRET%2Fmore",
        "jwt=S3.CR.ET",
        "user=S3CRET",
    ],
)
def test_secret_query_parameters_are_hidden_and_others_stay(parameter: str) -> None:
    shown = redact(f"http://host/a.m3u8?quality=hd&{parameter}&start=3")
    name = parameter.partition("=")[0]
    assert shown == f"http://host/a.m3u8?quality=hd&{name}=***&start=3"


def test_credentials_in_a_path_as_some_recorders_want_them_are_hidden() -> None:
    shown = redact("rtsp://10.0.0.4:554/user=admin_password=hunter2_channel=1_stream=0.sdp")
    assert "hunter2" not in shown
    assert shown.startswith("rtsp://10.0.0.4:554/")


def test_every_url_of_a_text_is_redacted_and_the_rest_is_left_alone() -> None:
    text = "from rtsp://a:b@one/x to http://c:d@two/y?key=1, then me@example.org, 12:30 and C:/clips/a.mp4"
    shown = redact(text)
    assert "a:b" not in shown
    assert "c:d" not in shown
    assert "key=***" in shown
    assert shown.endswith("then me@example.org, 12:30 and C:/clips/a.mp4")


def test_a_url_without_secrets_is_unchanged() -> None:
    text = "https://example.org:8443/live/cam-1/index.m3u8?quality=hd#t=5"
    assert redact(text) == text


def test_redacting_twice_changes_nothing_more() -> None:
    once = redact("rtsp://u:p@h/x?token=1")
    assert redact(once) == once
