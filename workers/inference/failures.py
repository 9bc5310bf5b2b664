"""Failures as callers get them: one line, and something that survives pickling."""

from __future__ import annotations

from pipeline.errors import ModelError, UsageError, VwtError
from vocab.errors import StoreUnavailable, VocabularyError

_LONGEST_REASON = 200


def plain_error(error: Exception, stream: str, model: str) -> VwtError | StoreUnavailable:
    """What to tell who sent frames of a stream for a model: what failed, why, what to do."""
    if isinstance(error, VocabularyError):
        return UsageError(f"cannot tokenize frames of {stream}: {first_line(error)}")
    if isinstance(error, VwtError | StoreUnavailable):
        return error
    return ModelError(
        f"model '{model}' cannot run frames of {stream}: {first_line(error)}; "
        "try another model or smaller batches"
    )


def first_line(error: Exception) -> str:
    """The first line of an error's message, not too long."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:_LONGEST_REASON]
