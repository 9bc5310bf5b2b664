"""The HTTP API in a process of its own: python -m tests.workers.client.api_process PORT REDIS-URL FOLDER."""

from __future__ import annotations

import sys

import uvicorn

from tests.workers.gateway.serving import Edge
from workers.gateway.api import build_api
from workers.settings.schema import ServiceSettings

if __name__ == "__main__":
    port, redis, folder = sys.argv[1:]
    access = {"allow_folders": [folder], "allow_hosts": ["*"]}
    settings = ServiceSettings(redis=redis, access=access)  # type: ignore[arg-type]
    uvicorn.run(build_api(settings, Edge()), port=int(port), log_level="critical")
