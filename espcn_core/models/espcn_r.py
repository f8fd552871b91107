"""Our network: thin layers in coarse space whose sub-pixels are added to the bicubic upscaling."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from espcn_core.models.adaptation import Adaptation
from espcn_core.models.bicubic import REACH, bicubic_sub_pixels
from espcn_core.models.fingerprint import length
from espcn_core.models.mirror import tie, untied
from espcn_core.models.shuffle import crop, sub_pixel_shuffle


class EspcnR(nn.Module):
    """A residual ESPCN: 3x3 convolutions with ReLU, a sub-pixel shuffle, added to the bicubic upscaling.

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
    activation : {"relu", "prelu"}
        After each of these layers. PReLU has a slope of its own for each channel and takes more time.
    adaptive : bool
        Whether the channels are scaled by what is known of the volume as a whole
        (`espcn_core.models.fingerprint`). `adapted` puts that into the layers, once for a volume, so it
        costs no time and leaves no seams.
    mirrored : bool
        Whether a mirrored image, left to right, gives the mirrored result, for one half of each layer mirrors
        the other (`espcn_core.models.mirror`). So there are half as many weights as multiplications. The
        columns of ``factor`` and ``width`` must be even then, and there can be one channel only.
    jitter : float
        Standard deviation of the noise that a training adds to what is known of a volume, in units of its own
        spread, so that a network does not rely on what only the heads of its training have in common.
    roughness : float
        Standard deviation of the relative noise that a training puts between the layers, so that a network is
        not upset by the roundings of bfloat16, which are of 0.001.
    """

    def __init__(
        self,
        factor: tuple[int, int],
        *,
        channels: int = 1,
        width: int = 32,
        depth: int = 6,
        activation: str = "relu",
        adaptive: bool = False,
        mirrored: bool = False,
        jitter: float = 0.0,
        roughness: float = 0.0,
    ) -> None:
        super().__init__()
        self.factor = factor
        self.roughness = roughness
        if activation not in ("relu", "prelu"):
            raise ValueError(f"activation is {activation!r}: it must be relu or prelu")
        if mirrored and (channels != 1 or activation != "relu" or width % 2 or factor[1] % 2):
            raise ValueError("a mirrored network has one channel, relu, and an even width and factor")
        layers: list[nn.Module] = []
        for inputs in [channels, *[width] * depth]:
            layers.append(nn.Conv2d(inputs, width, 3, padding=1))
            layers.append(nn.ReLU(inplace=True) if activation == "relu" else nn.PReLU(width, init=0.1))
        self.body = nn.Sequential(*layers)
        for layer in self.convolutions():
            nn.init.kaiming_normal_(layer.weight, a=0.1)
        self.sub_pixels = nn.Conv2d(width, channels * factor[0] * factor[1], 3, padding=1)
        nn.init.zeros_(self.sub_pixels.weight)
        nn.init.zeros_(self.sub_pixels.bias)  # type: ignore[arg-type]
        self.thick = factor[1] / factor[0]
        shape = length(self.thick != 1), depth + 1, width
        self.adaptation = Adaptation(*shape, mirrored=mirrored, jitter=jitter) if adaptive else None
        self.mirrored = mirrored
        if mirrored:
            for layer in self.layers():
                tie(layer, self.group(layer))

    def forward(self, x: Tensor, fingerprint: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to (B, C, H r_row, W r_col); ``fingerprint``, (B, n), is for adaptive ones."""
        scales = None
        if self.adaptation is not None and fingerprint is not None:
            scales = self.adaptation(fingerprint)[..., None, None]
        rough = self.training and self.roughness > 0
        if scales is None and not rough:
            return self.added(x, self.sub_pixels(self._features(x)))
        features = x
        for number, layer in enumerate(self.body):
            features = layer(features)
            if isinstance(layer, nn.Conv2d):
                if scales is not None:
                    features = features * scales[:, number // 2].to(features.dtype)
            elif rough:
                # Uniform, and the same for all images of a batch: so it takes little time.
                noise = torch.rand_like(features[:1]) - 0.5
                features = features * (1 + self.roughness * 12**0.5 * noise)
        return self.added(x, self.sub_pixels(features))

    def added(self, x: Tensor, sub_pixels: Tensor) -> Tensor:
        """The bicubic upscaling of an image, (B, C, H, W), and the sub-pixels that the layers make of it.

        Layers without padding leave a margin out, and so does the result.
        """
        margin = (x.shape[-2] - sub_pixels.shape[-2]) // 2
        if margin >= REACH and x.device.type == "cpu":
            smooth = bicubic_sub_pixels(crop(x, margin - REACH, (1, 1)), self.factor)
            return sub_pixel_shuffle(smooth + sub_pixels, self.factor)
        size = (x.shape[-2] * self.factor[0], x.shape[-1] * self.factor[1])
        smooth = functional.interpolate(x, size, mode="bicubic", align_corners=False)
        fine = sub_pixel_shuffle(sub_pixels, self.factor)
        return crop(smooth, margin, self.factor) + fine.to(smooth.dtype)

    def _features(self, x: Tensor) -> Tensor:
        """What the body makes of an image.

        Where autocast narrows the layers of a trained network, its first one gets the image in two parts:
        what the narrow format holds of it, and the rest. Of all roundings, that of the image is the largest.
        """
        kind = x.device.type
        if self.training or not torch.is_autocast_enabled(kind):
            features: Tensor = self.body(x)
            return features
        first = self.convolutions()[0]
        held = x.to(torch.get_autocast_dtype(kind)).to(x.dtype)
        parts = torch.cat([held, x - held], dim=1)
        features = functional.conv2d(
            parts, first.weight.repeat(1, 2, 1, 1), first.bias, padding=first.padding
        )
        features = self.body[1:](features)
        return features

    @torch.no_grad()
    def adapted(self, fingerprint: Tensor) -> EspcnR:
        """The plain network for a volume with a fingerprint, shape (n,); itself if it is plain already."""
        if self.adaptation is None:
            return self.untied()
        plain = self.untied() if self.mirrored else copy.deepcopy(self)
        plain.adaptation = None
        scales = self.adaptation(fingerprint.to(self.sub_pixels.weight.device)[None])[0]
        for convolution, scale in zip(plain.convolutions(), scales, strict=True):
            assert convolution.bias is not None
            convolution.weight *= scale[:, None, None, None]
            convolution.bias *= scale
        return plain

    def untied(self) -> EspcnR:
        """An equal network that is not mirrored, so each weight can be changed; itself if it is not."""
        if not self.mirrored:
            return self
        plain = copy.deepcopy(self)
        plain.mirrored = False
        for number in range(0, len(plain.body), 2):
            plain.body[number] = untied(plain.convolutions()[number // 2])
        plain.sub_pixels = untied(plain.sub_pixels)
        return plain

    def group(self, layer: nn.Conv2d) -> int:
        """How many outputs of a layer mirror one another, from the first to the last."""
        return self.factor[1] if layer is self.sub_pixels else layer.out_channels

    def layers(self) -> list[nn.Conv2d]:
        """All convolutions, from the image to the sub-pixels."""
        return [*self.convolutions(), self.sub_pixels]

    def convolutions(self) -> list[nn.Conv2d]:
        """The layers of the body, which end in an activation."""
        return [layer for layer in self.body if isinstance(layer, nn.Conv2d)]
