"""The application of deploy/serve.yaml on a Ray cluster of its own, put there by the real `serve deploy`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml
from ray.cluster_utils import Cluster

from tests.survival.service import READY_S, Api, quiet_port, until
from tests.vocab.servers import Server

# Five processes import torch at once.
_PLACED_S = 300
_ROOT = Path(__file__).parents[2]


class Deployed(Api):
    """The deployed service; `deploy` puts it there and replaces it.

    Args:
        folder: for the configuration.
        redis: what it keeps everything in.
        new_first: deployments whose new replicas start before those there end.
    """

    def __init__(self, folder: Path, redis: Server, new_first: Sequence[str]) -> None:
        super().__init__(quiet_port())
        self._folder = folder
        self._new_first = new_first
        self._redis = f"redis://127.0.0.1:{redis.port}"
        # Where `serve deploy` reaches Ray.
        self._dashboard = quiet_port()
        head = {"num_cpus": 8, "object_store_memory": 200 * 2**20, "gcs_server_port": quiet_port()}
        head |= {"include_dashboard": True, "dashboard_port": self._dashboard}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)

    def deploy(self, **args: Any) -> None:
        """Gives Serve the configuration with these args beside those of deploy/serve.yaml."""
        config = yaml.safe_load((_ROOT / "deploy" / "serve.yaml").read_text())
        config["http_options"] = {"host": "127.0.0.1", "port": self.port}
        own = {"redis": self._redis, "access": {"allow_folders": ["/"]}, **args}
        (app,) = config["applications"]
        app["args"] |= own
        app["args"]["inference"]["num_gpus"] = 0
        app["deployments"] = [{"name": name, "max_surge_percent": 100} for name in self._new_first]
        file = self._folder / "serve.yaml"
        file.write_text(yaml.safe_dump(config))
        command = [Path(sys.executable).with_name("serve"), "deploy", file, "--address", self._address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=READY_S, check=False)
        assert done.returncode == 0, done.stderr

    def until_running(self) -> dict[str, set[int]]:
        """Waits until Serve has put everything in place; process ids of the replicas by deployment."""
        until(self._running, _PLACED_S, lambda: f"it does not run: {self._states()}")
        until(self.ready, READY_S, "it is not ready")
        return {
            name: {replica["pid"] for replica in deployment["replicas"]}
            for name, deployment in self._application()["deployments"].items()
        }

    def close(self) -> None:
        """Ends the cluster with all that runs on it."""
        self.http.close()
        self._cluster.shutdown()

    def _running(self) -> bool:
        return bool(self._application()["status"] == "RUNNING")

    def _states(self) -> dict[str, list[str]]:
        return {
            name: [deployment["message"], *(replica["state"] for replica in deployment["replicas"])]
            for name, deployment in self._application()["deployments"].items()
        }

    def _application(self) -> dict[str, Any]:
        answer = httpx.get(f"{self._address}/api/serve/applications/", timeout=20)
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["applications"]["vwt"])

    @property
    def _address(self) -> str:
        return f"http://127.0.0.1:{self._dashboard}"
