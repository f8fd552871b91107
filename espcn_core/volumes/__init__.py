"""Read and write volumes, with a policy for every field of the header; no file appears half-written."""

from espcn_core.volumes.checks import check_memory
from espcn_core.volumes.formats import check_writable, is_volume, read, write
from espcn_core.volumes.nifti import from_nibabel, to_nibabel
from espcn_core.volumes.sidecar import read_slice_thickness
from espcn_core.volumes.volume import Volume

__all__ = [
    "Volume",
    "check_memory",
    "check_writable",
    "from_nibabel",
    "is_volume",
    "read",
    "read_slice_thickness",
    "to_nibabel",
    "write",
]
