"""The stand-ins behave as the application does, on a small module in the style of Slicer's own template."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import pytest

MODULE = """
import enum
from typing import Annotated

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, Default, Maximum, Minimum, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin
from slicer import vtkMRMLScalarVolumeNode


class Invert(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Invert")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Examples")]
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Invert", sampleName="Invert1", uris="https://example.org/x", fileNames="x.nrrd"
    )


class Plane(enum.Enum):
    AXIAL = 1
    SAGITTAL = 2

    def label(self):
        return self.name.lower()


@parameterNodeWrapper
class InvertParameterNode:
    inputVolume: vtkMRMLScalarVolumeNode
    outputVolume: vtkMRMLScalarVolumeNode
    factor: Annotated[str, Choice(["2", "3", "4"])] = "3"
    plane: Plane
    threshold: Annotated[float, WithinRange(-10, 200)] = 100
    passes: Annotated[int, Minimum(1), Maximum(9), Default(5)]
    compare: bool = False
    note: str = "none"


class InvertWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self.calls = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/Invert.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = InvertLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.initializeParameterNode()

    def cleanup(self):
        self.calls.append("cleanup")
        self.removeObservers()

    def enter(self):
        self.calls.append("enter")
        self.initializeParameterNode()

    def exit(self):
        self.calls.append("exit")
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self):
        self.setParameterNode(self.logic.getParameterNode())
        if not self._parameterNode.inputVolume:
            first = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
            if first:
                self._parameterNode.inputVolume = first

    def setParameterNode(self, parameterNode):
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._tag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
        self._parameterNode = parameterNode
        if parameterNode:
            self._tag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._checkCanApply)
            self._checkCanApply()

    def _checkCanApply(self, caller=None, event=None):
        self.ui.applyButton.enabled = bool(self._parameterNode and self._parameterNode.inputVolume)

    def onApplyButton(self):
        with slicer.util.tryWithErrorDisplay(_("Failed to compute results."), waitCursor=True):
            self._parameterNode.outputVolume = self.logic.process(self._parameterNode.inputVolume)


class InvertLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self):
        return InvertParameterNode(super().getParameterNode())

    def process(self, volume):
        array = slicer.util.arrayFromVolume(volume)
        if not array.any():
            raise ValueError("Input volume is empty")
        return slicer.util.addVolumeFromArray(-array, name=volume.GetName() + " inverted")
