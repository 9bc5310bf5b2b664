"""Visual words: a vocabulary of patch centroids, and matching patches to it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError

from vocab.background import one_core
from vocab.errors import VocabularyError
from vocab.kmeans import kmeans
from vocab.linear import in_tf32, linear_map
from vocab.paths import is_file

_FORMAT = "vwt-vocabulary-1"
_WORDS_AT_ONCE = 2048  # bounds the similarity table to patches x this many floats


class Match(NamedTuple):
    """The nearest word of every patch: `word` (B, N) int64, `distance` (B, N) cosine distance in 0..2."""

    word: torch.Tensor
    distance: torch.Tensor


@dataclass(frozen=True, slots=True)
class Normalisation:
    """The per-channel mean and standard deviation (of RGB in 0..1) that patches were normalised with."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Vocabulary:
    """V visual words with a version; never changed once made, and whole by then on every stream of a GPU.

    Attributes:
        words: (V, 3*P*P) float32 centroids in normalised pixel space.
        version: names the vocabulary in results; 0 for one that was never published.
        patch_size: P, derived from the words.
        normalisation: what patches must be normalised with to be matched; None when not recorded.
    """

    def __init__(
        self, words: torch.Tensor, version: int = 0, normalisation: Normalisation | None = None
    ) -> None:
        if words.ndim != 2 or len(words) == 0:
            raise VocabularyError(f"words must be (V, 3*P*P) with V > 0, got {tuple(words.shape)}")
        side = math.isqrt(words.shape[1] // 3)
        if 3 * side * side != words.shape[1]:
            raise VocabularyError(f"a word of {words.shape[1]} numbers is no patch: 3*P*P is expected")
        if not bool(words.isfinite().all()):
            raise VocabularyError("the words hold numbers that are not finite; learn the vocabulary again")
        self.words = words.detach().to(torch.float32)
        self.version = version
        self.patch_size = side
        self.normalisation = normalisation
        norms = self.words.norm(dim=1, keepdim=True)
        # A word of zeros has no direction: its similarity to everything is 0.
        directions = self.words / norms.clamp_min(1e-12)
        self._similarity = [linear_map(part) for part in directions.split(_WORDS_AT_ONCE)]
        if self.words.is_cuda:
            # Who matches may do so on another stream, which waits for nothing that was queued on this one.
            torch.cuda.current_stream(self.words.device).synchronize()

    def __len__(self) -> int:
        return len(self.words)

    def __reduce__(self) -> tuple[type[Vocabulary], tuple[torch.Tensor, int, Normalisation | None]]:
        # What is derived from the words is made again: packed weights cannot be pickled.
        return Vocabulary, (self.words, self.version, self.normalisation)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} words, patch size {self.patch_size}, version {self.version})"

    def to(self, device: torch.device | str) -> Vocabulary:
        """The same vocabulary with its words on `device`."""
        if self.words.device == torch.device(device):
            return self
        return Vocabulary(self.words.to(device), self.version, self.normalisation)

    def match(self, patches: torch.Tensor) -> Match:
        """Finds the nearest word of every patch by cosine distance (1 - cosine).

        Args:
            patches: (B, N, 3*P*P) normalised pixels, on the device of the words.

        Returns:
            The nearest word and its distance per patch. A patch of zeros is at distance 1 from every word.

        Raises:
            VocabularyError: when the patches are of another size.
        """
        if patches.shape[-1] != self.words.shape[1]:
            side = math.isqrt(patches.shape[-1] // 3)
            raise VocabularyError(
                f"a vocabulary of patch size {self.patch_size} cannot match patches of size {side}"
            )
        patches = patches.to(torch.float32)
        # A distance moves by less than a thousandth for it.
        with in_tf32(patches.device):
            best, word = self._similarity[0](patches).max(dim=-1)
            for number, similarity in enumerate(self._similarity[1:], start=1):
                part = similarity(patches).max(dim=-1)
                better = part.values > best
                best = torch.where(better, part.values, best)
                word = torch.where(better, part.indices + number * _WORDS_AT_ONCE, word)
        return Match(word, 1 - best / patches.norm(dim=-1).clamp_min(1e-12))

    @classmethod
    def learn(
        cls,
        patches: torch.Tensor,
        words: int,
        initial: Vocabulary | None = None,
        seed: int = 0,
        version: int = 0,
        normalisation: Normalisation | None = None,
        max_patches: int = 65_536,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Vocabulary:
        """Learns words by spherical k-means on normalised patches.

        The paper's k-means is Euclidean, but its words are matched by cosine distance. Learned by that
        distance, they lie nearer to patches they have not seen and merge more of them.

        Args:
            patches: (..., 3*P*P) normalised pixels.
            words: how many words to learn (fewer when the patches hold fewer distinct directions).
            initial: a vocabulary to start from; its words keep their indices. A word that no patch is
                nearest to is drawn anew, most likely from the patches matched worst.
            seed: of the random draws; equal inputs and seed give equal words.
            version, normalisation: recorded in the result.
            max_patches: more patches than this are thinned out evenly at random first.
            should_stop: asked between pieces of work of some ten milliseconds; it may wait, to leave the
                processor to others. When it says True, learning ends early with the words so far.

        Raises:
            VocabularyError: with fewer patches than words, values that are not finite, or an initial
                vocabulary of another patch size or of more words than wanted.
        """
        points = patches.detach().reshape(-1, patches.shape[-1]).to(torch.float32)
        if words < 1 or len(points) < words:
            raise VocabularyError(
                f"{words} words cannot be learned from {len(points)} patches; use more frames or fewer words"
            )
        if not bool(points.isfinite().all()):
            raise VocabularyError("the patches hold numbers that are not finite")
        if initial is not None and initial.words.shape[1] != points.shape[1]:
            raise VocabularyError(
                f"words of patch size {initial.patch_size} are no start for patches of size "
                f"{math.isqrt(points.shape[1] // 3)}; learn without initial words"
            )
        if initial is not None and len(initial) > words:
            raise VocabularyError(
                f"{words} words cannot start from {len(initial)}; ask for as many or learn without them"
            )
        if len(points) > max_patches:
            generator = torch.Generator().manual_seed(seed)
            chosen = torch.randperm(len(points), generator=generator)[: max(max_patches, words)]
            points = points[chosen.to(points.device)]
        start = None if initial is None else initial.words
        with one_core():
            learned = kmeans(points, words, start, seed=seed, should_stop=should_stop)
        return cls(learned, version, normalisation)

    def rounded(self, version: int) -> Vocabulary:
        """The same words to 11 bits, under another version: half as many bytes, see `to_bytes`.

        That moves a cosine distance by about 1e-6.
        """
        return Vocabulary(self.words.to(torch.float16), version, self.normalisation)

    def to_bytes(self) -> bytes:
        """The vocabulary as a safetensors file, with what `from_bytes` needs to check it.

        Words that are no more than float16 are written as such.
        """
        words, halves = self.words.cpu().contiguous(), self.words.cpu().to(torch.float16)
        words = halves.contiguous() if torch.equal(halves.to(torch.float32), words) else words
        metadata = {
            "format": _FORMAT,
            "version": str(self.version),
            "patch_size": str(self.patch_size),
            "sha256": _digest(words),
        }
        if self.normalisation is not None:
            metadata["mean"] = ",".join(map(repr, self.normalisation.mean))
            metadata["std"] = ",".join(map(repr, self.normalisation.std))
        return safetensors.torch.save({"words": words}, metadata)

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "these bytes") -> Vocabulary:
        """Reads what `to_bytes` made.

        Args:
            data: the bytes.
            name: what an error calls them.

        Raises:
            VocabularyError: when they are no vocabulary, or not the whole of one.
        """
        try:
            words = safetensors.torch.load(data)["words"]
            metadata = _metadata(data)
            if metadata.get("format") != _FORMAT:
                raise VocabularyError(f"{name} is a safetensors file but no vocabulary of vwt")
            if metadata["sha256"] != _digest(words):
                raise VocabularyError(f"{name} is damaged: its words do not give the hash written with them")
            vocabulary = cls(words, int(metadata["version"]), _read_normalisation(metadata))
            if str(vocabulary.patch_size) != metadata["patch_size"]:
                raise VocabularyError(f"{name} contradicts itself about its patch size; learn it again")
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise VocabularyError(f"{name} is no vocabulary: {error}") from error
        return vocabulary

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file; raises VocabularyError when it cannot be written."""
        try:
            Path(path).write_bytes(self.to_bytes())
        except OSError as error:
            raise VocabularyError(f"cannot write the vocabulary {path}: {error.strerror}") from error

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Reads a file that `save` wrote.

        Raises:
            VocabularyError: when there is no such file or it is no vocabulary.
        """
        if not is_file(path):
            raise VocabularyError(
                f"no vocabulary at {path}; make one with `vwt vocab learn SOURCE -o {path}`"
            )
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise VocabularyError(f"cannot read the vocabulary {path}: {error.strerror}") from error
        return cls.from_bytes(data, str(path))


def _digest(words: torch.Tensor) -> str:
    return hashlib.sha256(words.numpy().tobytes()).hexdigest()


def _metadata(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file: a JSON header behind its length in eight bytes."""
    length = int.from_bytes(data[:8], "little")
    return dict(json.loads(data[8 : 8 + length]).get("__metadata__", {}))


def _read_normalisation(metadata: dict[str, str]) -> Normalisation | None:
    if "mean" not in metadata:
        return None
    mean, std = (tuple(float(x) for x in metadata[key].split(",")) for key in ("mean", "std"))
    if len(mean) != 3 or len(std) != 3:
        raise KeyError("mean and std need three numbers each")
    return Normalisation(mean, std)
