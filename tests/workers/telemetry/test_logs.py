"""Records as they come out of the handler of a replica."""

import io
import json
import logging
import threading
from datetime import UTC, datetime

import pytest

from workers.telemetry.logs import Completing, JsonLines, log_context
from workers.telemetry.notices import JsonNotices

SECRET = "p@ss:w/rd"
URL = f"rtsp://viewer:{SECRET}@camera.example/live?token=abc"


@pytest.fixture
def log():
    """A logger whose JSON lines `lines` gives."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(Completing())
    handler.setFormatter(JsonLines(deployment="Ingest", replica="r1"))
    logger = logging.Logger("workers.ingest.worker")
    logger.addHandler(handler)
    logger.lines = lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    return logger


def test_a_record_is_one_json_object_in_one_line(log):
    before = datetime.now(UTC)
    log.warning("%d frames\nof %s", 3, "gate")
    (line,) = log.lines()
    assert abs((datetime.fromisoformat(line.pop("ts")) - before).total_seconds()) < 60
    assert line == {
        "level": "WARNING",
        "logger": "workers.ingest.worker",
        "message": "3 frames\nof gate",
        "deployment": "Ingest",
        "replica": "r1",
    }


def test_a_record_says_of_which_stream_and_trace_it_tells_and_only_within_the_block(log):
    with log_context("gate", "4bf92f35"):
        log.info("within")
        with log_context("yard"):
            log.info("deeper")
        log.info("named by itself", extra={"stream": "door"})
    log.info("after")
    found = [(line.get("stream"), line.get("trace_id")) for line in log.lines()]
    assert found == [("gate", "4bf92f35"), ("yard", None), ("door", "4bf92f35"), (None, None)]


def test_threads_tell_of_their_own_streams(log):
    def tell(stream):
        with log_context(stream):
            together.wait(timeout=10)
            log.info(stream)

    together = threading.Barrier(2)
    threads = [threading.Thread(target=tell, args=(stream,)) for stream in ("gate", "yard")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {line["message"]: line["stream"] for line in log.lines()} == {"gate": "gate", "yard": "yard"}


def test_no_credential_is_written_in_messages_arguments_or_tracebacks(log):
    log.info("cannot open %s", URL)
    log.info(URL)
    try:
        raise OSError(f"refused by {URL}")
    except OSError:
        log.exception("reading failed")
    text = json.dumps(log.lines())
    assert SECRET not in text
    assert "token=abc" not in text
    assert text.count("rtsp://***@camera.example/live?token=***") == 3
    assert "Traceback" in log.lines()[2]["exception"]


def test_text_is_as_free_of_credentials_as_json():
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(Completing())
    logger = logging.Logger("workers")
    logger.addHandler(handler)
    try:
        raise OSError(f"refused by {URL}")
    except OSError:
        logger.exception("cannot open %s", URL)
    assert SECRET not in written.getvalue()
    assert written.getvalue().count("rtsp://***@camera.example") == 2


def test_a_record_whose_arguments_do_not_fit_is_written_all_the_same(log):
    log.info("%d frames", URL)
    assert log.lines()[0]["message"] == "%d frames ('rtsp://***@camera.example/live?token=***',)"


def test_what_the_command_says_is_json_too(capsys):
    notices = JsonNotices(quiet=False)
    with notices.waiting("starting", long=True):
        notices.say(f"stream gate: {URL} [red]goes[/red] on, " + "and on " * 30)
    begun, line = capsys.readouterr().err.splitlines()
    assert json.loads(begun)["message"] == "starting"
    said = json.loads(line)
    assert (said["level"], said["logger"]) == ("INFO", "vwt.serve")
    assert said["message"].startswith("stream gate: rtsp://***@camera.example")
    assert "[red]goes[/red]" in said["message"]


def test_a_quiet_command_says_nothing(capsys):
    JsonNotices(quiet=True).say("anything")
    assert capsys.readouterr().err == ""
