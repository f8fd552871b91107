"""The confidentiality profile: nothing that identifies is left, references fit, the image is the same."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from espcn_core.errors import VolumeError
from espcn_core.volumes import read, write

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")
from pydicom.datadict import DicomDictionary  # noqa: E402

from espcn_core.volumes.dicom.anonymise import _actions, anonymise, new_uid  # noqa: E402

CANARY = "CANARY"
TEXTS = {"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}


def full() -> pydicom.Dataset:
    """A data set with every element of the dictionary that is text, date, UID or bytes, and private ones."""
    data = pydicom.Dataset()
    for tag, (kind, *_, keyword) in DicomDictionary.items():
        if tag >> 16 <= 0x0008 and tag >> 16 < 0x0008:
            continue
        kind = kind.split(" or ")[0]
        value = {
            "DA": "20200102", "TM": "101112.7", "DT": "20200102101112", "AS": "042Y", "CS": "CANARYCS",
            "UI": "1.2.3.4.777", "OB": b"CANARY", "OW": b"CANARY", "UN": b"CANARY",
            "DS": "777.5", "IS": "777",
        }.get(kind, CANARY if kind in TEXTS else None)  # fmt: skip
        if value is not None and keyword not in ("BurnedInAnnotation", "PixelData", "SpecificCharacterSet"):
            data.add_new(tag, kind, value)
    data.private_block(0x0029, "CANARY BLOCK", create=True).add_new(1, "LO", CANARY)
    data.add_new(0x60023000, "OW", b"CANARY")
    data.add_new(0x50023000, "OW", b"CANARY")
    data.add_new(0x0008FFFE, "LO", CANARY)
    return data


@pytest.fixture
def nested():
    """The same within sequences that the profile keeps, or goes through."""
    data = full()
    inner = copy.deepcopy(data)
    middle = pydicom.Dataset()
    middle.PatientName = CANARY
    middle.AnatomicRegionSequence = [inner]
    data.AnatomicRegionSequence = [middle]
    data.ReferencedImageSequence = [copy.deepcopy(inner)]
    data.RequestAttributesSequence = [copy.deepcopy(inner)]
    return data


def each(data):
    for element in data:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from each(item)


def test_the_table_is_that_of_the_standard():
    actions = _actions()
    assert len(actions) > 600
    known = {
        "00100010": "Z", "00100020": "Z/D", "00100030": "Z", "00080080": "X/Z/D", "0020000D": "U",
        "0020000E": "U", "00080018": "U", "00080090": "Z", "00200052": "U", "00080020": "Z", "00081030": "X",
        "00104000": "X", "60xx3000": "X", "50xxxxxx": "X",
    }  # fmt: skip
    assert {tag: actions[tag] for tag in known} == known
    assert set(actions.values()) == {"D", "Z", "X", "U", "Z/D", "X/Z", "X/D", "X/Z/D", "X/Z/U*"}


def test_nothing_that_the_profile_names_survives(nested):
    anonymise(nested, "x")
    actions = _actions()
    left = []
    for element in each(nested):
        action = actions.get(f"{element.tag:08X}")
        if element.VR != "SQ" and action is not None:
            text = str(element.value)
            left += [element.keyword for word in ("CANARY", "2020", "1011", "042Y", "777") if word in text
                     and not text.startswith("2.25.")]  # fmt: skip
        assert not element.tag.is_private
        assert element.tag >> 24 not in (0x50, 0x60)
        assert element.tag != 0x0008FFFE
    assert left == []


def test_free_text_that_the_profile_does_not_name_goes_too(nested):
    anonymise(nested, "x")
    kept = [e for e in each(nested) if CANARY in str(e.value) and e.VR not in ("SQ", "CS")]
    # What is left are short codes and labels of devices and protocols, as the profile has it.
    assert {e.VR for e in kept} <= {"LO", "SH", "AE", "OB", "OW"}
    names = {e.keyword for e in kept}
    assert not names & {"PatientName", "PatientID", "StudyDescription", "PatientComments", "OtherPatientIDs"}
    assert "Manufacturer" in names


def test_the_data_set_says_so(nested):
    anonymise(nested, "x")
    assert nested.PatientIdentityRemoved == "YES"
    assert nested.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert len(nested.DeidentificationMethod) <= 64
    assert nested.LongitudinalTemporalInformationModified == "REMOVED"


def test_text_in_the_pixels_is_refused():
    data = full()
    data.BurnedInAnnotation = "YES"
    with pytest.raises(VolumeError, match=r"^x says that text is burned into its pixels"):
        anonymise(data, "x")


def test_uids_are_new_and_the_same_for_the_same():
    one, other = pydicom.Dataset(), pydicom.Dataset()
    one.StudyInstanceUID, one.FrameOfReferenceUID = "1.2.3", "1.2.4"
    other.StudyInstanceUID, other.SOPInstanceUID = "1.2.3", "1.2.5"
    other.IrradiationEventUID = ["1.2.3", "1.2.4"]
    anonymise(one, "x")
    anonymise(other, "x")
    assert one.StudyInstanceUID == other.StudyInstanceUID == other.IrradiationEventUID[0]
    assert one.FrameOfReferenceUID == other.IrradiationEventUID[1]
    assert len({one.StudyInstanceUID, one.FrameOfReferenceUID, other.SOPInstanceUID, "1.2.3", "1.2.4"}) == 5
    assert new_uid("a", "bc") != new_uid("ab", "c")
    for n in range(50):
        assert pydicom.uid.UID(new_uid(str(n))).is_valid


def test_a_derived_series_without_identity_is_the_same_image(make_series, tmp_path):
    make_series(tmp_path / "s", seed=2)
    volume = read(tmp_path / "s")
    write(volume, tmp_path / "out", anonymise=True)
    again = read(tmp_path / "out")
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_allclose(again.grid.corners(), volume.grid.corners(), atol=1e-4)
    written = b"".join(f.read_bytes() for f in (tmp_path / "out").iterdir())
    source = pydicom.dcmread(tmp_path / "s" / "IM003.dcm")
    for word in ("Müller", "P17", "Doctor", "A hospital", "a study", "A17", "2020", "1970", "1011"):
        assert word.encode() not in written
    for element in source:
        if element.VR == "UI" and element.keyword != "SOPClassUID":
            assert str(element.value).encode() not in written
    data = [pydicom.dcmread(f) for f in sorted((tmp_path / "out").iterdir())]
    assert len({d.SOPInstanceUID for d in data}) == 5
    assert len({d.FrameOfReferenceUID for d in data}) == len({d.StudyInstanceUID for d in data}) == 1
    assert all("Super-resolution by espcn-core" in d.DerivationDescription for d in data)
    # The references are those that the sources would have, if they were anonymised.
    uid = new_uid("anonymised", str(source.SOPInstanceUID))
    assert uid in {d.SourceImageSequence[0].ReferencedSOPInstanceUID for d in data}
