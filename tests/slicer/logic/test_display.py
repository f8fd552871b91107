"""The result looks like the volume, is filed like it, and says where it comes from."""

from __future__ import annotations

import hashlib

import pytest
import vtk

RED, GREY = "vtkMRMLColorTableNodeRed", "vtkMRMLColorTableNodeGrey"


def shown(node, auto=False):
    """Gives a volume a display that differs from the default one in all that counts."""
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(auto)
    if not auto:
        display.SetWindowLevel(321, 123)
    display.SetInterpolate(0)
    display.SetAndObserveColorNodeID(RED)
    return display


def test_the_display_is_that_of_the_input(volume, logic):
    node = volume()
    old = shown(node)
    new = logic.upscale(node).GetDisplayNode()
    assert new is not old
    assert (new.GetWindow(), new.GetLevel()) == (321, 123)
    assert not new.GetAutoWindowLevel()
    assert not new.GetInterpolate()
    assert new.GetColorNodeID() == RED
    assert (old.GetWindow(), old.GetLevel(), old.GetColorNodeID()) == (321, 123, RED)


@pytest.mark.parametrize("given", [False, True])
def test_an_automatic_window_becomes_that_of_the_input(volume, logic, given):
    """So the two can be compared; and no histogram of a large volume holds up the application."""
    node, output = volume(), volume("mine") if given else None
    old = shown(node, auto=True)
    new = logic.upscale(node, outputNode=output).GetDisplayNode()
    assert (new.GetWindow(), new.GetLevel()) == (old.GetWindow(), old.GetLevel())
    assert not new.GetAutoWindowLevel()
    assert old.GetAutoWindowLevel()
    assert new.GetWindow() > 100  # of the values of the volume, about 700


def test_the_threshold_is_that_of_the_input(volume, logic):
    node = volume()
    display = node.GetDisplayNode()
    display.SetThreshold(200, 700)
    display.ApplyThresholdOn()
    new = logic.upscale(node).GetDisplayNode()
    assert new.GetApplyThreshold()
    assert (new.GetLowerThreshold(), new.GetUpperThreshold()) == (200, 700)


def test_a_later_change_of_one_display_leaves_the_other(volume, logic):
    node = volume()
    old = shown(node)
    new = logic.upscale(node).GetDisplayNode()
    old.SetWindowLevel(11, 12)
    old.SetAndObserveColorNodeID(GREY)
    assert (new.GetWindow(), new.GetLevel(), new.GetColorNodeID()) == (321, 123, RED)


def test_a_volume_that_is_not_shown_gets_a_result_that_can_be(volume, logic):
    node = volume(display=False)
    made = logic.upscale(node)
    assert node.GetDisplayNode() is None
    assert made.GetDisplayNode().GetColorNodeID() == GREY


def test_an_output_node_takes_over_display_transform_and_voxels_and_keeps_its_name(
    volume, logic, scene, nodes, voxels, corners
):
    node, output = volume(), volume("mine", shape=(3, 3, 3))
    shown(node)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetAndObserveTransformNodeID(transform.GetID())
    display, before = output.GetDisplayNode(), nodes()
    made = logic.upscale(node, outputNode=output)
    assert made is output
    assert nodes() == before
    assert output.GetName() == "mine"
    assert output.GetDisplayNode() is display
    assert (display.GetWindow(), display.GetLevel(), display.GetColorNodeID()) == (321, 123, RED)
    assert output.GetParentTransformNode() is transform
    assert output.GetAttribute("ESPCN.Model") == "espcn-r-x2"
    again = logic.upscale(node)
    assert (voxels(output) == voxels(again)).all()
    assert (corners(output) == corners(again)).all()


def test_an_empty_output_node_without_display_gets_both(volume, logic, scene):
    node = volume()
    shown(node)
    output = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "mine")
    logic.upscale(node, outputNode=output)
    assert output.GetImageData().GetDimensions() == (14, 12, 4)
    assert output.GetDisplayNode().GetWindow() == 321


@pytest.fixture
def folders(scene):
    import slicer

    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