"""


def _widget(kind: str, name: str, parameter: str = "", **properties: str) -> str:
    """One widget of a .ui file; properties are given as XML."""
    text = "".join(f'<property name="{key}">{value}</property>' for key, value in properties.items())
    if parameter:
        text += f'<property name="SlicerParameterName" stdset="0"><string>{parameter}</string></property>'
    return f'<item><widget class="{kind}" name="{name}">{text}</widget></item>'


SELECTOR = {
    "nodeTypes": "<stringlist><string>vtkMRMLScalarVolumeNode</string></stringlist>",
    "showChildNodeTypes": "<bool>false</bool>",
    "addEnabled": "<bool>false</bool>",
}
NONE_TOO = {"noneEnabled": "<bool>true</bool>", "noneDisplay": "<string>Create new</string>"}
UI = f"""<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0"><class>Invert</class>
<widget class="qMRMLWidget" name="Invert"><layout class="QVBoxLayout" name="rows">
{_widget("qMRMLNodeComboBox", "inputSelector", "inputVolume", **SELECTOR)}
{_widget("qMRMLNodeComboBox", "outputSelector", "outputVolume", **SELECTOR, **NONE_TOO)}
{_widget("qMRMLNodeComboBox", "orphanSelector", **SELECTOR)}
{_widget("QComboBox", "factorBox", "factor")}
{_widget("QComboBox", "planeBox", "plane")}
{_widget("ctkSliderWidget", "thresholdSlider", "threshold")}
{_widget("QSpinBox", "passesBox", "passes")}
<item><widget class="ctkCollapsibleButton" name="more"><property name="text"><string>More</string></property>
<property name="collapsed"><bool>true</bool></property><layout class="QVBoxLayout" name="moreRows">
{_widget("QCheckBox", "compareBox", "compare")}
{_widget("QLineEdit", "noteEdit", "note")}
{_widget("QPlainTextEdit", "log")}
</layout></widget></item>
{_widget("QPushButton", "applyButton", text="<string>Apply</string>", enabled="<bool>false</bool>")}
{_widget("QProgressBar", "progressBar", value="<number>0</number>")}
</layout></widget><resources/><connections>{
    "".join(
        f"<connection><sender>Invert</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>"
        f"<receiver>{name}</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection>"
        for name in ("inputSelector", "outputSelector")
    )
}<connection><sender>compareBox</sender><signal>toggled(bool)</signal>
<receiver>noteEdit</receiver><slot>setDisabled(bool)</slot></connection></connections></ui>"""


@pytest.fixture
def path(app, tmp_path):
    """The file of the small module."""
    import qt

    (tmp_path / "Resources" / "UI").mkdir(parents=True)
    (tmp_path / "Resources" / "UI" / "Invert.ui").write_text(UI)
    (tmp_path / "Resources" / "Icons").mkdir()
    image = qt.QImage(8, 8, qt.QImage.Format_RGB32)
    image.fill(qt.Qt.red)
    assert image.save(str(tmp_path / "Resources" / "Icons" / "Invert.png"))
    (tmp_path / "Invert.py").write_text(MODULE)
    return tmp_path / "Invert.py"


@pytest.fixture
def invert(load, path):
    """The small module, loaded."""
    return load(path)


def add_volume(name: str = "MR", kind: str | None = None, value: float = 1):
    import slicer

    return slicer.util.addVolumeFromArray(
        np.full((2, 3, 4), value, np.float32), name=name, nodeClassName=kind
    )


def choose(selector, text: str) -> None:
    """What a user does with a selector."""
    box = selector._list
    index = box.findText(text)
    box.setCurrentIndex(index)
    box.activated.emit(index)


# The application


def test_start_is_idempotent(app, scene):
    import slicer
    from slicer_shim import start

    assert start() is app is slicer.app
    assert slicer.mrmlScene is scene
    assert slicer.util.mainWindow() is None
    assert app.layoutManager() is None
    assert app.thread() is app.instance().thread()


def test_settings_stay_out_of_the_users_own(app):
    import qt

    qt.QSettings().setValue("shim/key", 3)
    assert qt.QSettings().fileName().startswith(app.temporaryPath)
    import slicer

    assert slicer.util.settingsValue("shim/key", 0, converter=int) == 3


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz"])
def test_files_go_through_real_storage_nodes(scene, app, tmp_path, suffix):
    import slicer

    view = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    volume = add_volume("out")
    volume.SetSpacing(0.5, 0.5, 3)
    assert slicer.util.saveNode(volume, str(tmp_path / f"brain{suffix}"))
    loaded = slicer.util.loadVolume(str(tmp_path / f"brain{suffix}"))
    assert loaded.GetName() == "brain"
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(loaded), slicer.util.arrayFromVolume(volume))
    np.testing.assert_allclose(loaded.GetSpacing(), (0.5, 0.5, 3))
    assert loaded.GetDisplayNode().GetColorNode().GetName() == "Grey"
    assert app.applicationLogic().GetSelectionNode().GetActiveVolumeID() == loaded.GetID()
    assert view.GetBackgroundVolumeID() == loaded.GetID()
    label = slicer.util.loadVolume(str(tmp_path / f"brain{suffix}"), {"labelmap": True, "name": "seg"})
    assert label.IsA("vtkMRMLLabelMapVolumeNode")
    with pytest.raises(RuntimeError, match="Failed to load"):
        slicer.util.loadVolume(str(tmp_path / "missing.nrrd"))


# PythonQt


def test_properties_are_attributes_and_signals_have_signatures(app):
    import qt

    button = qt.QPushButton("Run")
    assert button.text == "Run"
    button.text = "Stop"
    button.name = "stopButton"
    assert (button.text, button.objectName, button.className()) == ("Stop", "stopButton", "QPushButton")
    got = []
    button.checkable = True
    button.connect("clicked()", lambda *values: got.append(values))
    button.connect("clicked(bool)", lambda *values: got.append(values))
    button.click()
    assert got == [(), (True,)]
    with pytest.raises(ValueError, match=r"no signal 'klicked\(\)'.*clicked\(bool\)"):
        button.connect("klicked()", print)


def test_disconnect(app):
    import qt

    got = []
    button = qt.QPushButton()

    def slot():
        got.append(1)

    button.connect("clicked()", slot)
    button.disconnect("clicked()", slot)
    button.click()
    assert not got


def test_a_modal_dialog_does_not_block(app, dialogs):
    import qt

    with pytest.raises(AssertionError, match="wait for a user"):
        qt.QDialog().exec_()
    box = qt.QMessageBox()
    box.text = "Really?"
    box.standardButtons = qt.QMessageBox.Yes | qt.QMessageBox.No
    dialogs.answer = qt.QMessageBox.No
    assert box.exec_() == qt.QMessageBox.No
    assert dialogs.texts == ["Really?"]


def test_panel_can_be_shown_and_drawn(app, invert):
    """No attribute that the shim puts on a class stands in the way of Qt's own virtual functions."""
    invert.panel.show()
    app.processEvents()
    picture = invert.panel.grab().toImage()
    assert picture.width() == invert.panel.width >= invert.panel.sizeHint.width() > 100
    colors = {picture.pixelColor(x, y).rgb() for x in range(0, 100, 2) for y in range(0, 100, 2)}
    assert len(colors) > 5
    invert.panel.hide()


