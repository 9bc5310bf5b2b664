from __future__ import annotations

import http.server
import json
import threading
import time
from pathlib import Path

import numpy as np

from pipeline.scene.polygon import Polygon
from pipeline.scene.zones import Zone, Zones
from tests.e2e.command import refused, succeeds
from tests.pipeline.scene.examples import a_classes
from tests.workers.client.conftest import Frames, Service
from workers.contract.stream_store import StreamStore


def test_a_stream_is_added_shown_paused_resumed_and_removed(service: Service) -> None:
    at = ("--url", service.url)
    added = succeeds(
        *("streams", "add", "sample:bikes", "--name", "gate", "--fps", "5", "--loop", "--tokenizer", "intra"),
        *("--drop", "0.25", "--label", "site=north", "--label", "floor=2"),
        *("--sink", service.folder / "a.jsonl", "--sink", service.folder / "b.jsonl"),
        *("--sink", "https://me:hidden@hooks.example/x?key=hidden", *at),
    )
    assert added.stdout == "gate\n"
    spec = StreamStore(service.client).get("gate")
    assert (spec.source, spec.fps, spec.loop, spec.realtime) == ("sample:bikes", 5, True, False)
    assert (spec.tokenizer, spec.drop, spec.labels) == ("intra", 0.25, {"site": "north", "floor": "2"})
    assert [(sink.key, sink.display) for sink in spec.sinks] == [
        ("jsonl", str(service.folder / "a.jsonl")),
        ("jsonl-2", str(service.folder / "b.jsonl")),
        ("webhook", "https://***@hooks.example/***"),
    ]

    assert succeeds("streams", "pause", "gate", *at).stdout == "paused gate\n"
    assert StreamStore(service.client).get("gate").paused
    assert succeeds("streams", "resume", "gate", *at).stdout == "resumed gate\n"
    assert not StreamStore(service.client).get("gate").paused
    text = succeeds("streams", "show", "gate", "--json", *at).stdout
    assert "hidden" not in text
    shown = json.loads(text)
    assert shown["labels"] == {"site": "north", "floor": "2"}
    text = succeeds("streams", "show", "gate", *at).stdout
    assert "tokenizer    intra, drop 0.25\n" in text
    assert "labels       site=north, floor=2\n" in text

    assert succeeds("streams", "remove", "gate", *at).stdout == "removed gate\n"
    assert StreamStore(service.client).all() == {}


def test_rules_of_a_file_are_checked_here_and_given_to_the_service(service: Service) -> None:
    rules = service.folder / "rules.yaml"
    add = ("streams", "add", "sample:bikes", "--name", "gate", "--rules", rules, "--url", service.url)
    rules.write_text("- {name: seen, what: region, above: 2}\n")
    assert "rule 1 (seen): above:" in refused(*add, code=2)
    rules.write_text("- {name: seen, what: region, above: 0.5}\n")
    succeeds(*add)
    (rule,) = StreamStore(service.client).get("gate").rules
    assert (rule.name, rule.what, rule.above) == ("seen", "region", 0.5)


def test_zones_and_classes_of_files_go_with_the_stream(service: Service) -> None:
    at = ("--url", service.url)
    means = dict(zip(("open", "closed"), np.eye(2, dtype=np.float32), strict=True))
    gate = Zone(Polygon.of([(0, 0), (1, 0), (1, 1)]), means, dict.fromkeys(means, 5), 0.1, 1.0)
    zones, path = Zones("a-model", "448x448 native", {"gate": gate}), service.folder / "zones.json"
    zones.save(path)
    succeeds("streams", "add", "sample:bikes", "--name", "gate", "--changed", "--zones", path, *at)
    spec = StreamStore(service.client).get("gate")
    assert (spec.changed, spec.zones) == (True, zones.to_dict())
    names = service.folder / "names.json"
    a_classes().save(names)
    succeeds("streams", "add", "sample:bikes", "--name", "yard", "--classes", names, *at)
    spec = StreamStore(service.client).get("yard")
    assert (spec.zones, spec.classes) == (None, a_classes().to_dict())
    succeeds("streams", "add", "sample:bikes", "--name", "plain", *at)
    spec = StreamStore(service.client).get("plain")
    assert (spec.changed, spec.zones, spec.classes) == (False, None, None)


