"""A replica in a process of its own, which can be killed: python -m tests.workers.ingest.replica URL NAME."""

import sys
import threading

from tests.workers.ingest.inference import Inference
from vocab.connection import connect
from workers.ingest.supervisor import Supervisor

if __name__ == "__main__":
    url, name = sys.argv[1:]
    supervisor = Supervisor(Inference(connect(url)).context(name))
    print("ready", flush=True)
    threading.Event().wait()