def test_slider_and_spin_box_of_a_slider_widget_agree(app):
    import ctk

    got = []
    widget = ctk.ctkSliderWidget()
    widget.setRange(10, 20)
    widget.connect("valueChanged(double)", got.append)
    widget.value = 15
    assert widget._slider.value == widget.STEPS / 2
    widget._slider.setValue(widget.STEPS)
    assert (widget.value, got) == (20, [15, 20])


def test_a_widget_that_the_shim_lacks_raises(path):
    import slicer

    file = path.parent / "Resources" / "UI" / "Invert.ui"
    file.write_text(UI.replace("QPlainTextEdit", "ctkNoSuchWidget"))
    with pytest.raises(NotImplementedError, match="ctkNoSuchWidget"):
        slicer.util.loadUI(str(file))


# Loading


def test_module_is_registered_as_in_slicer(invert, app):
    import SampleData
    import slicer

    module = slicer.modules.invert
    assert (module.title, module.categories, module.name) == ("Invert", ["Examples"], "Invert")
    assert module.widgetRepresentation().self() is invert.widget is slicer.modules.InvertWidget
    assert slicer.util.getModuleWidget("Invert") is invert.widget
    assert slicer.util.getModuleLogic("Invert") is invert.widget.logic
    assert slicer.util.modulePath("Invert").endswith("Invert.py")
    assert slicer.util.moduleNames() == ("Invert",)
    assert [source["sampleName"] for source in SampleData.registered] == ["Invert1"]
    assert module.icon.pixmap(8).toImage().pixelColor(0, 0).red() == 255
    with pytest.raises(AttributeError, match="no 'titel'"):
        module.titel = "x"


def test_sample_data_knows_its_keywords(app):
    import SampleData

    register = SampleData.SampleDataLogic.registerCustomSampleDataSource
    with pytest.raises(TypeError, match="checksum"):
        register(sampleName="x", checksum="SHA256:0")
    with pytest.raises(TypeError, match="differ in length"):
        register(sampleName="x", uris=["a", "b"], fileNames=["a"])


def test_enter_exit_and_cleanup(invert, path):
    import shiboken6
    import slicer
    from slicer_shim import unload_module

    slicer.util.selectModule("Invert")
    assert slicer.util.selectedModule() == "Invert"
    assert invert.panel.isEntered
    widget, folder = invert.widget, str(path.parent)
    assert folder in sys.path
    unload_module("Invert")
    assert folder not in sys.path
    assert not shiboken6.isValid(widget.parent)
    assert widget.calls == ["enter", "exit", "cleanup"]
    assert not hasattr(slicer.modules, "invert")
    assert "Invert" not in sys.modules
    add_volume()  # nothing that is gone listens to the scene


# Parameters


