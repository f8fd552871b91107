from __future__ import annotations

import json

import pytest

from espcn_core.volumes import read_slice_thickness


@pytest.mark.parametrize("name", ["head.nii.gz", "head.nii", "head.hdr", "head.img", "HEAD.NII.GZ"])
def test_the_thickness_is_that_of_the_file_of_the_same_name(tmp_path, name):
    stem = name.partition(".")[0]
    (tmp_path / f"{stem}.json").write_text(json.dumps({"EchoTime": 0.1, "SliceThickness": 3.5}))
    (tmp_path / "other.json").write_text(json.dumps({"SliceThickness": 9}))
    assert read_slice_thickness(tmp_path / name) == (3.5, None)


def test_a_name_with_dots_keeps_them(tmp_path):
    (tmp_path / "sub-1.a.json").write_text('\ufeff{"SliceThickness": 4}', encoding="utf-8")
    assert read_slice_thickness(tmp_path / "sub-1.a.nii.gz") == (4.0, None)


@pytest.mark.parametrize("content", [None, "{}", "[1, 2]", '"text"', '{"SliceThickness": null}'])
def test_nothing_is_said_where_there_is_nothing(tmp_path, content):
    if content is not None:
        (tmp_path / "head.json").write_text(content)
    assert read_slice_thickness(tmp_path / "head.nii") == (None, None)


@pytest.mark.parametrize("value", ['"3 mm"', "0", "-3", "[3]", "true", "NaN", "Infinity", "1e300"])
def test_what_is_no_thickness_is_told(tmp_path, value):
    (tmp_path / "head.json").write_text(f'{{"SliceThickness": {value}}}')
    thickness, note = read_slice_thickness(tmp_path / "head.nii")
    assert thickness is None
    assert note.startswith("SliceThickness in head.json is ")
    assert note.endswith("no length in mm, and is left out")


@pytest.mark.parametrize("content", [b"not JSON", b"\xff\xfe\xff", b"", b"[" * 100000])
def test_what_is_no_json_is_told(tmp_path, content):
    (tmp_path / "head.json").write_bytes(content)
    assert read_slice_thickness(tmp_path / "head.nii") == (
        None,
        "head.json is no JSON that can be read, and is left out",
    )
