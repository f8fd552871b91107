"""Draw the pictures of docs/slicer.md: python tools/slicer_pictures.py OUT_FOLDER

The panel runs on slicer-core and PySide6, as in the tests, with the shipped weights. The slice views are
drawn by Slicer's own slice logic.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SIZE = 480
FIELD_OF_VIEW = 96.0
"""Of a slice view, in mm."""


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(ROOT / "tests" / "slicer" / "shim"))
    from slicer_shim import load_module, start

    app = start()
    import slicer

    head = coarse_head()
    loaded = load_module(ROOT / "ESPCNSlicer" / "ESPCNSlicer.py")
    loaded.panel.enter()
    widget, panel = loaded.widget, loaded.widget.panel
    wait(app, lambda: panel._devices is not None)
    panel.ui.compareBox.checked = True
    panel.ui.advancedButton.collapsed = False
    panel.ui.cardButton.collapsed = False
    widget.parent.resize(430, 760)
    widget.parent.show()
    panel.ui.runButton.click()
    wait(app, lambda: panel.ui.progressBar.value >= 3)
    app.processEvents()
    widget.parent.grab().save(str(out / "panel.png"))
    wait(app, lambda: not panel.is_running)
    nodes = [head, slicer.util.getNode("head x2 cubic"), slicer.util.getNode("head x2")]
    save([slice_view(node) for node in nodes], out / "slice-views.png")


def coarse_head():
    """The sample, its slices halved, as a node of the scene."""
    import slicer
    import torch

    from espcn_core.degradation import degrade
    from espcn_core.grid import Grid

    node = slicer.util.loadVolume(str(ROOT / "resources" / "sample_t1ce.nii.gz"))
    node.SetName("head")
    values = slicer.util.arrayFromVolume(node)
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    node.GetIJKToRASMatrix(matrix)
    grid = Grid(values.shape[::-1], slicer.util.arrayFromVTKMatrix(matrix))
    coarse = degrade(torch.from_numpy(values.astype(np.float32)), (2, 2), "bicubic").numpy()
    slicer.util.updateVolumeFromArray(node, coarse.round().clip(0, 255).astype(values.dtype))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(grid.coarser((2, 2, 1)).affine))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, float(np.percentile(coarse, 99.8)))
    display.SetInterpolate(False)  # show the voxels
    return node


def slice_view(node):
    """What an axial slice view shows of a volume, (SIZE, SIZE, 3)."""
    import slicer
    from vtk.util.numpy_support import vtk_to_numpy

    scene = slicer.mrmlScene
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(scene)
    view = logic.AddSliceNode(scene.GenerateUniqueName("Red"))
    view.SetOrientationToAxial()
    view.SetDimensions(SIZE, SIZE, 1)
    view.SetFieldOfView(FIELD_OF_VIEW, FIELD_OF_VIEW, 1)
    view.JumpSlice(0, 5, 0)
    logic.GetSliceCompositeNode().SetBackgroundVolumeID(node.GetID())
    logic.UpdatePipeline()
    connection = logic.GetImageDataConnection()
    connection.GetProducer().Update()
    image = connection.GetProducer().GetOutputDataObject(0)
    pixels = vtk_to_numpy(image.GetPointData().GetScalars())
    return pixels.reshape(SIZE, SIZE, -1)[::-1, :, :3]


def save(views, path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(np.hstack(views))).save(path)


def wait(app, condition, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("the panel did not get there")
        app.processEvents()
        time.sleep(0.005)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