def test_defaults_live_in_the_node(invert):
    node = invert.widget._parameterNode
    assert (node.factor, node.plane.name, node.threshold, node.passes) == ("3", "AXIAL", 100, 5)
    assert (node.compare, node.note, node.inputVolume) == (False, "none", None)
    stored = node.parameterNode
    assert stored.GetSingletonTag() == stored.GetAttribute("ModuleName") == "Invert"
    assert [stored.GetParameter(key) for key in ("factor", "plane", "compare")] == ["3", "AXIAL", "False"]
    assert invert.source.InvertLogic().getParameterNode().parameterNode is stored


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("factor", "5", ValueError),
        ("factor", 2, TypeError),
        ("threshold", 201.0, ValueError),
        ("passes", 0, ValueError),
        ("passes", 10, ValueError),
        ("passes", 1.5, TypeError),
        ("compare", 1, TypeError),
        ("note", None, ValueError),
        ("plane", "AXIAL", TypeError),
    ],
)
def test_wrong_values_are_refused(invert, name, value, error):
    node = invert.widget._parameterNode
    before = getattr(node, name)
    with pytest.raises(error):
        setattr(node, name, value)
    assert getattr(node, name) == before


def test_wrong_nodes_are_refused(invert):
    import slicer

    with pytest.raises(TypeError):
        invert.widget._parameterNode.inputVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")


def test_names_of_the_wrapper_are_reserved(app):
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    with pytest.raises(ValueError, match="default"):
        parameterNodeWrapper(type("Node", (), {"__annotations__": {"default": int}}))


@pytest.mark.parametrize("annotation", ["list[int]", "Annotated[int, 'unit']", "dict"])
def test_what_the_wrapper_does_not_know_raises(app, annotation):
    from typing import Annotated

    from slicer.parameterNodeWrapper import parameterNodeWrapper

    kind = eval(annotation, {"Annotated": Annotated})
    with pytest.raises(TypeError, match="shim"):
        parameterNodeWrapper(type("Node", (), {"__annotations__": {"x": kind}}))


def test_widgets_and_node_follow_each_other(invert):
    node, ui = invert.widget._parameterNode, invert.widget.ui
    shown = [ui.factorBox.itemText(i) for i in range(ui.factorBox.count)]
    assert (shown, ui.factorBox.currentText) == (["2", "3", "4"], "3")
    assert (ui.planeBox.currentText, ui.passesBox.value, ui.thresholdSlider.value) == ("axial", 5, 100)
    assert (ui.passesBox.minimum, ui.passesBox.maximum, ui.thresholdSlider.maximum) == (1, 9, 200)

    ui.factorBox.currentIndex = 2
    ui.planeBox.currentIndex = 1
    ui.passesBox.value = 7
    ui.thresholdSlider.value = 12.5
    ui.compareBox.click()
    ui.noteEdit.text = "edge"
    assert (node.factor, node.plane.name, node.passes, node.threshold) == ("4", "SAGITTAL", 7, 12.5)
    assert (node.compare, node.note) == (True, "edge")
    assert not ui.noteEdit.enabled  # by a connection of the .ui file

    node.factor, node.passes, node.threshold, node.compare = "2", 1, -3.0, False
    assert (ui.factorBox.currentIndex, ui.passesBox.value, ui.thresholdSlider.value) == (0, 1, -3)
    assert not ui.compareBox.checked

    node.threshold = 1.23456
    assert (ui.thresholdSlider.value, node.threshold) == (1.23, 1.23456)  # what is shown is not written back

    invert.widget.setParameterNode(None)
    ui.passesBox.value = 9
    assert node.passes == 1
    node.passes = 2
    assert ui.passesBox.value == 9


def test_a_parameter_needs_a_fitting_widget(invert):
    import ctk
    import qt

    node = invert.widget._parameterNode
    for name, widget in {
        "factor": ctk.ctkComboBox(),
        "passes": ctk.ctkSliderWidget(),
        "note": qt.QComboBox(),
    }.items():
        with pytest.raises(RuntimeError, match=name):
            node.connectParametersToGui({name: widget})
    with pytest.raises(ValueError, match="typo"):
        node.connectParametersToGui({"typo": qt.QLineEdit()})


