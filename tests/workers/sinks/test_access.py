from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.errors import UsageError
from workers.contract.stream_spec import StreamSettings, StreamSpec
from workers.settings.schema import AccessSettings
from workers.sinks.mqtt import MqttSettings
from workers.sinks.parsing import AnySink

SINK: TypeAdapter[Any] = TypeAdapter(AnySink)
SECRET = [
    {"kind": "webhook", "url": "https://me:hidden@hooks.example/x", "authorization": "Bearer hidden"},
    {"kind": "mqtt", "url": "mqtts://me:hidden@broker.example/site/gate"},
]


def _check(sink: dict[str, Any], **access: Any) -> None:
    SINK.validate_python(sink).check(AccessSettings(**access))


def test_a_file_is_written_only_inside_an_allowed_folder(tmp_path: Path) -> None:
    inside = {"kind": "jsonl", "path": str(tmp_path / "a.jsonl")}
    _check(inside, allow_folders=[tmp_path])
    with pytest.raises(UsageError, match="in none of the folders allowed here; if it may, start the service"):
        _check(inside)


@pytest.mark.parametrize("path", ["out.jsonl", "{0}/../out.jsonl"])
def test_a_path_that_is_not_full_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(UsageError, match="give its full path, without"):
        _check({"kind": "jsonl", "path": path.format(tmp_path)}, allow_folders=[tmp_path])


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "a.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    with pytest.raises(UsageError, match="in none of the folders"):
        _check({"kind": "jsonl", "path": str(allowed / "a.jsonl")}, allow_folders=[allowed])


def test_no_clip_of_the_folder_can_be_written_to(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.touch()
    with pytest.raises(ValidationError, match=r"must end in \.jsonl"):
        _check({"kind": "jsonl", "path": str(clip)}, allow_folders=[tmp_path])
    (tmp_path / "a.jsonl").symlink_to(clip)
    with pytest.raises(UsageError, match=r"does not end in \.jsonl"):
        _check({"kind": "jsonl", "path": str(tmp_path / "a.jsonl")}, allow_folders=[tmp_path])


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("webhook", "http://169.254.169.254/latest"),
        ("webhook", "http://127.1/"),
        ("mqtt", "mqtt://10.0.0.5/topic"),
        ("kafka", "kafka://[::1]/topic"),
    ],
)
def test_an_address_that_is_not_public_must_be_allowed(kind: str, url: str) -> None:
    with pytest.raises(UsageError, match=r"the sink .*:.* may not be delivered to: its address") as error:
        _check({"kind": kind, "url": url})
    assert "--allow-host" in str(error.value)
    _check({"kind": kind, "url": url}, allow_hosts=["*"])


@pytest.mark.parametrize(
    ("sink", "why"),
    [
        ({"kind": "webhook", "url": "ftp://host/x"}, "must be http:// or https://"),
        ({"kind": "webhook", "url": "http://"}, "with a host"),
        ({"kind": "webhook", "url": "http://host:99999/"}, "with a host"),
        ({"kind": "mqtt", "url": "mqtt://host"}, "must read mqtt://host/topic"),
        ({"kind": "mqtt", "url": "mqtt://host/all/%23"}, "may hold no [+] and no #"),
        ({"kind": "mqtt", "url": "mqtt://me:hid/den@host/topic"}, "percent-encoded"),
        ({"kind": "kafka", "url": "kafka://me:hidden@host/topic"}, "takes no login"),
        ({"kind": "jsonl", "path": "/a.jsonl", "name": "Not One"}, "match pattern"),
        ({"kind": "pigeon"}, "does not match any of the expected tags"),
    ],
)
def test_what_cannot_be_a_sink_is_refused_by_name(sink: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why) as error:
        StreamSettings.model_validate({"sinks": [sink]})
    assert all("hid" not in item["msg"] for item in error.value.errors())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/a.jsonl", ("jsonl", "/a.jsonl")),
        ("http://hooks.example/x", ("webhook", "http://hooks.example/***")),
        ("https://me:hidden@hooks.example/x", ("webhook", "https://***@hooks.example/***")),
        ("mqtts://me:hidden@broker.example/t", ("mqtt", "mqtts://***@broker.example/t")),
        ("kafka://broker.example/t", ("kafka", "kafka://broker.example/t")),
    ],
)
def test_a_text_stands_for_a_sink_by_its_scheme(text: str, shown: tuple[str, str]) -> None:
    (sink,) = StreamSettings.model_validate({"sinks": [text]}).sinks
    assert (sink.kind, sink.display) == shown


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "pigeon://me:hidden@loft",
            "results cannot go to pigeon://; a sink is the full path of a .jsonl file",
        ),
        ("/hidden.mp4", r"must end in \.jsonl"),
        ("mqtt://me:hidden@host", "must read mqtt://host/topic"),
        ("http://[hidden/x", "no URL"),
    ],
)
def test_a_text_that_stands_for_no_sink_is_refused_without_its_secrets(text: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why) as error:
        StreamSettings.model_validate({"sinks": [text]})
    assert all("hid" not in item["msg"] for item in error.value.errors())


def test_two_sinks_of_one_name_are_refused() -> None:
    one = {"kind": "jsonl", "path": "/a.jsonl"}
    with pytest.raises(ValidationError, match="two sinks are called 'jsonl'; give one another name"):
        StreamSettings.model_validate({"sinks": [one, one]})
    StreamSettings.model_validate({"sinks": [one, one | {"name": "second"}]})


def test_texts_of_one_kind_get_names_of_their_own() -> None:
    sinks = StreamSettings.model_validate({"sinks": ["/a.jsonl", "/b.jsonl", "http://host/"]}).sinks
    assert [sink.key for sink in sinks] == ["jsonl", "jsonl-2", "webhook"]


def test_a_sink_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MqttSettings, "library", "no_such_package.client")
    with pytest.raises(UsageError, match=r"mqtt sinks need .*: pip install 'vwt-stream\[mqtt\]' there"):
        _check({"kind": "mqtt", "url": "mqtt://host/topic"}, allow_hosts=["*"])


def test_credentials_of_sinks_are_kept_in_redis_and_shown_nowhere() -> None:
    spec = StreamSpec.model_validate({"id": "gate", "source": "sample:bikes", "sinks": SECRET})
    assert json.loads(spec.model_dump_json())["sinks"][0]["url"] == SECRET[0]["url"]
    assert StreamSpec.model_validate_json(spec.model_dump_json()) == spec
    assert StreamSpec.model_validate(spec.model_dump()) == spec
    assert "hidden" not in repr(spec) + str(spec.model_dump())
    assert [sink.display for sink in spec.sinks] == [
        "https://***@hooks.example/***",
        "mqtts://***@broker.example/site/gate",
    ]


@pytest.mark.parametrize("value", ["Bearer é", "Bearer a\nX: y", "", " a", "Bearer \x7f"])
def test_a_header_that_could_never_be_sent_is_refused(value: str) -> None:
    sink = {"kind": "webhook", "url": "http://host/x", "authorization": value}
    with pytest.raises(ValidationError, match="a header holds printable ASCII only"):
        SINK.validate_python(sink)
    assert SINK.validate_python(sink | {"authorization": "Basic dTpw=="}).kind == "webhook"
