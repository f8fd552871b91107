"""``espcn-core status``, and what ``upscale`` keeps for it."""

from __future__ import annotations

import json
import sqlite3

from espcn_core.cohort.lock import locked
from espcn_core.cohort.tables import NAME


def test_after_a_run(cli, awkward, model, tmp_path):
    out = tmp_path / "out"
    assert cli("upscale", awkward, "-o", out, "--model", model).code == 3
    answer = cli("status", out)
    assert (answer.code, answer.err) == (0, "")
    first, *failed = answer.out.splitlines()
    assert first == f"{out}: 3 done, 7 failed; 0 million voxels made"
    assert len(failed) == 7
    assert failed[0].startswith("failed: cut.nii.gz: ")
    found = json.loads(cli("status", out, "--json").out)
    assert found["counts"] == {"done": 3, "skipped": 0, "failed": 7, "running": 0, "waiting": 0}
    assert [failure["input"] for failure in found["failed"]][-1] == "text.nii"
    assert found["made_with"][0]["dtype"] == "same"


def test_of_a_run_that_was_cut_off_and_of_one_that_goes_on(cli, awkward, model, tmp_path):
    out = tmp_path / "out"
    cli("upscale", awkward, "-o", out, "--model", model)
    with sqlite3.connect(out / NAME) as base:
        base.execute("UPDATE jobs SET state = 'running' WHERE input = 'int16.nii.gz'")
    base.close()
    assert cli("status", out).out.splitlines()[1] == (
        "no run goes on: call upscale again with --existing resume to do the rest"
    )
    with locked(out):
        lines = cli("status", out).out.splitlines()
    assert lines[1].startswith("a run goes on, about ")
    assert lines[2] == "running: int16.nii.gz"
    assert cli("upscale", awkward, "-o", out, "--model", model, "--existing", "resume").code == 3
    assert cli("status", out).out.startswith(f"{out}: 3 done, 7 failed;")


def test_a_folder_without_a_manifest(cli, tmp_path):
    answer = cli("status", tmp_path)
    assert answer.code == 2
    assert answer.err == (
        f"espcn-core: {tmp_path} holds no manifest ({NAME}): name the output folder of an upscale call\n"
    )
