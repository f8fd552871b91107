"""Stand-in for ``slicer.parameterNodeWrapper``: a typed view of a parameter node, tied to widgets.

The subset: nodes, str, int, float, bool and enumerations, with `Choice`, `WithinRange`, `Minimum`, `Maximum`
and `Default`. What is outside it raises, so that a test never passes on something that was not looked at.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from typing import Any

import qt
import slicer
import slicer.util

from slicer_shim.parameter_widgets import Link, link
from slicer_shim.validators import Choice, Default, Maximum, Minimum, Validator, WithinRange

__all__ = ["Choice", "Default", "Maximum", "Minimum", "WithinRange", "parameterNodeWrapper"]

PROPERTY = "SlicerParameterName"
"""The property of a widget in a ``.ui`` file that names its parameter."""


class Parameter:
    """One parameter: its type, what it may be, and how it is written into the node as text.

    Raises
    ------
    TypeError
        If the shim does not know the type or an annotation.
    """

    def __init__(self, name: str, annotated: Any, default: Any) -> None:
        self.name, self.default = name, default
        annotation_given = typing.get_origin(annotated) is typing.Annotated
        self.type = typing.get_args(annotated)[0] if annotation_given else annotated
        self.annotations = getattr(annotated, "__metadata__", ())
        self.is_node = isinstance(self.type, type) and issubclass(self.type, slicer.vtkMRMLNode)
        self.is_enum = isinstance(self.type, type) and issubclass(self.type, enum.Enum)
        if not (self.is_node or self.is_enum or self.type in (str, int, float, bool)):
            raise TypeError(f"The shim has no parameters of type {annotated}")
        for annotation in self.annotations:
            if isinstance(annotation, Default):
                self.default = annotation.value
            elif not isinstance(annotation, Validator):
                raise TypeError(f"The shim does not know the annotation {annotation!r}")
        if self.default is None and not self.is_node:
            self.default = next(iter(self.type)) if self.is_enum else self.type()

    def check(self, value: Any) -> None:
        """Raise if the value may not be written: TypeError for a wrong type, ValueError for the rest."""
        if value is None and not self.is_node:
            raise ValueError(f"{self.name} must not be None")
        accepted = (int, float) if self.type is float else self.type
        if value is not None and not isinstance(value, accepted):
            raise TypeError(f"{self.name} must be {self.type.__name__}, not {value!r}")
        for annotation in self.annotations:
            if isinstance(annotation, Validator):
                annotation.validate(value)

    def read(self, node: slicer.vtkMRMLScriptedModuleNode) -> Any:
        if not node.HasParameter(self.name):
            self.write(node, self.default)
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.is_enum:
            return self.type[text]
        return text == "True" if self.type is bool else self.type(text)

    def write(self, node: slicer.vtkMRMLScriptedModuleNode, value: Any) -> None:
        self.check(value)
        with slicer.util.NodeModify(node):
            if self.is_node:  # an empty parameter beside the reference says that it has been set
                node.SetParameter(self.name, "")
                node.SetNodeReferenceID(self.name, value.GetID() if value else None)
            else:
                node.SetParameter(self.name, value.name if self.is_enum else str(value))


class Wrapper:
    """What a class gains from `parameterNodeWrapper`."""

    allParameters: typing.ClassVar[dict[str, Parameter]]

    def __init__(self, parameterNode: slicer.vtkMRMLScriptedModuleNode) -> None:
        self.parameterNode = parameterNode
        self._links: dict[int, dict[str, Link]] = {}
        self._next_tag = 0
        self._showing = False
        for parameter in self.allParameters.values():
            parameter.read(parameterNode)

    def default(self, name: str) -> Default:
        return Default(self.allParameters[name].default)

    def getValue(self, name: str) -> Any:
        return self.allParameters[name].read(self.parameterNode)

    def setValue(self, name: str, value: Any) -> None:
        self.allParameters[name].write(self.parameterNode, value)

    def connectGui(self, gui: Any) -> int:
        """Tie the widgets that carry the property, below a widget or among the attributes of an object."""
        if isinstance(gui, qt.QWidget):
            widgets = gui.findChildren(qt.QWidget)
        else:
            widgets = list(vars(gui).values())
        named = {widget.property(PROPERTY): widget for widget in widgets}
        return self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping: dict[str, qt.QWidget]) -> int:
        """Tie parameters to widgets: the widgets show the values now and after every change, and change them.

        Raises
        ------
        ValueError
            If there is no parameter of that name.
        RuntimeError
            If such a widget cannot show such a parameter.
        """
        if unknown := set(mapping) - set(self.allParameters):
            raise ValueError(f"No parameter is called {', '.join(sorted(unknown))}")
        links = {name: link(widget, self.allParameters[name]) for name, widget in mapping.items()}
        tag, self._next_tag = self._next_tag, self._next_tag + 1
        self._links[tag] = links
        for name, tied in links.items():
            tied.show(self.getValue(name))
            tied.on_change(self._writer(name, tied))
        self.AddObserver("ModifiedEvent", lambda caller, event: self._show())
        return tag

    def disconnectGui(self, guiTag: int) -> None:
        for tied in self._links.pop(guiTag, {}).values():
            tied.release()

    def _writer(self, name: str, tied: Link) -> Callable[..., None]:
        def write(*_: Any) -> None:
            if not self._showing:
                self.setValue(name, tied.value())

        return write

    def _show(self) -> None:
        """Show the node's values; what the widgets send meanwhile is not written back."""
        if self._showing:
            return
        self._showing = True
        try:
            for links in list(self._links.values()):
                for name, tied in links.items():
                    tied.show(self.getValue(name))
        finally:
            self._showing = False

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified: int) -> int:
        return self.parameterNode.EndModify(wasModified)

    def Modified(self) -> None:
        self.parameterNode.Modified()

    def AddObserver(self, event: Any, callback: Callable[..., None], priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)


def _property(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def parameterNodeWrapper(cls: type) -> type:
    """Class decorator: each annotated name becomes a property that lives in the parameter node.

    Raises
    ------
    ValueError
        If a parameter has a name that the wrapper needs for itself.
    """
    parameters = {
        name: Parameter(name, annotated, vars(cls).get(name))
        for name, annotated in typing.get_type_hints(cls, include_extras=True).items()
    }
    if reserved := {name for name in parameters if hasattr(Wrapper, name)}:
        raise ValueError(f"{', '.join(sorted(reserved))}: the wrapper needs this name itself")
    body = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    body |= {name: _property(name) for name in parameters}
    return type(
        cls.__name__,
        (*(base for base in cls.__bases__ if base is not object), Wrapper),
        body | {"allParameters": parameters},
    )
