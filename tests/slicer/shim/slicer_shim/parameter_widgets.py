"""How a widget shows a parameter; part of the stand-in for ``slicer.parameterNodeWrapper``.

As in Slicer a widget must be of exactly one of the classes below: a ``ctkComboBox`` cannot show a `Choice`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ctk
import qt
import slicer

from slicer_shim.validators import Choice, Maximum, Minimum, WithinRange


@dataclass
class Link:
    """A widget as something that shows a value."""

    value: Callable[[], Any]
    """The value that it shows."""
    show: Callable[[Any], None]
    """Show another value."""
    changed: Any
    """The signal that it sends when it shows another value."""
    _slot: Callable[..., None] | None = field(default=None, repr=False)

    def on_change(self, slot: Callable[..., None]) -> None:
        self._slot = slot
        self.changed.connect(slot)

    def release(self) -> None:
        self.changed.disconnect(self._slot)


def link(widget: qt.QWidget, parameter: Any) -> Link:
    """Make a widget show a parameter: its choices or its range are set here.

    Raises
    ------
    RuntimeError
        If such a widget cannot show such a parameter.
    """
    kind = type(widget)
    if kind is slicer.qMRMLNodeComboBox and parameter.is_node:
        widget.nodeTypes = [parameter.type.__name__]
        return Link(widget.currentNode, widget.setCurrentNode, widget.currentNodeChanged)
    if kind in (qt.QCheckBox, qt.QPushButton) and parameter.type is bool:
        widget.setCheckable(True) if kind is qt.QPushButton else None
        return Link(lambda: widget.checked, widget.setChecked, widget.toggled)
    if kind is qt.QLineEdit and parameter.type is str:
        return Link(lambda: widget.text, widget.setText, widget.textChanged)
    if kind is qt.QComboBox and not parameter.is_node:
        return _choices(widget, parameter)
    if kind in (qt.QSpinBox, qt.QSlider) and parameter.type is int:
        return _number(widget, parameter, -(2**31), 2**31 - 1)
    if kind in (qt.QDoubleSpinBox, ctk.ctkSliderWidget) and parameter.type is float:
        return _number(widget, parameter, float("-inf"), float("inf"))
    raise RuntimeError(f"A {kind.__name__} cannot show {parameter.name}, a {parameter.type.__name__}")


def _annotation(parameter: Any, kind: type) -> Any:
    return next((found for found in parameter.annotations if isinstance(found, kind)), None)


def _choices(widget: qt.QComboBox, parameter: Any) -> Link:
    """A combo box is filled with the choices, or with an enumeration's members by ``label()`` or name."""
    if parameter.is_enum:
        choices = list(parameter.type)
        texts = [item.label() if hasattr(item, "label") else item.name for item in choices]
    else:
        choice = _annotation(parameter, Choice)
        if choice is None:
            raise RuntimeError(f"A QComboBox can show {parameter.name} only if it has a Choice")
        choices = list(choice.choices)
        texts = [str(item) for item in choices]
    widget.clear()
    widget.addItems(texts)
    return Link(
        lambda: choices[widget.currentIndex],
        lambda value: widget.setCurrentIndex(choices.index(value)),
        widget.currentIndexChanged,
    )


def _number(widget: qt.QWidget, parameter: Any, lowest: float, highest: float) -> Link:
    """A spin box or a slider gets the range; a slider must have one."""
    within = _annotation(parameter, WithinRange)
    minimum, maximum = within or _annotation(parameter, Minimum), within or _annotation(parameter, Maximum)
    if type(widget) in (qt.QSlider, ctk.ctkSliderWidget) and not (minimum and maximum):
        raise RuntimeError(f"A slider can show {parameter.name} only between bounds")
    widget.setRange(minimum.minimum if minimum else lowest, maximum.maximum if maximum else highest)
    return Link(lambda: widget.value, widget.setValue, widget.valueChanged)
