"""The report of a cohort: what is on it, in which order, and that nothing in a name becomes markup."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from espcn_core.cohort import page as page_module
from espcn_core.cohort.glance import Glance
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.manifest import Manifest
from espcn_core.cohort.page import Call, check_page, printable, write_page
from espcn_core.cohort.run import Manner, run_cohort
from espcn_core.cohort.shown import Results
from espcn_core.cohort.work import Outcome
from espcn_core.errors import RequestError

CALL = Call(["study"], "finer", {"Scale": "2"}, 3.25)
ENGINES = ("cpu", "fp32", "torch")
GLANCE = Glance(b"coarse", b"fine", 192, 100, "axial, slice 3 of 5", 0.01)


class Page(HTMLParser):
    """The text of each article, what is loaded, and whether all that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.articles, self.sources, self.open, self.head = [], [], [], ""
        self.tags = set()
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag == "article":
            self.articles.append("")
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "article" in self.open:
            self.articles[-1] += data + "\n"
        elif "style" not in self.open:
            self.head += data + "\n"


@pytest.fixture
def written(tmp_path):
    """Keeps outcomes in a manifest and gives the page of their jobs."""

    def written(outcomes, more=()) -> Page:
        jobs = [outcome.job for outcome in outcomes]
        with Manifest(tmp_path) as manifest:
            manifest.begin_run(1, "1")
            manifest.expect(jobs, "", [1] * len(jobs))
            for outcome in outcomes:
                manifest.finish(outcome, "{}")
        path = tmp_path / "report.html"
        write_page(path, [*jobs, *more], tmp_path, CALL)
        return Page(path.read_text(encoding="utf-8"))

    return written


@pytest.fixture
def job(tmp_path):
    def job(name: str | Path) -> Job:
        return Job(tmp_path / "in" / name, tmp_path / name, label=Path(name))

    return job


def order_in(page: Page, names) -> list[str]:
    return [next(name for name in names if name in text) for text in page.articles]


def test_the_worst_come_first(written, job, tmp_path):
    def done(name, difference):
        glance = dataclasses.replace(GLANCE, difference=difference)
        return Outcome(job(name), "done", plan="p", glance=glance)

    outcomes = [
        Outcome(job("plain.nii"), "done"),
        done("small.nii", 0.001),
        done("large.nii", 0.2),
        done("strange.nii", None),
        Outcome(job("as_asked.nii"), "skipped"),
        Outcome(job("broken.nii"), "failed", error="broken.nii is broken: mend it"),
    ]
    page = written(outcomes, [job("nobody.nii")])
    names = "broken nobody strange large small plain as_asked".split()
    assert order_in(page, names) == names
    assert (
        "7 volumes of study into finer: 4 done, 1 already as asked for, 1 failed, 1 left as it was"
        in page.head
    )
    assert "broken.nii is broken: mend it" in page.articles[0]
    assert "does not know" in page.articles[1]
    assert "difference not known" in page.articles[2]
    assert "difference 20.00 %" in page.articles[3]
    assert "no pictures" in page.articles[5]
    assert len(page.sources) == 1 + 2 * 3


def test_the_page_loads_and_runs_nothing(written, job):
    page = written([Outcome(job("a.nii"), "done", plan="2 -> 4", notes=("a note", "another"), glance=GLANCE)])
    assert all(source.startswith("data:") for source in page.sources)
    assert "script" not in page.tags
    for said in ("2 -> 4", "a note\n", "another\n", "axial, slice 3 of 5", "difference 1.00 %"):
        assert said in page.articles[0]
    assert "3.2 s" in page.head or "3.3 s" in page.head
    assert "url(" not in (Path(page_module.__file__).parent / "page.css").read_text()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"a<script>alert(1)<&>.nii", "a<script>alert(1)<&>.nii"),
        (b"a\"onload='x' .nii", "a\"onload='x' .nii"),
        (b"a\nb\x1b[2J.nii", "a\\nb\\x1b[2J.nii"),
        (b"a\xff\xfe.nii", "a\\udcff\\udcfe.nii"),
        ("a\u202egni.nii".encode(), "a\\u202egni.nii"),
        ("größe 図.nii".encode(), "größe 図.nii"),
    ],
)
def test_names_are_no_markup(written, job, name, shown):
    job = job(os.fsdecode(name))
    outcome = Outcome(job, "done", plan=f"by {job.source.name}", notes=(job.source.name,), glance=GLANCE)
    page = written([outcome])
    assert page.articles[0].count(shown) == 3
    assert "script" not in page.tags
    page = written([Outcome(job, "failed", error=f"{job.source.name} is bad")])
    assert f"{shown} is bad" in page.articles[0]
    assert page.tags <= set("html head meta title link style body main h1 h2 dl div dt dd p article".split())


def test_text_of_the_call_is_escaped():
    assert printable("<i>&'\"") == "&lt;i&gt;&amp;&#x27;&quot;"


