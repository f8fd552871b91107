"""``espcn-core upscale --report``: the whole line, and wrong calls."""

from __future__ import annotations

import json
import signal

import pytest

from espcn_core.cohort import work


@pytest.fixture
def call(cli, tmp_path, save):
    """Calls ``upscale`` on two files, into a folder unless stated otherwise."""
    for name in ("a.nii.gz", "b.nii.gz"):
        save(tmp_path / "in" / name)

    def call(*more, output="out/", source="in"):
        return cli("upscale", tmp_path / source, "--output", f"{tmp_path}/{output}", *more)

    return call


def test_a_page_of_all_that_is_there(call, tmp_path):
    page = tmp_path / "out" / "report.html"
    answer = call("--report", page, "--json")
    assert answer.code == 0, answer.err
    json.loads(answer.out)
    text = page.read_text()
    assert text.count("data:image/webp") == 4
    assert "2 done" in text
    (tmp_path / "in" / "c.nii").write_bytes(b"bad")
    answer = call("--report", page, "--existing", "resume")
    assert answer.code == 3
    text = page.read_text()
    assert text.count("data:image/webp") == 4
    assert "3 volumes" in text
    assert "2 done, 1 failed" in text
    assert text.index("c.nii") < text.index("a.nii.gz")


@pytest.mark.parametrize(
    ("more", "output", "says"),
    [
        (["--report", "r.html", "--dry-run"], "out/", "--dry-run makes none"),
        (["--report", "r.txt"], "out/", "end it in .html"),
        (["--report", "/dev/null/r.html"], "out/", "not a directory"),
    ],
)
def test_a_wrong_call_does_nothing(call, tmp_path, monkeypatch, more, output, says):
    monkeypatch.chdir(tmp_path)
    answer = call(*more, output=output)
    assert answer.code == 2
    assert says in answer.err
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("r.*"))


def test_one_output_file_has_no_page(call, tmp_path):
    answer = call("--report", tmp_path / "r.html", source="in/a.nii.gz", output="x.nii.gz")
    assert answer.code == 2
    assert "output folder" in answer.err
    assert not (tmp_path / "x.nii.gz").exists()


def test_without_a_report_no_picture_is_made(call, monkeypatch):
    monkeypatch.setattr(work, "glance_at", lambda *_: pytest.fail("a picture"))
    assert call().code == 0


def test_an_interrupted_run_leaves_the_page_as_it_was(call, tmp_path, monkeypatch):
    page = tmp_path / "report.html"
    page.write_text("before")

    def interrupted(*_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(work, "glance_at", interrupted)
    assert call("--report", page).code == 130
    assert page.read_text() == "before"
    monkeypatch.undo()
