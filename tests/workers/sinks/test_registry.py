"""A sink is one file and one line of the registry."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

from workers.sinks.registry import SINKS

ROOT = Path(__file__).parents[3]


def python(program: str, *arguments: str) -> str:
    """What a program prints; the registry is read when the modules that go by it are imported."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_sink_of_a_new_line_is_parsed_checked_kept_opened_and_offered() -> None:
    program = """if True:
        import sys
        from tests.workers.sinks.udp import UDP
        from workers.sinks.registry import SINKS
        SINKS[UDP.name] = UDP
        from pipeline.errors import UsageError
        from workers.contract.stream_spec import StreamSpec
        from workers.settings.schema import AccessSettings
        url = sys.argv[1]
        spec = StreamSpec.model_validate({"id": "gate", "source": "sample:bikes", "sinks": [url]})
        (sink,) = StreamSpec.model_validate_json(spec.model_dump_json()).sinks
        try:
            sink.check(AccessSettings())
            raise AssertionError("a loopback address was allowed")
        except UsageError:
            access = AccessSettings(allow_hosts=["127.0.0.1"])
            sink.check(access)
        opened = sink.open("gate", access)
        opened.write([b"one", b"two"])
        opened.close()
        from workers.cli import main
        main(["streams", "add", "--help"])
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20)
        said = python(program, f"udp://127.0.0.1:{receiver.getsockname()[1]}")
        assert [receiver.recv(100), receiver.recv(100)] == [b"one", b"two"]
    assert "kafka://host/topic or udp://host:port" in " ".join(said.split())


def test_the_settings_of_streams_load_no_library_of_a_sink() -> None:
    program = """if True:
        import json, sys
        import workers.contract.stream_spec
        print(json.dumps([name.partition(".")[0] for name in sys.modules]))
    """
    assert {"paho", "confluent_kafka", "httpx"}.isdisjoint(json.loads(python(program)))


def test_every_line_agrees_with_the_settings_it_names_and_no_two_share_a_scheme() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    schemes = []
    for name, kind in SINKS.items():
        settings = kind.settings()
        assert kind.name == name == settings.model_fields["kind"].default
        assert settings.field in settings.model_fields
        assert (settings.library is None) == (settings.extra is None)
        assert settings.extra is None or settings.extra in extras
        schemes += settings.schemes
    assert len(schemes) == len(set(schemes))
