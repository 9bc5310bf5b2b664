import numpy as np
import pytest
import torch

from tests.vocab.servers import KINDS, Server
from vocab.connection import connect
from vocab.errors import VocabularyError
from vocab.patches import patchify
from vocab.redis_window import RedisWindow
from vocab.window import MemoryWindow, PatchSampler, WindowOptions

SIZE = 4
BYTES = 3 * SIZE * SIZE


def frame(number: int, patches: int = 5) -> np.ndarray:
    """Patches that tell their frame and their place in it."""
    return np.stack([np.full(BYTES, 10 * number + place, np.uint8) for place in range(patches)])


@pytest.fixture(params=["memory", *KINDS])
def make_window(request):
    """Makes windows of the same scope, once of each implementation."""
    if request.param == "memory":
        yield lambda options: MemoryWindow(options, SIZE)
        return
    server = Server(request.param)
    client = connect(server.url)
    yield lambda options: RedisWindow(client, "cam", SIZE, options)
    server.close()


def test_an_empty_window_reads_as_no_patches(make_window):
    window = make_window(WindowOptions())

    assert window.read().shape == (0, BYTES)
    assert window.read().dtype == np.uint8
    assert window.size() == 0


def test_everything_in_a_window_is_read_oldest_first(make_window):
    window = make_window(WindowOptions(patches_per_frame=5))
    for number in range(4):
        window.add(frame(number))

    assert np.array_equal(window.read(), np.concatenate([frame(number) for number in range(4)]))
    assert window.size() == 20


def test_the_oldest_frames_go_when_there_are_too_many_patches(make_window):
    window = make_window(WindowOptions(patches_per_frame=5, max_patches=12))
    for number in range(4):
        window.add(frame(number))

    assert np.array_equal(window.read(), np.concatenate([frame(2), frame(3)]))
    assert window.size() == 10


def test_the_oldest_frames_go_when_there_are_too_many_bytes(make_window):
    window = make_window(WindowOptions(patches_per_frame=5, max_bytes=11 * BYTES))
    for number in range(4):
        window.add(frame(number))

    assert np.array_equal(window.read(), np.concatenate([frame(2), frame(3)]))


def test_frames_with_fewer_patches_than_allowed_are_counted_by_what_they_hold(make_window):
    window = make_window(WindowOptions(patches_per_frame=5))
    for number in range(3):
        window.add(frame(number, patches=2))

    assert window.size() == 6


def test_more_patches_than_a_frame_may_have_do_not_break_the_limits(make_window):
    window = make_window(WindowOptions(patches_per_frame=5, max_patches=10))

    window.add(np.concatenate([frame(number) for number in range(6)]))

    assert np.array_equal(window.read(), np.concatenate([frame(4), frame(5)]))


def test_what_is_added_is_not_changed_by_its_writer_afterwards(make_window):
    window, patches = make_window(WindowOptions()), frame(1)
    window.add(patches)
    patches[:] = 0

    assert np.array_equal(window.read(), frame(1))


@pytest.mark.parametrize(
    "patches", [np.zeros((3, 12), np.uint8), np.zeros((3, BYTES)), np.zeros(3, np.uint8)]
)
def test_patches_of_another_shape_or_type_are_refused(make_window, patches):
    with pytest.raises(VocabularyError, match="takes uint8"):
        make_window(WindowOptions()).add(patches)


def test_the_defaults_cost_what_their_docstring_says():
    options = WindowOptions()

    assert 1000 * options.bytes_per_s(16) == pytest.approx(24.6e6, rel=0.01)
    assert 1000 * options.bytes_per_s(14) == pytest.approx(18.8e6, rel=0.01)
    frames = options.max_frames(16)
    assert frames / options.frames_per_s == pytest.approx(7.5 * 60, rel=0.01)
    assert 1000 * frames * options.patches_per_frame * 768 == pytest.approx(11e9, rel=0.01)
    for patch_size in (8, 14, 16, 32):
        held = options.max_frames(patch_size) * options.patches_per_frame
        assert held <= options.max_patches
        assert held * 3 * patch_size**2 <= options.max_bytes


@pytest.mark.parametrize(
    "wrong",
    [{"frames_per_s": 0}, {"frames_per_s": float("nan")}, {"patches_per_frame": 0}, {"max_patches": 63}],
)
def test_options_that_sample_or_hold_nothing_are_refused(wrong):
    with pytest.raises(VocabularyError):
        WindowOptions(**wrong)


