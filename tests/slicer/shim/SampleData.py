"""Stand-in for Slicer's Sample Data module: it keeps what modules register and downloads nothing."""

from __future__ import annotations

from typing import Any

registered: list[dict[str, Any]] = []


class SampleDataLogic:
    """The part of Sample Data's logic that other modules call."""

    @staticmethod
    def registerCustomSampleDataSource(category: str = "Custom", **source: Any) -> None:
        """Keep one source; the keywords are Slicer's.

        Raises
        ------
        TypeError
            If a keyword is not one of Slicer's, or lists of one source differ in length.
        """
        known = {
            "sampleName",
            "uris",
            "fileNames",
            "nodeNames",
            "customDownloader",
            "thumbnailFileName",
            "loadFileTypes",
            "loadFiles",
            "loadFileProperties",
            "checksums",
            "sampleDescription",
        }
        if unknown := set(source) - known:
            raise TypeError(f"Sample Data knows no {', '.join(sorted(unknown))}")
        lists = {name: value for name, value in source.items() if isinstance(value, list)}
        if len({len(value) for value in lists.values()}) > 1:
            raise TypeError(f"{', '.join(sorted(lists))} differ in length")
        registered.append({"category": category, **source})
