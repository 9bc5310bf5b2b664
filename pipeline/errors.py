"""Errors a user can act on: what failed, why, what to do. The command line prints them as one line."""

from vocab.errors import VwtError

__all__ = ["ModelError", "ServiceError", "SourceError", "UsageError", "VwtError"]


class UsageError(VwtError):
    """An option or argument that cannot be right (exit 2)."""

    exit_code = 2


class SourceError(VwtError):
    """A video source that cannot be opened or read (exit 3)."""

    exit_code = 3


class ModelError(VwtError):
    """A model or its weights that cannot be had or cannot do what was asked (exit 4)."""

    exit_code = 4


class ServiceError(VwtError):
    """A service (Redis, Ray) that cannot be reached (exit 5)."""

    exit_code = 5
