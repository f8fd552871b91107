"""Volumes out of the scene and into it, and what cannot be read."""

from __future__ import annotations

import numpy as np
import pytest
import vtk


def empty():
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")


def without_voxels():
    node = empty()
    node.SetAndObserveImageData(vtk.vtkImageData())
    return node


def without_scalars():
    node = empty()
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 4)
    node.SetAndObserveImageData(image)
    return node


def colours(kind="vtkMRMLScalarVolumeNode", name="colours"):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 4)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    node.SetAndObserveImageData(image)
    return node


def label_map():
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    slicer.util.updateVolumeFromArray(node, np.ones((4, 4, 4), np.int16))
    return node


def model():
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "surface")


def singular():
    """A volume whose slices all lie in one place."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "flat")
    slicer.util.updateVolumeFromArray(node, np.ones((4, 4, 4), np.int16))
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(2, 2, 0)
    node.SetIJKToRASMatrix(matrix)
    return node


REFUSED = {
    "none": (lambda: None, "choose an input volume"),
    "empty": (empty, "empty is empty: load voxels into it first"),
    "no voxels": (without_voxels, "empty is empty: load voxels into it first"),
    "no scalars": (without_scalars, "empty is empty: load voxels into it first"),
    "colours": (colours, "colours has 3 components in each voxel"),
    "vectors": (lambda: colours("vtkMRMLVectorVolumeNode", "field"), "field has 3 components in each voxel"),
    "label map": (label_map, "labels is a label map: its values are names"),
    "model": (model, "surface is no scalar volume"),
    "singular": (singular, "flat cannot be placed in space"),
}


@pytest.mark.parametrize(("build", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_upscaled_gets_one_sentence_and_the_scene_stays(build, sentence, logic, nodes):
    from espcn_core.errors import EspcnError

    node = build()
    before = nodes()
    with pytest.raises(EspcnError) as refused:
        logic.upscale(node)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)
    assert nodes() == before


def test_nothing_is_wrong_with_a_scalar_volume(volume):
    from ESPCNSlicerLib.scene import why_not

    assert why_not(volume()) is None


def test_what_is_read_is_the_voxels_in_the_order_of_the_axes_and_their_place(volume, affine_of):
    from ESPCNSlicerLib import scene as module

    array = np.arange(7 * 5 * 3, dtype=np.int16).reshape(7, 5, 3)
    affine = np.array([[0, 0, 2.5, 1], [0.5, 0, 0, 2], [0, -0.75, 0, 3], [0, 0, 0, 1]])
    node = volume("thorax", array, affine)
    source = module.read(node)
    np.testing.assert_array_equal(source.array, array)
    np.testing.assert_allclose(source.grid.affine, affine, atol=1e-12)
    assert source.grid.shape == (7, 5, 3)
    assert source.name == "thorax"
    assert source.scalar_type == vtk.VTK_SHORT


def test_what_is_read_is_a_copy(volume, voxels):
    from ESPCNSlicerLib import scene as module

    node = volume()
    before = voxels(node)
    module.read(node).array[:] = 0
    np.testing.assert_array_equal(voxels(node), before)


def test_what_is_written_is_what_slicer_reads(volume, affine_of, voxels):
    from ESPCNSlicerLib import scene as module

    node = volume(shape=(3, 3, 3))
    array = np.random.default_rng(1).normal(size=(4, 5, 6))
    affine = np.array([[0, 0, 2.5, 1], [0.5, 0, 0, 2], [0, -0.75, 0, 3], [0, 0, 0, 1]])
    for layout in (np.asfortranarray, np.ascontiguousarray):
        module.write(node, layout(array), vtk.VTK_DOUBLE, affine)
        np.testing.assert_array_equal(voxels(node), array)
        np.testing.assert_allclose(affine_of(node), affine, atol=1e-12)


def test_the_voxels_in_the_scene_do_not_hang_on_the_array_they_came_from(volume, voxels):
    from ESPCNSlicerLib import scene as module

    array = np.ones((3, 3, 3), np.float32, order="F")
    node = volume()
    module.write(node, array, vtk.VTK_FLOAT, np.eye(4))
    array[:] = 7
    assert (voxels(node) == 1).all()


def test_a_new_volume_comes_into_the_scene_complete(volume, scene):
    """Whoever hears of a new node finds its voxels in it."""
    import slicer
    from ESPCNSlicerLib import scene as module

    seen = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(caller, event, node):
        if node.IsA("vtkMRMLScalarVolumeNode"):
            seen.append(node.GetImageData().GetDimensions())

    like = volume()
    tag = scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added)
    module.new_volume("finer", like, np.ones((4, 5, 6), np.float32), vtk.VTK_FLOAT, np.eye(4))
    scene.RemoveObserver(tag)
    assert seen == [(4, 5, 6)]


def test_facts_are_attributes(volume):
    from ESPCNSlicerLib import scene as module

    node = volume()
    module.describe(node, {"Model": "m", "Scale": "2 x 2 x 1"})
    assert node.GetAttribute("ESPCN.Model") == "m"
    assert node.GetAttribute("ESPCN.Scale") == "2 x 2 x 1"
