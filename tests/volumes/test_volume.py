from __future__ import annotations

import numpy as np
import pytest

from espcn_core.errors import VolumeError
from espcn_core.grid import Grid
from espcn_core.volumes.volume import Volume


@pytest.fixture
def volume(plain_header):
    return Volume(np.zeros((5, 4, 3), np.int16), Grid((5, 4, 3), np.eye(4)), plain_header, 3, name="head.nii")


@pytest.fixture
def slice_volume(plain_header):
    plain_header.set_data_shape((5, 4))
    return Volume(
        np.zeros((5, 4, 1), np.int16), Grid((5, 4, 1), np.eye(4)), plain_header, 2, name="slice.nii"
    )


def test_array_and_grid_must_agree(volume):
    with pytest.raises(ValueError, match="not the shape of a 3-D image"):
        Volume(volume.array[:4], volume.grid, volume.header, 3)
    with pytest.raises(ValueError, match="not the shape of a 4-D image"):
        Volume(volume.array, volume.grid, volume.header, 4)


def test_the_new_array_must_have_the_shape_of_the_grid(volume):
    with pytest.raises(ValueError, match="does not fit"):
        volume.on(np.zeros((10, 8, 3), np.int16), volume.grid.finer((2, 2, 2)))


@pytest.mark.parametrize(
    "grid",
    [
        Grid((5, 4, 3), np.diag([1, 1, -1, 1])),
        Grid((5, 4, 3), np.eye(4)[:, [1, 0, 2, 3]]),
        Grid((10, 8, 6), np.diag([0.5, 0.5, 0.5, 1])),  # voxel 0 keeps its centre, not its corner
    ],
    ids=["mirrored", "turned", "shifted"],
)
def test_a_grid_elsewhere_is_refused(volume, grid):
    with pytest.raises(ValueError, match="other axes or another centre"):
        volume.on(np.zeros(grid.shape, np.int16), grid)


def test_the_new_volume_keeps_the_old_one_as_it_was(volume):
    before = volume.header.binaryblock
    target = volume.grid.finer((2, 2, 1))
    fine = volume.on(np.zeros((10, 8, 3), np.int16), target)
    assert volume.header.binaryblock == before
    assert fine.grid.matches(target)
    assert (fine.ndim, fine.name) == (3, "head.nii")
    assert fine.header["dim"][:4].tolist() == [3, 10, 8, 3]


def test_a_slice_has_no_third_axis_to_refine(slice_volume):
    fine = slice_volume.on(np.zeros((10, 12, 1), np.int16), slice_volume.grid.finer((2, 3, 1)))
    assert fine.header["dim"][:3].tolist() == [2, 10, 12]
    with pytest.raises(VolumeError, match=r"slice\.nii is a single slice"):
        slice_volume.check_on(slice_volume.grid.finer((1, 1, 2)))


def test_an_axis_too_long_is_known_beforehand(volume):
    volume.check_on(volume.grid.finer((2, 2, 2)))
    with pytest.raises(VolumeError, match=r"head\.nii would get 40000 voxels along axis 1"):
        volume.check_on(volume.grid.finer((8000, 1, 1)))


def test_types_that_nifti_does_not_have(volume):
    with pytest.raises(VolumeError, match="no data type float16"):
        volume.on(np.zeros((5, 4, 3), np.float16), volume.grid)
