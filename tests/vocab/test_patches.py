import pytest
import torch

from vocab.patches import patchify


def test_a_patch_is_channel_major_and_patches_are_in_raster_order():
    images = torch.arange(2 * 3 * 4 * 6, dtype=torch.float32).reshape(2, 3, 4, 6)

    patches = patchify(images, 2)

    assert patches.shape == (2, 6, 12)
    assert torch.equal(patches[1, 4], images[1, :, 2:4, 2:4].flatten())


def test_patches_give_the_same_embedding_as_the_convolution_of_a_vision_transformer():
    torch.manual_seed(0)
    images, weight = torch.randn(2, 3, 28, 42), torch.randn(8, 3, 14, 14)

    convolved = torch.nn.functional.conv2d(images, weight, stride=14).flatten(2).transpose(1, 2)

    torch.testing.assert_close(patchify(images, 14) @ weight.flatten(1).T, convolved, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "says"),
    [((1, 3, 30, 28), "30x28 does not divide into patches of 14"), ((3, 28, 28), r"got \(3, 28, 28\)")],
)
def test_images_that_do_not_divide_are_refused(shape, says):
    with pytest.raises(ValueError, match=says):
        patchify(torch.zeros(shape), 14)
