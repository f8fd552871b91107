"""Patches for the steps and whole slices for the validation, from the figshare data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, Dataset, ThreadDataLoader
from monai.data.meta_obj import get_track_meta, set_track_meta
from monai.transforms import CastToTyped, Compose, RandFlipd, RandRotate90d
from torch import Tensor

from espcn_core.errors import DataError
from espcn_core.figshare import FigshareSource
from espcn_core.training.config import TrainingConfig
from espcn_core.transforms import Degraded, FitIntensityd, LoadSliced, RandAlignedPatchesd

Pair = tuple[Tensor, Tensor]
"""Coarse (B, 1, H, W) and fine (B, 1, H r_row, W r_col), in the networks' range."""

_BOTH = ("coarse", "fine")


def pair_of_slice(source: FigshareSource, config: TrainingConfig) -> Compose:
    """The transform from ``{"fine": number}`` to the whole slice and the coarse one that is made of it."""
    chain: list[Any] = [LoadSliced("fine", source)]
    if config.shrink > 1:
        chain.append(Degraded("fine", (config.shrink, config.shrink), "bicubic"))
    chain.append(Degraded("fine", config.factor, config.degradation, into="coarse"))
    chain.append(FitIntensityd(_BOTH, fit_to="coarse"))
    return Compose(chain)


class PatchDataset(Dataset):  # type: ignore[misc]
    """Sample n of a run: some pairs of patches of one slice, a pure function of the seed and n.

    So a run that is resumed at any step sees what a straight run sees. Slices are drawn without repetition
    until all of them have been seen. Each is in one of the eight orientations of the square.

    Parameters
    ----------
    slices : sequence of dict
        Whole ``coarse`` and ``fine`` images.
    config : TrainingConfig
    """

    def __init__(self, slices: Sequence[dict[str, Tensor]], config: TrainingConfig) -> None:
        super().__init__(slices)
        self.patches = RandAlignedPatchesd(*_BOTH, config.factor, config.patch, config.patches_per_slice)
        self.turns = Compose(
            [RandFlipd(_BOTH, prob=0.5, spatial_axis=0), RandRotate90d(_BOTH, prob=0.75, max_k=3)]
        )
        self.seed = config.seed
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def __getitem__(self, sample: int) -> Pair:
        turn, place = divmod(sample, len(self.data))
        seed = int(np.random.SeedSequence([self.seed, 1, sample]).generate_state(1)[0])
        self.patches.set_random_state(seed)
        self.turns.set_random_state(seed)
        pairs = self.patches(self.data[self._order(turn)[place]])
        # as channels of one image, all pairs cost hardly more than one: they share their orientation
        stacked = self.turns({key: torch.cat([pair[key] for pair in pairs]) for key in _BOTH})
        return stacked["coarse"][:, None], stacked["fine"][:, None].float()

    def _shuffled(self, turn: int) -> list[int]:
        order = np.random.default_rng([self.seed, 0, turn]).permutation(len(self.data))
        return [int(i) for i in order]


class _Samples:
    """Numbers of the samples of each batch, from a step onwards, without end."""

    def __init__(self, per_batch: int, first_step: int) -> None:
        self.per_batch = per_batch
        self.first_step = first_step

    def __iter__(self) -> Iterator[list[int]]:
        step = self.first_step
        while True:
            yield list(range(step * self.per_batch, (step + 1) * self.per_batch))
            step += 1


def batches(dataset: PatchDataset, config: TrainingConfig, first_step: int) -> ThreadDataLoader:
    """Batches from step ``first_step`` onwards, made one ahead in a thread of their own."""
    per_batch = config.batch // config.patches_per_slice
    return ThreadDataLoader(
        dataset,
        batch_sampler=_Samples(per_batch, first_step),
        collate_fn=_joined,
        num_workers=0,
        generator=torch.Generator(),  # else loaders draw from, and reset, the state that a checkpoint keeps
    )


def cached_slices(
    source: FigshareSource, indices: Sequence[int], config: TrainingConfig
) -> list[dict[str, Tensor]]:
    """Whole coarse and fine slices in memory.

    Fine pixels are kept as float16, which rounds by at most 1/4096 of the range: 80 dB below it.

    Raises
    ------
    DataError
        If no slice is as large as a patch.
    """
    chain = Compose([pair_of_slice(source, config), CastToTyped("fine", dtype=torch.float16)]).flatten()
    cache = CacheDataset([{"fine": index} for index in indices], chain, num_workers=2, progress=False)
    slices = [cache[i] for i in range(len(cache))]
    large = [s for s in slices if min(s["coarse"].shape[-2:]) >= config.patch]
    if not large:
        raise DataError(
            f"no slice has {config.patch} coarse pixels along both sides at scale {config.scale}: "
            "make the patch smaller"
        )
    return large


def validation_pairs(
    source: FigshareSource, indices: Sequence[int], config: TrainingConfig
) -> Iterator[Pair]:
    """Whole coarse and fine slices, one at a time, with a batch axis."""
    chain = pair_of_slice(source, config)
    for index in indices:
        item = chain({"fine": index})
        yield item["coarse"][None], item["fine"][None]


def evenly(indices: Sequence[int], count: int) -> list[int]:
    """``count`` of the indices, evenly spread; all of them if there are fewer, or the count is 0."""
    if count == 0 or count >= len(indices):
        return list(indices)
    return [indices[(2 * i + 1) * len(indices) // (2 * count)] for i in range(count)]


@contextmanager
def without_metadata() -> Iterator[None]:
    """Let MONAI handle plain tensors: following metadata costs a step several times what the patches do."""
    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)


def _joined(samples: Sequence[Pair]) -> Pair:
    coarse, fine = zip(*samples, strict=True)
    return torch.cat(coarse), torch.cat(fine)
