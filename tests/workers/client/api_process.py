"""The HTTP API in a process of its own: python -m tests.workers.client.api_process PORT REDIS-URL."""

from __future__ import annotations

import sys

import uvicorn

from tests.workers.gateway.serving import Edge
from workers.gateway.api import build_api
from workers.settings import ServiceSettings

if __name__ == "__main__":
    port, redis = int(sys.argv[1]), sys.argv[2]
    uvicorn.run(build_api(ServiceSettings(redis=redis), Edge()), port=port, log_level="critical")
