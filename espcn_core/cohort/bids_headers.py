"""The metadata of a BIDS source that a result may have too, as they are, if that is asked for."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

_OURS = frozenset(
    "Description Sources RawSources SkullStripped Resolution SliceThickness SpatialReference "
    "SuperResolution".split()
)
"""Fields that are said of a result anew, or not at all."""

_UNTRUE = frozenset(
    # slices: when each was acquired, how many there are and where
    "SliceTiming SpacingBetweenSlices NumberOfSlices SliceLocation SliceOrder "
    # sizes of matrix and voxels, and times that are told per line of the matrix
    "AcquisitionMatrix AcquisitionMatrixPE AcquisitionVoxelSize BaseResolution BandwidthPerPixelPhaseEncode "
    "Columns Density EffectiveEchoSpacing ImageDimensions MatrixSize NumberOfFrames PixelSize PixelSizeUnits "
    "PixelSpacing "
    "ReconMatrix ReconMatrixPE Rows TotalReadoutTime VoxelSize "
    # where voxels lie: of one image in the scanner, or counted in voxels
    "AnatomicalLandmarkCoordinates AnatomicalLandmarkCoordinateSystem AnatomicalLandmarkCoordinateUnits "
    "ChunkTransformationMatrix ChunkTransformationMatrixAxis FiducialsCoordinates ImageOrientationPatient "
    "ImageOrientationPatientDICOM ImageOrientationText ImagePositionPatient IntendedFor VolumeAffineMatrix "
    # what the very file is: an original, of a series, of a name, with a table for each slice of it
    "BidsGuess ConversionSoftware ConversionSoftwareVersion ImageType InstanceNumber SeriesInstanceUID "
    "SOPClassUID SOPInstanceUID dcmmeta_affine dcmmeta_reorient_transform dcmmeta_shape dcmmeta_slice_dim "
    "dcmmeta_version global time".split()
)
"""Fields of BIDS, dcm2niix and dcmstack that are true of a source, and not of a finer image made from it."""

_DEEPEST = 8  # levels of lists and objects in a field that is kept
_MOST = 1 << 19
"""Characters of what is kept: with what is said anew, less than this package reads of a sidecar."""


def kept_headers(metadata: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """The metadata of a source that may stay in a result's sidecar as they are, texts too.

    Returns
    -------
    kept : dict
        All but what this program writes and what is not true of a result.
    left_out : int
        How many others are too large, too deep or no JSON.
    """
    kept, size = {}, 0
    candidates = {name: value for name, value in metadata.items() if name not in _OURS | _UNTRUE}
    for name, value in candidates.items():
        if not _is_deeper(value, _DEEPEST):
            with contextlib.suppress(ValueError):  # NaN is no JSON
                longer = len(json.dumps({name: value}, indent=2, allow_nan=False))
                if size + longer <= _MOST:
                    kept[name], size = value, size + longer
    return kept, len(candidates) - len(kept)


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects are nested deeper than so many levels."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(levels == 0 or _is_deeper(item, levels - 1) for item in inner)
