"""What the user chose in the panel; saved with the scene."""

from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

TARGETS = ("x2", "x3", "x4", "isotropic", "spacing")
"""Twice, three or four times as fine in the slices; as fine on all axes; as fine as ``spacing``."""

PLANES = ("auto", "axial", "coronal", "sagittal")

AUTO = "auto"


@parameterNodeWrapper
class SuperResolveParameterNode:
    """
    inputVolume - What is made finer.
    outputVolume - Node that gets the result; a new one if there is none.
    target - What to make, one of `TARGETS`.
    spacing - In mm, for the target ``spacing``.
    plane - Of the slices, where they alone become finer.
    model - Name of shipped weights, or auto.
    device - auto, cpu, cuda or mps.
    compare - Whether a second node is made by cubic interpolation.
    keepType - Whether the voxels keep their type; else they are 32-bit floating point numbers.
    showInViews - Whether the slice views show the result over the input.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    outputVolume: vtkMRMLScalarVolumeNode
    target: Annotated[str, Choice(list(TARGETS))] = "x2"
    spacing: Annotated[float, WithinRange(0.05, 20.0)] = 1.0
    plane: Annotated[str, Choice(list(PLANES))] = "auto"
    model: str = AUTO
    device: str = AUTO
    compare: bool = False
    keepType: bool = True
    showInViews: bool = True
