"""The sample volume, offered by Slicer's Sample Data module."""

from pathlib import Path

_TOP = Path(__file__).resolve().parents[2]

_FILE = "sample_t1ce.nii.gz"

_ADDRESS = f"https://raw.githubusercontent.com/ESPCNSlicer/ESPCNSlicer/main/resources/{_FILE}"

_SHA256 = "6444c32feeb73a702f7c5ac88c6278b724e5d81d4bd7152273192f95ccafc1f8"


def register_sample_data():
    """Eight slices of a head (Cheng 2017, figshare, CC BY 4.0), fetched when they are asked for."""
    import SampleData

    here = _TOP / "resources" / _FILE  # in a source checkout nothing is fetched
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="ESPCN",
        sampleName="ESPCNHead",
        thumbnailFileName=str(Path(__file__).resolve().parents[1] / "Resources" / "Icons" / "ESPCNHead.png"),
        uris=here.as_uri() if here.is_file() else _ADDRESS,
        fileNames=_FILE,
        checksums=f"SHA256:{_SHA256}",
        nodeNames="ESPCNHead",
    )