@pytest.mark.parametrize("filed", [False, True], ids=["not yet filed", "filed at the top"])
def test_the_result_is_in_the_folder_of_the_input(filed, volume, logic, scene, folders):
    """In the application a new node is filed at the top; without it, not at all."""
    import slicer

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(caller, event, node):
        if node.IsA("vtkMRMLScalarVolumeNode"):
            folders.CreateItem(folders.GetSceneItemID(), node)

    patient = folders.CreateFolderItem(folders.GetSceneItemID(), "patient")
    study = folders.CreateFolderItem(patient, "study")
    node = volume()
    folders.CreateItem(study, node)
    tag = scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added) if filed else None
    made = logic.upscale(node, compare=True)
    if filed:
        scene.RemoveObserver(tag)
    for result in (made, scene.GetFirstNodeByName("head x2 cubic")):
        item = folders.GetItemByDataNode(result)
        assert item
        assert folders.GetItemParent(item) == study
    assert folders.GetItemParent(folders.GetItemByDataNode(node)) == study


def test_an_output_node_moves_to_the_folder_of_the_input(volume, logic, folders):
    top = folders.GetSceneItemID()
    study, elsewhere = folders.CreateFolderItem(top, "study"), folders.CreateFolderItem(top, "elsewhere")
    node, output = volume(), volume("mine")
    folders.CreateItem(study, node)
    item = folders.CreateItem(elsewhere, output)
    logic.upscale(node, outputNode=output)
    assert folders.GetItemByDataNode(output) == item
    assert folders.GetItemParent(item) == study


FACTS = {
    "x2": ({"scale": 2}, ["espcn-r-x2"], "2 x 2 x 1", "axial"),
    "x3 coronal": ({"scale": 3, "plane": "coronal"}, ["espcn-r-x3"], "3 x 1 x 3", "coronal"),
    "isotropic": ({"spacing": "isotropic"}, ["espcn-r-through-x3"], "1 x 1 x 3", "sagittal, coronal"),
    "0.4 mm": (
        {"spacing": 0.4},
        ["espcn-r-through-x6", "espcn-r-x2"],
        "2 x 2 x 6",
        "sagittal, coronal, axial",
    ),
}


@pytest.mark.parametrize(("asked", "models", "scale", "planes"), FACTS.values(), ids=FACTS)
def test_the_attributes_say_what_made_it(asked, models, scale, planes, volume, logic, shipped):
    import time

    from espcn_core import __version__

    made = logic.upscale(volume(), device="cpu", **asked)
    sums = [hashlib.sha256((shipped / f"{name}.safetensors").read_bytes()).hexdigest() for name in models]
    found = {name: made.GetAttribute(name) for name in made.GetAttributeNames()}
    when = time.strptime(found.pop("ESPCN.Time"), "%Y-%m-%dT%H:%M:%S%z")
    assert abs(time.mktime(when) - time.time()) < 2 * 86400
    assert found == {
        "ESPCN.Model": ", ".join(models),
        "ESPCN.SHA256": ", ".join(sums),
        "ESPCN.Scale": scale,
        "ESPCN.Plane": planes,
        "ESPCN.Device": "cpu",
        "ESPCN.Version": __version__,
    }


def test_a_weight_file_is_named_by_its_card(volume, logic, shipped, tmp_path):
    import shutil

    for path in shipped.glob("espcn-r-x2.*"):
        shutil.copy(path, tmp_path / f"mine{path.suffix}")
    made = logic.upscale(volume(), model=str(tmp_path / "mine.safetensors"))
    assert made.GetAttribute("ESPCN.Model") == "espcn-r-x2"


def test_a_second_result_gets_a_name_of_its_own(volume, logic, scene):
    node = volume("thorax")
    names = [logic.upscale(node, compare=True).GetName() for _ in range(3)]
    assert names[0] == "thorax x2"
    assert len(set(names)) == 3
    assert all(name.startswith("thorax x2") for name in names)
    every = [scene.GetNthNodeByClass(n, "vtkMRMLScalarVolumeNode").GetName() for n in range(7)]
    assert len(set(every)) == 7


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"scale": 3}, "head x3"),
        ({"spacing": "isotropic"}, "head 0.8 mm"),
        ({"scale": (2, 2, 2)}, "head x2"),
        ({"spacing": (0.4, 0.8, 0.8)}, "head 0.4 x 0.8 mm"),
    ],
)
def test_the_name_says_how_much_finer(asked, name, volume, logic):
    assert logic.upscale(volume(), **asked).GetName() == name
