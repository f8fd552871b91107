"""Stand-in for ``qt``, PythonQt's flat module of all Qt classes, on PySide6 without a display.

It stands in for these habits of PythonQt:

- all classes of Qt are names of one module;
- a Qt property is a Python attribute: ``label.text`` and ``label.text = "x"``, never ``label.text()``;
- ``sender.connect("clicked(bool)", slot)`` picks a signal by its C++ signature;
- ``name`` is short for ``objectName``, ``className()`` names the class in C++, ``exec_()`` runs a dialog.

A wrong signature raises here. In Slicer it gives a line in the log and a button that does nothing.
Not stood in for: PythonQt keeps only what C++ owns, so a Python attribute of a widget may be lost in Slicer.
"""

from __future__ import annotations

import os
import weakref
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import shiboken6
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from PySide6.QtCore import Property, Signal, Slot

__all__ = ["Property", "Signal", "Slot", "expose"]

FUNCTIONS = {"singleShot"}
"""Properties that share their name with a function that is needed more, here ``QTimer.singleShot``."""

_exposed: set[type] = set()
_connect = QtCore.QObject.connect
_disconnect = QtCore.QObject.disconnect


def expose(cls: type) -> type:
    """Give a QObject class and its bases PythonQt's attributes and ``connect``; usable as a decorator."""
    for base in reversed(cls.__mro__):
        meta = vars(base).get("staticMetaObject")
        if meta is not None and base not in _exposed:
            _exposed.add(base)
            for index in range(meta.propertyOffset(), meta.propertyCount()):
                name = meta.property(index).name()
                if name not in FUNCTIONS and not isinstance(vars(base).get(name), Property | property):
                    setattr(base, name, _attribute(name))
            _give_connect(base)
    return cls


def _attribute(name: str) -> property:
    def read(self: QtCore.QObject) -> Any:
        return QtCore.QObject.property(self, name)

    def write(self: QtCore.QObject, value: Any) -> None:
        QtCore.QObject.setProperty(self, name, value)

    return property(read, write)


def _give_connect(cls: type) -> None:
    """Put ``connect`` and ``disconnect`` into each new object: PySide6 looks past those of a class."""
    construct = cls.__init__

    def __init__(self: QtCore.QObject, *arguments: Any, **keywords: Any) -> None:
        construct(self, *arguments, **keywords)
        if "connect" not in self.__dict__:
            me = weakref.ref(self)

            def connect(*arguments: Any) -> Any:
                if isinstance(arguments[0], str) and callable(arguments[1]):
                    return bool(_connect(me(), signal_of(me(), arguments[0]), arguments[1]))
                return _connect(*arguments)

            def disconnect(*arguments: Any) -> Any:
                if isinstance(arguments[0], str) and callable(arguments[1]):
                    return _disconnect(me(), signal_of(me(), arguments[0]), arguments[1])
                return _disconnect(*arguments)

            self.__dict__.update(connect=connect, disconnect=disconnect)

    cls.__init__ = __init__


def signal_of(sender: QtCore.QObject, signature: str) -> str:
    """PySide6's code for a signal written as in C++, for instance ``"clicked(bool)"``.

    Our own widgets send MRML objects as Python objects, so ``vtkMRMLNode*`` there means ``PyObject``.

    Raises
    ------
    ValueError
        If the sender has no such signal.
    """
    meta = sender.metaObject()
    wanted = QtCore.QMetaObject.normalizedSignature(signature).data().decode()
    name, _, argument = wanted.partition("(")
    if argument.startswith("vtk"):
        wanted = f"{name}(PyObject)"
    if meta.indexOfSignal(wanted) < 0:
        methods = (meta.method(index) for index in range(meta.methodCount()))
        known = {
            bytes(method.methodSignature().data()).decode()
            for method in methods
            if method.methodType() == QtCore.QMetaMethod.MethodType.Signal
        }
        raise ValueError(f"{meta.className()} has no signal {signature!r}; it has {', '.join(sorted(known))}")
    return QtCore.SIGNAL(wanted)


def _run_dialog(self: QtWidgets.QDialog) -> int:
    raise AssertionError(f"The dialog {self.windowTitle!r} would wait for a user for ever")


for _module in (QtCore, QtGui, QtWidgets, QtUiTools):
    for _name in dir(_module):
        if _name.startswith("Q") and _name != "QUiLoader":
            globals()[_name] = _value = getattr(_module, _name)
            if isinstance(_value, type) and issubclass(_value, QtCore.QObject):
                expose(_value)

QtCore.QObject.name = _attribute("objectName")
QtCore.QObject.className = lambda self: self.metaObject().className()
QtCore.QObject.delete = shiboken6.delete
QtWidgets.QDialog.exec = QtWidgets.QDialog.exec_ = _run_dialog


def __getattr__(name: str) -> Any:
    """``qt.QUiLoader`` comes from a file of its own, which needs this one."""
    if name == "QUiLoader":
        from slicer_shim.ui_loader import UiLoader

        return UiLoader
    raise AttributeError(f"module 'qt' has no attribute {name!r}")
