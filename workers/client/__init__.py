"""Talks to a running service over HTTP."""

from workers.client.api import ServiceClient
from workers.client.tail import follow

__all__ = ["ServiceClient", "follow"]
