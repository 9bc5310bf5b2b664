"""What counts as another scene."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.frame import Pixels
from pipeline.guard.alarm import Alarm
from tests.workers.inference.examples import clip


def images(name: str, count: int) -> list[Pixels]:
    return [frame.image for frame in clip(count=count, clip=name)]


@pytest.mark.parametrize("name", ["sample:carphone", "sample:bunny"])
def test_motion_as_usual_is_no_alarm(name: str) -> None:
    alarm = Alarm()
    assert not any(alarm.rings(image) for image in images(name, 16))


def test_a_cut_is_one_and_what_follows_it_is_none() -> None:
    alarm = Alarm()
    for image in images("sample:carphone", 16) * 4:
        alarm.rings(image)
    # As large as those before: what differs is the scene.
    other = [np.ascontiguousarray(image[:, ::-1]) for image in images("sample:carphone", 12)]
    assert [alarm.rings(image) for image in other[:5]] == [True, False, False, False, False]


def test_another_size_is_another_scene() -> None:
    alarm = Alarm()
    assert not alarm.rings(np.zeros((64, 64, 3), np.uint8))
    assert alarm.rings(np.zeros((32, 64, 3), np.uint8))


def test_noise_of_a_dark_camera_is_none() -> None:
    alarm, noise = Alarm(), np.random.default_rng(1)
    most = [6 if number == 100 else 3 for number in range(120)]
    frames = [noise.integers(0, grey, (64, 64, 3), dtype=np.uint8) for grey in most]
    assert not any(alarm.rings(frame) for frame in frames)
