from __future__ import annotations

import pytest

from tests.vocab.servers import eventually
from tests.workers.sinks.conftest import Bench
from tests.workers.sinks.receiver import Receiver
from workers.settings.schema import AccessSettings
from workers.sinks.sink import SinkError
from workers.sinks.webhook import WebhookSettings

ALLOWED = AccessSettings(allow_hosts=["127.0.0.1"])


def _sink(port: int, login: str = "") -> dict[str, str]:
    return {"kind": "webhook", "url": f"http://{login}127.0.0.1:{port}/hook?token=s3cret"}


def test_results_are_posted_in_order_with_their_stream(bench: Bench, receiver: Receiver) -> None:
    sink = _sink(receiver.port) | {"authorization": "Bearer abc"}
    bench.deliver(sink)
    bench.results(120)
    bench.caught_up(sink)
    assert receiver.frames() == list(range(120))
    headers, body = receiver.requests[0]
    assert body["stream"] == "gate"
    assert body["results"][0] == {"stream": "gate", "frame": 0}
    assert headers["Authorization"] == "Bearer abc"
    assert headers["Content-Type"] == "application/json"


def test_a_receiver_that_fails_for_a_while_misses_nothing(bench: Bench, receiver: Receiver) -> None:
    sink = _sink(receiver.port)
    receiver.status = 503
    bench.deliver(sink)
    bench.results(5)
    assert receiver.refused.wait(20)
    eventually(lambda: bench.status(sink)["error"])
    assert bench.status(sink)["error"] == (
        f"http://127.0.0.1:{receiver.port}/*** refused results with status 503; look at its log"
    )
    assert (bench.status(sink)["delivered"], bench.status(sink)["lag"]) == (0, 5)
    bench.results(5)
    receiver.status = 204
    bench.caught_up(sink)
    assert receiver.frames() == list(range(10))
    status = bench.status(sink)
    assert (status["delivered"], status["lost"], status["error"]) == (10, 0, None)
    assert status["at"] is not None


def test_a_receiver_that_was_away_gets_all_of_it_when_it_is_back(bench: Bench, unused_port: int) -> None:
    sink = _sink(unused_port)
    bench.deliver(sink)
    bench.results(5)
    eventually(lambda: bench.status(sink)["error"])
    assert "cannot reach" in bench.status(sink)["error"]
    receiver = Receiver(unused_port)
    bench.caught_up(sink)
    assert receiver.frames() == list(range(5))
    receiver.close()


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.status = 302
    webhook = WebhookSettings.model_validate(_sink(receiver.port)).open("gate", ALLOWED)
    with pytest.raises(SinkError, match=r"redirects \(status 302\); give the address it leads to"):
        webhook.write([b"{}"])
    webhook.close()


def test_no_error_shows_the_secrets_of_the_url(unused_port: int) -> None:
    webhook = WebhookSettings.model_validate(_sink(unused_port, "user:pass@")).open("gate", ALLOWED)
    with pytest.raises(SinkError) as error:
        webhook.write([b"{}"])
    assert "s3cret" not in str(error.value)
    assert "pass" not in str(error.value)
