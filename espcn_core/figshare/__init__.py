"""The figshare brain tumor data set: fetch it, check it, read its slices in any form, split it by patient."""

from espcn_core.figshare.check import CheckReport, check
from espcn_core.figshare.fetch import fetch
from espcn_core.figshare.folds import Split, split, unseen
from espcn_core.figshare.pack import pack
from espcn_core.figshare.slices import LABELS, SPACING, FigshareSlice, FigshareSource, as_runs, from_runs
from espcn_core.figshare.source import open_source

__all__ = [
    "LABELS",
    "SPACING",
    "CheckReport",
    "FigshareSlice",
    "FigshareSource",
    "Split",
    "as_runs",
    "check",
    "fetch",
    "from_runs",
    "open_source",
    "pack",
    "split",
    "unseen",
]