def test_the_list_says_what_each_stream_is_doing_and_what_it_costs(service: Service) -> None:
    at = ("--url", service.url)
    empty = succeeds("streams", "list", *at)
    assert empty.stdout == ""
    assert "vwt streams add" in empty.stderr
    succeeds("streams", "add", "rtsp://me:hidden@8.8.8.8/yard", "--name", "yard", *at)
    frames = Frames(service, "yard")
    frames.write(10)
    frames.know(
        **{"state": "reconnecting", "reason": "no picture for 10 s", "fps": 4.96, "latency_ms": 63.4},
        **{"tokens_full": 2560, "tokens_kept": 640, "joules": 4.1, "vocab_version": 3},
        **{"ingest": {"replica": "a", "node": "n", "pid": 4711}},
        **{"energy_method": "estimate", "metered_frames": 10},
        **{
            "weights": "random",
            "decisions": {"full": 1, "hold": 9},
            "recall_bytes": 4_600_000,
            "saved_joules": 7.25,
        },
    )
    head, row = succeeds("streams", "list", *at).stdout.splitlines()
    assert max(len(head), len(row)) <= 120
    assert " ".join(head.split()) == "id state source fps tokens kept J/frame latency words worker"
    assert " ".join(row.split()) == (
        "yard reconnecting: no picture for 10 s rtsp://***@8.8.8.8/yard - 25% 0.41 - v3 4711"
    )
    frames.know(state="running", reason=None)
    row = succeeds("streams", "list", *at).stdout.splitlines()[1]
    assert " ".join(row.split()) == "yard running rtsp://***@8.8.8.8/yard 5.0 25% 0.41 63 ms v3 4711"
    listed = json.loads(succeeds("streams", "list", "--json", *at).stdout)
    assert [stream["id"] for stream in listed] == ["yard"]
    frames.know(state="failed", retry_at=time.time() + 250)
    shown = succeeds("streams", "show", "yard", *at).stdout
    assert "0.41 J per frame, 4.1 J so far (estimate)" in shown
    assert "next try     in 2" in shown
    assert "9 hold, 1 full" in shown
    assert "4.6 MB" in shown
    assert "random: what is predicted means nothing" in shown
    assert "7.25 J against its own frames in full" in shown
    assert "warm-up" not in shown


def test_what_is_not_known_is_a_dash_and_no_zero(service: Service) -> None:
    succeeds("streams", "add", "sample:bikes", "--url", service.url)
    row = succeeds("streams", "list", "--url", service.url).stdout.splitlines()[1]
    assert row.split() == ["bikes", "starting", "sample:bikes", *("-" * 6)]


def test_a_service_that_is_not_there_is_said_in_one_line(unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}"
    for command in (("list",), ("show", "gate"), ("tail", "gate"), ("add", "sample:bikes")):
        said = refused("streams", *command, "--url", url, code=5)
        assert said.startswith(f"vwt: cannot reach the service at {url}: ")
        assert said.endswith("; start it (vwt serve) or check --url\n")


def test_what_the_service_refuses_is_said_with_its_reason(service: Service) -> None:
    at = ("--url", service.url)
    for command in ("show", "remove", "pause", "tail"):
        assert "there is no stream 'nowhere'" in refused("streams", command, "nowhere", *at, code=2)
    assert "fps: " in refused("streams", "add", "sample:bikes", "--fps", "-1", *at, code=2)
    assert "may not be read" in refused("streams", "add", "/etc/passwd", *at, code=2)
    assert "after: a cursor is the id of an event" in _tail_of_new(service, "--after", "yesterday")


def _tail_of_new(service: Service, *more: str) -> str:
    succeeds("streams", "add", "sample:bikes", "--url", service.url)
    return refused("streams", "tail", "bikes", "--url", service.url, *more, code=2)


def test_a_service_without_its_redis_ends_with_5(service: Service) -> None:
    service.redis.kill()
    assert "Redis" in refused("streams", "list", "--url", service.url, code=5)


def test_something_else_at_the_address_is_told_apart() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        said = refused("streams", "list", "--url", url, code=2)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert said == "vwt: the service answers 404 File not found\n"


def test_a_url_that_is_none_is_refused() -> None:
    assert "give --url as http://" in refused("streams", "list", "--url", "localhost:8000", code=2)


def test_a_relative_path_is_made_full_for_a_service_that_runs_elsewhere(service: Service) -> None:
    said = refused("streams", "add", "clips/a.mp4", "--url", service.url, code=2)
    assert str(Path("clips/a.mp4").absolute()) in said
