"""The tokenizers against vectors made with the paper authors' library on real frames."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.tokenizers import InterTokenizer, IntraTokenizer
from vocab.words import Vocabulary

VECTORS = sorted((Path(__file__).parent / "conformance").glob("*_p*_v*.npz"))


class Vectors:
    """One file of vectors, its frames normalised and embedded as it says."""

    def __init__(self, path: Path) -> None:
        self.data = np.load(path)
        self.patch_size = int(self["patch_size"])
        mean, std = (self[key].view(1, 3, 1, 1) for key in ("mean", "std"))
        self.images = (self["frames"].permute(0, 3, 1, 2) / 255 - mean) / std
        embedded = torch.nn.functional.conv2d(
            self.images, self["proj_weight"], self["proj_bias"], stride=self.patch_size
        )
        tokens = embedded.flatten(2).transpose(1, 2)
        self.tokens = (
            torch.cat([self["cls_token"].expand(len(tokens), -1, -1), tokens], dim=1) + self["pos_embed"]
        )

    def __getitem__(self, key: str) -> torch.Tensor:
        return torch.from_numpy(self.data[key])


@pytest.fixture(params=VECTORS, ids=lambda path: path.stem, scope="module")
def vectors(request):
    return Vectors(request.param)


def test_both_files_of_vectors_are_here():
    assert len(VECTORS) == 2


def test_inter_gives_the_groups_and_tokens_of_the_paper(vectors):
    vocabulary = Vocabulary(vectors["words"])
    for threshold in (round(float(t), 4) for t in vectors["thresholds"]):
        plan = InterTokenizer(vocabulary, threshold).plan(vectors.images, vectors.patch_size)
        packed = plan.apply(vectors.tokens, prefix=1).split(plan.lengths.tolist())
        for image, tokens in enumerate(packed):
            assert torch.equal(plan.group[image], vectors[f"inter_{threshold}_{image}_group"])
            torch.testing.assert_close(
                tokens, vectors[f"inter_{threshold}_{image}_tokens"], atol=1e-5, rtol=0
            )


def test_intra_keeps_the_patches_and_tokens_of_the_paper(vectors):
    for count in vectors["top_ks"].tolist():
        tokenizer = IntraTokenizer(drop=1 - count / (vectors.tokens.shape[1] - 1))
        plan = tokenizer.plan(vectors.images, vectors.patch_size)
        packed = plan.apply(vectors.tokens).unflatten(0, (len(vectors.images), -1))
        for image, dropped in enumerate(plan.dropped):
            assert torch.equal((~dropped).nonzero().flatten(), vectors[f"intra_{count}_kept"][image])
        torch.testing.assert_close(packed, vectors[f"intra_{count}_tokens"], atol=1e-5, rtol=0)
