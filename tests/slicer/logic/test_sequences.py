"""The volumes of a sequence browser become a second sequence of it."""

from __future__ import annotations

import numpy as np
import pytest

TIMES = ("0", "1.5", "4")


@pytest.fixture
def sequences(scene):
    """The logic that keeps the nodes of browsers up to date, as in the application."""
    import slicer

    logic = slicer.vtkSlicerSequencesLogic()
    logic.SetMRMLScene(scene)
    yield logic
    logic.SetMRMLScene(None)


@pytest.fixture
def frames():
    """Three volumes of one place: a pattern that moves, and grows brighter."""
    i, j, k = np.meshgrid(np.arange(7), np.arange(6), np.arange(4), indexing="ij")
    return [
        (400 + 100 * t + 90 * np.sin(0.8 * i + t) + 60 * np.cos(0.5 * j - 0.3 * k)).astype(np.int16)
        for t in range(3)
    ]


@pytest.fixture
def browser(sequences, scene, volume, frames):
    """Makes a browser of a sequence of volumes."""
    import slicer

    def make(volumes=None):
        sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "heart")
        sequence.SetIndexName("trigger")
        sequence.SetIndexUnit("ms")
        sequence.SetIndexTypeFromString("numeric")
        sequence.SetNumericIndexValueTolerance(0.25)
        nodes = volumes or [volume("heart", frame, display=False) for frame in frames]
        for time, node in zip(TIMES, nodes, strict=False):
            sequence.SetDataNodeAtValue(node, time)
            scene.RemoveNode(node)
        made = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "beat")
        made.SetAndObserveMasterSequenceNodeID(sequence.GetID())
        slicer.app.processEvents()
        return made

    return make


def arrays(sequence, voxels):
    return [voxels(sequence.GetNthDataNode(n)) for n in range(sequence.GetNumberOfDataNodes())]


def test_the_indices_and_their_units_are_kept(browser, logic):
    made = logic.upscaleSequence(browser())
    assert [made.GetNthIndexValue(n) for n in range(made.GetNumberOfDataNodes())] == list(TIMES)
    assert (made.GetIndexName(), made.GetIndexUnit()) == ("trigger", "ms")
    assert made.GetIndexTypeAsString() == "numeric"
    assert made.GetNumericIndexValueTolerance() == 0.25
    assert made.GetName() == "heart x2"


@pytest.mark.filterwarnings("ignore:the slices are")
@pytest.mark.parametrize("asked", [{"scale": 2}, {"spacing": "isotropic"}], ids=["x2", "isotropic"])
def test_it_is_what_a_volume_of_four_axes_becomes(asked, browser, logic, frames, voxels, affine_of):
    """So all have one intensity map."""
    from espcn_core import upscale

    made = logic.upscaleSequence(browser(), **asked)
    affine = np.diag([0.8, 0.8, 2.4, 1.0])
    array, fine = upscale((np.stack(frames, axis=-1), affine), device="cpu", precision="auto", **asked)
    for number, each in enumerate(arrays(made, voxels)):
        np.testing.assert_array_equal(each, array[..., number])
        np.testing.assert_allclose(affine_of(made.GetNthDataNode(number)), fine, atol=1e-12)


def test_the_sequence_itself_stays(browser, logic, frames, voxels):
    given = browser()
    master = given.GetMasterSequenceNode()
    logic.upscaleSequence(given)
    assert given.GetMasterSequenceNode() is master
    for each, frame in zip(arrays(master, voxels), frames, strict=True):
        np.testing.assert_array_equal(each, frame)


def test_the_browser_shows_both_at_the_same_time(browser, logic, frames, voxels, sequences):
    given = browser()
    made = logic.upscaleSequence(given)
    assert given.IsSynchronizedSequenceNode(made)
    for number in (2, 0, 1):
        given.SetSelectedItemNumber(number)
        sequences.UpdateAllProxyNodes()
        coarse, fine = (given.GetProxyNode(node) for node in (given.GetMasterSequenceNode(), made))
        assert fine is not coarse
        np.testing.assert_array_equal(voxels(coarse), frames[number])
        np.testing.assert_array_equal(voxels(fine), voxels(made.GetNthDataNode(number)))