# The node selector


def test_selector_leaves_label_maps_out_and_offers_them_if_asked(invert):
    volume = add_volume("MR")
    add_volume("labels", "vtkMRMLLabelMapVolumeNode")
    selector = invert.widget.ui.inputSelector
    assert selector.nodeCount() == 1
    assert selector.currentNode() is volume
    selector.showChildNodeTypes = True
    assert selector.nodeCount() == 2
    volume.SetHideFromEditors(True)
    assert selector.nodeCount() == 1


def test_selector_shows_new_names(invert):
    volume = add_volume("MR")
    ui = invert.widget.ui
    volume.SetName("T2")
    texts = [ui.outputSelector._list.itemText(i) for i in range(ui.outputSelector._list.count)]
    assert texts == ["Create new", "T2"]
    assert ui.outputSelector.currentNode() is None
    assert ui.inputSelector._list.currentText == "T2"


def test_selector_and_parameter_follow_each_other(invert):
    import slicer

    node, ui = invert.widget._parameterNode, invert.widget.ui
    got = []
    ui.inputSelector.connect("currentNodeChanged(vtkMRMLNode*)", got.append)
    first, second = add_volume("first"), add_volume("second")
    assert node.inputVolume is first
    choose(ui.inputSelector, "second")
    assert node.inputVolume is second
    node.inputVolume = first
    assert ui.inputSelector.currentNodeID == first.GetID()
    node.outputVolume = second
    slicer.mrmlScene.RemoveNode(second)
    assert node.outputVolume is None
    slicer.mrmlScene.RemoveNode(first)
    assert node.inputVolume is None
    assert not ui.applyButton.enabled
    assert got == [first, second, first, None]


def test_selector_chooses_when_it_must(scene):
    """The first node to come, then the last when the current one goes; none if that was wanted."""
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setMRMLScene(scene)
    first, _, third = (add_volume(name) for name in ("first", "second", "third"))
    assert selector.currentNode() is first
    scene.RemoveNode(first)
    assert selector.currentNode() is third
    selector.setCurrentNode(None)
    add_volume("fourth")
    assert selector.currentNode() is None
    assert selector.addNode() is selector.currentNode() is not None
    selector.selectNodeUponCreation = False
    assert selector.addNode() is not selector.currentNode()


def test_selector_waits_until_a_batch_is_over(scene):
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setMRMLScene(scene)
    scene.StartState(scene.BatchProcessState)
    volume = add_volume()
    assert selector.nodeCount() == 0
    scene.EndState(scene.BatchProcessState)
    assert selector.currentNode() is volume


def test_selector_without_its_connection_gets_no_scene(capfd, load, path):
    orphan = load(path).widget.ui.orphanSelector
    assert "No such signal" not in capfd.readouterr().err
    add_volume()
    assert orphan.mrmlScene() is None
    assert not orphan.enabled
    assert orphan.nodeCount() == 0


def test_selector_remembers_a_choice_made_before_it_has_a_scene(scene):
    import slicer

    add_volume("first")
    second = add_volume("second")
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setCurrentNode(second)
    selector.setMRMLScene(scene)
    assert selector.currentNode() is second
    second.SetAttribute("kind", "result")
    selector.addAttribute("vtkMRMLScalarVolumeNode", "kind")
    assert selector.nodeCount() == 1
    made = selector.addNode()
    assert made.IsA("vtkMRMLScalarVolumeNode")


def test_closing_the_scene_empties_panel_and_parameters(invert, scene):
    import slicer

    slicer.util.selectModule("Invert")
    add_volume()
    widget = invert.widget
    widget._parameterNode.passes = 9
    scene.Clear(False)
    assert widget.ui.inputSelector.nodeCount() == 0
    assert widget._parameterNode.inputVolume is None
    assert (widget._parameterNode.passes, widget.ui.passesBox.value) == (5, 5)
    assert widget._parameterNode.parameterNode.GetAttribute("ModuleName") == "Invert"
    assert not widget.ui.applyButton.enabled


# Sections, buttons, dialogs, errors


