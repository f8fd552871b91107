"""Runs from the button to the scene, and everything that may come in between."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import pytest


def nodes(scene):
    """What is in the scene, node for node."""
    found = (scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes()))
    return [(node.GetID(), node.GetName()) for node in found]


@pytest.fixture
def head(volume):
    return volume(shape=(24, 20, 30))


@pytest.fixture
def started(panel, head, wait):
    """Presses the button, once the panel has found its devices."""
    wait(lambda: panel._devices is not None, 30)
    panel.ui.inputSelector.setCurrentNode(head)

    def start():
        panel.ui.runButton.click()
        assert panel.is_running

    return start


@pytest.fixture
def steps(monkeypatch, panel):
    """The computation as a test steers it: it waits for each step, and does not look at the volume."""

    class Steps:
        def __init__(self):
            self.gate = threading.Semaphore(0)
            self.stopped = threading.Event()
            self.error = None

        def compute(self, work, progress, say):
            from ESPCNSlicerLib.work import Made

            from espcn_core.errors import CancelledError

            for done in range(1, 5):
                self.gate.acquire(timeout=20)
                if self.error is not None:
                    raise self.error
                if progress(done, 4) is False:
                    self.stopped.set()
                    raise CancelledError("stopped")
            say("a note")
            fine = np.zeros(work.plan.target.shape, work.dtype)
            return Made(fine, None, ("a note",), "cpu", 1.0)

        def go(self, count):
            for _ in range(count):
                self.gate.release()

    found = Steps()
    monkeypatch.setattr("ESPCNSlicerLib.widget.compute", found.compute)
    yield found
    found.go(99)


def test_a_run_makes_a_finer_volume_and_shows_it_over_the_input(panel, started, head, wait, scene):
    import slicer

    ui = panel.ui
    started()
    assert ui.runButton.text == "Cancel"
    assert ui.progressBar.visible
    wait(lambda: not panel.is_running, 30)
    fine = slicer.util.getNode("head x2")
    assert fine.GetImageData().GetDimensions() == (48, 40, 30)
    assert slicer.util.arrayFromVolume(fine).dtype == np.int16
    assert ui.runButton.text == "Super-resolve"
    assert ui.runButton.enabled
    assert not ui.progressBar.visible
    assert ui.statusLabel.text.startswith("head x2: done in ")
    assert ui.statusLabel.text.endswith(" s on cpu.")
    assert "axial slices x2 by espcn-r-x2" in ui.logText.toPlainText()
    for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        assert node.GetBackgroundVolumeID() == head.GetID()
        assert node.GetForegroundVolumeID() == fine.GetID()
    assert ui.outputSelector.currentNode() is None  # the next run makes another one


def test_the_views_keep_their_place_and_may_be_left_alone(panel, started, head, wait, scene):
    import slicer

    def view():
        return scene.AddNode(slicer.vtkMRMLSliceCompositeNode()), scene.AddNode(slicer.vtkMRMLSliceNode())

    composite, slices = view()
    slices.SetFieldOfView(30, 40, 1)
    slices.JumpSlice(1, 2, 3)
    place = [slices.GetSliceToRAS().GetElement(i, j) for i in range(4) for j in range(4)]
    panel.ui.showBox.checked = False
    started()
    wait(lambda: not panel.is_running, 30)
    assert composite.GetForegroundVolumeID() is None
    panel.ui.showBox.checked = True
    started()
    wait(lambda: not panel.is_running, 30)
    assert composite.GetForegroundVolumeID() == slicer.util.getNode("head x2_1").GetID()
    assert slices.GetFieldOfView() == (30, 40, 1)
    assert place == [slices.GetSliceToRAS().GetElement(i, j) for i in range(4) for j in range(4)]


def test_comparison_type_and_output_are_as_chosen(panel, started, volume, wait):
    import slicer

    other = volume("other", shape=(3, 3, 3))
    panel.ui.outputSelector.setCurrentNode(other)
    panel.ui.compareBox.checked = True
    panel.ui.keepTypeBox.checked = False
    started()
    wait(lambda: not panel.is_running, 30)
    cubic = slicer.util.getNode("head x2 cubic")
    for node in (other, cubic):
        assert node.GetImageData().GetDimensions() == (48, 40, 30)
        assert slicer.util.arrayFromVolume(node).dtype == np.float32
    assert other.GetName() == "other"
    assert panel.ui.statusLabel.text.startswith("other, head x2 cubic: done")
    difference = slicer.util.arrayFromVolume(other) - slicer.util.arrayFromVolume(cubic)
    assert 0 < np.abs(difference).mean() < 20


@pytest.mark.parametrize("moment", ["before the first slices", "in the middle", "when it is ready"])
def test_cancelling_leaves_the_scene_as_it_was(panel, started, steps, wait, scene, moment):
    before, ui = nodes(scene), panel.ui
    started()
    if moment == "in the middle":
        steps.go(2)
        wait(lambda: ui.progressBar.value == 2)
    elif moment == "when it is ready":
        steps.go(4)
        time.sleep(0.3)  # the result lies in the queue, and nobody has looked yet
    ui.runButton.click()
    assert ui.runButton.text == "Cancelling…"
    assert not ui.runButton.enabled
    steps.go(1)
    wait(lambda: not panel.is_running, 1)
    assert ui.statusLabel.text == "Cancelled."
    assert ui.runButton.text == "Super-resolve"
    assert ui.runButton.enabled
    assert nodes(scene) == before
    assert steps.stopped.is_set() == (moment != "when it is ready")


def test_a_real_run_stops_within_a_second(panel, volume, wait, scene):
    import slicer

    wait(lambda: panel._devices is not None, 30)
    panel.ui.inputSelector.setCurrentNode(volume("large", shape=(192, 192, 60)))
    before, ui = nodes(scene), panel.ui
    ui.runButton.click()
    wait(lambda: ui.progressBar.value > 3, 30)
    ui.runButton.click()
    wait(lambda: not panel.is_running, 1)
    assert nodes(scene) == before
    assert slicer.util.getNodesByClass("vtkMRMLDisplayNode") == [
        node.GetDisplayNode() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    ]


def test_progress_says_how_much_and_how_long(panel, started, steps, wait):
    started()
    steps.go(3)
    wait(lambda: panel.ui.progressBar.value == 3)
    assert panel.ui.progressBar.maximum == 4
    assert panel.ui.statusLabel.text.startswith("3 of 4 slices, 0:0")
    assert panel.ui.statusLabel.text.endswith(" left")


def test_a_second_run_cannot_start_meanwhile(panel, started, steps, wait, scene):
    import slicer

    started()
    with pytest.raises(RuntimeError, match="a run goes on"):
        panel._runner.start(lambda progress, say: None)
    panel.ui.targetBox.setCurrentIndex(2)  # what is chosen now is for the next one
    steps.go(4)
    wait(lambda: not panel.is_running)
    assert [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")] == [
        "head",
        "head x2",
    ]


def test_closing_the_scene_ends_the_run(panel, started, steps, wait, scene):
    started()
    steps.go(1)
    scene.Clear()
    assert panel.is_running  # until the thread has heard of it
    steps.go(1)
    wait(lambda: not panel.is_running, 1)
    assert steps.stopped.is_set()
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    assert panel.ui.statusLabel.text == "Cancelled."


@pytest.mark.parametrize("which", ["input", "output"])
def test_removing_a_volume_of_the_run_ends_it(panel, started, steps, wait, scene, head, volume, which):
    other = volume("other")
    panel.ui.outputSelector.setCurrentNode(other)
    started()
    steps.go(1)
    scene.RemoveNode(volume("nothing to do with it"))
    steps.go(1)
    wait(lambda: panel.ui.progressBar.value == 2)
    scene.RemoveNode(head if which == "input" else other)
    before = nodes(scene)
    steps.go(1)
    wait(lambda: not panel.is_running, 1)
    assert steps.stopped.is_set()
    assert nodes(scene) == before


def test_an_engine_that_fails_is_told_and_the_panel_goes_on(panel, started, steps, wait, scene, dialogs):
    from espcn_core.errors import EspcnError

    before = nodes(scene)
    for error, sentence in [
        (EspcnError("the card is on fire: use --device cpu"), "the card is on fire"),
        (ZeroDivisionError("by zero"), "unexpected error: by zero"),
    ]:
        steps.error = error
        started()
        steps.go(1)
        wait(lambda: not panel.is_running)
        assert panel.ui.statusLabel.text == sentence
        assert sentence in panel.ui.logText.toPlainText()
        assert panel.ui.runButton.enabled
        assert nodes(scene) == before
    assert dialogs.texts == []


def test_the_panel_may_be_left_and_entered_during_a_run(panel, started, steps, wait):
    import slicer

    started()
    steps.go(1)
    panel.leave()
    steps.go(1)
    panel.enter()
    assert panel.ui.runButton.text == "Cancel"
    steps.go(2)
    wait(lambda: not panel.is_running)
    assert slicer.util.getNode("head x2") is not None


def test_what_was_chosen_at_the_start_holds_at_the_end(panel, started, steps, wait, scene):
    import slicer

    composite = scene.AddNode(slicer.vtkMRMLSliceCompositeNode())
    panel.ui.showBox.checked = False
    started()
    panel.ui.showBox.checked = True
    panel.leave()
    steps.go(4)
    wait(lambda: not panel.is_running)
    assert slicer.util.getNode("head x2") is not None
    assert composite.GetForegroundVolumeID() is None


@pytest.mark.parametrize("where", ["prepare", "deliver"])
def test_too_little_memory_in_the_scene_is_said(panel, started, steps, wait, monkeypatch, where):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(panel.logic, where, fail)
    if where == "prepare":
        panel.ui.runButton.click()
    else:
        started()
        steps.go(4)
    wait(lambda: not panel.is_running)
    assert "There is not enough memory" in panel.ui.statusLabel.text
    assert panel.ui.runButton.enabled


def test_unloading_the_module_ends_the_run(panel, started, steps, load, wait, app):
    from slicer_shim import unload_module

    started()
    steps.go(1)
    unload_module("ESPCNSlicer")
    steps.go(3)
    wait(steps.stopped.is_set, 1)


def test_torch_is_asked_for_on_the_button(panel, head, monkeypatch, scene, dialogs):
    from ESPCNSlicerLib.install import REFUSED

    monkeypatch.setattr("ESPCNSlicerLib.install.is_torch_there", lambda: False)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    panel.ui.inputSelector.setCurrentNode(head)
    before = nodes(scene)
    assert dialogs.texts == []
    dialogs.answer = False
    panel.ui.runButton.click()
    assert len(dialogs.texts) == 1
    assert not panel.is_running
    assert panel.ui.statusLabel.text == REFUSED
    assert panel.ui.runButton.enabled
    assert nodes(scene) == before


def test_no_thread_but_the_main_one_touches_the_scene_or_the_widgets(panel, started, wait):
    """Every call in the run's thread is looked at: neither MRML, VTK nor Qt may be among them."""
    strange = set()

    def look(frame, event, arg):
        if event == "call" and frame.f_code.co_name != "find_spec":  # VTK's, whom each import asks
            name = frame.f_globals.get("__name__", "")
            if name.split(".")[0] in ("slicer", "qt", "ctk", "slicer_shim", "vtk", "vtkmodules"):
                strange.add(name)
        elif event == "c_call":
            owner = type(getattr(arg, "__self__", None)).__module__ or ""
            if owner.split(".")[0] in ("vtkmodules", "slicer", "PySide6", "shiboken6", "Shiboken"):
                strange.add(f"{owner}.{arg.__name__}")

    panel.ui.compareBox.checked = True
    threading.setprofile(look)
    try:
        started()
    finally:
        threading.setprofile(None)
    wait(lambda: not panel.is_running, 60)
    assert panel.ui.statusLabel.text.startswith("head x2, head x2 cubic: done")
    assert strange == set()


