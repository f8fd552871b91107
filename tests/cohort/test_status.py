"""How far a cohort is."""

from __future__ import annotations

import pytest

from espcn_core.cohort.lock import locked
from espcn_core.cohort.manifest import Manifest
from espcn_core.cohort.stamps import Stamp
from espcn_core.cohort.status import read_status
from espcn_core.cohort.tables import NAME
from espcn_core.cohort.work import Outcome
from espcn_core.errors import RequestError


def fill(manifest: Manifest, jobs) -> None:
    """One done, one failed, one running, two waiting."""
    manifest.begin_run(1, "1.0")
    manifest.expect(jobs, "", [100, 100, 100, 100, 100])
    stamp = Stamp(100, 1, "aa")
    manifest.finish(Outcome(jobs[0], "done", voxels=7, read=stamp, wrote=(stamp,)), '{"scale":2}')
    manifest.finish(Outcome(jobs[1], "failed", error="1.nii.gz is bad"), '{"scale":2}')
    manifest.start(jobs[2])


@pytest.fixture
def out(jobs):
    folder = jobs[0].target.parent
    folder.mkdir()
    return folder


def test_while_a_run_goes_on(out, jobs):
    with locked(out), Manifest(out) as manifest:
        fill(manifest, jobs)
        found = read_status(out)
        assert found.counts == {"done": 1, "skipped": 0, "failed": 1, "running": 1, "waiting": 2}
        assert found.failed == (("1.nii.gz", "1.nii.gz is bad"),)
        assert (found.alive, found.running, found.voxels) == (True, ("2.nii.gz",), 7)
        assert 0 < found.seconds_left < 60
        assert found.made_with == ({"scale": 2},)


def test_of_a_killed_run_nothing_is_running(out, jobs):
    manifest = Manifest(out)
    fill(manifest, jobs)
    found = read_status(out)
    assert found.counts == {"done": 1, "skipped": 0, "failed": 1, "running": 0, "waiting": 3}
    assert (found.alive, found.running, found.seconds_left) == (False, (), None)
    manifest.__exit__(None, None, None)


def test_a_look_changes_nothing(out, jobs):
    with Manifest(out) as manifest:
        fill(manifest, jobs)
    before = (out / NAME).read_bytes()
    read_status(out)
    assert (out / NAME).read_bytes() == before
    assert [path.name for path in out.iterdir()] == [NAME]


def test_a_folder_without_a_manifest_is_a_sentence(tmp_path):
    with pytest.raises(RequestError, match="holds no manifest"):
        read_status(tmp_path)
