"""Stand-ins for the functions of ``slicer.util`` that open dialogs: they keep the text and answer at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qt
import slicer
import slicer.util


@dataclass(frozen=True)
class Dialog:
    """One dialog that a user would have seen."""

    kind: str
    """The function of ``slicer.util`` that was called, or ``"QMessageBox"``."""
    text: str
    """What the dialog says."""
    details: str = ""
    """The text behind "Show details"."""


class Dialogs:
    """The dialogs of a test, in order, and the answer to its questions.

    ``answer`` is what every question gets, or a function from the `Dialog` to that. A question gets
    ``True`` or ``False`` in ``slicer.util.confirm...``, a button of ``qt.QMessageBox`` in message boxes.
    While it is None, a question raises ``AssertionError``: the test did not expect one.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.shown: list[Dialog] = []
        self.answer: Any = None

    @property
    def texts(self) -> list[str]:
        return [dialog.text for dialog in self.shown]

    def tell(self, kind: str, text: str, details: str = "") -> None:
        """Keep a dialog that asks nothing."""
        self.shown.append(Dialog(kind, text, details))

    def ask(self, kind: str, text: str) -> Any:
        """Keep a dialog that asks, and answer it."""
        self.tell(kind, text)
        if self.answer is None:
            raise AssertionError(f"Nobody expected the question {text!r}")
        return self.answer(self.shown[-1]) if callable(self.answer) else self.answer


recorder = Dialogs()


def _telling(kind: str) -> Callable[..., None]:
    def tell(text: str, windowTitle: str | None = None, parent: Any = None, **keywords: Any) -> None:
        recorder.tell(kind, text, keywords.get("detailedText", ""))

    return tell


def _asking(kind: str) -> Callable[..., bool]:
    def ask(text: str, windowTitle: str | None = None, parent: Any = None, **keywords: Any) -> bool:
        return bool(recorder.ask(kind, text))

    return ask


def _message_box(text: str, parent: Any = None, **keywords: Any) -> Any:
    """A box with no buttons named has OK alone, and that is no question."""
    if keywords.get("standardButtons", qt.QMessageBox.Ok) == qt.QMessageBox.Ok:
        recorder.tell("messageBox", text, keywords.get("detailedText", ""))
        return qt.QMessageBox.Ok
    return recorder.ask("messageBox", text)


def _delay_display(message: str, autoCloseMsec: int = 1000, parent: Any = None, **keywords: Any) -> None:
    recorder.tell("delayDisplay", message)
    slicer.app.processEvents()


def _run_message_box(box: qt.QMessageBox) -> Any:
    if box.standardButtons in (qt.QMessageBox.NoButton, qt.QMessageBox.Ok) and len(box.buttons()) < 2:
        recorder.tell("QMessageBox", box.text, box.detailedText)
        return qt.QMessageBox.Ok
    return recorder.ask("QMessageBox", box.text)


def replace() -> None:
    """Put the stand-ins into ``slicer.util`` and ``qt``."""
    for kind in ("infoDisplay", "warningDisplay", "errorDisplay"):
        setattr(slicer.util, kind, _telling(kind))
    for kind in ("confirmOkCancelDisplay", "confirmYesNoDisplay", "confirmRetryCloseDisplay"):
        setattr(slicer.util, kind, _asking(kind))
    slicer.util.messageBox = _message_box
    slicer.util.delayDisplay = _delay_display
    qt.QMessageBox.exec = qt.QMessageBox.exec_ = _run_message_box
