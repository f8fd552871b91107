from __future__ import annotations

import pickle

import nibabel as nib
import numpy as np
import pytest

from espcn_core.errors import DataError
from espcn_core.evaluation.cases import NOISE, FigshareCases, Stack, VolumeCases, coarsen
from espcn_core.figshare import open_source
from espcn_core.grid import Grid


def save(path, array, affine=None, slope=None, inter=None):
    image = nib.Nifti1Image(array, np.diag([1.0, 1.0, 4.0, 1.0]) if affine is None else affine)
    if slope is not None:
        image.header.set_slope_inter(slope, inter)
    nib.save(image, path)
    return path


def volumes(*paths, scale=2, **options):
    return VolumeCases(tuple(paths), tuple(path.stem for path in paths), scale, **options)


def test_a_figshare_slice_is_shrunk_and_cut(figshare_dir):
    with open_source(figshare_dir) as source:
        plain = FigshareCases(source, (57, 955), 4).read(0)
        halved = FigshareCases(source, (57, 955), 3, shrink=2)
        piece = source.read(57)
        np.testing.assert_array_equal(plain.truth[:, :, 0], piece.image)
        np.testing.assert_array_equal(plain.tumor[:, :, 0], piece.mask)
        stack = halved.read(0)
        assert (stack.cases, stack.patient, stack.truth.shape) == (("57",), "P00005", (255, 255, 1))
        means = piece.image[:510, :510].reshape(255, 2, 255, 2).mean((1, 3))
        assert np.corrcoef(stack.truth.ravel(), means.ravel())[0, 1] > 0.999
        assert stack.tumor.sum() == pytest.approx(piece.mask.sum() / 4, rel=0.05)
        assert halved.read(1).truth.shape == (126, 126, 1)
        assert halved.find("955") == 1
        assert len(pickle.loads(pickle.dumps(halved))) == 2


def test_a_volume_is_read_in_physical_values_along_its_thickest_axis(tmp_path):
    array = np.random.default_rng(0).integers(0, 500, (21, 5, 18)).astype(np.int16)
    path = save(tmp_path / "a.nii", array, np.diag([1.0, 4.0, 1.0, 1.0]), 0.5, -100)
    cases = volumes(path)
    stack = cases.read(0)
    assert (cases.kind, stack.patient, stack.cases) == ("volumes", "a", tuple(f"a {k}" for k in range(5)))
    np.testing.assert_allclose(stack.truth, np.moveaxis(array[:20], 1, 2) * 0.5 - 100, atol=1e-4)
    assert cases.find("a 4") == 0
    assert stack.look == "coronal, 1 x 1 mm"
    assert stack.only([1]).look == stack.look


def test_a_volume_says_what_its_true_slices_are(tmp_path):
    array = np.random.default_rng(0).uniform(0, 500, (40, 3, 36)).astype(np.float32)
    path = save(tmp_path / "a.nii", array, np.diag([0.5, 4.0, 0.75, 1.0]))
    assert volumes(path, shrink=2).read(0).look == "coronal, 1 x 1.5 mm"


def test_slices_without_signal_are_left_out(tmp_path):
    array = np.random.default_rng(0).uniform(0, 500, (16, 16, 6)).astype(np.float32)
    array[:, :, [0, 5]] *= 0.01
    stack = volumes(save(tmp_path / "a.nii", array)).read(0)
    assert stack.cases == ("a 1", "a 2", "a 3", "a 4")
    few = volumes(tmp_path / "a.nii", most=2).read(0)
    assert few.cases == ("a 2", "a 4")
    np.testing.assert_array_equal(few.truth[:, :, 0], array[:, :, 2])


def test_the_axes_after_the_third_are_more_slices(tmp_path):
    array = np.random.default_rng(0).uniform(0, 500, (16, 16, 3, 2)).astype(np.float32)
    stack = volumes(save(tmp_path / "a.nii", array, np.eye(4)), plane="axial").read(0)
    np.testing.assert_array_equal(stack.truth[:, :, 4], array[:, :, 1, 1])


def test_volumes_that_cannot_be_measured_are_refused(tmp_path):
    array = np.ones((16, 16, 3), np.float32)
    with pytest.raises(DataError, match=r"flat\.nii holds one value"):
        volumes(save(tmp_path / "flat.nii", array)).read(0)
    array[2, 2, 2] = np.nan
    with pytest.raises(DataError, match=r"nan\.nii.*NaN"):
        volumes(save(tmp_path / "nan.nii", array)).read(0)
    array = np.random.default_rng(0).uniform(0, 1, (30, 17, 3)).astype(np.float32)
    with pytest.raises(DataError, match=r"small\.nii.*30 x 15 pixels"):
        volumes(save(tmp_path / "small.nii", array), scale=15).read(0)


@pytest.mark.parametrize("code", ["RAS", "LPS", "ASR", "PIR", "SAL"])
@pytest.mark.parametrize(("plane", "normal"), [("axial", 2), ("coronal", 1), ("sagittal", 0)])
def test_a_slice_is_shown_as_radiologists_do(code, plane, normal, tmp_path):
    """Superior or anterior up; the patient's right, or front, on the left: coordinates fall both ways."""
    turn = nib.orientations.io_orientation(np.eye(4))
    turn = nib.orientations.ornt_transform(turn, nib.orientations.axcodes2ornt(code))
    shape = (16, 17, 18)
    world = np.moveaxis(Grid(shape, np.eye(4)).world(np.moveaxis(np.indices(shape), 0, -1)), -1, 0)
    across = [axis for axis in range(3) if axis != normal]
    for shown_along, axis in ((1, across[0]), (0, across[1])):
        image = nib.Nifti1Image(world[axis].astype(np.float32), np.eye(4)).as_reoriented(turn)
        stack = volumes(save(tmp_path / f"{axis}.nii", image.get_fdata(), image.affine), scale=1, plane=plane)
        shown = stack.read(0).shown(stack.read(0).truth[:, :, 3])
        assert (np.diff(shown, axis=shown_along) == -1).all()
        assert (np.diff(shown, axis=1 - shown_along) == 0).all()


def test_noise_is_rician_and_always_the_same():
    truth = np.zeros((128, 128, 2), np.float32)
    truth[:64] = 1000
    stack = Stack("a", ("a 0", "a 1"), truth)
    clean, noisy = coarsen(stack, "area", 2), coarsen(stack, "area+rician2", 2)
    np.testing.assert_array_equal(noisy, coarsen(stack, "area+rician2", 2))
    assert (noisy != coarsen(Stack("a", ("b 0", "b 1"), truth), "area+rician2", 2)).any()
    bright, dark = (noisy - clean)[:30], (noisy - clean)[34:]
    assert bright.std() == pytest.approx(NOISE * 1000, rel=0.03)
    assert dark.min() >= 0
    assert dark.mean() == pytest.approx(NOISE * 1000 * np.sqrt(np.pi / 2), rel=0.03)
    offset = coarsen(Stack("a", stack.cases, truth - 300), "area+rician2", 2)
    np.testing.assert_allclose(offset, noisy - 300, atol=1e-3)
