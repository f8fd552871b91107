"""A real head from a file to a file by way of the panel, with the shipped weights."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from espcn_core.degradation import degrade

ROOT = Path(__file__).parents[2]

GAP = 0.1
"""Seconds in which the event loop may not get round; a run does not freeze the panel."""

TRIES = 3
"""A busy machine may hold up a test once or twice; a panel that is blocked is blocked every time."""


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """256 x 256 x 40 voxels of 0.98 x 0.98 x 7 mm, oblique: the slices of the sample, halved, five times."""
    import torch

    sample = nib.load(ROOT / "resources" / "sample_t1ce.nii.gz")
    slices = torch.from_numpy(np.asarray(sample.dataobj).astype(np.float32))
    coarse = (
        degrade(slices.permute(2, 0, 1), (2, 2), "area").permute(1, 2, 0).numpy().round().astype(np.int16)
    )
    turn = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-0.98, 0.98, 7])
    affine[:3, 3] = 80, -95.5, -30.25
    path = tmp_path_factory.mktemp("whole") / "head.nii.gz"
    nib.save(nib.Nifti1Image(np.concatenate([coarse] * 5, axis=2), affine), path)
    return path


def test_load_press_wait_save_read(head, load, wait, tmp_path, scene):
    import slicer

    node = slicer.util.loadVolume(str(head))
    loaded = load(ROOT / "ESPCNSlicer" / "ESPCNSlicer.py")
    loaded.panel.enter()
    panel = loaded.widget.panel
    wait(lambda: panel._devices is not None, 60)  # torch is there then
    assert panel.ui.inputSelector.currentNode() is node
    assert "512 x 512 x 40 at 0.49 x 0.49 x 7 mm, 20 MB" in panel.ui.summaryLabel.text
    gaps = []
    for _ in range(TRIES):
        wait.longest_gap = 0.0
        panel.ui.runButton.click()
        wait(lambda: not panel.is_running, 120)
        gaps.append(wait.longest_gap)
        if gaps[-1] < GAP:
            break
    assert min(gaps) < GAP, gaps

    fine = slicer.util.getNode("head x2")
    assert slicer.util.saveNode(fine, str(tmp_path / "fine.nii.gz"))
    before, after = nib.load(head), nib.load(tmp_path / "fine.nii.gz")
    assert after.shape == (512, 512, 40)
    assert after.get_data_dtype() == np.int16
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in before.shape])).reshape(3, -1)
    fine_corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in after.shape])).reshape(3, -1)
    old = before.affine[:3, :3] @ corners + before.affine[:3, 3:]
    new = after.affine[:3, :3] @ fine_corners + after.affine[:3, 3:]
    if np.linalg.det(before.affine) < 0:  # Slicer turns the slices of a left-handed volume round
        order_old, order_new = (np.lexsort(np.round(points, 2)) for points in (old, new))
        old, new = old[:, order_old], new[:, order_new]
    np.testing.assert_allclose(new, old, atol=1e-4)  # NIfTI keeps the affine in 32 bits
    again = degrade_again(after)
    said = np.asarray(before.dataobj).astype(float)
    said = said[:, :, ::-1] if np.linalg.det(before.affine) < 0 else said
    assert np.abs(again - said).mean() < 0.02 * np.ptp(said)


def degrade_again(image):
    """The means of 2 x 2 voxels: about what the run began with."""
    values = np.asarray(image.dataobj).astype(float)
    return values.reshape(256, 2, 256, 2, 40).mean((1, 3))
