"""Other formats than NIfTI on the command line: DICOM series, conversions, and no word of a header."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from espcn_core.cli import main
from espcn_core.volumes import read

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed: pip install 'espcn-core[dicom]'")
from pydicom.data import get_testdata_file  # noqa: E402
from pydicom.datadict import DicomDictionary  # noqa: E402

pytestmark = pytest.mark.usefixtures("shipped")
CANARY = "CANARY"


@pytest.fixture
def cli(monkeypatch, capfd):
    """Calls ``espcn-core``; what libraries in C print counts too."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["espcn-core", *map(str, arguments)])
        capfd.readouterr()
        # pytest would keep warnings for itself.
        with (
            warnings.catch_warnings(record=True, action="always") as said,
            pytest.raises(SystemExit) as ending,
        ):
            main()
        assert [str(one.message) for one in said if "pydicom" in one.filename] == []
        return SimpleNamespace(code=ending.value.code or 0, **capfd.readouterr()._asdict())

    return call


def dicom(folder: Path, n: int = 4, *, number: object = 3, series: str = "a", change=lambda data, k: None):
    """A series of 12 x 10 pixels, 3 mm apart, made from a small MR image."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(n):
        data = pydicom.dcmread(get_testdata_file("MR_small.dcm"))
        pixels = np.random.default_rng(k).integers(0, 900, (10, 12)).astype("<i2")
        data.Rows, data.Columns, data.PixelData = 10, 12, pixels.tobytes()
        data.ImagePositionPatient, data.ImageOrientationPatient = [1, 2, 3 * k], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness, data.SpacingBetweenSlices = [1, 1], "3", "3"
        data.SeriesNumber, data.InstanceNumber = number, k + 1
        data.SeriesInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[series])
        data.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[series, str(k)])
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        if change(data, k) is not False:
            data.save_as(folder / f"{series}{k}.dcm")
    return folder


def corners(path):
    return read(path).grid.corners()


@pytest.mark.parametrize("name", ["x.nii.gz", "x.mha", "x.nhdr", "x.mgz"])
def test_a_folder_with_one_series_becomes_a_file(cli, tmp_path, name):
    dicom(tmp_path / "in")
    answer = cli("upscale", tmp_path / "in", "--output", tmp_path / name)
    assert answer.code == 0, answer.err
    assert f"{tmp_path / 'in'} (series 003): 12 x 10 x 4" in answer.err.replace("\n", "")
    assert read(tmp_path / name).grid.shape == (24, 20, 4)
    np.testing.assert_allclose(corners(tmp_path / name), corners(tmp_path / "in"), atol=1e-4)


def test_one_file_of_a_series_stands_for_it(cli, tmp_path):
    dicom(tmp_path / "in")
    dicom(tmp_path / "in", series="b", number=4)
    answer = cli("upscale", tmp_path / "in" / "b2.dcm", "--output", tmp_path / "x.nrrd")
    assert answer.code == 0, answer.err
    np.testing.assert_allclose(corners(tmp_path / "x.nrrd"), corners(tmp_path / "in" / "b0.dcm"), atol=1e-6)


def test_several_series_and_files_keep_their_formats(cli, tmp_path, save):
    dicom(tmp_path / "in" / "p1", series="a")
    dicom(tmp_path / "in" / "p1", series="b", number=4)
    dicom(tmp_path / "in" / "p2", series="c")
    save(tmp_path / "in" / "n.nii.gz")
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "in" / "n.nii.gz")), str(tmp_path / "in" / "m.mhd"))
    answer = cli("upscale", tmp_path / "in", "--output", tmp_path / "out", "--json", "--quiet")
    assert answer.code == 0, answer.err
    there = sorted(
        str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("[!.]*") if p.is_file()
    )
    images = [f"{folder}/{k:04d}.dcm" for folder in ("p1/series-003", "p1/series-004", "p2/series-003")
              for k in range(1, 5)]  # fmt: skip
    assert there == sorted([*images, "m.mhd", "m.mhd.raw", "n.nii.gz"])
    assert json.loads(answer.out)["summary"]["done"] == 5
    answer = cli("upscale", tmp_path / "in", "--output", tmp_path / "out")
    assert answer.code == 2
    assert "4 other outputs exist" in answer.err
    answer = cli("upscale", tmp_path / "in", "--output", tmp_path / "out", "--existing", "skip", "--json")
    assert json.loads(answer.out)["summary"]["skipped"] == 5
    answer = cli("upscale", tmp_path / "in", "--output", tmp_path / "out", "--existing", "overwrite")
    assert answer.code == 0, answer.err


@pytest.mark.parametrize(
    ("form", "ending"), [("nifti", ".nii.gz"), ("nrrd", ".nrrd"), ("mha", ".mha"), ("mgz", ".mgz")]
)
def test_an_output_format_is_for_all_inputs(cli, tmp_path, save, form, ending):
    dicom(tmp_path / "in")
    save(tmp_path / "in" / "n.nii.gz")
    out = tmp_path / "out"
    answer = cli("upscale", tmp_path / "in", "--output", out, "--output-format", form, "--trust", f"{out}/t")
    assert answer.code == 0, answer.err
    there = sorted(str(p.relative_to(out)) for p in out.rglob("[!.]*") if p.is_file())
    assert there == sorted(f"{folder}{name}{ending}" for folder in ("", "t/") for name in ("n", "series-003"))


def test_trust_maps_of_derived_series_are_nifti(cli, tmp_path):
    dicom(tmp_path / "in")
    answer = cli("upscale", tmp_path / "in", "--output", tmp_path / "out", "--trust", tmp_path / "maps")
    assert answer.code == 0, answer.err
    assert [p.name for p in (tmp_path / "maps").iterdir()] == ["series-003.nii.gz"]
    assert len(list((tmp_path / "out" / "series-003").iterdir())) == 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["d", "--output", "x.nii"], "d holds 2 DICOM series (003: 4 files, 004: 4 files), and"),
        (["n.nii", "--output", "out/", "--output-format", "dicom"], "n.nii is no DICOM series, and"),
        (["n.nii", "--output", "x.nii", "--output-format", "mha"], "--output-format goes with an output"),
        (["n.nii", "--output", "out/", "--anonymise"], "goes with DICOM series, and out/n.nii would"),
        (["d", "n.nii", "--output", "out/", "--anonymise"], "goes with DICOM series, and out/n.nii"),
        (["d", "--output", "d"], None),
        (["d/series-003", "--output", "d"], "d/series-003 is an input"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_one_sentence(cli, tmp_path, save, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    dicom(Path("d"))
    dicom(Path("d"), series="b", number=4)
    save(Path("n.nii"))
    if says and "d/series" in says:
        dicom(Path("d/series-003"), series="c")
    answer = cli("upscale", *arguments)
    assert answer.code == (0 if says is None else 2), answer.err
    if says is not None:
        assert says in answer.err
        assert len(answer.err.splitlines()) == 1


def test_formats_that_cannot_hold_it_are_said_before_the_work(cli, tmp_path, save):
    save(tmp_path / "n.nii", dtype=np.float64)
    answer = cli("upscale", tmp_path / "n.nii", "--output", tmp_path / "x.mgz")
    assert answer.code == 1
    assert "x.mgz cannot hold float64, only uint8" in answer.err
    answer = cli("upscale", tmp_path / "n.nii", "--output", tmp_path / "x.mgz", "--dtype", "float32")
    assert answer.code == 0, answer.err


def test_results_in_the_input_folder_are_no_inputs_of_a_resumed_run(cli, tmp_path):
    dicom(tmp_path / "in")
    assert cli("upscale", tmp_path / "in", "--output", tmp_path / "in").code == 0
    answer = cli("upscale", tmp_path / "in", "--output", tmp_path / "in", "--existing", "skip", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["summary"]["skipped"] >= 1
    assert not list(tmp_path.rglob("series-1003"))


def test_what_a_killed_run_left_is_cleared(cli, tmp_path):
    dicom(tmp_path / "in")
    left = tmp_path / "out" / ".series-003.0123abcd.espcn-part"
    left.mkdir(parents=True)
    (left / "0001.dcm").touch()
    answer = cli("upscale", tmp_path / "in", "--output", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"series-003", ".espcn-core.sqlite"}


def test_the_slice_thickness_comes_from_the_header(cli, tmp_path, monkeypatch, through_weights):
    monkeypatch.setattr("espcn_core.models.cards.SHIPPED", through_weights)

    def thick(data, k):
        data.SliceThickness = "3.6"

    dicom(tmp_path / "in", change=thick)
    answer = cli("upscale", tmp_path / "in", "--output", tmp_path / "x.nii", "--scale", "1,1,3")
    assert answer.code == 0, answer.err
    assert "its slices are 3.6 mm thick, as its DICOM header says" in answer.err.replace("\n", " ")
    asked = ["--slice-thickness", "3", "--existing", "overwrite"]
    answer = cli("upscale", tmp_path / "in", "--output", tmp_path / "x.nii", "--scale", "1,1,3", *asked)
    assert "as its DICOM header says" not in answer.err


def test_without_pydicom_there_is_a_sentence(cli, tmp_path, monkeypatch):
    dicom(tmp_path / "in")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    answer = cli("upscale", tmp_path / "in", "--output", tmp_path / "x.nii")
    assert answer.code != 0
    assert "DICOM needs pydicom: pip install 'espcn-core[dicom]'" in answer.err


# Canaries: no word of a header in what is said or written, but for the header of a result of the same format.


def planted(data, k):
    """A canary in every text that an image may have, nested ones and private ones too."""
    for tag, (kind, many, _, retired, keyword) in DicomDictionary.items():
        if not 0x0008 <= tag >> 16 <= 0x0040 or keyword == "SpecificCharacterSet" or retired:
            continue
        if kind in ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UT") and many[:1] == "1":
            data.add_new(tag, kind, f"{CANARY}^{k}")
    item = pydicom.Dataset()
    item.PatientName = item.CodeMeaning = CANARY
    data.ProcedureCodeSequence = [item]
    data.private_block(0x0029, CANARY, create=True).add_new(1, "LO", CANARY)


def also(change):
    def both(data, k):
        planted(data, k)
        return change(data, k)

    return both


def text_in(name, value=CANARY):
    def change(data, k):
        if k == 1:
            kind = pydicom.datadict.dictionary_VR(name)
            data[name] = pydicom.DataElement(name, kind, value, validation_mode=pydicom.config.IGNORE)

    return change


def cut_pixels(data, k):
    data.PixelData = data.PixelData[:99]


def other_size(data, k):
    data.Rows = 10 + k


def jpeg(data, k):
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"
    data.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff" + CANARY.encode() * 20])
    data["PixelData"].VR = "OB"


DICOM_CASES = {
    "fine": lambda data, k: None,
    "cut": cut_pixels,
    "sizes": other_size,
    "gap": lambda data, k: k != 1,
    "jpeg": jpeg,
    "colours": text_in("PhotometricInterpretation"),
    "class": text_in("SOPClassUID"),
    "charset": text_in("SpecificCharacterSet"),
    "modality": text_in("Modality"),
    "instance": text_in("SOPInstanceUID"),
    "study": text_in("StudyInstanceUID"),
    "series": text_in("SeriesInstanceUID"),
    "type": text_in("ImageType"),
}


@pytest.mark.parametrize("target", ["x.nii.gz", "x.nrrd", "x.mha", "x.mgz", "out"])
@pytest.mark.parametrize("case", DICOM_CASES)
def test_no_word_of_a_dicom_header_gets_out(cli, tmp_path, case, target):
    dicom(tmp_path / "in", change=also(DICOM_CASES[case]))
    answer = cli(
        "upscale", tmp_path / "in", "--output", tmp_path / target, "--json", "--trust", f"{tmp_path}/t/",
        "--log", tmp_path / "log", *(("--report", tmp_path / "report.html") if target == "out" else ()),
    )  # fmt: skip
    assert answer.code in (0, 1, 2, 3)
    assert "Traceback" not in answer.err
    assert "unexpected error" not in answer.err
    assert CANARY not in answer.out + answer.err
    assert answer.code == 0 or case != "fine"
    assert (tmp_path / "report.html").is_file() == (target == "out" and answer.code != 2)
    for path in tmp_path.rglob("*"):
        assert CANARY not in path.name
        known = path.name in (".espcn-core.sqlite", "log", "report.html")
        if path.is_file() and "in" not in path.parts[-2:-1] and (known or target != "out"):
            assert CANARY.encode() not in written(path)


def written(path: Path) -> bytes:
    import gzip

    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix in (".gz", ".mgz") else content


@pytest.mark.parametrize("name", ["SeriesNumber", "Rows", "BitsAllocated", "SliceThickness", "PixelSpacing",
                                  "RescaleSlope", "InstanceNumber", "ImagePositionPatient"])  # fmt: skip
def test_text_where_numbers_belong_is_not_repeated(cli, tmp_path, name):
    """Written byte by byte, because pydicom would not."""
    dicom(tmp_path / "in", change=also(lambda data, k: setattr(data, "RescaleSlope", "1.5") or None))
    for path in (tmp_path / "in").iterdir():
        data = pydicom.dcmread(path)
        kind = data[name].VR
        if kind == "US":
            value = b"\xff\xff"
        else:
            value = b"CANARY CANARY CANARY"
        raw = pydicom.dataelem.RawDataElement(
            pydicom.tag.Tag(name), kind, len(value), value, 0, False, True, True
        )
        data._dict[raw.tag] = raw
        data.save_as(path)
    for target in ("x.nii", "out/"):
        answer = cli("upscale", tmp_path / "in", "--output", tmp_path / target, "--json")
        assert answer.code in (0, 1)
        if name in ("SeriesNumber", "SliceThickness", "InstanceNumber"):  # what is not needed is left out
            assert answer.code == 0, answer.err
        assert CANARY not in answer.out + answer.err
        assert "Traceback" not in answer.err
        assert "unexpected error" not in answer.err


def test_an_anonymised_series_holds_no_canary_of_the_profile(cli, tmp_path):
    dicom(tmp_path / "in", change=planted)
    answer = cli("upscale", tmp_path / "in", "--output", tmp_path / "out", "--anonymise", "--json")
    assert answer.code == 0, answer.err
    for path in (tmp_path / "out").rglob("*.dcm"):
        data = pydicom.dcmread(path)
        left = {e.keyword for e in data.iterall() if CANARY in str(e.value) and e.VR != "SQ"}
        assert not {k for k in left if "Name" in k and "Patient" in k}
        assert {pydicom.datadict.dictionary_VR(k) for k in left} <= {"LO", "SH", "AE"}
        assert not left & {"PatientID", "StudyDescription", "SeriesDescription", "StudyID", "InstitutionName"}


@pytest.mark.parametrize("case", ["fine", "cut", "type", "size", "place", "magic"])
@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize("target", [".nii.gz", ".nrrd", ".mha", ".mgz"])
def test_no_word_of_a_text_header_gets_out(cli, tmp_path, save, ending, case, target):
    image = sitk.ReadImage(str(save(tmp_path / "n.nii")))
    path = tmp_path / f"in{ending}"
    sitk.WriteImage(image, str(path), False)
    content = path.read_bytes()
    if ending == ".nrrd":
        text = b"content: CANARY\n# CANARY\nPatientName:=CANARY\n"
        content = content.replace(b"encoding: ", text + b"encoding: ", 1)
        words = {"type": (b"type: short", b"type: CANARY"), "size": (b"sizes: 12", b"sizes: CANARY"),
                 "place": (b"origin: (", b"origin: (CANARY"), "magic": (b"NRRD", b"CANARY")}  # fmt: skip
    else:
        content = content.replace(b"NDims", b"Comment = CANARY\nName = CANARY\nNDims", 1)
        words = {"type": (b"MET_SHORT", b"CANARY"), "size": (b"DimSize = 12", b"DimSize = CANARY"),
                 "place": (b"Offset = ", b"Offset = CANARY"), "magic": (b"NDims", b"CANARY")}  # fmt: skip
    content = content[:-50] if case == "cut" else content.replace(*words.get(case, (b"", b"")), 1)
    path.write_bytes(content)
    answer = cli(
        "upscale", path, "--output", tmp_path / f"x{target}", "--json", "--trust", tmp_path / "t.nii"
    )
    assert answer.code == (0 if case == "fine" else 1), answer.err
    assert CANARY not in answer.out + answer.err
    assert "Traceback" not in answer.err
    for found in tmp_path.iterdir():
        # A result of the same format keeps what the header says; nothing else does.
        if found != path and not (target == ending and found.name == f"x{ending}"):
            assert CANARY.encode() not in written(found)


def test_bytes_that_were_changed_anywhere_give_a_result_or_a_sentence(cli, tmp_path):
    rng = np.random.default_rng(3)
    whole = [f.read_bytes() for f in sorted(dicom(tmp_path / "fine").iterdir())]
    for n in range(40):
        folder = tmp_path / f"in{n}"
        folder.mkdir()
        for k, content in enumerate(whole):
            changed = bytearray(content)
            if k == 1:
                for at in rng.integers(128, len(content) - 240, 3):
                    changed[at] = rng.integers(256)
            (folder / f"{k}.dcm").write_bytes(changed)
        answer = cli("upscale", folder, "--output", tmp_path / "out" / str(n), "--json")
        assert answer.code in (0, 1, 2, 3)
        assert "Traceback" not in answer.err
        assert "unexpected error" not in answer.err
        shutil.rmtree(folder)
