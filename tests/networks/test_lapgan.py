"""LAPGAN's networks against the paper's equations and the layers of the published code."""

import pytest
import torch
from torch import Tensor, nn

from saddlepoint.errors import UserError
from saddlepoint.networks import LAPGANDiscriminator, LAPGANGenerator
from saddlepoint.networks.layers.laplacian import gaussian_pyramid, up

SHAPE, Z, N = (3, 12, 10), 4, 2


class Band(nn.Module):
    """A generator level that returns given difference images, as a perfect conditional generator would."""

    def __init__(self, shape: tuple[int, ...], band: Tensor, latent_dim: int) -> None:
        super().__init__()
        self.shape, self.band, self.latent_dim = shape, band, latent_dim

    def forward(self, z: Tensor, coarse: Tensor | None, labels: None = None) -> Tensor:
        return self.band if coarse is None else coarse + self.band


def test_parameters_of_the_published_networks_for_cifar10() -> None:
    generator, discriminator = LAPGANGenerator((3, 32, 32), 3), LAPGANDiscriminator((3, 32, 32), 3)
    fine = (4 * 49 + 1) * 64 + (64 * 49 + 1) * 64 + (64 * 25 + 1) * 3
    coarsest = 101 * 1600 + 1601 * 1600 + 1601 * 192
    assert [sum(p.numel() for p in level.parameters()) for level in generator.levels] == [fine, fine, coarsest]
    trunk = (3 * 25 + 1) * 64 + (64 * 25 + 1) * 64
    critics = [trunk + 64 * 16**2 + 1, trunk + 64 * 8**2 + 1, 193 * 1600 + 1601 * 1600 + 1601]
    assert [sum(p.numel() for p in level.parameters()) for level in discriminator.levels] == critics
    assert generator.latent_dim == 100 + 16**2 + 32**2
    assert generator.latent_dims() == [100, 256, 1024]
    assert generator.latent_dims(1) == [100, 256]


def test_images_are_generated_from_the_coarsest_level_to_the_finest() -> None:
    generator = LAPGANGenerator(SHAPE, 3, Z, 4, 8)
    z = torch.randn(N, generator.latent_dim)
    z_2, z_1, z_0 = z.split([Z, 6 * 5, 12 * 10], 1)
    finest, middle, coarsest = generator.levels
    image = coarsest.trunk(z_2).reshape(N, 3, 3, 3)
    for level, noise, size in ((middle, z_1, (6, 5)), (finest, z_0, (12, 10))):
        enlarged = nn.functional.interpolate(image, size, mode="bilinear")
        image = enlarged + level.trunk(torch.cat([enlarged, noise.reshape(N, 1, *size)], 1))
    torch.testing.assert_close(generator.stages(z)[-1], image)
    torch.testing.assert_close(generator(z), image.clamp(-1, 1))
    torch.testing.assert_close(generator.stages(z[:, :34], finest=1)[-1], generator.stages(z)[1])


def test_a_generator_of_nothing_enlarges_the_coarsest_image() -> None:
    generator = LAPGANGenerator((1, 16, 16), 3, Z, 4, 8)
    for level in generator.levels[:2]:
        for parameter in level.parameters():
            nn.init.zeros_(parameter)
    coarsest, *finer = generator.stages(torch.randn(N, generator.latent_dim))
    torch.testing.assert_close(finer[0], up(coarsest, (8, 8)))
    torch.testing.assert_close(finer[1], up(up(coarsest, (8, 8)), (16, 16)))


def test_the_real_bands_give_the_real_image() -> None:
    x = torch.rand(N, *SHAPE) * 2 - 1
    generator = LAPGANGenerator(SHAPE, 3, Z, 4, 8)
    finest, middle, coarsest = gaussian_pyramid(x, 3)
    bands = [finest - up(middle, finest.shape[2:]), middle - up(coarsest, middle.shape[2:]), coarsest]
    levels = zip(generator.levels, bands, strict=True)
    generator.levels = nn.ModuleList(Band(level.shape, band, level.latent_dim) for level, band in levels)  # type: ignore[arg-type]
    stages = generator.stages(torch.zeros(N, generator.latent_dim))
    for found, expected in zip(stages, reversed(gaussian_pyramid(x, 3)), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-7)


def test_labels_are_a_linear_map_of_their_one_hot_code_to_a_plane() -> None:
    generator = LAPGANGenerator(SHAPE, 2, Z, 4, 8, "concat", 3)
    discriminator = LAPGANDiscriminator(SHAPE, 2, 4, 8, 0.0, "concat", 3)
    labels, images = torch.tensor([2, 0]), torch.randn(N, *SHAPE)
    plane = discriminator.levels[0].labels.plane.weight[:, labels].T.reshape(N, 1, 12, 10)  # type: ignore[union-attr]
    trunk = discriminator.levels[0].trunk
    expected = trunk(torch.cat([images, plane], 1))
    torch.testing.assert_close(discriminator.levels[0](images, labels).features, expected)
    z = torch.randn(N, Z)
    plane = generator.levels[1].labels.plane.weight[:, labels].T  # type: ignore[union-attr]
    expected = generator.levels[1].trunk(torch.cat([z, plane], 1)).reshape(N, 3, 6, 5)
    torch.testing.assert_close(generator.levels[1](z, None, labels), expected)
    with pytest.raises(UserError) as refused:
        LAPGANGenerator(SHAPE, 2, Z, 4, 8, "concat", 0)
    assert refused.value.key == "conditioning"
    with pytest.raises(UserError, match="got no labels"):
        generator(torch.randn(N, generator.latent_dim))


@pytest.mark.parametrize(("size", "most"), [((8, 8), 3), ((32, 28), 5), ((3, 64), 2)])
def test_the_coarsest_level_has_at_least_two_pixels(size: tuple[int, int], most: int) -> None:
    generator = LAPGANGenerator((1, *size), most, Z, 2, 4)
    assert generator(torch.randn(N, generator.latent_dim)).shape == (N, 1, *size)
    with pytest.raises(UserError) as refused:
        LAPGANDiscriminator((1, *size), most + 1)
    assert refused.value.key == "levels"
    assert f"set it to {most} or less" in str(refused.value)
