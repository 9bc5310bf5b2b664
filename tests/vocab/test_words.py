import pytest
import torch
from safetensors.torch import save_file

from vocab.errors import VocabularyError
from vocab.words import Normalisation, Vocabulary

PATCH = 3 * 4 * 4


def patches(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, PATCH, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("words", [7, 2048, 5000])
def test_match_finds_the_nearest_word_by_cosine(words):
    vocabulary, seen = Vocabulary(patches(words)), patches(40, seed=1).reshape(2, 20, PATCH)

    match = vocabulary.match(seen)

    distance = 1 - torch.nn.functional.cosine_similarity(seen[:, :, None], vocabulary.words, dim=-1)
    assert torch.equal(match.word, distance.argmin(dim=-1))
    torch.testing.assert_close(match.distance, distance.amin(dim=-1), atol=1e-5, rtol=0)


def test_a_patch_of_zeros_is_near_no_word():
    match = Vocabulary(patches(5)).match(torch.zeros(1, 1, PATCH))

    assert match.distance.item() == 1


def test_patches_of_another_size_are_refused_by_name():
    with pytest.raises(VocabularyError, match="patch size 4 cannot match patches of size 2"):
        Vocabulary(patches(5)).match(torch.zeros(1, 1, 12))


def test_learned_words_are_the_centres_of_well_parted_clusters():
    centres = 50 * patches(6)
    members = (centres[:, None] + patches(180).reshape(6, 30, PATCH)).flatten(0, 1)

    learned = Vocabulary.learn(members, words=6, seed=3)

    means = members.reshape(6, 30, PATCH).mean(dim=1)
    assert torch.cdist(means, learned.words).amin(dim=1).max() < 0.1


def test_learning_is_deterministic_for_a_seed():
    points = patches(500)

    first, second, other = (Vocabulary.learn(points, 20, seed=seed).words for seed in (1, 1, 2))

    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_learning_lowers_the_distance_of_unseen_patches_below_that_of_words_drawn_at_random():
    torch.manual_seed(0)
    mixing = torch.randn(5, PATCH)
    points = torch.randn(2000, 5) @ mixing
    unseen = torch.randn(500, 5) @ mixing

    learned = Vocabulary.learn(points, 50).match(unseen[None]).distance.mean()
    drawn = Vocabulary(points[:50]).match(unseen[None]).distance.mean()

    assert learned < drawn


def test_a_warm_start_keeps_the_index_of_a_word_that_keeps_its_meaning():
    centres = 50 * patches(6)
    members = (centres[:, None] + patches(180).reshape(6, 30, PATCH)).flatten(0, 1)
    before = Vocabulary(centres + patches(6, seed=5))

    after = Vocabulary.learn(members, words=6, initial=before)

    assert torch.cdist(before.words, after.words).argmin(dim=1).tolist() == list(range(6))


def test_identical_patches_give_no_more_words_than_there_are_values():
    points = patches(3).repeat(100, 1)

    assert len(Vocabulary.learn(points, words=50)) == 3


def test_patches_that_are_all_zero_give_one_word():
    assert len(Vocabulary.learn(torch.zeros(10, PATCH), words=4)) == 1


def test_fewer_patches_than_words_are_refused():
    with pytest.raises(VocabularyError, match="100 words cannot be learned from 20 patches"):
        Vocabulary.learn(patches(20), words=100)


@pytest.mark.parametrize(
    ("initial", "says"),
    [
        (torch.ones(4, 12), "patch size 2 are no start for patches of size 4"),
        (patches(9), "8 words cannot start from 9"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(initial, says):
    with pytest.raises(VocabularyError, match=says):
        Vocabulary.learn(patches(100), 8, initial=Vocabulary(initial))


def test_numbers_that_are_not_finite_are_refused():
    broken = patches(20)
    broken[3, 3] = float("nan")

    with pytest.raises(VocabularyError, match="not finite"):
        Vocabulary.learn(broken, words=4)
    with pytest.raises(VocabularyError, match="not finite"):
        Vocabulary(broken)


def test_more_patches_than_are_wanted_are_thinned_first():
    points = patches(5000)

    learned = Vocabulary.learn(points, 10, max_patches=500)

    assert len(learned) == 10


def test_a_saved_vocabulary_comes_back_whole(tmp_path):
    path = tmp_path / "words.safetensors"
    scale = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    saved = Vocabulary(patches(9), version=3, normalisation=scale)

    saved.save(path)
    loaded = Vocabulary.load(path)

    assert torch.equal(loaded.words, saved.words)
    assert (loaded.version, loaded.patch_size, loaded.normalisation) == (3, 4, scale)


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "no vocabulary at"), (b"not safetensors", "is no vocabulary"), (b"", "is no vocabulary")],
)
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path, content, says):
    path = tmp_path / "words.safetensors"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(VocabularyError, match=says):
        Vocabulary.load(path)


def test_foreign_safetensors_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"words": patches(5)}, path)

    with pytest.raises(VocabularyError, match="no vocabulary of vwt"):
        Vocabulary.load(path)


def test_a_vocabulary_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(VocabularyError, match="cannot write the vocabulary"):
        Vocabulary(patches(5)).save(tmp_path / "no" / "folder" / "words.safetensors")


@pytest.mark.parametrize("shape", [(0, 48), (48,), (5, 50)])
def test_words_that_are_no_patches_are_refused(shape):
    with pytest.raises(VocabularyError):
        Vocabulary(torch.ones(shape))


def test_every_damaged_byte_of_the_words_is_noticed():
    data = bytearray(Vocabulary(patches(9)).to_bytes())
    for position in range(len(data) - 9 * PATCH * 4, len(data), 97):
        damaged = bytearray(data)
        damaged[position] ^= 1

        with pytest.raises(VocabularyError):
            Vocabulary.from_bytes(bytes(damaged))


def test_rounded_words_take_half_the_bytes_and_match_as_before():
    vocabulary, some = Vocabulary(patches(200)), patches(1000, seed=1)[None]
    rounded = vocabulary.rounded(version=4)
    assert rounded.version == 4
    assert torch.equal(Vocabulary.from_bytes(rounded.to_bytes()).words, rounded.words)
    assert torch.equal(Vocabulary.from_bytes(vocabulary.to_bytes()).words, vocabulary.words)
    assert len(rounded.to_bytes()) < 0.51 * len(vocabulary.to_bytes())
    before, after = vocabulary.match(some), rounded.match(some)
    assert (before.distance - after.distance).abs().max() < 3e-4
    assert (before.word == after.word).float().mean() > 0.998


@pytest.mark.parametrize("length", [0, 7, 8, 100, -1])
def test_a_part_of_a_vocabulary_is_refused(length):
    data = Vocabulary(patches(9)).to_bytes()

    with pytest.raises(VocabularyError, match="key vwt:cam:vocab:3 is"):
        Vocabulary.from_bytes(data[:length], "key vwt:cam:vocab:3")


def test_rounding_to_tf32_moves_a_distance_by_less_than_a_thousandth():
    """As a GPU rounds what it multiplies: to 10 bits behind the first."""

    def rounded(values):
        bits = values.view(torch.int32)
        return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)

    drawn = torch.randn(600, 768, generator=torch.Generator().manual_seed(0))
    near = drawn[:300] + 0.3 * drawn[300:]
    words, exact = drawn[:300], torch.nn.functional.cosine_similarity(near, drawn[:300])
    lengths = words.norm(dim=1), near.norm(dim=1)

    products = (rounded(near) * rounded(words / lengths[0][:, None])).sum(dim=1) / lengths[1]

    assert 0 < float((products - exact).abs().max()) < 1e-3
