"""MONAI dictionary transforms: from the number of a slice to aligned pairs of coarse and fine patches."""

from espcn_core.transforms.augment import RandContrastd, RandDegraded, RandFlatAird, RandSmoothd
from espcn_core.transforms.slices import (
    Degraded,
    FitIntensityd,
    Item,
    LoadSliced,
    RandAlignedPatchesd,
    Shrunk,
)

__all__ = [
    "Degraded",
    "FitIntensityd",
    "Item",
    "LoadSliced",
    "RandAlignedPatchesd",
    "RandContrastd",
    "RandDegraded",
    "RandFlatAird",
    "RandSmoothd",
    "Shrunk",
]
