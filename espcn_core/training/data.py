"""Patches for the steps and whole slices for the validation, from the figshare data set."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import CacheDataset, Dataset, ThreadDataLoader
from monai.data.meta_obj import get_track_meta, set_track_meta
from monai.transforms import CastToTyped, Compose, RandFlipd, Randomizable, RandRotate90d
from monai.utils import MAX_SEED
from torch import Tensor

from espcn_core.errors import DataError
from espcn_core.figshare import FigshareSource
from espcn_core.models.fingerprint import fingerprint
from espcn_core.models.ranges import contrast_of, contrast_range
from espcn_core.training.config import TrainingConfig
from espcn_core.training.ranks import ALONE, Ranks
from espcn_core.transforms import (
    Degraded,
    FitIntensityd,
    Item,
    LoadSliced,
    RandAlignedPatchesd,
    RandContrastd,
    RandDegraded,
    RandFlatAird,
    RandSmoothd,
    Shrunk,
)

Pair = tuple[Tensor, Tensor]
"""Coarse (B, 1, H, W) and fine (B, 1, H r_row, W r_col), in the networks' range."""

Batch = tuple[Tensor, Tensor, Tensor]
"""The same of patches, and fingerprints of the whole slices that they are cut from: (B, 22), or (B, 11)
through plane, or (B, 0) where no network asks for them."""

_BOTH = ("coarse", "fine")

_SEEN = 1000
"""Samples that stand for all of a run, or one of each slice if there are fewer."""

_EXAMPLES = 48
"""Samples whose patches show what goes on within a network."""


def pair_of_slice(source: FigshareSource, config: TrainingConfig) -> Compose:
    """The transform from ``{"fine": number}`` to the whole slice and the coarse one that is made of it."""
    chain = _fine(source, config.shrink)
    chain.append(Degraded("fine", config.factor, config.degradation, into="coarse"))
    chain.append(FitIntensityd(_BOTH, fit_to="coarse"))
    return Compose(chain)


class PatchDataset(Dataset):  # type: ignore[misc]
    """Sample n of a run: some pairs of patches of one slice, a pure function of the seed and n.

    So a run that is resumed at any step sees what a straight run sees. Slices are drawn without repetition
    until all of them have been seen. Each is in one of the eight orientations of the square, and gets its
    contrast, sharpness, air, degradation and noise as a whole, before the patches are cut.

    Parameters
    ----------
    slices : sequence of dict
        Whole ``fine`` images (`cached_slices`).
    config : TrainingConfig
    fitted : bool
        Whether the slices are in the networks' range already, by one map for all: then each stays as it is.
    """

    def __init__(
        self, slices: Sequence[dict[str, Tensor]], config: TrainingConfig, *, fitted: bool = False
    ) -> None:
        super().__init__(slices)
        mixture = config.mixture or {config.degradation: 1.0}
        through = config.through_plane
        thickness = tuple(config.thickness or (1.0, 1.0)) if through else None
        self.pair = Compose(
            [
                CastToTyped("fine", dtype=torch.float32),
                *(_turns("fine") if through else ()),  # after that, rows and columns are not alike
                RandContrastd("fine", config.contrast),
                *((RandSmoothd("fine", config.blur),) if config.blur else ()),
                *((RandFlatAird("fine", config.air),) if config.air else ()),
                RandDegraded("fine", "coarse", config.factor, mixture, config.noise, thickness),
                *(() if fitted else (FitIntensityd(_BOTH, fit_to="coarse"),)),
            ]
        )
        self.patches = RandAlignedPatchesd(*_BOTH, config.factor, config.patch_size, config.patches_per_slice)
        self.turns = Compose(() if through else _turns(_BOTH))
        for transform in (self.pair, self.patches, self.turns):
            transform.set_random_state(0)  # with generators of its own, which each sample sets anew
        self.seed = config.seed
        self.thick = config.factor[1] / config.factor[0]
        self.adaptive = bool(config.arguments.get("adaptive"))
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def __getitem__(self, sample: int) -> Batch:
        whole = self.whole(sample)
        pairs = self.patches(whole)
        # as channels of one image, all pairs cost hardly more than one: they share their orientation
        stacked = self.turns({key: torch.cat([pair[key] for pair in pairs]) for key in _BOTH})
        coarse, fine = (stacked[key][:, None] for key in _BOTH)
        traits = fingerprint(whole["coarse"], self.thick) if self.adaptive else torch.zeros(0)
        return coarse, fine, traits.expand(len(coarse), -1)

    def whole(self, sample: int) -> Item:
        """The whole ``coarse`` and ``fine`` slice that the patches of a sample are cut from."""
        turn, place = divmod(sample, len(self.data))
        seeds = np.random.SeedSequence([self.seed, 1, sample]).generate_state(3)
        for transform, seed in zip((self.pair, self.patches, self.turns), seeds, strict=True):
            _set_seed(transform, int(seed))
        pair: Item = self.pair(self.data[self._order(turn)[place]])
        return pair

    def fingerprints(self) -> Tensor:
        """Those of some coarse slices of the run, shape (N, 22), or (N, 11) through plane."""
        slices = (self.whole(n)["coarse"] for n in self._some())
        return torch.stack([fingerprint(image, self.thick) for image in slices])

    def examples(self) -> list[tuple[Tensor, Tensor]]:
        """Coarse patches and fingerprints of some samples of the run."""
        return [(coarse, traits) for coarse, _, traits in (self[n] for n in range(_EXAMPLES))]

    def contrast(self) -> dict[str, list[float]]:
        """Within which bounds the coarse slices of the run lie (`espcn_core.models.ranges`)."""
        return contrast_range(contrast_of(self.whole(n)["coarse"]) for n in self._some())

    def _some(self) -> range:
        return range(min(_SEEN, len(self.data)))

    def _shuffled(self, turn: int) -> list[int]:
        order = np.random.default_rng([self.seed, 0, turn]).permutation(len(self.data))
        return [int(i) for i in order]


