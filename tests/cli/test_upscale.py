"""``espcn-core upscale`` on real files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from espcn_core.cohort.tables import NAME

BAD = ("cut.nii.gz", "text.nii", "empty.nii", "rgb.nii", "complex.nii", "huge.nii", "singular.nii")


def files_below(folder: Path) -> set[str]:
    """All but the manifest."""
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return names - {NAME}


@pytest.mark.parametrize("jobs", [1, 3])
def test_seven_awkward_files_of_ten(cli, awkward, model, tmp_path, jobs):
    out = tmp_path / "out"
    answer = cli("upscale", awkward, "-o", out, "--model", model, "--jobs", jobs)
    assert answer.code == 3
    assert files_below(out) == {"int16.nii.gz", "sub/float4d.nii", "sub/big_endian.nii"}
    lines = [line for line in answer.err.splitlines() if line.startswith("espcn-core: ")]
    assert len(lines) == 7
    for name in BAD:
        assert sum(name in line for line in lines) == 1
    assert "7 of 10 files failed" in answer.err
    assert answer.err.splitlines()[-1] == "3 done, 7 failed"
    assert "Traceback" not in answer.err
    assert answer.out == ""

    source = nib.load(awkward / "sub" / "big_endian.nii")
    fine = nib.load(out / "sub" / "big_endian.nii")
    assert fine.shape == (28, 22)
    assert fine.header.endianness == ">"
    assert fine.get_data_dtype() == source.get_data_dtype()
    assert nib.load(out / "sub" / "float4d.nii").shape == (16, 18, 3, 2)


def test_a_rerun_does_the_rest(cli, awkward, model, tmp_path, save):
    out = tmp_path / "out"
    call = ("upscale", awkward, "-o", out, "--model", model)
    cli(*call)
    before = {name: (out / name).stat().st_mtime_ns for name in files_below(out)}
    save(awkward / "cut.nii.gz")  # mended
    (out / ".cut.nii.gz.0123abcd.espcn-part").write_bytes(b"a killed run")
    refused = cli(*call)
    assert refused.code == 2
    assert (
        f"{out / 'int16.nii.gz'} and 2 other outputs exist: use --existing resume, --existing" in refused.err
    )
    answer = cli(*call, "--existing", "skip")
    assert answer.code == 3
    assert answer.err.splitlines()[-1] == "1 done, 3 skipped, 6 failed"
    assert files_below(out) == before.keys() | {"cut.nii.gz"}
    assert before == {name: (out / name).stat().st_mtime_ns for name in before}
    for name in BAD:
        next(awkward.rglob(name)).unlink()
    assert cli(*call, "--existing", "skip").code == 0
    assert cli(*call, "--existing", "overwrite").code == 0


def test_the_failure_of_the_one_file_or_of_all_is_exit_code_1(cli, awkward, model, tmp_path):
    one = cli("upscale", awkward / "text.nii", "-o", tmp_path / "x.nii", "--model", model)
    assert one.code == 1
    assert (
        one.err == f"espcn-core: {awkward / 'text.nii'} is not a NIfTI image" + one.err.partition("image")[2]
    )
    assert one.err.count("\n") == 1
    bad = [awkward / "text.nii", awkward / "empty.nii"]
    assert cli("upscale", *bad, "-o", tmp_path / "out", "--model", model).code == 1
    assert files_below(tmp_path / "out") == set()
    assert not (tmp_path / "x.nii").exists()


def test_json_is_all_of_stdout(cli, awkward, model, tmp_path):
    out = tmp_path / "out"
    answer = cli("upscale", awkward, "-o", out, "--model", model, "--json", "--quiet")
    assert answer.code == 3
    document = json.loads(answer.out)
    assert document["device"] == "cpu" or document["device"].startswith(("cuda", "mps"))
    assert document["summary"] == {"done": 3, "planned": 0, "skipped": 0, "failed": 7}
    files = {Path(file["input"]).name: file for file in document["files"]}
    assert len(files) == 10
    done, failed = files["int16.nii.gz"], files["cut.nii.gz"]
    assert done["output"] == str(out / "int16.nii.gz")
    assert (done["state"], done["error"], done["notes"]) == ("done", None, [])
    assert "12 x 10 x 4 at 1 x 1 x 5 mm -> 24 x 20 x 4 at 0.5 x 0.5 x 5 mm: axial slices x2" in done["plan"]
    assert done["seconds"] > 0
    assert failed["state"] == "failed"
    assert str(awkward / "cut.nii.gz") in failed["error"]


def test_a_line_says_what_is_done_unless_quiet(cli, model, tmp_path, save):
    source = save(tmp_path / "a.nii")
    call = (
        "upscale",
        source,
        "-o",
        tmp_path / "b.nii",
        "--model",
        model,
        "--existing",
        "overwrite",
        "--device",
        "cpu",
    )
    said = cli(*call)
    assert said.code == 0
    assert said.err == (
        f"{source}: 12 x 10 x 4 at 1 x 1 x 5 mm -> 24 x 20 x 4 at 0.5 x 0.5 x 5 mm: "
        f"axial slices x2 by {model} on cpu\n"
    )
    quiet = cli(*call, "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_voxels_that_are_not_finite_are_told(cli, model, tmp_path):
    values = np.ones((8, 8, 3), np.float32)
    values[4, 4, 1] = np.nan
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    answer = cli("upscale", tmp_path / "a.nii", "-o", tmp_path / "b.nii", "--model", model)
    assert f"{tmp_path / 'a.nii'}: 1 voxels are NaN or infinite" in answer.err
    assert np.isnan(nib.load(tmp_path / "b.nii").get_fdata()).sum() == 4


def test_a_volume_unlike_the_training_gets_one_line(cli, tmp_path, save):
    from espcn_core.models.cards import Card
    from espcn_core.models.registry import build
    from espcn_core.models.trained import save_model

    training = {"spacing_range_mm": [3.0, 4.0], "contrast_range": {"noise": [0.0, 0.001]}}
    card = Card("picky", "espcn-r", (2, 2), "bicubic", {"width": 8, "depth": 1}, training)
    picky = save_model(build("espcn-r", (2, 2), width=8, depth=1), card, tmp_path)
    source = save(tmp_path / "a.nii")
    call = ("upscale", source, "-o", tmp_path / "b.nii", "--model", picky, "--existing", "overwrite")
    answer = cli(*call, "--json")
    assert answer.code == 0
    lines = [line for line in answer.err.splitlines() if "trained" in line]
    assert len(lines) == 1
    assert lines[0].startswith(
        f"{source}: picky was trained on pixels of 3 to 4 mm, not 1 mm, and on noise up"
    )
    assert lines[0].endswith(": the result may be no better than interpolation")
    assert json.loads(answer.out)["files"][0]["notes"] == [lines[0].removeprefix(f"{source}: ")]
    assert cli(*call, "--quiet").err == ""


def test_another_dtype_means_physical_values(cli, model, tmp_path):
    image = nib.Nifti1Image(np.full((8, 8, 3), 100, np.int16), np.eye(4))  # 2.5 * 100 - 50 = 200
    image.header.set_slope_inter(2.5, -50)
    nib.save(image, tmp_path / "a.nii")
    call = ("upscale", tmp_path / "a.nii", "--model", model, "-o")
    assert cli(*call, tmp_path / "same.nii").code == 0
    assert cli(*call, tmp_path / "float.nii", "--dtype", "float32").code == 0
    same, fine = nib.load(tmp_path / "same.nii"), nib.load(tmp_path / "float.nii")
    assert (same.dataobj.slope, same.dataobj.inter, same.get_data_dtype()) == (2.5, -50, np.int16)
    assert (fine.dataobj.slope, fine.dataobj.inter, fine.get_data_dtype()) == (1, 0, np.float32)
    np.testing.assert_allclose(fine.get_fdata(), 200, atol=1e-4)
    np.testing.assert_allclose(same.get_fdata(), 200, atol=1e-4)


def test_a_plane_can_be_chosen(cli, model, tmp_path, save):
    call = ("upscale", save(tmp_path / "a.nii"), "--model", model, "-o")
    assert cli(*call, tmp_path / "b.nii", "--plane", "coronal").code == 0
    assert nib.load(tmp_path / "b.nii").shape == (24, 10, 8)
    flat = save(tmp_path / "flat.nii", (12, 1, 4))
    answer = cli("upscale", flat, "--model", model, "-o", tmp_path / "c.nii", "--plane", "axial")
    assert answer.code == 1
    assert answer.err.startswith(f"espcn-core: {flat}: an image of 12 x 1 x 4 voxels has no axial slices")


@pytest.mark.parametrize(
    ("options", "shape", "model_used"),
    [
        ([], (24, 20, 4), "espcn-r-x2"),
        (["--scale", "4"], (48, 40, 4), "espcn-r-x4"),
        (["--model", "espcn-r-x4"], (48, 40, 4), "espcn-r-x4"),
        (["--model", "espcn-r-x4", "--scale", "4"], (48, 40, 4), "espcn-r-x4"),
    ],
)
@pytest.mark.usefixtures("shipped")
def test_scale_and_model_go_together(cli, tmp_path, save, options, shape, model_used):
    answer = cli("upscale", save(tmp_path / "a.nii"), "-o", tmp_path / "b.nii", *options)
    assert answer.code == 0
    assert f"by {model_used} on" in answer.err
    assert nib.load(tmp_path / "b.nii").shape == shape


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--scale", "3"], "no model has scale 3: there are models for scale 2, 4"),
        (["--scale", "0"], "no model has scale 0: there are models for scale 2, 4"),
        (["--model", "espcn-r-x4", "--scale", "2"], "model espcn-r-x4 has scale 4, not 2"),
        (["--model", "espcn-x4"], "no model is called 'espcn-x4'; did you mean espcn-r-x4"),
        (["--model", "gone.safetensors"], "there is no weight file gone.safetensors"),
        (["--device", "mps"], "there is no mps device here"),
    ],
)
@pytest.mark.usefixtures("shipped")
def test_a_request_that_cannot_be_met_is_refused_before_any_work(
    cli, tmp_path, save, monkeypatch, options, says
):
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    source = save(tmp_path / "a.nii")
    answer = cli("upscale", source, "-o", tmp_path / "new" / "b.nii", "--json", *options)
    assert answer.code == 2
    assert answer.err.startswith(f"espcn-core: {says}")
    assert answer.err.count("\n") == 1
    assert answer.out == ""
    assert files_below(tmp_path) == {"a.nii"}


def test_a_model_with_other_scales_for_rows_and_columns_is_refused(cli, tmp_path, save):
    from espcn_core.models.cards import Card
    from espcn_core.models.registry import build
    from espcn_core.models.trained import save_model

    wide = save_model(build("espcn-r", (2, 4)), Card("wide", "espcn-r", (2, 4), "bicubic"), tmp_path)
    answer = cli("upscale", save(tmp_path / "a.nii"), "-o", tmp_path / "b.nii", "--model", wide)
    assert answer.code == 2
    assert "has scale 2x4: choose one with the same for both axes" in answer.err


def test_a_pair_of_files_comes_back_as_a_pair(cli, model, tmp_path, save):
    values = np.zeros((6, 6, 2), np.int16)
    (tmp_path / "in").mkdir()
    nib.save(nib.Nifti1Pair(values, np.eye(4)), tmp_path / "in" / "a.img")
    assert cli("upscale", tmp_path / "in", "-o", tmp_path / "out", "--model", model).code == 0
    assert files_below(tmp_path / "out") == {"a.hdr", "a.img"}
    assert nib.load(tmp_path / "out" / "a.hdr").shape == (12, 12, 2)


def test_a_terminal_gets_a_bar(cli, model, tmp_path, save, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # for rich this is a terminal
    for n in range(2):
        save(tmp_path / "in" / f"{n}.nii")
    call = ("upscale", tmp_path / "in", "-o", tmp_path / "out", "--model", model, "--existing", "overwrite")
    answer = cli(*call)
    assert answer.code == 0
    assert "files" in answer.err
    assert "━" in answer.err
    assert answer.out == ""
    assert cli(*call, "--quiet").err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("name", "jobs"), [("SIGINT", 1), ("SIGTERM", 2)])
def test_a_signal_stops_within_a_second_and_leaves_no_file(model, tmp_path, save, name, jobs):
    for n in range(3):
        save(tmp_path / "in" / f"{n}.nii", (256, 256, 400))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "espcn_core", "upscale", tmp_path / "in", "-o", out, "--model", model]
    with subprocess.Popen([*command, "--jobs", str(jobs)], stderr=subprocess.PIPE, text=True) as process:
        assert "axial slices" in process.stderr.readline()
        time.sleep(0.3)
        sent = time.perf_counter()
        process.send_signal(getattr(signal, name))
        rest = process.stderr.read()
        assert process.wait(timeout=20) == 130
        assert time.perf_counter() - sent < 5  # a second, on a machine that does nothing else
    assert rest.splitlines()[-1].startswith("espcn-core: interrupted")
    assert "Traceback" not in rest
    assert files_below(out) == set()


def test_the_same_line_again_does_the_rest(cli, awkward, model, tmp_path, save):
    out = tmp_path / "out"
    call = ("upscale", awkward, "-o", out, "--model", model, "--existing", "resume", "--jobs", 2)
    assert cli(*call).err.splitlines()[-1] == "3 done, 7 failed"
    save(awkward / "cut.nii.gz")  # mended
    assert cli(*call).err.splitlines()[-1] == "1 done, 3 skipped, 6 failed"
    answer = cli(*call, "--dtype", "float32")
    assert answer.code == 2
    assert "holds 4 results made with dtype same rather than float32" in answer.err


def test_resume_is_for_folders(cli, model, tmp_path, save):
    answer = cli(
        "upscale",
        save(tmp_path / "a.nii"),
        "-o",
        tmp_path / "b.nii",
        "--model",
        model,
        "--existing",
        "resume",
    )
    assert answer.code == 2
    assert answer.err.startswith("espcn-core: --existing resume goes with an output folder")
    assert files_below(tmp_path) == {"a.nii"}


def test_two_runs_into_one_folder(cli, model, tmp_path, save):
    from espcn_core.cohort.lock import locked

    save(tmp_path / "in" / "a.nii")
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"):
        answer = cli("upscale", tmp_path / "in", "-o", tmp_path / "out", "--model", model, "--json")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"espcn-core: another run writes into {tmp_path / 'out'}: wait for it")
    assert answer.err.count("\n") == 1


def test_a_log_has_a_line_for_the_start_each_file_and_the_end(cli, awkward, model, tmp_path):
    log = tmp_path / "run.jsonl"
    call = ("upscale", awkward, "-o", tmp_path / "out", "--model", model, "--log", log)
    assert cli(*call).code == 3
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["event"] for event in events] == ["start", *["file"] * 10, "summary"]
    assert events[0]["files"] == 10
    assert {key: events[-1][key] for key in ("done", "skipped", "failed")} == {
        "done": 3,
        "skipped": 0,
        "failed": 7,
    }
    failed = {event["input"]: event["error"] for event in events if event.get("state") == "failed"}
    assert failed[str(awkward / "text.nii")].startswith(str(awkward / "text.nii"))
    cli(*call, "--existing", "resume")
    assert len(log.read_text().splitlines()) == 24


def test_a_log_that_is_none_is_left_alone(cli, awkward, model, tmp_path):
    (tmp_path / "notes").write_text("mine")
    for log in (tmp_path / "notes", awkward / "int16.nii.gz", awkward, tmp_path / "gone" / "log"):
        before = log.read_bytes() if log.is_file() else None
        answer = cli("upscale", awkward, "-o", tmp_path / "out", "--model", model, "--log", log)
        assert answer.code == 2
        assert answer.err.startswith(f"espcn-core: --log {log} ")
        assert before is None or log.read_bytes() == before
    assert not (tmp_path / "out").exists()
