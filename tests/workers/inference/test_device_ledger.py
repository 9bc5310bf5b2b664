"""Whom the ledger of a device takes for ours."""

import subprocess

from workers.inference.device_ledger import replicas_here


def test_replicas_that_decode_are_ours_and_others_are_not():
    names = [
        "ray::SERVE_REPLICA::vwt#Ingest#abc",
        "ray::SERVE_REPLICA::other#Ingest#abc",
        "ray::SERVE_REPLICA::vwt#Gateway#abc",
        "sleep",
    ]
    running = [subprocess.Popen([name, "60"], executable="/bin/sleep") for name in names]
    try:
        found = replicas_here()
        assert [process.pid in found for process in running] == [True, False, False, False]
    finally:
        for process in running:
            process.kill()
            process.wait()
