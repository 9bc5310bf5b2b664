"""`vwt zones`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.defaults import DEFAULT_MODEL
from workers.commands.input_options import input_options

if TYPE_CHECKING:
    from pipeline.scene.polygon import Polygon


@click.group(short_help="Zones with states, learned from moments of a clip.")
def zones() -> None:
    """Make zones for `vwt run --zones`, which tells their states."""


@zones.command(short_help="Learn the states of a zone.")
@click.argument("source")
@click.option("--zone", required=True, metavar="NAME", help="What to call it, such as gate.")
@click.option(
    "--polygon",
    required=True,
    metavar="'X,Y X,Y X,Y ...'",
    help="Its corners in order, in 0..1 of the picture's width and height.",
)
@click.option(
    "--state",
    "states",
    multiple=True,
    required=True,
    metavar="STATE=S,S,...",
    help="Seconds at which it is in a state, such as open=1.5,20,61: about five, from different times.",
)
@click.option("--model", default=DEFAULT_MODEL, metavar="NAME", show_default=True, help="See `vwt models`.")
@click.option("--weights", metavar="FILE", help="As of `vwt run`.  [default: the published ones]")
@input_options("as suits the model")
@click.option(
    "--device", default="auto", metavar="NAME", show_default=True, help="auto, cpu, cuda or cuda:N."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write (.json); where it has zones, this one is added or replaced.",
)
def learn(
    source: str,
    zone: str,
    polygon: str,
    states: tuple[str, ...],
    model: str,
    weights: str | None,
    fit: str | None,
    size: str | None,
    device: str,
    out: Path,
) -> None:
    """Learn what a zone of SOURCE, a clip of a fixed camera, looks like in each state.

    Run with the same --model, --size and --fit later. What is learned is of this camera and this zone, and of
    the light of the moments that were named.
    """
    from pipeline.outputs.files import check_output
    from pipeline.scene.zones import Zones, check_name, check_states
    from vocab.paths import is_file

    check_name(zone, "zone")
    place = _polygon(polygon)
    moments = _moments(states)
    check_states(zone, list(moments))
    check_output(out, "--out")
    before = Zones.load(out) if is_file(out) and out.stat().st_size else None

    from rich.console import Console

    from workers.notices import Notices

    notices = Notices(Console(stderr=True), quiet=False)
    with notices.waiting(f"loading {model}"):
        from pipeline.models import load_model, resolve_device
        from pipeline.preprocess import Preprocessor
        from pipeline.scene.learning import examples_of, frames_at, patches_of
        from pipeline.scene.means import learned
        from pipeline.scene.scene import seen_as

        loaded = load_model(model, weights, resolve_device(device), fit=fit, size=size)
    seen = seen_as(loaded.input)
    if before is not None:
        before.check_model(loaded.name, seen)
    with notices.waiting("looking at the moments"):
        named = [(state, time_s) for state, times_s in moments.items() for time_s in times_s]
        frames = frames_at(
            source,
            [time_s for _, time_s in named],
            Preprocessor(loaded.input),
            lambda notice: notices.say(notice.message),
        )
        patches = patches_of(loaded, frames)
        assert loaded.patch_size is not None
        found = examples_of(place, frames, patches, loaded.patch_size)
    by_state = {
        state: [one for one, (own, _) in zip(found, named, strict=True) if own == state] for state in moments
    }
    made = learned(zone, place, by_state)
    others = {} if before is None else dict(before.zones)
    Zones(loaded.name, seen, others | {zone: made}).save(out)
    counts = ", ".join(f"{state} ({count})" for state, count in made.examples.items())
    click.echo(
        f"{zone}: {counts}; each moment told by the others: {100 * made.accuracy:.0f} % right; unknown "
        f"from a distance of {made.unknown_from:.3g}: {out}",
        err=True,
    )


def _polygon(text: str) -> Polygon:
    """The corners of the command line."""
    from pipeline.errors import UsageError
    from pipeline.scene.polygon import Polygon

    such = "such as '0.1,0.2 0.5,0.2 0.5,0.9'"
    corners = []
    for number, pair in enumerate(text.split(), 1):
        try:
            x, y = (float(value) for value in pair.split(","))
        except ValueError:
            raise UsageError(
                f"--polygon: corner {number} is {pair!r:.40}: give X,Y in 0..1 without a space between them, "
                f"and a space before the next one, {such}"
            ) from None
        corners.append((x, y))
    if not corners:
        raise UsageError(f"--polygon is empty: give its corners, {such}")
    try:
        return Polygon.of(corners)
    except UsageError as error:
        raise UsageError(f"--polygon: {error}") from None


def _moments(states: tuple[str, ...]) -> dict[str, list[float]]:
    """Seconds by state, of the command line."""
    from pipeline.errors import UsageError
    from pipeline.scene.zones import check_name

    found: dict[str, list[float]] = {}
    for text in states:
        name, _, given = text.partition("=")
        try:
            times_s = [float(one) for one in given.split(",")]
        except ValueError:
            times_s = []
        if not times_s or not all(0 <= time_s < float("inf") for time_s in times_s):
            raise UsageError(f"--state {text!r} is not STATE=SECONDS,SECONDS,... such as open=1.5,20,61")
        own = found.setdefault(check_name(name.strip(), "state"), [])
        own += times_s
    seen = [time_s for times_s in found.values() for time_s in times_s]
    if len(set(seen)) < len(seen):
        raise UsageError("a moment is named twice; each is an example of one state, once")
    return found
