import pytest
import torch
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits
from torch.nn.functional import normalize

from pipeline.input_spec import InputSpec
from pipeline.preprocess import Preprocessor
from pipeline.sources import SourceOptions, open_source, parse_source
from vocab.kmeans import kmeans
from vocab.patches import patchify

SIZE = 48


def noise(count, seed=0):
    return torch.randn(count, SIZE, generator=torch.Generator().manual_seed(seed))


def distance(points, centres):
    """Mean cosine distance of the points to their nearest centres."""
    return float(1 - (normalize(points, dim=1) @ normalize(centres, dim=1).T).amax(dim=1).mean())


@pytest.fixture(scope="module")
def clip():
    """Normalised 16x16 patches of 48 frames of a real clip: those to learn from, and those held out."""
    preprocess = Preprocessor(InputSpec(112, 112))
    source = open_source(parse_source("sample:carphone"), SourceOptions(), lambda _: None)
    images = [preprocess(decoded.picture)[0] for decoded in source.frames()][:96:2]
    source.close()
    pixels = torch.stack([torch.from_numpy(image) for image in images]).permute(0, 3, 1, 2) / 127.5 - 1
    patches = patchify(pixels, 16)
    held_out = torch.arange(len(patches)) % 3 == 2
    return patches[~held_out].flatten(0, 1), patches[held_out].flatten(0, 1)


def test_held_out_patches_are_as_near_as_to_the_clusters_of_scikit_learn(clip):
    learned_from, held_out = clip
    with threadpool_limits(1):
        theirs = MiniBatchKMeans(100, random_state=0).fit(learned_from)
        theirs_by_direction = MiniBatchKMeans(100, random_state=0).fit(normalize(learned_from, dim=1))

    ours = distance(held_out, kmeans(learned_from, 100))

    for other in (theirs, theirs_by_direction):
        centres = torch.from_numpy(other.cluster_centers_).float()
        assert ours <= 1.02 * distance(held_out, centres)


def test_centres_do_not_depend_on_the_number_of_threads(clip):
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(kmeans(clip[0], 40, passes=2))
    torch.set_num_threads(before)

    assert torch.equal(*found)


def test_a_warm_start_brings_the_points_nearer_and_no_centre_to_another_index(clip):
    before = clip[0][:: len(clip[0]) // 50][:50]

    after = kmeans(clip[0], 50, initial=before)

    assert distance(clip[0], after) < distance(clip[0], before)
    similarity = normalize(before, dim=1) @ normalize(after, dim=1).T
    assert (similarity.diagonal() > similarity.mean(dim=1)).all()


def test_more_passes_bring_the_points_nearer(clip):
    by_passes = [distance(clip[0], kmeans(clip[0], 30, passes=passes, tolerance=0)) for passes in (1, 3, 9)]

    assert by_passes == sorted(by_passes, reverse=True)
    assert by_passes[0] > by_passes[-1]


def test_a_centre_without_points_moves_to_the_points_matched_worst():
    places = 50 * noise(4)
    members = (places[:, None] + noise(80, seed=1).reshape(4, 20, SIZE)).flatten(0, 1)
    nowhere = -places.sum(dim=0)
    initial = torch.stack([places[0], nowhere, places[1], places[2]])

    moved = kmeans(members, 4, initial=initial)

    nearest = (normalize(moved, dim=1) @ normalize(places, dim=1).T).argmax(dim=1)
    assert nearest.tolist() == [0, 3, 1, 2]


def test_a_start_with_fewer_centres_is_filled_up():
    places = 50 * noise(6)
    members = (places[:, None] + noise(120, seed=1).reshape(6, 20, SIZE)).flatten(0, 1)

    centres = kmeans(members, 6, initial=places[:2])

    nearest = (normalize(centres, dim=1) @ normalize(places, dim=1).T).argmax(dim=1).tolist()
    assert nearest[:2] == [0, 1]
    assert sorted(nearest) == list(range(6))


def test_a_centre_is_as_long_as_its_points_in_the_mean():
    direction = normalize(noise(1), dim=1)

    centres = kmeans(torch.cat([2 * direction, 4 * direction, -5 * direction]), 2)

    assert sorted(centres.norm(dim=1).tolist()) == pytest.approx([3, 5])


def test_points_of_one_direction_are_one_centre():
    points = noise(1) * torch.linspace(0.1, 10, 200)[:, None]

    assert len(kmeans(points, 20)) == 1


def test_repeated_points_give_each_distinct_one_a_centre():
    points = noise(40)

    centres = kmeans(points.repeat(30, 1), 60)

    assert len(centres) == 40
    assert distance(points, centres) < 1e-5


def test_points_of_no_length_are_left_out():
    points = noise(300)

    with_zeros = kmeans(torch.cat([torch.zeros(50, SIZE), points, torch.zeros(50, SIZE)]), 10)

    assert torch.equal(with_zeros, kmeans(points, 10))


def test_initial_centres_stay_where_there_is_nothing_to_learn_from():
    initial = noise(3)

    assert torch.equal(kmeans(torch.zeros(20, SIZE), 3, initial=initial), initial)
    assert len(kmeans(noise(1).repeat(20, 1), 3, initial=initial)) == 3


@pytest.mark.parametrize("asked", [1, 2, 7, 12, 20])
def test_learning_that_is_stopped_gives_the_centres_it_has(asked):
    points, answers = noise(9000), iter([False] * (asked - 1) + [True] * 1000)
    calls = []

    centres = kmeans(points, 100, should_stop=lambda: calls.append(None) or next(answers))

    assert 1 <= len(centres) <= 100
    assert centres.isfinite().all()
    assert len(calls) <= asked + 3
