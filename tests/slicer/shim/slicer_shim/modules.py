"""Stand-in for the module factory: it loads a scripted module from its file and builds its panel."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import qt
import shiboken6
import slicer

from slicer_shim.mrml_widgets import qMRMLWidget


@dataclass(frozen=True)
class CoreModule:
    """A module of Slicer's own: its name and its logic."""

    name: str
    _logic: Any

    def logic(self) -> Any:
        return self._logic


class Module(qt.QObject):
    """``qSlicerScriptedLoadableModule``: the ``parent`` of a module's class, and ``slicer.modules.<name>``.

    What a module's class may set is here from the start; anything else is an error, as in PythonQt.
    """

    _fields = (
        "title",
        "categories",
        "dependencies",
        "contributors",
        "helpText",
        "acknowledgementText",
        "associatedNodeTypes",
        "icon",
        "hidden",
        "widgetRepresentationCreationEnabled",
    )

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.__dict__.update(
            dict.fromkeys(self._fields), path=str(path), source=None, python=None, panel=None
        )
        self.__dict__.update(hidden=False, widgetRepresentationCreationEnabled=True)
        self.name = path.stem

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__dict__ and name not in ("name", "objectName"):
            raise AttributeError(f"A module has no {name!r}; it has {', '.join(self._fields)}")
        super().__setattr__(name, value)

    def logic(self) -> None:
        """A scripted module has no logic in C++; ``slicer.util.getModuleLogic`` takes the panel's."""

    def widgetRepresentation(self) -> ModuleRepresentation:
        """The panel, built on the first call."""
        if self.panel is None:
            self.panel = self.createNewWidgetRepresentation()
        return self.panel

    def createNewWidgetRepresentation(self) -> ModuleRepresentation:
        panel = ModuleRepresentation(self)
        panel.setup()
        return panel


@qt.expose
class ModuleRepresentation(qMRMLWidget):
    """``qSlicerScriptedLoadableModuleWidget``: the ``parent`` of a module's widget class."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.isEntered = False
        qt.QVBoxLayout(self)
        self.setMRMLScene(slicer.mrmlScene)
        self._python = getattr(module.source, f"{module.name}Widget")(self)
        setattr(slicer.modules, f"{module.name}Widget", self._python)

    def self(self) -> Any:
        """The widget class's instance in Python."""
        return self._python

    def setup(self) -> None:
        self._python.setup()

    def enter(self) -> None:
        """What happens when the user goes to the module."""
        self.isEntered = True
        getattr(self._python, "enter", lambda: None)()

    def exit(self) -> None:
        """What happens when the user leaves it."""
        self.isEntered = False
        getattr(self._python, "exit", lambda: None)()


class ModuleManager(qt.QObject):
    """``slicer.app.moduleManager()``, its factory manager, and the module selector."""

    moduleAboutToBeUnloaded = qt.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.loaded: dict[str, Module] = {}
        self.selected = ""

    def factoryManager(self) -> ModuleManager:
        return self

    def loadedModuleNames(self) -> tuple[str, ...]:
        return tuple(self.loaded)

    def module(self, name: str) -> Module | None:
        return self.loaded.get(name)

    def select(self, name: str) -> None:
        """Leave the module that is shown and go to another, or with ``""`` to none."""
        if self.selected:
            self.loaded[self.selected].widgetRepresentation().exit()
        self.selected = name
        if name:
            self.loaded[name].widgetRepresentation().enter()


@dataclass(frozen=True)
class Loaded:
    """A loaded module."""

    source: ModuleType
    """The file as a Python module."""
    module: Any
    """The instance of its module class."""
    widget: Any
    """The instance of its widget class, set up."""
    panel: ModuleRepresentation
    """The Qt widget that holds the panel; ``enter`` and ``exit`` are here."""


def load_module(path: Path | str) -> Loaded:
    """Load a scripted module as an application that starts with it does, and build its panel.

    ``startupCompleted`` is sent between the two, once for each load.

    Parameters
    ----------
    path : path
        The module's file; its name without ``.py`` is the module's name.
    """
    path = Path(path).absolute()
    name, folder = path.stem, str(path.parent)
    if name in slicer.app.moduleManager().loaded:
        unload_module(name)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = Module(path)
    spec = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = module.source = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module.source)
    slicer.app.moduleManager().loaded[name] = module
    setattr(slicer.modules, name.lower(), module)
    module.python = getattr(module.source, name)(module)
    setattr(slicer.modules, f"{name}Instance", module.python)
    getattr(module.python, "setup", lambda: None)()
    slicer.app.startupCompleted.emit()
    slicer.app.startupCompleted.disconnect()
    panel = module.widgetRepresentation()
    return Loaded(module.source, module.python, panel.self(), panel)


def unload_module(name: str) -> None:
    """Unload a module as the application does when it ends: leave it, clean up, delete the panel."""
    manager = slicer.app.moduleManager()
    if manager.selected == name:
        manager.select("")
    manager.moduleAboutToBeUnloaded.emit(name)
    module = manager.loaded.pop(name)
    if module.panel is not None and shiboken6.isValid(module.panel):
        shiboken6.delete(module.panel)
    for attribute in (name.lower(), f"{name}Instance", f"{name}Widget"):
        vars(slicer.modules).pop(attribute, None)
    sys.modules.pop(name, None)
    folder = str(Path(module.path).parent)
    if folder in sys.path:
        sys.path.remove(folder)
