"""``espcn-core upscale --part`` and ``--scheduler``: the whole line, and wrong calls."""

from __future__ import annotations

import pytest

from espcn_core.cohort.tables import NAME


def files_of(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_parts_make_what_one_run_makes_and_are_merged(cli, awkward, model, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert cli("upscale", awkward, "-o", whole, "--model", model).code == 3
    call = ("upscale", awkward, "-o", out, "--model", model, "--existing", "resume")
    codes = [cli(*call, "--part", f"{number}/3").code for number in (1, 2, 3)]
    assert set(codes) <= {0, 1, 3}
    assert files_of(out) == files_of(whole)
    assert not (out / NAME).exists()
    said = cli("status", out).out
    assert said.startswith(f"{out}: 3 done, 7 failed")

    answer = cli(*call)
    assert answer.code == 2
    assert "--merge first" in answer.err
    assert cli(*call, "--part", "1/2").code == 2
    assert cli("status", out, "--merge").out == said
    assert [path.name for path in out.glob(".*")] == [NAME]
    assert "7 of 10 files failed" in cli(*call).err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--part", "0/3"], "as in --part 3/64"),
        (["--part", "4/3"], "as in --part 3/64"),
        (["--part", "a"], "as in --part 3/64"),
        (["--part", "1/3", "--scheduler", "tcp://localhost:1"], "without --part"),
        (["--part", "1/3", "--report", "r.html"], "merge its parts first"),
    ],
)
def test_wrong_calls_do_nothing(cli, awkward, model, tmp_path, words, says):
    answer = cli("upscale", awkward, "-o", f"{tmp_path / 'out'}/", "--model", model, *words)
    assert answer.code == 2
    assert says in answer.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--part", "1/3"], ["--scheduler", "tcp://localhost:1"]])
def test_one_file_is_no_cohort(cli, save, model, tmp_path, words):
    source = save(tmp_path / "a.nii.gz")
    answer = cli(
        "upscale", source or tmp_path / "a.nii.gz", "-o", tmp_path / "b.nii.gz", "--model", model, *words
    )
    assert answer.code == 2
    assert "goes with an output folder" in answer.err


def test_no_scheduler_is_one_sentence(cli, awkward, model, tmp_path):
    pytest.importorskip("distributed")
    out = tmp_path / "out"
    answer = cli("upscale", awkward, "-o", f"{out}/", "--model", model, "--scheduler", "nonsense://x")
    assert answer.code == 2
    assert "does not answer" in answer.err
    assert len(answer.err.strip().splitlines()) == 1