def test_pictures_are_those_of_the_result_that_is_there(written, job, tmp_path):
    outcome = Outcome(job("a.nii"), "done", plan="p", glance=GLANCE)
    assert len(written([outcome]).sources) == 3
    page = written([dataclasses.replace(outcome, glance=None)])  # made again, without a report
    assert len(page.sources) == 1
    assert len(written([outcome]).sources) == 3
    page = written([Outcome(outcome.job, "failed", error="a.nii is bad")])
    assert len(page.sources) == 1


def test_a_row_is_small(written, job, tmp_path):
    """The largest pictures that are made, and long words."""
    glance = dataclasses.replace(GLANCE, coarse=bytes(1500), fine=bytes(3600))
    sizes = []
    for count in (1, 3):
        notes = ("n" * 200, "m" * 100)
        outcomes = [
            Outcome(job(f"{n}.nii"), "done", plan="p" * 120, notes=notes, glance=glance) for n in range(count)
        ]
        written(outcomes)
        sizes.append((tmp_path / "report.html").stat().st_size)
    assert (sizes[1] - sizes[0]) / 2 < 8192


def test_a_page_that_cannot_be_written_leaves_the_old_one(written, job, tmp_path, monkeypatch):
    outcome = Outcome(job("a.nii"), "done", plan="p", glance=GLANCE)
    written([outcome])
    before = (tmp_path / "report.html").read_bytes()
    monkeypatch.setattr(page_module, "_article", lambda shown: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        written([outcome])
    assert (tmp_path / "report.html").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", ".espcn-core.sqlite"}


@pytest.mark.parametrize("at_once", [1, 2])
def test_workers_make_the_pictures_and_a_rerun_keeps_them(jobs, wanted, watcher, program, tmp_path, at_once):
    folder = tmp_path / "out"
    manner = Manner(folder, engines=ENGINES, at_once=at_once, command=program())
    wanted = dataclasses.replace(wanted, glance=True)
    jobs[4].source.write_bytes(b"nothing")
    assert run_cohort(jobs, wanted, manner, watcher) == {"done": 4, "failed": 1}
    with Results(jobs, folder) as results:
        first = list(results)
    assert [shown.state for shown in first] == ["failed"] + ["done"] * 4
    assert all(shown.glance.fine and 0 < shown.glance.difference < 1 for shown in first[1:])
    assert "12 x 10 x 4" in first[1].plan
    jobs[0].target.unlink()
    again = dataclasses.replace(manner, existing="resume", at_once=1)
    assert run_cohort(jobs, dataclasses.replace(wanted, glance=False), again, watcher)["done"] == 1
    with Results(jobs, folder) as results:
        second = {shown.name: shown.glance for shown in results}
    assert {shown.name: shown.glance for shown in first} | {"0.nii.gz": None} == second


def test_results_without_a_report_have_no_pictures(jobs, wanted, watcher, tmp_path):
    run_cohort(jobs[:1], wanted, Manner(tmp_path / "out", engines=ENGINES), watcher)
    assert watcher.finished[0].glance is None


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("out.htm", None),
        ("new/folder/out.HTML", None),
        ("out.txt", "end it in .html"),
        ("in/a.html", "is an input"),
        ("link/a.html", "is an input"),
        ("out/b.html", "is an output"),
        ("out/b.html/report.html", "is an output or in one"),
        ("there.html", "is a folder"),
        ("in/a.html/report.html", "not a directory"),
    ],
)
def test_where_a_page_may_be(tmp_path, path, says):
    for folder in ("in", "there.html"):
        (tmp_path / folder).mkdir()
    (tmp_path / "in" / "a.html").write_text("DICM")
    (tmp_path / "link").symlink_to("in")
    job = Job(tmp_path / "link" / "a.html", tmp_path / "out" / "b.html")
    if says is None:
        check_page(tmp_path / path, [job], tmp_path / "out", dry_run=False)
        return
    with pytest.raises(RequestError, match=re.escape(says)):
        check_page(tmp_path / path, [job], tmp_path / "out", dry_run=False)


def test_a_folder_without_permission(tmp_path, monkeypatch, job):
    def refused(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refused)  # for root may all
    with pytest.raises(RequestError, match="permission denied"):
        check_page(tmp_path / "a.html", [job("a.nii")], tmp_path, dry_run=False)


def test_pillow_is_missed_before_the_work(tmp_path, monkeypatch, job):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(RequestError, match=r"espcn-core\[report\]"):
        check_page(tmp_path / "a.html", [job("a.nii")], tmp_path, dry_run=False)


def test_a_page_needs_a_folder_and_results(tmp_path, job):
    with pytest.raises(RequestError, match="--report goes with an output folder"):
        check_page(tmp_path / "a.html", [job("a.nii")], None, dry_run=False)
    with pytest.raises(RequestError, match="--dry-run makes none"):
        check_page(tmp_path / "a.html", [job("a.nii")], tmp_path, dry_run=True)
