"""Volumes out of the scene and into it: on the main thread, as everything that touches MRML."""

from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

FLOAT = vtk.VTK_FLOAT


@dataclass(frozen=True, eq=False)
class Source:
    """A volume as it was when the run began.

    Attributes
    ----------
    name : str
    array : ndarray, shape (I, J, K)
        A copy of the voxels.
    grid : espcn_core.grid.Grid
        Their place in RAS, without parent transforms.
    scalar_type : int
        VTK's number of their type.
    """

    name: str
    array: np.ndarray
    grid: object
    scalar_type: int


def why_not(node):
    """A sentence if a node cannot be upscaled; None if it can."""
    if node is None:
        return _("choose an input volume")
    name = node.GetName()
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        reason = _("{name} is a label map: its values are names, which must not be mixed")
        return reason.format(name=name)
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        return _("{name} is no scalar volume").format(name=name)
    image = node.GetImageData()
    if image is None or not image.GetNumberOfPoints() or image.GetPointData().GetScalars() is None:
        return _("{name} is empty: load voxels into it first").format(name=name)
    count = image.GetNumberOfScalarComponents()
    if count != 1:
        reason = _("{name} has {count} components in each voxel: only volumes of one can be upscaled")
        return reason.format(name=name, count=count)
    if image.GetScalarType() == vtk.VTK_BIT:
        return _("{name} has voxels of one bit: only numbers can be upscaled").format(name=name)
    return None


def first_volume():
    """The first volume of the scene that can be upscaled, or else the first scalar volume, or None."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    nodes = [node for node in nodes if node.GetClassName() == "vtkMRMLScalarVolumeNode"]
    return next((node for node in nodes if why_not(node) is None), nodes[0] if nodes else None)


def grid_of(node):
    """The place of a volume's voxels in RAS, without parent transforms (`espcn_core.grid.Grid`).

    Raises `VolumeError` if they have none, for instance because a spacing is 0.
    """
    from espcn_core.errors import VolumeError
    from espcn_core.grid import Grid

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    try:
        return Grid(node.GetImageData().GetDimensions(), slicer.util.arrayFromVTKMatrix(matrix))
    except ValueError as error:
        raise VolumeError(f"{node.GetName()} cannot be placed in space: {error}") from error


def read(node):
    """The `Source` of a node; raises `VolumeError` if it cannot be upscaled."""
    from espcn_core.errors import VolumeError

    reason = why_not(node)
    if reason is not None:
        raise VolumeError(reason)
    image = node.GetImageData()
    flat = vtk_to_numpy(image.GetPointData().GetScalars())
    array = flat.reshape(image.GetDimensions(), order="F").copy(order="F")  # VTK counts i first
    return Source(node.GetName(), array, grid_of(node), image.GetScalarType())


def dtype_of(scalar_type):
    """The numpy type of VTK's number of a type."""
    return vtk_to_numpy(vtk.vtkDataArray.CreateDataArray(scalar_type)).dtype


def write(node, array, scalar_type, affine):
    """Give a node voxels of shape (I, J, K), of a VTK type, and their place in RAS."""
    image = vtk.vtkImageData()
    image.SetDimensions(array.shape)
    image.AllocateScalars(scalar_type, 1)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = array.ravel(order="F")
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
    node.SetAndObserveImageData(image)


def new_volume(name, like, array, scalar_type, affine):
    """A new volume node in the scene, with transform, folder and display of another node."""
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(slicer.mrmlScene.GenerateUniqueName(name))
    write(node, array, scalar_type, affine)
    slicer.mrmlScene.AddNode(node)
    take_over(node, like)
    return node


def take_over(node, like):
    """Let a volume be shown, moved and filed as another one is."""
    node.SetAndObserveTransformNodeID(like.GetTransformNodeID())
    _show_alike(node, like)
    folders = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if folders is None:
        return
    parent = folders.GetItemParent(folders.GetItemByDataNode(like)) if folders.GetItemByDataNode(like) else 0
    if parent:
        item = folders.GetItemByDataNode(node)
        if item:
            folders.SetItemParent(item, parent)
        else:
            folders.CreateItem(parent, node)


def _show_alike(node, like):
    """Window and level, colours and interpolation as of another volume; an automatic window becomes fixed.

    To find a window of its own for a large volume would take long, and the two could not be compared.
    """
    display, model = node.GetDisplayNode(), like.GetDisplayNode()
    if model is None:
        if display is None:
            node.CreateDefaultDisplayNodes()
        return
    if display is None or display.GetClassName() != model.GetClassName():
        display = slicer.mrmlScene.CreateNodeByClass(model.GetClassName())
        display.UnRegister(None)
        display.CopyContent(model)
        display.SetAutoWindowLevel(False)
        slicer.mrmlScene.AddNode(display)
        node.SetAndObserveDisplayNodeID(display.GetID())
    else:
        display.CopyContent(model)
        display.SetAutoWindowLevel(False)


def describe(node, facts):
    """Attributes that say how a node came about: ``ESPCN.Model`` and so on."""
    for key, value in facts.items():
        node.SetAttribute(f"ESPCN.{key}", value)
