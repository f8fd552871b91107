"""Stand-ins for the widgets that know the scene, apart from the node selector."""

from __future__ import annotations

import ctk
import qt
import slicer
from qt import Signal


class SceneHolder:
    """What all MRML widgets share: a scene, and a signal when they are given another one."""

    _scene: slicer.vtkMRMLScene | None = None

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return self._scene

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


@qt.expose
class qMRMLWidget(SceneHolder, qt.QWidget):
    """The root of a panel: it hands its scene on through the connections of the ``.ui`` file."""

    mrmlSceneChanged = Signal(object)


@qt.expose
class qSlicerWidget(SceneHolder, qt.QWidget):
    """The same for panels that are not a module's own."""

    mrmlSceneChanged = Signal(object)


@qt.expose
class qMRMLCollapsibleButton(SceneHolder, ctk.ctkCollapsibleButton):
    """A section that hands its scene on."""

    mrmlSceneChanged = Signal(object)
