"""Runs the service on this machine until it is told to stop."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext, redirect_stdout
from pathlib import Path

from rich.text import Text

from pipeline.errors import ServiceError, UsageError
from vocab.connection import connect
from vocab.errors import StoreUnavailable
from workers.access.bearer_tokens import BearerTokens
from workers.contract.sealing import use_keys
from workers.contract.stream_store import StreamStore
from workers.notices import Notices
from workers.private import ray_token_readable
from workers.serve.address import DEFAULT_URL, base_url, free_port, held_port, is_loopback
from workers.serve.cards import fitted
from workers.serve.first_streams import Given, add_given, given_sources
from workers.serve.ray import gpus, most_gpus, running_app, running_ray
from workers.serve.redis import Watch, running_redis
from workers.serve.signals import Signals
from workers.serve.status_line import StatusLine
from workers.settings.schema import ServiceSettings

_LOOK_EVERY_S = 1.0


def serve_until_stopped(settings: ServiceSettings, sources: Sequence[str], notices: Notices) -> None:
    """Starts everything, adds the sources as streams, and stays until Ctrl-C or SIGTERM.

    Raises:
        UsageError: the settings do not go together, or the port is taken.
        ServiceError: Redis or Ray cannot be reached or started.
    """
    signals = Signals()
    signals.listen()
    # The stack is left inside, so that what was started is stopped before this returns.
    with signals.quiet_end(), ExitStack() as stack:
        _check(settings)
        given, access = given_sources(sources, settings.access)
        # On a cluster Serve's proxies listen, which do not share a port.
        if settings.ray_address is None:
            port = stack.enter_context(held_port(settings.host, settings.port))
        else:
            port = free_port(settings.host, settings.port)
        settings = settings.model_copy(update={"access": access, "port": port})
        # Ray prints what happens to its processes.
        stack.enter_context(redirect_stdout(sys.stderr))
        url, watch = stack.enter_context(running_redis(settings, notices.say))
        settings = settings.model_copy(update={"redis": url})
        with notices.waiting("starting Ray", long=settings.ray_address is None):
            logs, processes = stack.enter_context(running_ray(settings, signals))
        if (token := ray_token_readable()) is not None:
            notices.say(f"others on this machine may read Ray's token: chmod 600 {token}")
        settings = _with_gpu(settings, notices)
        stack.callback(lambda: notices.say("stopped"))
        try:
            # Before anybody can ask: who is told that the service is ready finds them there.
            client = connect(url)
            streams = add_given(client, given, settings, notices.say)
        except StoreUnavailable as error:
            raise ServiceError(str(error)) from error
        with notices.waiting("starting the service: it loads torch and the model", long=True):
            stack.enter_context(running_app(settings, logs, processes))
        stack.callback(lambda: notices.say("stopping; Ctrl-C again ends at once"))
        watches = (processes.check, watch)
        # It was ready for a while already, and something may have died in it.
        _look(watches)
        _say_where(settings, streams, logs, notices)
        _stay(StatusLine(StreamStore(client), notices.say), watches, notices)


def _check(settings: ServiceSettings) -> None:
    if settings.access.token_file is not None:
        # Here already, so that a file that cannot be used is said before anything is started.
        BearerTokens(settings.access.token_file)
    elif not is_loopback(settings.host):
        raise UsageError(
            f"on --host {settings.host} others reach the service: give --token-file FILE as well (make one "
            "with `vwt token NAME --role manage --file FILE`), or stay on 127.0.0.1"
        )
    use_keys(settings.key_file)
    if settings.ray_address is not None and settings.redis is None:
        raise UsageError("the machines of a cluster share a Redis: give --redis URL with --ray-address")


def _with_gpu(settings: ServiceSettings, notices: Notices) -> ServiceSettings:
    """Takes a GPU for each Inference where there is one and nothing else was asked for; no more than fit."""
    inference = settings.inference
    if "num_gpus" not in inference.model_fields_set and gpus() >= 1:
        notices.say("predicting on a GPU; inference.num_gpus = 0 in --config for the CPU")
        inference = inference.model_copy(update={"num_gpus": 1.0})
    if not inference.num_gpus:
        return settings
    return settings.model_copy(update={"inference": fitted(inference, most_gpus(settings), notices.say)})


def _say_where(
    settings: ServiceSettings, streams: dict[str, Given], logs: Path | None, notices: Notices
) -> None:
    url = base_url(settings.host, settings.port)
    login = "" if settings.access.token_file is None else ' -H "Authorization: Bearer $VWT_TOKEN"'
    notices.say(f"page {url}/   API {url}/docs" + ("" if logs is None else f"   logs {logs / 'serve'}"))
    for stream, one in streams.items():
        looped = ", played again and again at its own pace, as a camera would" if one.looped else ""
        notices.say(f"stream {stream}: {one.spec.display}{looped}")
    stream = next(iter(streams), "NAME")
    if not streams:
        asked = '{"source": "sample:bikes", "loop": true, "realtime": true}'
        notices.say(f"  curl{login} {url}/v1/streams --json '{asked}'")
    service = "" if url == DEFAULT_URL else f" --url {url}"
    notices.say(f"  vwt streams tail {stream}{service}")
    notices.say(f"  curl -N{login} {url}/v1/streams/{stream}/results")


def _look(watches: Sequence[Watch]) -> None:
    for watch in watches:
        watch()


def _stay(status: StatusLine, watches: Sequence[Watch], notices: Notices) -> None:
    line = notices.console.status(Text(""))
    with line if notices.console.is_interactive else nullcontext():
        while True:
            _look(watches)
            line.update(Text(status.look()))
            time.sleep(_LOOK_EVERY_S)
