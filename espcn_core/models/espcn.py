"""The reference network: four convolutions in coarse space, tanh, a sub-pixel shuffle and a sigmoid."""

from __future__ import annotations

from torch import Tensor, nn

from espcn_core.models.shuffle import start_sub_pixels_equal, sub_pixel_shuffle


class Espcn(nn.Module):
    """Convolutions 64 5x5 tanh, 64 3x3 tanh, 32 3x3 tanh, C r_row r_col 3x3, shuffle, sigmoid.

    The network of the brain tumor study that this project follows; 58,212 parameters at a factor of (2, 2)
    and one channel. Its output lies strictly between 0 and 1.

    Parameters
    ----------
    factor : (r_row, r_col)
        Fine pixels per coarse pixel along each axis.
    channels : int
        Channels of the image, C.
    """

    def __init__(self, factor: tuple[int, int], *, channels: int = 1) -> None:
        super().__init__()
        self.factor = factor
        self.body = nn.Sequential(
            nn.Conv2d(channels, 64, 5, padding=2),
            nn.Tanh(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(64, 32, 3, padding=1),
            nn.Tanh(),
        )
        self.sub_pixels = nn.Conv2d(32, channels * factor[0] * factor[1], 3, padding=1)
        start_sub_pixels_equal(self.sub_pixels, factor)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) in the range 0 .. 1 to (B, C, H r_row, W r_col)."""
        return sub_pixel_shuffle(self.sub_pixels(self.body(x)), self.factor).sigmoid()
