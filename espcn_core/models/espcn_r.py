"""Our network: thin layers in coarse space whose sub-pixels are added to the bicubic upscaling."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from espcn_core.models.shuffle import sub_pixel_shuffle


class EspcnR(nn.Module):
    """A residual ESPCN: 3x3 convolutions with PReLU, a sub-pixel shuffle, added to the bicubic upscaling.

    The end is linear, so nothing saturates and values outside of the training range survive. The last layer
    starts at zero: an untrained network is exactly `torch.nn.functional.interpolate(mode="bicubic")`.

    Parameters
    ----------
    factor : (r_row, r_col)
        Fine pixels per coarse pixel along each axis.
    channels : int
        Channels of the image, C.
    width : int
        Channels of the inner layers.
    depth : int
        Number of inner layers, between the first one (C to ``width``) and the sub-pixels.
    """

    def __init__(
        self, factor: tuple[int, int], *, channels: int = 1, width: int = 32, depth: int = 6
    ) -> None:
        super().__init__()
        self.factor = factor
        layers: list[nn.Module] = []
        for inputs in [channels, *[width] * depth]:
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.PReLU(width, init=0.1)]
        self.body = nn.Sequential(*layers)
        for layer in layers[::2]:
            assert isinstance(layer, nn.Conv2d)
            nn.init.kaiming_normal_(layer.weight, a=0.1)
        self.sub_pixels = nn.Conv2d(width, channels * factor[0] * factor[1], 3, padding=1)
        nn.init.zeros_(self.sub_pixels.weight)
        nn.init.zeros_(self.sub_pixels.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H r_row, W r_col)."""
        size = (x.shape[-2] * self.factor[0], x.shape[-1] * self.factor[1])
        smooth = functional.interpolate(x, size, mode="bicubic", align_corners=False)
        return smooth + sub_pixel_shuffle(self.sub_pixels(self.body(x)), self.factor).to(smooth.dtype)