class _Samples:
    """Numbers of some samples of each batch, from a step onwards, without end."""

    def __init__(self, per_batch: int, own: range, first_step: int) -> None:
        self.per_batch = per_batch
        self.own = own
        self.first_step = first_step

    def __iter__(self) -> Iterator[list[int]]:
        _stand_back()  # the thread that makes the samples: see `_by_a_thread`
        step = self.first_step
        while True:
            yield [step * self.per_batch + sample for sample in self.own]
            step += 1


def batches(
    dataset: PatchDataset, config: TrainingConfig, first_step: int, ranks: Ranks = ALONE
) -> Iterator[Batch]:
    """Batches from step ``first_step`` onwards, made one ahead in a thread of their own.

    However many processes there are, a batch is the same: each makes its own pairs of it, of the samples that
    hold them.

    Raises
    ------
    RequestError
        If the processes cannot share a batch evenly.
    """
    each, share = config.patches_per_slice, ranks.share(config.batch)
    own = range(share.start // each, -(-share.stop // each))
    cut = slice(share.start - own.start * each, share.stop - own.start * each)
    loader = ThreadDataLoader(
        dataset,
        batch_sampler=_Samples(config.batch // each, own, first_step),
        collate_fn=partial(_joined, cut=cut),
        num_workers=0,
        generator=torch.Generator(),  # else loaders draw from, and reset, the state that a checkpoint keeps
    )
    return _by_a_thread(loader)


def _stand_back() -> None:
    """Let this thread compute alone, and take what time the network leaves, where a thread may say so.

    Those of the network do equal parts of each step and wait for the last: what slows one slows all.
    """
    torch.set_num_threads(1)
    if sys.platform == "linux":
        with suppress(OSError):  # where a sandbox forbids it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def _by_a_thread(loader: ThreadDataLoader) -> Iterator[Batch]:
    """The batches of a loader whose thread computes alone.

    Were its small steps shared by as many threads as those of the network, each would wait for a processor
    that the network has. But torch takes what one thread sets for all that are begun later, and in part for
    those that there are.
    """
    threads = torch.get_num_threads()
    for batch in loader:
        torch.set_num_threads(threads)
        yield batch


def cached_slices(
    source: FigshareSource, indices: Sequence[int], config: TrainingConfig
) -> list[dict[str, Tensor]]:
    """Whole fine slices in memory, in each of the sizes that the configuration asks for.

    Their pixels are mapped to 0 .. 1 and kept as float16, which rounds by at most 1/4096 of the range: 80 dB
    below it.

    Raises
    ------
    DataError
        If no slice is as large as a patch.
    """
    slices: list[dict[str, Tensor]] = []
    for shrink in config.shrinks or [config.shrink]:
        chain = [
            *_fine(source, shrink),
            FitIntensityd("fine", fit_to="fine"),
            CastToTyped("fine", dtype=torch.float16),
        ]
        items = [{"fine": index} for index in indices]
        cache = CacheDataset(items, Compose(chain), num_workers=2, progress=False)
        slices += [cache[i] for i in range(len(cache))]
    least = max(r * size for r, size in zip(config.factor, config.patch_size, strict=True))
    large = [s for s in slices if min(s["fine"].shape[-2:]) >= least]
    if not large:
        rows, columns = config.patch_size
        raise DataError(
            f"no slice has {rows} x {columns} coarse pixels at scale {config.scale}: make the patch smaller"
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


@contextmanager
def without_metadata() -> Iterator[None]:
    """Let MONAI handle plain tensors: following metadata costs a step several times what the patches do."""
    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)


def _set_seed(transform: Randomizable, seed: int) -> None:
    """What its ``set_random_state`` does, without new generators: they take a sixth of a sample's time."""
    transform.R.seed(seed)
    for inner in transform.transforms if isinstance(transform, Compose) else ():
        if isinstance(inner, Randomizable):
            _set_seed(inner, int(transform.R.randint(MAX_SEED, dtype="uint32")))


def _turns(keys: KeysCollection) -> tuple[Any, ...]:
    """The eight orientations of a square."""
    return RandFlipd(keys, prob=0.5, spatial_axis=0), RandRotate90d(keys, prob=0.75, max_k=3)


def _fine(source: FigshareSource, shrink: float) -> list[Any]:
    """The transforms from ``{"fine": number}`` to a slice made smaller."""
    load = LoadSliced("fine", source)
    return [load, Shrunk("fine", shrink)] if shrink > 1 else [load]


def _joined(samples: Sequence[Batch], cut: slice) -> Batch:
    coarse, fine, fingerprints = (torch.cat(tensors)[cut] for tensors in zip(*samples, strict=True))
    return coarse, fine, fingerprints