def test_the_shown_volume_lies_and_looks_as_that_of_the_sequence(browser, logic, scene, sequences):
    given = browser()
    shown = given.GetProxyNode(given.GetMasterSequenceNode())
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    shown.SetAndObserveTransformNodeID(transform.GetID())
    shown.GetDisplayNode().SetAutoWindowLevel(0)
    shown.GetDisplayNode().SetWindowLevel(321, 123)
    fine = given.GetProxyNode(logic.upscaleSequence(given))
    given.SetSelectedItemNumber(2)
    sequences.UpdateAllProxyNodes()
    assert fine.GetParentTransformNode() is transform
    assert (fine.GetDisplayNode().GetWindow(), fine.GetDisplayNode().GetLevel()) == (321, 123)


def test_the_attributes_say_what_made_it(browser, logic):
    made = logic.upscaleSequence(browser(), device="cpu")
    assert made.GetAttribute("ESPCN.Model") == "espcn-r-x2"
    assert made.GetAttribute("ESPCN.Scale") == "2 x 2 x 1"
    assert len(made.GetAttribute("ESPCN.SHA256")) == 64


def test_a_second_run_makes_a_second_sequence(browser, logic):
    given = browser()
    first, second = (logic.upscaleSequence(given) for _ in range(2))
    assert first is not second
    assert first.GetName() != second.GetName()
    assert given.GetNumberOfSynchronizedSequenceNodes(True) == 3


def other_size(volume, frames):
    return volume("heart", np.zeros((7, 6, 5), np.int16), display=False)


def other_place(volume, frames):
    affine = np.diag([0.8, 0.8, 2.4, 1.0])
    affine[0, 3] = 0.1
    return volume("heart", frames[1], affine, display=False)


def other_type(volume, frames):
    return volume("heart", frames[1].astype(np.float32), display=False)


@pytest.mark.parametrize("odd", [other_size, other_place, other_type])
def test_volumes_that_differ_are_refused(odd, browser, logic, volume, frames, nodes):
    from espcn_core.errors import VolumeError

    given = browser([volume("heart", frames[0], display=False), odd(volume, frames)])
    before = nodes()
    with pytest.raises(VolumeError, match="the volumes of heart differ in size, place or type"):
        logic.upscaleSequence(given)
    assert nodes() == before


def test_what_is_no_sequence_of_volumes_is_refused(sequences, browser, logic, scene, nodes):
    from espcn_core.errors import EspcnError

    empty = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "empty")
    hollow = browser([scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow")])
    labels = browser([scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")])
    before = nodes()
    for given, sentence in [
        (None, "the sequence browser has no volumes"),
        (empty, "the sequence browser has no volumes"),
        (hollow, "hollow is empty"),
        (labels, "labels is a label map"),
    ]:
        with pytest.raises(EspcnError, match=sentence):
            logic.upscaleSequence(given)
    assert nodes() == before


def test_a_sequence_that_is_as_fine_as_that_already_stays(browser, logic, nodes):
    from espcn_core.errors import RequestError

    given = browser()
    before = nodes()
    with pytest.raises(RequestError, match="heart is as fine as that already"):
        logic.upscaleSequence(given, spacing=2.4)
    assert nodes() == before


def test_progress_counts_the_slices_of_all_volumes_and_False_leaves_the_scene(browser, logic, nodes):
    from espcn_core.errors import CancelledError

    given, seen = browser(), []
    before = nodes()

    def stop(done, total):
        seen.append((done, total))
        return False

    with pytest.raises(CancelledError):
        logic.upscaleSequence(given, progress=stop)
    assert [total for _, total in seen] == [12]
    assert nodes() == before
    assert given.GetNumberOfSynchronizedSequenceNodes(True) == 1
