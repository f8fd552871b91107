"""What `SuperResolve` does with what it is given, and what it leaves when something goes wrong."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def refused(nodes):
    """Calls something that has to give one sentence and leave the scene node for node."""
    from espcn_core.errors import EspcnError

    def call(function, *arguments, **keywords) -> str:
        before = nodes()
        with pytest.raises(EspcnError) as error:
            function(*arguments, **keywords)
        assert nodes() == before
        assert str(error.value)
        assert "\n" not in str(error.value)
        return str(error.value)

    return call


WRONG = {
    "two at once": ({"scale": 2, "spacing": "everywhere"}, "everywhere"),
    "no such plane": ({"plane": "oblique"}, "oblique"),
    "no such model": ({"model": "espcn-x99"}, "espcn-x99"),
    "no such device": ({"device": "abacus"}, "abacus"),
    "no such scale": ({"scale": 7}, "7"),
    "scale 0": ({"scale": 0}, "0"),
    "half a scale": ({"scale": 2.5}, "2.5"),
    "no scale": ({"scale": "twice"}, "twice"),
    "two scales": ({"scale": (2, 2)}, "2,2"),
    "no spacing": ({"spacing": 0}, "0"),
    "negative": ({"spacing": -1.0}, "-1"),
    "NaN": ({"spacing": float("nan")}, "nan"),
    "two spacings": ({"spacing": (0.4, 0.4)}, "0.4,0.4"),
    "much too fine": ({"spacing": 0.01}, "0.01"),
    "other model": ({"scale": 2, "model": "espcn-r-x3"}, "espcn-r-x3"),
}


@pytest.mark.parametrize(("asked", "named"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_done_is_said_with_the_value_that_is_wrong(asked, named, volume, logic, refused):
    assert named in refused(logic.upscale, volume(), **asked)


@pytest.mark.parametrize("asked", [{"scale": (1, 1, 1)}, {"spacing": 2.4}, {"spacing": 100.0}])
def test_a_volume_that_is_as_fine_as_that_already_stays(asked, volume, logic, refused):
    assert refused(logic.upscale, volume("thorax"), **asked) == "thorax is as fine as that already"


@pytest.mark.parametrize("scale", [np.int64(2), np.array([2, 2, 1]), [2, 2, 1]], ids=["one", "three", "list"])
def test_numbers_of_numpy_are_numbers(scale, volume, logic, voxels):
    node = volume()
    np.testing.assert_array_equal(
        voxels(logic.upscale(node, scale=scale)), voxels(logic.upscale(node, scale=2))
    )


def test_a_spacing_of_numpy_is_a_spacing(volume, logic):
    made = logic.upscale(volume(), spacing=np.float32(0.8))
    assert made.GetImageData().GetDimensions() == (7, 6, 12)


def test_a_spacing_makes_no_axis_coarser(volume, logic):
    made = logic.upscale(volume(affine=np.diag([0.8, 0.4, 2.4, 1.0])), spacing=0.8)
    np.testing.assert_allclose(made.GetSpacing(), (0.8, 0.4, 0.8))


@pytest.mark.filterwarnings("ignore:the slices are")
def test_the_voxels_are_those_of_the_library(volume, logic, voxels, affine_of):
    from espcn_core import upscale

    node = volume()
    for asked in ({"scale": 2}, {"spacing": "isotropic"}, {"scale": 2, "plane": "sagittal"}):
        array, affine = upscale((voxels(node), affine_of(node)), device="cpu", precision="auto", **asked)
        made = logic.upscale(node, **asked)
        np.testing.assert_array_equal(voxels(made), array)
        np.testing.assert_allclose(affine_of(made), affine, atol=1e-12)


def test_the_input_is_left_as_it_was(volume, logic, voxels, affine_of):
    node = volume()
    before = voxels(node), affine_of(node), node.GetName(), node.GetImageData()
    logic.upscale(node, compare=True)
    np.testing.assert_array_equal(voxels(node), before[0])
    np.testing.assert_array_equal(affine_of(node), before[1])
    assert (node.GetName(), node.GetImageData()) == before[2:]
    assert not node.GetAttributeNames()


def test_one_run_makes_one_node_and_its_display(volume, logic, nodes):
    node = volume()
    before = nodes()
    made = logic.upscale(node)
    added = sorted(set(nodes()) - set(before))
    assert added == [
        ("vtkMRMLScalarVolumeDisplayNode", made.GetDisplayNodeID()),
        ("vtkMRMLScalarVolumeNode", made.GetID()),
    ]


def test_a_result_can_be_upscaled_again(volume, logic, corners):
    node = volume()
    twice = logic.upscale(logic.upscale(node))
    assert twice.GetName() == "head x2 x2"
    np.testing.assert_allclose(corners(twice), corners(node), atol=1e-9)


def test_the_input_cannot_be_the_output(volume, logic, refused, voxels):
    node = volume()
    before = voxels(node)
    assert "head cannot be its own output" in refused(logic.upscale, node, outputNode=node)
    np.testing.assert_array_equal(voxels(node), before)


def test_a_label_map_cannot_be_the_output(volume, logic, scene, refused):
    output = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    assert "labels" in refused(logic.upscale, volume(), outputNode=output)


@pytest.mark.parametrize("which", ["inputNode", "outputNode"])
def test_a_node_outside_the_scene_is_refused_before_anything_is_computed(which, volume, logic, refused):
    import slicer

    alone = slicer.vtkMRMLScalarVolumeNode()
    alone.Copy(volume())
    alone.SetName("alone")
    given = {"inputNode": volume(), which: alone}
    assert "alone" in refused(logic.prepare, **given)


@pytest.mark.parametrize("gone", ["input", "output"])
def test_a_node_that_goes_during_the_run_is_missed_at_the_end(gone, volume, logic, scene, refused):
    from ESPCNSlicerLib.work import compute

    node, output = volume("thorax"), volume("mine", shape=(3, 3, 3))
    task = logic.prepare(node, output)
    made = compute(task.work)
    scene.RemoveNode({"input": node, "output": output}[gone])
    sentence = refused(logic.deliver, task, made)
    assert sentence == f"{'thorax' if gone == 'input' else 'the output'} is no longer in the scene"


def test_a_node_of_another_scene_is_not_taken_for_the_input(volume, logic, refused):
    """IDs are given anew when a scene is closed."""
    from ESPCNSlicerLib.work import compute
    from slicer_shim.application import close_scene

    node = volume("thorax")
    identity, task = node.GetID(), logic.prepare(node)
    made = compute(task.work)
    close_scene()
    other = volume("abdomen")
    assert other.GetID() == identity
    assert "thorax is no longer in the scene" in refused(logic.deliver, task, made)


def test_a_change_of_the_input_during_the_run_does_not_reach_the_result(volume, logic, voxels, corners):
    import slicer
    from ESPCNSlicerLib.work import compute

    node, expected = volume(), logic.upscale(volume("same"))
    task = logic.prepare(node)
    before = corners(node)
    slicer.util.updateVolumeFromArray(node, np.zeros((2, 2, 2), np.uint8))
    node.SetSpacing(9, 9, 9)
    made, _ = logic.deliver(task, compute(task.work))
    np.testing.assert_array_equal(voxels(made), voxels(expected))
    np.testing.assert_allclose(corners(made), before, atol=1e-9)


def test_progress_counts_all_slices(volume, logic):
    seen = []
    logic.upscale(volume(), progress=lambda *counts: seen.append(counts))
    assert seen[-1] == (4, 4)
    assert seen == sorted(seen)


@pytest.mark.parametrize("asked", [{"scale": 2}, {"spacing": "isotropic"}], ids=["x2", "isotropic"])
def test_progress_that_returns_False_stops_the_run_and_leaves_the_scene(asked, volume, logic, nodes, voxels):
    from espcn_core.errors import CancelledError

    node, output = volume(), volume("mine")
    before, kept, seen = nodes(), voxels(output), []

    def stop(done, total):
        seen.append(done)
        return False

    for given in (None, output):
        with pytest.raises(CancelledError):
            logic.upscale(node, outputNode=given, progress=stop, compare=True, **asked)
    assert len(seen) == 2  # each run stopped at once
    assert nodes() == before
    np.testing.assert_array_equal(voxels(output), kept)


def test_without_memory_the_sentence_says_what_to_do(volume, logic, refused, monkeypatch):
    def run(*arguments, **keywords):
        raise MemoryError("2 TB")

    monkeypatch.setattr("espcn_core.upscaling.upscaler.run", run)
    assert "not enough memory for the result: choose a coarser target" in refused(logic.upscale, volume())


def test_weights_that_are_broken_are_named(volume, logic, refused, shipped, tmp_path):
    import shutil

    for path in shipped.glob("espcn-r-x2.*"):
        shutil.copy(path, tmp_path)
    (tmp_path / "espcn-r-x2.safetensors").write_bytes(b"not weights")
    sentence = refused(logic.upscale, volume(), model=str(tmp_path / "espcn-r-x2.safetensors"))
    assert "espcn-r-x2.safetensors" in sentence


def test_an_engine_that_fails_leaves_the_scene(volume, logic, nodes, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("illegal instruction")

    monkeypatch.setattr("espcn_core.upscaling.torch_engine.TorchEngine.start", fail)
    node = volume()
    before = nodes()
    with pytest.raises(RuntimeError, match="illegal instruction"):
        logic.upscale(node)
    assert nodes() == before


def test_a_plan_is_made_from_a_grid_alone(shipped, volume):
    from ESPCNSlicerLib.plans import make_plan
    from ESPCNSlicerLib.scene import grid_of

    plan = make_plan(grid_of(volume()), spacing="isotropic")
    assert plan.target.shape == (7, 6, 12)