def test_a_window_too_small_for_one_frame_of_large_patches_is_refused():
    with pytest.raises(VocabularyError, match="raise max_bytes or lower patches_per_frame"):
        MemoryWindow(WindowOptions(max_bytes=100_000), 32)


def image(height: int = 24, width: int = 40) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def test_sampled_patches_are_laid_out_as_patchify_lays_them_out():
    picture = image()

    drawn = PatchSampler(WindowOptions(patches_per_frame=60), SIZE).take(picture, 0.0)

    expected = patchify(torch.from_numpy(picture).permute(2, 0, 1)[None], SIZE)[0].numpy()
    assert drawn.dtype == np.uint8
    assert {p.tobytes() for p in drawn} == {p.tobytes() for p in expected}
    assert len(drawn) == len(expected) == 60


def test_patches_are_drawn_uniformly_without_replacement():
    places = np.zeros((24, 40, 3), np.uint8)
    places[::4, ::4, 0] = np.arange(60).reshape(6, 10)
    sampler = PatchSampler(WindowOptions(patches_per_frame=15, frames_per_s=1), SIZE, seed=3)

    draws = [sampler.take(places, float(second))[:, 0] for second in range(2000)]

    assert all(len(set(draw)) == 15 for draw in draws)
    counts = np.bincount(np.concatenate(draws), minlength=60)
    # Each patch is drawn with probability 1/4; 5 standard deviations of a binomial count.
    assert np.abs(counts - 500).max() < 5 * np.sqrt(2000 / 4 * 3 / 4)


def test_an_image_with_few_patches_gives_all_of_them():
    assert PatchSampler(WindowOptions(), SIZE).take(image(8, 8), 0.0).shape == (4, BYTES)


def test_equal_seeds_draw_equal_patches():
    draws = [
        PatchSampler(WindowOptions(patches_per_frame=9), SIZE, seed).take(image(), 0) for seed in (1, 1, 2)
    ]

    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def taken(times: list[float], frames_per_s: float) -> list[float]:
    sampler = PatchSampler(WindowOptions(frames_per_s=frames_per_s), SIZE)
    return [at for at in times if sampler.take(image(), at) is not None]


@pytest.mark.parametrize("rate", [5, 24, 29.97, 60])
def test_frames_are_taken_on_a_regular_grid_at_any_frame_rate(rate):
    times = [7.3 + number / rate for number in range(int(20 * rate))]

    chosen = taken(times, 0.5)

    assert len(chosen) == 10
    assert np.allclose(np.diff(chosen), 2, atol=1 / rate + 0.01)


def test_a_gap_is_not_made_up_for_by_a_burst():
    times = [0, 1, 2, 3, *(30 + number / 10 for number in range(40))]

    assert taken(times, 0.5) == [0, 2, 30, 32]


def test_a_clock_that_starts_again_is_followed_and_a_small_step_back_is_not():
    assert taken([100, 101, 100.5, 102, 101.9, 0, 1, 2], 0.5) == [100, 102, 0, 2]


def test_an_image_that_does_not_divide_into_patches_is_refused():
    with pytest.raises(VocabularyError, match="does not divide into patches of 4"):
        PatchSampler(WindowOptions(), SIZE).take(image(24, 42), 0.0)


def test_a_sample_is_spread_over_the_window_and_holds_whole_frames(make_window):
    window = make_window(WindowOptions(patches_per_frame=4, max_patches=400))
    assert window.sample(8).shape == (0, BYTES)
    for number in range(100):
        window.add(np.full((4, BYTES), number, np.uint8))
    frames = window.sample(8)[::4, 0].tolist()
    assert len(frames) <= 8
    assert frames == sorted(set(frames))
    assert frames[0] == 0
    assert len(window.sample(1000)) == 400


def test_the_newest_entry_has_another_name_whenever_the_window_has_changed(make_window):
    window = make_window(WindowOptions(patches_per_frame=4, max_patches=8))
    assert window.newest() is None
    seen = []
    for _ in range(5):
        window.add(np.zeros((4, BYTES), np.uint8))
        assert window.newest() == window.newest()
        seen.append(window.newest())
    assert len(set(seen)) == 5
