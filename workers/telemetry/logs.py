"""Logs that say of which stream they tell, never hold a credential, and may be one JSON object per line."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

from pipeline.redact import redact

LogFormat = Literal["text", "json"]

_SERVE = "ray.serve"
_OURS = ("workers", "pipeline", "vocab", "vwt")
# Beside what every record has; `extra` may give them too, and Serve gives the id of an HTTP request.
_FACTS = ("stream", "trace_id", "request_id")

_context: ContextVar[Mapping[str, str] | None] = ContextVar("vwt_log_context", default=None)


@contextmanager
def log_context(stream: str, trace_id: str | None = None) -> Iterator[None]:
    """What this thread or task logs within the block is about a stream, and a trace if there is one."""
    facts = {"stream": stream} | ({} if trace_id is None else {"trace_id": trace_id})
    before = _context.set(facts)
    try:
        yield
    finally:
        _context.reset(before)


def trace_id(carrier: Mapping[str, str] | None) -> str | None:
    """The id of the trace that W3C's headers carry; None without."""
    return None if carrier is None else carrier["traceparent"].split("-")[1]


class Completing(logging.Filter):
    """Adds what `log_context` says to every record and takes credentials out, also of tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter."""
        for name, value in (_context.get() or {}).items():
            record.__dict__.setdefault(name, value)
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # its arguments do not fit
            text = f"{record.msg} {record.args}"
        record.msg, record.args = redact(text), None
        if record.exc_info and not record.exc_text:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return True


class JsonLines(logging.Formatter):
    """A record as one line: ts (UTC), level, logger, message, and where known stream, trace_id and exception.

    Args:
        facts: more that every record says.
    """

    def __init__(self, **facts: str) -> None:
        super().__init__()
        self._facts = facts

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "ts": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._facts,
        }
        line |= {name: record.__dict__[name] for name in _FACTS if record.__dict__.get(name) is not None}
        if record.exc_info:
            line["exception"] = record.exc_text or self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def serve_logging(form: LogFormat, calls: bool = True) -> dict[str, Any]:
    """The `logging_config` of a deployment: how Serve writes until `log_from_replica` is called.

    Args:
        form: of what is logged.
        calls: whether every call is; of messages between deployments there are many, and each costs.
    """
    return {"encoding": form.upper(), "enable_access_log": calls}


def log_from_replica(form: LogFormat) -> None:
    """Has all that is logged in this replica, by us and by Serve, come out where Serve writes.

    Args:
        form: "text" as Serve writes it.
    """
    from ray import serve

    context = serve.get_replica_context()
    facts = {"deployment": context.deployment, "replica": context.replica_id.unique_id}
    for handler in logging.getLogger(_SERVE).handlers:
        handler.addFilter(Completing())
        if form == "json":
            # Serve writes its file through a buffer, which formats nothing.
            (getattr(handler, "target", None) or handler).setFormatter(JsonLines(**facts))
    for name in _OURS:
        logger = logging.getLogger(name)
        logger.handlers = [_ToServe()]
        logger.propagate = False
        logger.setLevel(logging.getLogger(_SERVE).level)


class _ToServe(logging.Handler):
    """Hands records to Serve's logger, whatever handlers that has by then."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger(_SERVE).handle(record)
