"""From inputs to jobs: names, folders, and calls that are refused before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from espcn_core.cohort.jobs import Job, clear_leftovers_of, find_jobs, refuse_existing
from espcn_core.errors import RequestError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def pairs(*args, **kwargs) -> list[tuple[str, str]]:
    return [(str(job.source), str(job.target)) for job in find_jobs(*args, **kwargs)]


@pytest.mark.parametrize(
    ("output", "target"),
    [
        ("b.nii", "b.nii"),
        ("new/b.NII.GZ", "new/b.NII.GZ"),
        ("b.img", "b.img"),
        ("new/", "new/a.nii.gz"),
        ("there", "there/a.nii.gz"),
    ],
)
def test_one_file_goes_to_a_file_or_into_a_folder(output, target):
    touch("a.nii.gz", "there/x")
    assert pairs([Path("a.nii.gz")], output) == [("a.nii.gz", target)]


@pytest.mark.parametrize(
    ("name", "target"),
    [("a.nii", "a_sr.nii"), ("a.b.NII.gz", "a.b_sr.NII.gz"), ("a.hdr", "a_sr.hdr"), ("a.dcm", "a_sr.dcm")],
)
def test_the_suffix_goes_before_the_ending(name, target):
    touch(name)
    assert pairs([Path(name)], "out/", "_sr") == [(name, f"out/{target}")]


@pytest.mark.parametrize(
    ("name", "compress", "target"),
    [
        ("a.nii", True, "a_sr.nii.gz"),
        ("a.b.nii.gz", True, "a.b_sr.nii.gz"),
        ("a.hdr", True, "a_sr.nii.gz"),
        ("a.dcm", True, "a_sr.dcm"),
        ("a.nii", False, "a_sr.nii"),
        ("a.NII.GZ", False, "a_sr.NII"),
        ("a.hdr", False, "a_sr.hdr"),
    ],
)
def test_names_in_a_folder_say_whether_to_compress(name, compress, target):
    touch(name)
    assert pairs([Path(name)], "out/", "_sr", compress=compress) == [(name, f"out/{target}")]
    (job,) = find_jobs([Path(name)], "out/", "_sr", trust="maps/", compress=compress)
    assert job.trust == Path("maps", target)


def test_the_name_of_a_file_says_itself_whether_to_compress():
    touch("a.nii")
    with pytest.raises(RequestError, match=r"--output b\.nii in \.nii\.gz or \.nii"):
        find_jobs([Path("a.nii")], "b.nii", compress=True)


def test_two_files_that_would_have_one_name_when_compressed():
    touch("in/a.nii", "in/a.nii.gz")
    with pytest.raises(RequestError, match=r"would both become out/a\.nii\.gz"):
        find_jobs([Path("in")], "out", compress=True)


def test_a_folder_keeps_its_structure_and_hides_what_is_hidden():
    touch("in/b.nii", "in/a.nii.gz", "in/z/c.nii", "in/m/d.hdr", "in/m/d.img", "in/notes.txt")
    touch("in/.a.nii", "in/.git/e.nii", "in/.a.nii.gz.0123abcd.espcn-part")
    assert pairs([Path("in")], "out") == [
        ("in/a.nii.gz", "out/a.nii.gz"),
        ("in/b.nii", "out/b.nii"),
        ("in/m/d.hdr", "out/m/d.hdr"),
        ("in/z/c.nii", "out/z/c.nii"),
    ]


def test_an_output_folder_within_an_input_folder_is_no_input():
    touch("in/a.nii", "in/out/a.nii", "in/sub/out/a.nii")
    assert [source for source, _ in pairs([Path("in")], "in/out")] == ["in/a.nii", "in/sub/out/a.nii"]
    assert [source for source, _ in pairs([Path(".")], "in/out/")] == ["in/a.nii", "in/sub/out/a.nii"]


def test_files_and_folders_mix_and_an_input_counts_once():
    touch("in/a.nii", "b.nii")
    jobs = pairs([Path("b.nii"), Path("in"), Path("in/a.nii"), Path("b.nii")], "out")
    assert jobs == [("b.nii", "out/b.nii"), ("in/a.nii", "out/a.nii")]


def test_results_beside_their_inputs_are_no_inputs_of_a_resumed_run():
    touch("in/a.nii", "in/a_sr.nii", "in/b_sr.nii")
    with pytest.raises(RequestError, match=r"a_sr\.nii is an input"):
        find_jobs([Path("in")], "in", "_sr")
    jobs = pairs([Path("in")], "in", "_sr", resume=True)
    assert jobs == [("in/a.nii", "in/a_sr.nii"), ("in/b_sr.nii", "in/b_sr_sr.nii")]
    with pytest.raises(RequestError, match=r"a\.nii is an input"):
        find_jobs([Path("in")], "in", resume=True)


def test_a_link_to_nowhere_is_an_input_that_fails_and_not_one_that_is_overlooked():
    Path("in").mkdir()
    Path("in/a.nii").symlink_to("gone")
    assert pairs([Path("in")], "out") == [("in/a.nii", "out/a.nii")]


@pytest.mark.parametrize(
    ("inputs", "output", "suffix", "says"),
    [
        (["gone.nii"], "x.nii", "", "gone.nii does not exist"),
        (["a.nii", "gone.nii"], "out", "", "gone.nii does not exist"),
        (["a.nii"], "a.nii", "", "a.nii is an input"),
        (["a.nii"], "in/../a.nii", "", "a.nii is an input"),
        (["a.nii", "in/b.nii"], ".", "", "a.nii is an input"),
        (["link/c.nii"], "in/", "", "in/c.nii is an input"),
        (["p.img"], "p.hdr", "", "p.hdr is an input"),
        (["in"], "in", "", "in/a.nii is an input"),
        (["a.nii", "in/a.nii"], "out", "", "a.nii and in/a.nii would both become out/a.nii"),
        (["empty"], "out", "", "empty holds no volume (.nii.gz, .nii, .nrrd, .mha or .mgz) and no"),
        (["a.nii"], "x.txt", "", "x.txt is no name of a volume"),
        (["a.nii"], "x", "", "x is no name of a volume"),
        (["a.nii"], "x.nii", "_sr", "--suffix goes with an output folder"),
        (["a.nii"], "out/", "../x", "--suffix ../x is not part of a file name"),
        (["a.nii", "in/b.nii"], "x.nii", "", "x.nii is named as a file, and these inputs need a folder"),
        (["in"], "notes", "", "notes is a file, and these inputs need a folder"),
        (["in"], "notes/x/y", "", "notes is a file, so nothing can be written into notes/x/y"),
    ],
)
def test_a_wrong_call_is_one_sentence(inputs, output, suffix, says):
    touch("a.nii", "in/a.nii", "in/b.nii", "in/c.nii", "p.hdr", "p.img", "notes")
    Path("empty").mkdir()
    Path("link").mkdir()
    Path("link/c.nii").symlink_to(Path("in/c.nii").resolve())
    before = sorted(Path().rglob("*"))
    with pytest.raises(RequestError, match=r"^[^\n]*$") as caught:
        find_jobs([Path(name) for name in inputs], output, suffix)
    assert says in str(caught.value)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("inputs", "output", "trust", "expected"),
    [
        (["a.nii"], "b.nii", "t.nii", ["t.nii"]),
        (["a.nii"], "b.nii", "maps/", ["maps/a.nii"]),
        (["a.nii"], "out/", "t.nii.gz", ["t.nii.gz"]),
        (["in"], "out", "maps", ["maps/a.nii", "maps/m/b.nii"]),
        (["in"], "in/out", "in/maps", ["in/maps/a.nii", "in/maps/m/b.nii"]),
    ],
)
def test_a_trust_map_goes_where_an_output_could(inputs, output, trust, expected):
    touch("a.nii", "in/a.nii", "in/m/b.nii", "in/out/a.nii", "in/maps/a.nii")
    if output != "in/out":
        Path("in/out/a.nii").unlink()
        Path("in/maps/a.nii").unlink()
    jobs = find_jobs([Path(name) for name in inputs], output, trust=trust)
    assert [str(job.trust) for job in jobs] == expected


def test_the_suffix_is_for_every_folder():
    touch("a.nii")
    (job,) = find_jobs([Path("a.nii")], "out/", "_sr", trust="maps/")
    assert job == Job(Path("a.nii"), Path("out/a_sr.nii"), Path("maps/a_sr.nii"))


@pytest.mark.parametrize(
    ("inputs", "output", "trust", "says"),
    [
        (["a.nii"], "b.nii", "b.nii", "b.nii is both --output and --trust: choose another --trust"),
        (["in"], "out", "in/../out", "is both --output and --trust"),
        (["a.nii"], "b.nii", "a.nii", "a.nii is an input: choose another --trust"),
        (["a.nii"], "b.nii", "t.txt", "--trust t.txt is no name of a volume"),
        (["in"], "out", "t.nii", "--trust t.nii is named as a file, and these inputs need a folder"),
        (["in"], "out", "a.nii", "--trust a.nii is a file, and these inputs need a folder"),
        (["in"], "out", "out/m", "in/b.nii and in/m/b.nii would both become out/m/b.nii"),
    ],
)
def test_a_wrong_place_for_trust_maps_is_one_sentence(inputs, output, trust, says):
    touch("a.nii", "in/a.nii", "in/b.nii", "in/m/b.nii")
    with pytest.raises(RequestError, match=r"^[^\n]*$") as caught:
        find_jobs([Path(name) for name in inputs], output, trust=trust)
    assert says in str(caught.value)


def test_a_job_is_done_when_all_of_it_is_there():
    touch("b.nii")
    job = Job(Path("a.nii"), Path("b.nii"), Path("t.nii"))
    assert not job.is_done
    with pytest.raises(RequestError, match=r"^b\.nii exists"):
        refuse_existing([job])
    touch("t.nii", ".t.nii.0123abcd.espcn-part")
    assert job.is_done
    clear_leftovers_of([job])
    assert not Path(".t.nii.0123abcd.espcn-part").exists()


def test_trust_maps_beside_their_inputs_are_no_inputs_of_a_resumed_run():
    touch("in/a.nii", "in/maps/a.nii", "in/a_sr.nii", "maps2/a_sr.nii")
    (job,) = find_jobs([Path("in")], "in", "_sr", trust="in/maps", resume=True)
    assert job == Job(Path("in/a.nii"), Path("in/a_sr.nii"), Path("in/maps/a_sr.nii"))


def test_what_cannot_be_searched_is_said(monkeypatch):
    def walk(folder, onerror):
        onerror(PermissionError(13, "Permission denied", "in/shut"))
        return []

    touch("in/a.nii")
    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(RequestError, match="in/shut cannot be searched: Permission denied"):
        find_jobs([Path("in")], "out")


def test_a_place_without_permission_is_said(monkeypatch):
    touch("a.nii")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(RequestError, match="no permission to write into"):
        find_jobs([Path("a.nii")], "out/")


def test_existing_outputs_are_named_and_counted():
    jobs = [Job(Path(f"in/{name}"), Path(f"out/{name}")) for name in ("a.nii", "b.img", "c.nii")]
    refuse_existing(jobs)
    touch("out/b.img")  # without its header it is not complete
    refuse_existing(jobs)
    touch("out/b.hdr")
    with pytest.raises(
        RequestError, match=r"^out/b.img exists: use --existing skip or --existing overwrite$"
    ):
        refuse_existing(jobs)
    touch("out/a.nii", "out/c.nii")
    with pytest.raises(RequestError, match=r"^out/a\.nii and 2 other outputs exist: use"):
        refuse_existing(jobs)


def test_only_leftovers_of_the_jobs_are_cleared():
    ours = [
        ".a.nii.gz.0123abcd.espcn-part",
        "sub/.b.hdr.0123abcd.espcn-part",
        "sub/.b.img.0123abcd.espcn-part",
    ]
    others = [".other.nii.0123abcd.espcn-part", "a.nii.gz", "sub/b.img"]
    touch(*(f"out/{name}" for name in ours + others))
    clear_leftovers_of(
        [
            Job(Path("a"), Path("out/a.nii.gz")),
            Job(Path("b"), Path("out/sub/b.img")),
            Job(Path("c"), Path("new/c.nii")),
        ]
    )
    left = {str(path.relative_to("out")) for path in Path("out").rglob("*") if path.is_file()}
    assert left == set(others)
