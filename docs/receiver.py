"""A webhook receiver to try things with: says each event that is posted, and fetches its picture and clip.

python docs/receiver.py [--port 9000] [--service http://127.0.0.1:8000] [--folder alerts]
"""

from __future__ import annotations

import argparse
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.request import urlopen


def main() -> None:
    """Listens until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--service", default="http://127.0.0.1:8000")
    parser.add_argument("--folder", type=Path, default=Path("alerts"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)

    def fetched(event: dict[str, str], part: str) -> str:
        if event[part] is None:
            return f"no {part} ({event.get(f'{part}_reason') or 'none asked for'})"
        path = given.folder / f"{event['rule']}-{event['id'][:8]}{Path(event[part]).suffix}"
        with urlopen(given.service + event[part]) as answer:
            path.write_bytes(answer.read())
        return str(path)

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            # Any 2xx takes them; what is not taken comes again.
            self.send_response(204)
            self.end_headers()
            for event in body["results"]:
                if event.get("kind") == "event":
                    parts = [fetched(event, part) for part in ("snapshot", "clip")]
                    print(event["severity"], event["rule"], event["state"], event["text"], *parts, flush=True)

        def log_message(self, *_: object) -> None:
            """Says nothing of requests."""

    HTTPServer(("127.0.0.1", given.port), Receiver).serve_forever()


if __name__ == "__main__":
    main()
