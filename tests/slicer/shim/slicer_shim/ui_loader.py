"""Stand-in for PythonQt's loader of ``.ui`` files."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import ctk
import qt
import slicer
from PySide6 import QtUiTools


def widget_class(name: str) -> type | None:
    """The class that a ``.ui`` file means by a name: one of Qt, of CTK or of Slicer."""
    return next((getattr(module, name) for module in (qt, ctk, slicer) if hasattr(module, name)), None)


class UiLoader(QtUiTools.QUiLoader):
    """Builds every widget in Python, so that it has what `qt` gives, and our stand-ins where they are named.

    Connections that carry MRML objects, such as ``mrmlSceneChanged(vtkMRMLScene*)``, have types that Qt does
    not know here. They are taken out of the file and made in Python, and only those that the file names: a
    selector whose connection was forgotten gets no scene, as in Slicer.
    """

    def createWidget(self, className: str, parent: qt.QWidget | None = None, name: str = "") -> qt.QWidget:
        cls = widget_class(className)
        made = cls(parent) if cls else super().createWidget(className, parent, name)
        made.setObjectName(name)
        self._made[name] = made
        return made

    def load(self, file: qt.QIODevice, parent: qt.QWidget | None = None) -> qt.QWidget | None:
        """Build the widget that an open file describes.

        Raises
        ------
        NotImplementedError
            If the file names a widget class that the shim lacks.
        """
        self._made: dict[str, qt.QWidget] = {}
        tree = ElementTree.fromstring(file.readAll().data())
        used = {element.get("class", "") for element in tree.iter("widget")} - {"Line"}
        if missing := {name for name in used if widget_class(name) is None}:
            raise NotImplementedError(f"The shim has no {', '.join(sorted(missing))}")
        kept_back = []
        for connections in tree.iter("connections"):
            for connection in list(connections):
                if "vtk" in connection.findtext("signal", ""):
                    kept_back.append(connection)
                    connections.remove(connection)
        buffer = qt.QBuffer(self)
        buffer.setData(ElementTree.tostring(tree))
        buffer.open(qt.QIODevice.ReadOnly)
        root = super().load(buffer, parent)
        for connection in kept_back:
            sender, receiver = (self._made[connection.findtext(end, "")] for end in ("sender", "receiver"))
            slot = connection.findtext("slot", "").partition("(")[0]
            sender.connect(connection.findtext("signal", ""), getattr(receiver, slot))
        return root
