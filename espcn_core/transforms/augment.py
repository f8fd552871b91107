"""Random contrast, sharpness, air, degradation and noise: a network is to meet more than one kind of scan."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.networks.layers import gaussian_1d
from monai.transforms import MapTransform, Randomizable
from torch import Tensor

from espcn_core.degradation import SliceProfile, rician
from espcn_core.transforms.slices import Degraded, Item, like


class _RandChangedd(Randomizable, MapTransform):  # type: ignore[misc]
    """Change one image by what was drawn, or leave it; it stays where it is in the world."""

    def __init__(self, key: str) -> None:
        super().__init__((key,))
        self.key = key

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        self.randomize()
        item = dict(data)
        image = item[self.key]
        changed = self._changed(_plain(image))
        if changed is not None:
            item[self.key] = like(image, changed)
        return item

    def _changed(self, image: Tensor) -> Tensor | None:
        raise NotImplementedError


class RandContrastd(_RandChangedd):
    """Give some images another contrast, so that a network does not learn one kind of scan by heart.

    Parameters
    ----------
    key : str
        Image whose values lie about 0 to 1; so do those of the result.
    share : float
        Part of the images that change, 0 to 1.

    Notes
    -----
    The values go through a curve of straight pieces between five points. It starts as a gamma curve (exponent
    1/2 to 2), its inner points are moved up or down by up to 0.3, and every third one is turned upside down.
    So tissues change their order, as between T1, T2 and CT.
    """

    def __init__(self, key: str, share: float) -> None:
        super().__init__(key)
        self.share = share
        self._curve: np.ndarray[Any, np.dtype[np.float64]] | None = None

    def randomize(self, data: Any = None) -> None:
        """Draw the curve, or none."""
        self._curve = None
        if self.R.uniform() < self.share:
            curve = np.linspace(0, 1, 5) ** np.exp2(self.R.uniform(-1, 1))
            curve[1:-1] += self.R.uniform(-0.3, 0.3, 3)
            self._curve = 1 - curve if self.R.uniform() < 1 / 3 else curve

    def _changed(self, image: Tensor) -> Tensor | None:
        if self._curve is None:
            return None
        values = np.interp(image.numpy(), np.linspace(0, 1, 5), self._curve)
        return torch.from_numpy(values.astype(np.float32))


class RandSmoothd(_RandChangedd):
    """Smooth some images by a Gaussian, for means of many scans are smoother than any single one.

    Parameters
    ----------
    key : str
        Image, (C, H, W).
    most : float
        The standard deviation lies between 0.2 and so many pixels.

    Notes
    -----
    MONAI's `RandGaussianSmoothd` draws another one for each axis, by a generator within it that a sample of a
    run would have to set as well; and its `GaussianSmooth`, whose values these are, takes several times as
    long.
    """

    _SHARE, _LEAST = 0.3, 0.2

    def __init__(self, key: str, most: float) -> None:
        super().__init__(key)
        self.most = most
        self._sigma = 0.0

    def randomize(self, data: Any = None) -> None:
        """Draw the standard deviation, or 0 for none."""
        smooth = self.R.uniform() < self._SHARE
        self._sigma = float(self.R.uniform(self._LEAST, self.most)) if smooth else 0.0

    def _changed(self, image: Tensor) -> Tensor | None:
        if not self._sigma:
            return None
        half = gaussian_1d(torch.tensor(self._sigma))
        half = half[len(half) // 2 :]
        return _convolved(_convolved(image, half, -1), half, -2)


class RandFlatAird(_RandChangedd):
    """Make the air of half of the images exactly flat, as where it was set to zero.

    Parameters
    ----------
    key : str
        Image whose values lie about 0 to 1.
    most : float
        What is darker than a level between 0 and this becomes that level.
    """

    def __init__(self, key: str, most: float) -> None:
        super().__init__(key)
        self.most = most
        self._level = 0.0

    def randomize(self, data: Any = None) -> None:
        """Draw the level; 0 or less for none."""
        self._level = float(self.most * self.R.uniform(-1, 1))

    def _changed(self, image: Tensor) -> Tensor | None:
        return image.clamp(min=self._level) if self._level > 0 else None


class RandDegraded(Randomizable, MapTransform):  # type: ignore[misc]
    """Make a coarse image of a fine one by a degradation drawn from a mixture, with noise of a random level.

    Parameters
    ----------
    key : str
        Fine image, (C, H, W).
    into : str
        Key of the coarse image.
    factor : (r_row, r_col)
        Fine pixels per coarse pixel.
    mixture : mapping of str to float
        Weight of each kind of `espcn_core.degradation`.
    noise : float
        Half of the images stay clean; the others get Rician noise whose standard deviation lies between 0 and
        this part of the coarse image's range.
    thickness : (low, high), optional
        For slices that are thick along the columns: between these lies the thickness of their profile
        (`SliceProfile`), a Gaussian for the kind ``gaussian`` and a box for ``area``.
    """

    def __init__(
        self,
        key: str,
        into: str,
        factor: tuple[int, int],
        mixture: Mapping[str, float],
        noise: float,
        thickness: tuple[float, float] | None = None,
    ) -> None:
        super().__init__((key,))
        self.into = into
        self.noise = noise
        self.thickness = thickness
        self._kinds = tuple(mixture)
        self.key = key
        self.factor = factor
        weights = np.array(list(mixture.values()), dtype=np.float64)
        self._weights = weights / weights.sum()
        self._kind: str | SliceProfile = ""
        self._sigma = 0.0
        self._seed = 0

    def randomize(self, data: Any = None) -> None:
        """Draw the kind, the level of the noise and where its random numbers start."""
        self._kind = str(self.R.choice(self._kinds, p=self._weights))
        if self.thickness is not None:
            shape = {"gaussian": "gaussian", "area": "box"}[self._kind]
            self._kind = SliceProfile(shape, float(self.R.uniform(*self.thickness)))
        self._sigma = self.noise * max(0.0, self.R.uniform(-1, 1))
        self._seed = int(self.R.randint(2**31))

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        self.randomize()
        item: Item = Degraded(self.key, self.factor, self._kind, self.into)(data)
        if self._sigma:
            image = item[self.into]
            plain = _plain(image)
            low, high = float(plain.min()), float(plain.max())
            generator = torch.Generator().manual_seed(self._seed)
            noisy = rician(plain, self._sigma * (high - low), low, generator)
            item[self.into] = like(image, noisy)
        return item


def _convolved(image: Tensor, half: Tensor, axis: int) -> Tensor:
    """An image under a symmetric kernel, from its middle on, along one axis; beyond the border is 0."""
    middle, *others = half.tolist()
    size = image.shape[axis]
    sums: Tensor = image * middle
    for shift, weight in enumerate(others[: size - 1], start=1):
        left, right = (0, size - shift), (shift, size - shift)
        sums.narrow(axis, *left).add_(image.narrow(axis, *right), alpha=weight)
        sums.narrow(axis, *right).add_(image.narrow(axis, *left), alpha=weight)
    return sums


def _plain(image: Tensor) -> Tensor:
    """An image without metadata."""
    return image.as_tensor() if isinstance(image, MetaTensor) else image
