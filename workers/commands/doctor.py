"""`vwt doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command(short_help="What works on this machine, what does not, and what to do.")
@click.option("--redis", "redis_url", envvar="VWT_REDIS", metavar="URL", help="Also check this Redis.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def doctor(redis_url: str | None, as_json: bool) -> int:
    """Check this machine: Python, torch, CUDA, video decoding, energy counters, Redis, Ray, weights.

    Exits 0 when `vwt run sample:bikes` can work here.
    """
    from rich.console import Console

    from workers.doctor import diagnose, exit_code, render

    checks = diagnose(redis_url)
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        render(checks, Console())
    return exit_code(checks)
