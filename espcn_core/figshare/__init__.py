"""The figshare brain tumor data set: fetch it, check it, read its slices in any form, split it by patient."""

from espcn_core.figshare.check import CheckReport, check
from espcn_core.figshare.fetch import fetch
from espcn_core.figshare.folds import Split, split
from espcn_core.figshare.pack import pack
from espcn_core.figshare.slices import LABELS, FigshareSlice, FigshareSource
from espcn_core.figshare.source import open_source

__all__ = [
    "LABELS",
    "CheckReport",
    "FigshareSlice",
    "FigshareSource",
    "Split",
    "check",
    "fetch",
    "open_source",
    "pack",
    "split",
]
