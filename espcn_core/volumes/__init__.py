"""Read and write volumes, with a policy for every field of the header; no file appears half-written."""

from espcn_core.volumes.checks import check_memory
from espcn_core.volumes.nifti import from_nibabel, is_volume, read, to_nibabel, write
from espcn_core.volumes.sidecar import read_slice_thickness
from espcn_core.volumes.volume import Volume

__all__ = [
    "Volume",
    "check_memory",
    "from_nibabel",
    "is_volume",
    "read",
    "read_slice_thickness",
    "to_nibabel",
    "write",
]
