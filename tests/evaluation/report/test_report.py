from __future__ import annotations

import csv
import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest

from espcn_core.errors import RequestError
from espcn_core.evaluation.report import report
from espcn_core.evaluation.summary import pick_cases

ORDER = (
    "Peak of the PSNR",
    "espcn-r-x4 gains",
    "PSNR, dB",
    "Other degradations",
    "Mann-Whitney",
    "Shifts",
    "Checkerboard energy",
    "Best patient",
    "records.csv",
    "The same again",
)
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Fails on a tag that is closed out of turn; keeps what is asked about below."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.rows, self.text = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data):
        self.text.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += f"{data} "


@pytest.fixture(scope="module")
def examples(about, records, make_example):
    owner = {record.case: record.patient for record in records}
    cases = pick_cases(about, records).values()
    return [make_example(case, owner[case], owner[case] != "P00000") for case in cases]


@pytest.fixture(scope="module")
def written(about, records, examples, tmp_path_factory):
    return report(about, records, examples, tmp_path_factory.mktemp("report") / "new").parent


@pytest.fixture(scope="module")
def page(written):
    return Page((written / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def results(written):
    return json.loads((written / "results.json").read_text(encoding="utf-8"))


def test_three_files_and_nothing_else(written):
    assert sorted(path.name for path in written.iterdir()) == ["records.csv", "report.html", "results.json"]


def test_the_same_bytes_twice(about, records, examples, written, tmp_path):
    report(about, records[::-1], examples, tmp_path)
    for path in written.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_page_loads_nothing(written, page):
    html = (written / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"url\((?!#)", html)  # clip paths of a plot are in the plot
    assert "@import" not in html
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "srcset", "data"):
                assert tag == "a" or value.startswith(("data:", "#")), (tag, value)


def test_its_links_lead_to_the_files_beside_it(written, page):
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert links == {"results.json", "records.csv"}
    assert all((written / link).is_file() for link in links)


def test_ids_are_there_once(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_first_what_was_measured_then_the_result_then_the_table(page, results):
    words = "".join(page.text)
    places = [words.index(part) for part in ORDER]
    assert places == sorted(places)
    assert results["summary"]["headline"] in words.replace("\N{MINUS SIGN}", "-")


def test_every_number_of_the_main_table_is_in_the_results(about, page, results):
    start = next(i for i, row in enumerate(page.rows) if row and "Gain over bicubic" in row[1:3][-1])
    rows = page.rows[start + 1 :]
    for region in ("image", "head", "tumor", "ring"):
        rows.pop(0)  # its title
        for method in about.methods:
            shown = [cell.replace("\N{MINUS SIGN}", "-") for cell in rows.pop(0)]
            cell = results["summary"]["results"]["bicubic"][method][region]
            assert shown[0].strip() == method
            for place, metric, form in ((1, "psnr", ".2f"), (2, "psnr_gain", "+.2f"), (3, "ssim", ".4f")):
                numbers = re.findall(r"[-+]?\d+\.\d+", shown[place])
                value = cell.get(metric)
                ends = ".3f" if metric == "ssim" else form
                expected = [format(value["mean"], form)] if value else []
                expected += [format(value[end], ends) for end in ("low", "high")] if value else []
                assert numbers == expected, (method, region, metric)


def find(page, first):
    """The rows of the table whose head begins with these cells."""
    heads = [i for i, row in enumerate(page.rows) if [cell.strip() for cell in row[: len(first)]] == first]
    return [[cell.replace("\N{MINUS SIGN}", "-") for cell in row] for row in page.rows[heads[0] + 1 :]]


def test_methods_are_compared_in_the_image_the_head_and_the_tumor(page, results):
    rows = find(page, ["Method", "Whole image", "Head", "Tumor"])
    assert rows[0] == ["espcn-r-x4 against "]
    tests = results["summary"]["tests"]["methods"]
    for place, region in enumerate(("image", "head", "tumor"), start=1):
        against = {row["second"]: row for row in tests[region] if row["first"] == "espcn-r-x4"}
        for row in rows[1:5]:
            test = against[row[0].strip()]
            mean, low, high = (format(test["difference"][end], "+.2f") for end in ("mean", "low", "high"))
            p = "< 0.001" if test["wilcoxon_holm"] < 0.001 else f"= {test['wilcoxon_holm']:.3f}"
            shown = " ".join(row[place].split())
            assert shown == f"{mean} {low} to {high} p {p} r {test['rank_biserial']:+.2f}"


def test_a_row_of_the_matrix_says_what_its_model_was_trained_on(about, records, tmp_path):
    training = {"config": {"mixture": {"bicubic": 1, "area": 2}, "noise": 0.03}}
    cards = {**about.cards, "espcn-r-x4": {**about.cards["espcn-r-x4"], "training": training}}
    written = report(dataclasses.replace(about, cards=cards), records, [], tmp_path)
    rows = find(Page(written.read_text(encoding="utf-8")), ["Method", "bicubic", "area"])
    assert rows[1][0].split() == ["espcn-r-x4", "mixture", "of", "2", "+", "noise"]
    assert ["*" in cell for cell in rows[1][1:]] == [True, True, True, False]
    assert rows[2][0].split() == ["espcn-x4", "bicubic", "alone"]
    assert ["*" in cell for cell in rows[2][1:]] == [True, False, False, False]


def test_volumes_are_listed_by_name(volumes, make_example, tmp_path):
    about, records = volumes
    example = make_example("P00001 51", "P00001", tumor=False)
    page = Page(report(about, records, [example], tmp_path).read_text(encoding="utf-8"))
    rows = find(page, ["Volume, true slices"])
    cells = json.loads((tmp_path / "results.json").read_text())["summary"]["volumes"]
    assert [cell.strip() for cell in rows[0]] == ["Whole image"]
    for name, row in zip(sorted(about.volumes), rows[1:10], strict=True):
        assert row[0] == f"{name} axial, 1 x 1 mm "
        assert float(row[1]) == pytest.approx(cells[name]["bicubic"]["image"]["psnr"], abs=0.006)
        assert float(row[2]) == pytest.approx(cells[name]["espcn-r-x4"]["image"]["psnr_gain"], abs=0.006)
    words = "".join(page.text)
    assert "27 slices of 9 volumes" in words
    assert "P00001, slice 51" in words
    assert "Other degradations" not in words, "there is one"
    assert "patient" not in words.partition("Statistics")[0].partition("records.csv")[0].replace(
        "Patients, slices", ""
    )


def test_print_opens_what_is_folded_away(written):
    style = (written / "report.html").read_text(encoding="utf-8").partition("@media print")[2]
    assert "details::details-content" in style


def test_tables_can_be_sorted_and_scrolled(page):
    scrolled = [a for tag, a in page.tags if tag == "div" and a.get("class") == "scroll"]
    assert len(scrolled) == sum(tag == "table" for tag, _ in page.tags)
    assert all(a["tabindex"] == "0" and a["aria-label"] for a in scrolled)
    assert sum("data-key" in attributes for _, attributes in page.tags) > 100


def test_without_javascript_nothing_is_missing(page):
    """No button is there before the script makes it, and nothing is hidden."""
    assert not any(tag == "button" or "hidden" in attributes for tag, attributes in page.tags)


def test_each_patient_has_six_pictures_and_their_texts(page):
    pictures = [a for tag, a in page.tags if tag == "image"]
    assert len(pictures) == 18
    assert all(a["href"].startswith("data:image/png;base64,") for a in pictures)
    labels = [a.get("aria-label") for tag, a in page.tags if tag == "svg"]
    assert len(labels) == 20
    assert all(labels)


def test_the_csv_has_every_record(records, written):
    with (written / "records.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(records)
    found = {(row["case"], row["degradation"], row["method"], row["region"]): row for row in rows}
    for record in records[::50]:
        row = found[record.case, record.degradation, record.method, record.region]
        assert float(row["psnr"]) == pytest.approx(record.psnr, rel=1e-7)
        assert row["patient"] == record.patient
        assert (row["hfen"] == "") is (record.region != "image")


def test_the_results_say_what_was_measured(about, results):
    assert results["about"]["command"] == about.command
    assert results["about"]["shifts"]["espcn-r-x4"] == [0.001, -0.002]
    assert results["records"] == "records.csv"


def test_volumes_without_models_have_a_report_too(plain, make_example, tmp_path):
    about, records = plain
    page = Page(report(about, records, [], tmp_path).read_text(encoding="utf-8"))
    words = "".join(page.text)
    assert "tumor" not in "".join(cell for row in page.rows for cell in row).lower()
    assert "Pictures" not in words
    report(about, records, [make_example("1", "P00000", tumor=False)], tmp_path)


def test_bicubic_alone_has_a_report(plain, tmp_path):
    about, records = plain
    alone = [record for record in records if record.method == "bicubic"]
    Page(report(dataclasses.replace(about, methods=("bicubic",)), alone, [], tmp_path).read_text())


def test_names_from_outside_are_escaped(about, records, tmp_path):
    odd = dataclasses.replace(about, data="<script>alert(1)</script>", command="a & b <c>")
    html = report(odd, records, [], tmp_path).read_text(encoding="utf-8")
    Page(html)
    assert "<script>alert" not in html
    assert "a &amp; b &lt;c&gt;" in html


def test_a_failure_leaves_what_was_there(about, records, tmp_path):
    (tmp_path / "report.html").write_text("old")
    with pytest.raises(RequestError):
        report(dataclasses.replace(about, methods=("nearest",)), records, [], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
