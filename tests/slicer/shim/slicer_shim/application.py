"""Stand-in for the application: ``slicer.app``, ``slicer.mrmlScene`` and ``slicer.modules``."""

from __future__ import annotations

import sys
import tempfile
import types
from pathlib import Path

import qt
import SampleData
import slicer
import slicer.util

from slicer_shim import (
    dialogs,
    i18n,
    mrml_widgets,
    node_combo_box,
    parameter_node_wrapper,
    scripted_loadable_module,
)
from slicer_shim.files import FileManager
from slicer_shim.modules import CoreModule, Module, ModuleManager, ModuleRepresentation


class Application(qt.QApplication):
    """``slicer.app``: what a module asks of it, without a main window and without views.

    `testing` is the answer of `testingEnabled`. It is off at first: in testing mode ``slicer.util`` shows no
    errors, and a test could not see them. `restarts` counts the calls of `restart`.
    """

    startupCompleted = qt.Signal()

    def __init__(self) -> None:
        super().__init__(["Slicer"])
        self.setApplicationName("Slicer")
        self.majorVersion, self.minorVersion, self.applicationVersion = 5, 13, "5.13.0"
        self.documentationBaseUrl = "https://slicer.readthedocs.io/en/latest/"
        self.testing = False
        self.restarts = 0
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-shim-")
        self.temporaryPath = self._folder.name
        self._modules = ModuleManager()
        self._files = FileManager()
        self._logic = slicer.vtkSlicerApplicationLogic()
        self._logic.SetMRMLScene(slicer.mrmlScene)
        colors = self._logic.GetColorLogic()
        colors.SetMRMLScene(slicer.mrmlScene)
        colors.AddDefaultColorNodes()
        self._logic.SetModuleLogic("Colors", colors)

    def testingEnabled(self) -> bool:
        return self.testing

    def commandOptions(self) -> types.SimpleNamespace:
        return types.SimpleNamespace(testingEnabled=self.testing, noMainWindow=True)

    def mrmlScene(self) -> slicer.vtkMRMLScene:
        return slicer.mrmlScene

    def applicationLogic(self) -> slicer.vtkSlicerApplicationLogic:
        return self._logic

    def moduleManager(self) -> ModuleManager:
        return self._modules

    def coreIOManager(self) -> FileManager:
        return self._files

    ioManager = coreIOManager

    def layoutManager(self) -> None:
        """As in Slicer without a main window: there is none."""

    def settings(self) -> qt.QSettings:
        return qt.QSettings()

    userSettings = settings

    def translate(self, context: str, text: str) -> str:
        return text

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}user_guide/modules/{name.lower()}.html"

    def restart(self) -> None:
        self.restarts += 1


def close_scene() -> None:
    """What "Close scene" does, and away with the parameter nodes, which that only empties."""
    slicer.mrmlScene.Clear(False)
    while node := slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScriptedModuleNode"):
        slicer.mrmlScene.RemoveNode(node)


def start() -> Application:
    """Make ``slicer`` look as it does inside the application; a second call changes nothing."""
    if hasattr(slicer, "app"):
        return slicer.app
    slicer.mrmlScene = slicer.vtkMRMLScene()
    slicer.qMRMLNodeComboBox = node_combo_box.qMRMLNodeComboBox
    for name in ("qMRMLWidget", "qSlicerWidget", "qMRMLCollapsibleButton"):
        setattr(slicer, name, getattr(mrml_widgets, name))
    slicer.qSlicerScriptedLoadableModule = Module
    slicer.qSlicerScriptedLoadableModuleWidget = ModuleRepresentation

    slicer.app = app = Application()
    qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
    qt.QSettings.setPath(qt.QSettings.IniFormat, qt.QSettings.UserScope, str(Path(app.temporaryPath)))

    slicer.modules = types.ModuleType("slicer.modules")
    volumes = slicer.vtkSlicerVolumesLogic()
    volumes.SetMRMLApplicationLogic(app.applicationLogic())
    volumes.SetMRMLScene(slicer.mrmlScene)
    slicer.modules.volumes = CoreModule("Volumes", volumes)
    slicer.modules.sampledata = CoreModule("SampleData", SampleData.SampleDataLogic())
    sys.modules["slicer.modules"] = slicer.modules
    for name, module in {
        "i18n": i18n,
        "ScriptedLoadableModule": scripted_loadable_module,
        "parameterNodeWrapper": parameter_node_wrapper,
    }.items():
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
    slicer.util.selectModule = app.moduleManager().select
    slicer.util.selectedModule = lambda: app.moduleManager().selected
    dialogs.replace()
    return app