def test_a_section_hides_its_children_and_keeps_hidden_ones_hidden(invert, app):
    ui = invert.widget.ui
    invert.panel.show()
    assert ui.more.collapsed
    assert not ui.noteEdit.visible
    ui.more.collapsed = False
    assert ui.noteEdit.visible
    ui.log.visible = False
    ui.more.click()
    ui.more.click()
    assert ui.noteEdit.visible
    assert not ui.log.visible
    invert.panel.hide()


def test_apply_adds_a_volume(invert, dialogs):
    import slicer

    ui = invert.widget.ui
    ui.applyButton.click()
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    add_volume(value=4)
    assert ui.applyButton.enabled
    ui.applyButton.click()
    assert slicer.util.arrayFromVolume(slicer.util.getNode("MR inverted")).max() == -4
    assert ui.outputSelector.currentNode().GetName() == "MR inverted"
    assert dialogs.shown == []


def test_an_error_is_shown_and_recorded(invert, dialogs, app):
    from slicer_shim.guard import no_hidden_errors

    add_volume(value=0)
    with pytest.raises(AssertionError, match="Input volume is empty"), no_hidden_errors():
        invert.widget.ui.applyButton.click()
    [shown] = dialogs.shown
    assert shown.kind == "errorDisplay"
    assert shown.text == "Failed to compute results.\n\nInput volume is empty"
    assert "Traceback" in shown.details
    assert app.overrideCursor() is None
    dialogs.reset()
    app.testing = True
    with pytest.raises(AssertionError, match="empty"), no_hidden_errors():
        invert.widget.ui.applyButton.click()
    assert dialogs.shown == []


def test_dialogs_are_recorded_and_answered(dialogs):
    import qt
    import slicer

    slicer.util.infoDisplay("done")
    slicer.util.messageBox("read this")
    with pytest.raises(AssertionError, match="expected the question 'sure"):
        slicer.util.confirmOkCancelDisplay("sure?")
    dialogs.answer = True
    assert slicer.util.confirmYesNoDisplay("install?") is True
    dialogs.answer = lambda dialog: "cheap" in dialog.text
    assert slicer.util.confirmOkCancelDisplay("dear?") is False
    dialogs.answer = qt.QMessageBox.Retry
    buttons = qt.QMessageBox.Retry | qt.QMessageBox.Abort
    assert slicer.util.messageBox("again?", standardButtons=buttons) == qt.QMessageBox.Retry
    assert dialogs.texts == ["done", "read this", "sure?", "install?", "dear?", "again?"]


def _fail(*_):
    raise ValueError("nobody sees this")


def _in_a_slot():
    import qt

    button = qt.QPushButton()
    button.connect("clicked()", _fail)
    button.click()


def _in_an_observer():
    import slicer

    tag = slicer.mrmlScene.AddObserver(slicer.mrmlScene.NodeAddedEvent, _fail)
    add_volume()
    slicer.mrmlScene.RemoveObserver(tag)


def _in_a_thread():
    thread = threading.Thread(target=_fail)
    thread.start()
    thread.join()


@pytest.mark.parametrize("where", [_in_a_slot, _in_an_observer, _in_a_thread])
def test_swallowed_exceptions_fail(app, where):
    from slicer_shim.guard import no_hidden_errors

    before = sys.excepthook, threading.excepthook
    with pytest.raises(AssertionError, match="nobody sees this"), no_hidden_errors():
        where()
    assert (sys.excepthook, threading.excepthook) == before


# Waiting


def test_wait_processes_events(wait):
    import qt

    got = []
    qt.QTimer.singleShot(500, lambda: got.append(1))
    wait(lambda: got, seconds=5)
    assert got == [1]
    assert 0 < wait.longest_gap < 0.4


def test_wait_gives_up(wait):
    begin = time.monotonic()
    with pytest.raises(AssertionError, match=r"the result did not come true in 0\.05 s"):
        wait(lambda: False, seconds=0.05, what="the result")
    assert 0.05 <= time.monotonic() - begin < 5


def test_wait_measures_how_long_the_panel_was_frozen(wait):
    import qt

    got = []
    qt.QTimer.singleShot(10, lambda: (time.sleep(0.2), got.append(1)))
    wait(lambda: got)
    assert wait.longest_gap >= 0.2