def test_a_run_goes_on_under_an_event_loop_that_holds_pythons_lock(panel, started, monkeypatch):
    """As PythonQt's does: here a call into C that keeps the lock stands for the loop.

    Each time the thread lets go of the lock, as it does around all heavy work, it has to get it back.
    """
    import ctypes

    from espcn_core.errors import EspcnError

    def compute(work, progress, say):
        for _ in range(300):
            time.sleep(0)
        raise EspcnError("that was it")

    monkeypatch.setattr("ESPCNSlicerLib.widget.compute", compute)
    usleep = ctypes.PyDLL(None).usleep
    started()
    begin = time.monotonic()
    while panel.is_running:
        usleep(20_000)
        panel._runner._look()
    assert panel.ui.statusLabel.text == "that was it"
    assert time.monotonic() - begin < 2  # 6 s if the lock is free between two turns alone


def test_a_call_in_another_thread_would_be_seen(scene):
    """The look-out of the test above sees the calls it is there for."""
    seen = []

    def look(frame, event, arg):
        if event == "c_call":
            seen.append(type(getattr(arg, "__self__", None)).__module__ or "")

    threading.setprofile(look)
    thread = threading.Thread(target=lambda: scene.GetNumberOfNodes())
    thread.start()
    thread.join()
    threading.setprofile(None)
    assert any(module.startswith(("vtkmodules", "slicer", "MRML")) for module in seen), seen


def test_twenty_runs_leave_no_memory_behind(panel, volume, wait, scene):
    import psutil
    import slicer

    wait(lambda: panel._devices is not None, 30)
    panel.ui.inputSelector.setCurrentNode(volume("large", shape=(96, 96, 24)))
    sizes = []
    for _ in range(23):
        panel.ui.runButton.click()
        wait(lambda: not panel.is_running, 30)
        (fine,) = slicer.util.getNodes("large x2*").values()  # 1.7 MB: twenty of them would be seen
        display = fine.GetDisplayNode()
        scene.RemoveNode(fine)
        scene.RemoveNode(display)
        del fine, display
        sizes.append(psutil.Process().memory_info().rss)
    assert sizes[-1] - sizes[2] < 20 * 2**20
