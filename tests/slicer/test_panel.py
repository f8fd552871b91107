"""What the panel shows and offers before anything is run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

MODULE = Path(__file__).parents[2] / "ESPCNSlicer" / "ESPCNSlicer.py"


def shown(box):
    return [box.itemText(n) for n in range(box.count)]


def choose(box, text):
    """As a user does."""
    box.setCurrentIndex(shown(box).index(text))


@pytest.fixture
def ui(volume, panel):
    """The widgets of the panel, for a volume of thick slices that was loaded before it was opened."""
    return panel.ui


@pytest.fixture(autouse=True)
def head(volume):
    return volume()


def test_the_first_volume_is_chosen_and_the_line_says_what_comes_out(panel, head):
    ui = panel.ui
    assert ui.inputSelector.currentNode() is head
    assert ui.summaryLabel.text == (
        "12 x 10 x 6 at 0.9 x 0.9 x 5 mm \u2192 24 x 20 x 6 at 0.45 x 0.45 x 5 mm, 0.0 MB\n"
        "axial slices x2 by espcn-r-x2"
    )
    assert ui.runButton.enabled
    assert ui.runButton.text == "Super-resolve"
    assert not ui.progressBar.visible


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("2x in the slices", "24 x 20 x 6 at 0.45 x 0.45 x 5 mm"),
        ("3x in the slices", "36 x 30 x 6 at 0.3 x 0.3 x 5 mm"),
        ("4x in the slices", "48 x 40 x 6 at 0.225 x 0.225 x 5 mm"),
        ("Isotropic, at the finest spacing", "12 x 10 x 33 at 0.9 mm isotropic"),
        ("A spacing on all axes", "12 x 10 x 30 at 0.9 x 0.9 x 1 mm"),
    ],
)
def test_each_target_says_what_comes_out(panel, target, line):
    choose(panel.ui.targetBox, target)
    assert line in panel.ui.summaryLabel.text
    assert panel.ui.spacingBox.visible == (target == "A spacing on all axes")
    assert panel.ui.planeBox.enabled == ("slices" in target)


def test_a_spacing_is_what_the_box_says(panel):
    choose(panel.ui.targetBox, "A spacing on all axes")
    panel.ui.spacingBox.value = 0.5
    assert "at 0.5 mm isotropic" in panel.ui.summaryLabel.text
    panel.ui.spacingBox.value = 19
    assert panel.ui.summaryLabel.text == "The volume is as fine as that already."
    assert not panel.ui.runButton.enabled
    assert panel.ui.runButton.toolTip == panel.ui.summaryLabel.text


def test_the_plane_may_be_chosen(panel):
    choose(panel.ui.planeBox, "Sagittal")
    assert "sagittal slices x2 by espcn-r-x2" in panel.ui.summaryLabel.text


def test_models_are_those_that_fit_and_their_card_is_shown(panel):
    ui = panel.ui
    assert shown(ui.modelBox) == ["Automatic", "espcn-r-x2"]
    assert "espcn-r-x2 (espcn-r, x2)" in ui.cardText.text
    choose(ui.modelBox, "espcn-r-x2")
    choose(ui.targetBox, "Isotropic, at the finest spacing")
    assert shown(ui.modelBox) == ["Automatic", "espcn-r-through-x6"]
    assert ui.modelBox.currentText == "Automatic"
    assert "espcn-r-through-x6" in ui.cardText.text


def test_the_shipped_cards_say_what_a_user_asks(load, volume):
    panel = load(MODULE).widget.panel
    assert shown(panel.ui.modelBox) == ["Automatic", "espcn-r-x2", "espcn-r-x2-bicubic"]
    card = panel.ui.cardText.text
    for words in ("figshare", "CC BY 4.0", "mm", "dB", "Not for"):
        assert words in card


def test_a_spacing_that_the_network_has_not_seen_is_warned_of_beside_it(panel, weights, ship, tmp_path):
    assert not panel.ui.warningLabel.visible
    folder = shutil.copytree(weights, tmp_path / "weights")
    path = folder / "espcn-r-x2.json"
    card = json.loads(path.read_text())
    card["training"] = {"spacing_range_mm": [2.0, 3.0]}
    path.write_text(json.dumps(card))
    ship(folder)
    choose(panel.ui.planeBox, "Axial")
    assert panel.ui.warningLabel.text.startswith("espcn-r-x2 was trained on pixels of 2 to 3 mm, not 0.9 mm")
    assert panel.ui.warningLabel.visible


def test_too_little_memory_is_warned_of_beside_it(panel, monkeypatch, dialogs):
    monkeypatch.setattr("ESPCNSlicerLib.forecast.free_memory", lambda: 3 * 2**20)
    choose(panel.ui.targetBox, "4x in the slices")
    assert "and 3 MB are free" in panel.ui.warningLabel.text
    assert panel.ui.runButton.enabled  # it is the user's memory
    monkeypatch.setattr("ESPCNSlicerLib.forecast.free_memory", lambda: None)
    choose(panel.ui.targetBox, "3x in the slices")
    assert panel.ui.warningLabel.text == ""
    assert dialogs.texts == []


def test_what_cannot_be_upscaled_is_said_and_the_button_waits(panel, scene, head):
    import slicer
    import vtk

    ui = panel.ui
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    ui.inputSelector.setCurrentNode(empty)
    assert ui.summaryLabel.text == "Empty is empty: load voxels into it first."
    assert not ui.runButton.enabled
    colours = vtk.vtkImageData()
    colours.SetDimensions(4, 5, 6)
    colours.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    empty.SetAndObserveImageData(colours)
    assert "3 components in each voxel" in ui.summaryLabel.text
    empty.SetAndObserveImageData(None)
    slicer.util.updateVolumeFromArray(empty, np.zeros((4, 5, 6), np.uint8))
    assert "6 x 5 x 4" in ui.summaryLabel.text  # noticed without a click
    assert ui.runButton.enabled


def test_label_maps_and_colours_are_not_offered(panel, scene):
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "colours")
    for selector in (panel.ui.inputSelector, panel.ui.outputSelector):
        assert [selector.nodeFromIndex(n).GetName() for n in range(selector.nodeCount())] == ["head"]


def test_choices_are_kept_in_the_scene(panel, load, head):
    ui = panel.ui
    choose(ui.targetBox, "A spacing on all axes")
    choose(ui.planeBox, "Coronal")
    ui.spacingBox.value = 0.75
    ui.compareBox.checked = True
    ui.keepTypeBox.checked = False
    ui.showBox.checked = False
    panel.leave()
    choose(ui.targetBox, "2x in the slices")  # nobody hears it
    ui.compareBox.checked = False
    panel.enter()
    assert ui.targetBox.currentText == "A spacing on all axes"
    assert ui.planeBox.currentText == "Coronal"
    assert ui.spacingBox.value == 0.75
    assert (ui.compareBox.checked, ui.keepTypeBox.checked, ui.showBox.checked) == (True, False, False)
    assert ui.inputSelector.currentNode() is head


def test_a_new_scene_starts_anew(panel, scene, volume):
    choose(panel.ui.targetBox, "4x in the slices")
    scene.Clear()
    assert panel.ui.summaryLabel.text == "Choose an input volume."
    assert not panel.ui.runButton.enabled
    assert panel.ui.targetBox.currentText == "2x in the slices"
    other = volume("other")
    panel.ui.inputSelector.setCurrentNode(other)
    assert panel.ui.runButton.enabled


@pytest.mark.parametrize("entered", [True, False])
def test_a_saved_scene_comes_back_with_its_choices(panel, load, scene, tmp_path, entered, weights, ship):
    """Also while the panel is open: then the parameters are there before the voxels of their volume are."""
    import slicer

    folder = shutil.copytree(weights, tmp_path / "weights")
    for ending in ("json", "safetensors"):
        shutil.copy(folder / f"espcn-r-x2.{ending}", folder / f"espcn-r-x2-bicubic.{ending}")
    card = json.loads((folder / "espcn-r-x2-bicubic.json").read_text())
    (folder / "espcn-r-x2-bicubic.json").write_text(json.dumps({**card, "name": "espcn-r-x2-bicubic"}))
    ship(folder)
    node = slicer.util.getNode("head")
    slicer.util.saveNode(node, str(tmp_path / "head.nrrd"))
    choose(panel.ui.planeBox, "Coronal")
    choose(panel.ui.modelBox, "espcn-r-x2-bicubic")
    scene.SetURL(str(tmp_path / "saved.mrml"))
    scene.Commit()
    if not entered:
        panel.leave()
    scene.SetURL(str(tmp_path / "saved.mrml"))
    scene.Connect()
    panel.enter()
    assert panel.ui.modelBox.currentText == "espcn-r-x2-bicubic"
    assert panel.ui.planeBox.currentText == "Coronal"
    assert "coronal slices x2 by espcn-r-x2-bicubic" in panel.ui.summaryLabel.text


def test_a_saved_device_that_is_not_here_becomes_automatic(panel, wait):
    panel._devices = None
    panel._parameters.device = "cuda"
    assert panel.ui.deviceBox.currentText == "cuda"  # it may be here: nobody has looked
    panel.enter()
    wait(lambda: panel._devices is not None and panel.ui.deviceBox.currentText == "Automatic", 60)
    assert panel._parameters.device == "auto"


def test_a_label_map_that_was_loaded_first_is_not_chosen(load, scene, head, volume):
    import slicer

    scene.RemoveNode(head)
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    good = volume("good")
    panel = load(MODULE).widget.panel
    assert panel.ui.inputSelector.currentNode() is good
    assert slicer.util.getNode("labels").GetClassName() == "vtkMRMLLabelMapVolumeNode"


def test_opening_the_logic_alone_looks_for_no_devices(load):
    loaded = load(MODULE)
    assert loaded.widget.panel._devices is None
    assert not loaded.widget.panel._search.is_busy


def test_entering_again_and_again_leaves_nothing_behind(panel, scene):
    for _ in range(3):
        panel.leave()
        panel.enter()
    wrapper, count = panel._parameters, len(panel.Observations)
    for _ in range(20):
        panel.leave()
        panel.enter()
    assert panel._parameters is wrapper
    assert len(panel.Observations) == count


def test_devices_get_their_names_after_the_panel_is_shown(panel, wait):
    wait(lambda: "thread" in shown(panel.ui.deviceBox)[-1], 30)
    assert shown(panel.ui.deviceBox)[0] == "Automatic"
    assert shown(panel.ui.deviceBox)[-1].startswith("CPU, ")


def test_without_torch_the_panel_says_all_but_the_devices(load, volume, monkeypatch, scene):
    monkeypatch.setattr("ESPCNSlicerLib.widget.is_torch_there", lambda: False)
    panel = load(MODULE).widget.panel
    assert shown(panel.ui.deviceBox) == ["Automatic", "CPU"]
    assert panel.ui.runButton.enabled


def test_the_panel_can_be_looked_at(panel, tmp_path, app):
    parent = panel.ui.runButton.window()
    parent.resize(420, 700)
    app.processEvents()
    picture = parent.grab().toImage()
    colours = {picture.pixel(x, y) for x in range(0, 420, 7) for y in range(0, 700, 7)}
    assert len(colours) > 20
    assert parent.grab().save(str(tmp_path / "panel.png"))
