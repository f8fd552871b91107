"""What the tests of the module's parts share: small networks, volume nodes and their places in the world."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def importable(sources):
    """``ESPCNSlicerLib`` can be imported in all of these tests."""


@pytest.fixture
def shipped(weights, ship) -> Path:
    """The folder of the random networks, as the shipped ones."""
    ship(weights)
    return weights


@pytest.fixture
def logic(scene, shipped):
    """What scripts call, in a scene that has its subject hierarchy, as in the application."""
    import slicer
    from ESPCNSlicerLib.logic import SuperResolve

    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    return SuperResolve()


@pytest.fixture
def volume(scene):
    """Makes a volume node in the scene, of a smooth random array unless another one is given."""
    import slicer
    from ESPCNSlicerLib.scene import write
    from vtk.util.numpy_support import get_vtk_array_type

    def make(name="head", array=None, affine=None, kind=None, shape=(7, 6, 4), display=True):
        if array is None:
            array = smooth(shape)
        affine = np.diag([0.8, 0.8, 2.4, 1.0]) if affine is None else affine
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        write(node, array, get_vtk_array_type(array.dtype) if kind is None else kind, affine)
        if display:
            node.CreateDefaultDisplayNodes()
        return node

    return make


def smooth(shape) -> np.ndarray:
    """Values from about 100 to 900, of type int16, without any symmetry."""
    i, j, k = np.meshgrid(*map(np.arange, shape), indexing="ij")
    waves = np.sin(0.7 * i) + np.cos(0.5 * j + 0.3 * i) + np.sin(0.4 * k + 0.2 * j)
    return (500 + 130 * waves).astype(np.int16)


@pytest.fixture
def nodes(scene):
    """Gives the class and the ID of each node in the scene."""

    def listed() -> list[tuple[str, str]]:
        every = (scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes()))
        return [(node.GetClassName(), node.GetID()) for node in every]

    return listed


@pytest.fixture
def affine_of():
    """The matrix from a volume's indices to RAS, without parent transforms."""
    import slicer
    import vtk

    def read(node) -> np.ndarray:
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        return slicer.util.arrayFromVTKMatrix(matrix)

    return read


@pytest.fixture
def corners(affine_of):
    """The eight corners of a volume's field of view in RAS, shape (8, 3), without parent transforms."""

    def read(node) -> np.ndarray:
        ends = [(-0.5, n - 0.5) for n in node.GetImageData().GetDimensions()]
        points = np.array(list(itertools.product(*ends)))
        affine = affine_of(node)
        return points @ affine[:3, :3].T + affine[:3, 3]

    return read


@pytest.fixture
def bounds():
    """A volume's bounds in the world, parent transforms included."""

    def read(node) -> np.ndarray:
        six = [0.0] * 6
        node.GetRASBounds(six)
        return np.array(six)

    return read


@pytest.fixture
def voxels():
    """A volume's voxels, shape (I, J, K), read in another way than the module does."""
    import slicer

    def read(node) -> np.ndarray:
        return slicer.util.arrayFromVolume(node).transpose(2, 1, 0).copy()

    return read
