"""Stand-ins for the few CTK widgets a panel needs."""

from __future__ import annotations

import qt
from qt import Property, Signal

HEADER = 22  # height of a collapsible button's own row, pixels


@qt.expose
class ctkCollapsibleButton(qt.QAbstractButton):
    """A titled section that opens and closes.

    As in CTK, children that were hidden before the section closed are still hidden after it opens.
    A child shown by code while the section is closed does appear here; CTK keeps it hidden.
    Children that come to a closed section are hidden when the section itself is shown.
    """

    contentsCollapsed = Signal(bool)

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._hidden: list[qt.QWidget] = []
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, HEADER, 0, 0)
        self.toggled.connect(self._fold)

    def _fold(self, opened: bool) -> None:
        if opened:
            for child in self._hidden:
                child.show()
            self._hidden = []
        else:
            self._hide_children()
        self.setMaximumHeight(16777215 if opened else HEADER)
        self.contentsCollapsed.emit(not opened)

    def _hide_children(self) -> None:
        for child in self.children():
            if isinstance(child, qt.QWidget) and not child.isHidden():
                self._hidden.append(child)
                child.hide()

    def showEvent(self, event: qt.QShowEvent) -> None:
        if self.collapsed:
            self._hide_children()

    def setCollapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, lambda self: not self.checked, setCollapsed, notify=contentsCollapsed)

    def hitButton(self, position: qt.QPoint) -> bool:
        return position.y() < HEADER

    def paintEvent(self, event: qt.QPaintEvent) -> None:
        option = qt.QStyleOptionButton()
        option.initFrom(self)
        option.rect = qt.QRect(0, 0, self.width, HEADER - 2)
        option.text = ("▾ " if self.checked else "▸ ") + self.text
        qt.QStylePainter(self).drawControl(qt.QStyle.CE_PushButton, option)


@qt.expose
class ctkComboBox(qt.QComboBox):
    """A combo box; CTK's own adds a hint for an empty choice."""

    defaultText = Property(
        str, lambda self: self.placeholderText, lambda self, text: self.setPlaceholderText(text)
    )


@qt.expose
class ctkSliderWidget(qt.QWidget):
    """A slider and a spin box for one floating-point number."""

    STEPS = 1000
    valueChanged = Signal(float)

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = qt.QSlider(qt.Qt.Horizontal, self)
        self._slider.setRange(0, self.STEPS)
        self._box = qt.QDoubleSpinBox(self)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._box)
        self._box.valueChanged.connect(self._move_slider)
        self._slider.valueChanged.connect(self._move_box)

    def _move_slider(self, value: float) -> None:
        width = self._box.maximum - self._box.minimum
        blocker = qt.QSignalBlocker(self._slider)
        self._slider.setValue(round(self.STEPS * (value - self._box.minimum) / width) if width else 0)
        blocker.unblock()
        self.valueChanged.emit(value)

    def _move_box(self, step: int) -> None:
        width = self._box.maximum - self._box.minimum
        self._box.setValue(self._box.minimum + width * step / self.STEPS)

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    def setRange(self, minimum: float, maximum: float) -> None:
        self._box.setRange(minimum, maximum)

    value = Property(float, lambda self: self._box.value, setValue, notify=valueChanged)
    minimum = Property(float, lambda self: self._box.minimum, lambda self, v: self._box.setMinimum(v))
    maximum = Property(float, lambda self: self._box.maximum, lambda self, v: self._box.setMaximum(v))
    singleStep = Property(
        float, lambda self: self._box.singleStep, lambda self, v: self._box.setSingleStep(v)
    )
    decimals = Property(int, lambda self: self._box.decimals, lambda self, v: self._box.setDecimals(v))
