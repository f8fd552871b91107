"""How fast .nii.gz files are written and read, and how large they become, by library and level.

    python -m benchmarks.compression [--rounds 3] FILE...

All ways compress the same bytes to a temporary file, block after block as `espcn_core.volumes` does, in one
thread and in two; nibabel does it as it always does, in one piece. They take turns; the seconds are the least
of the rounds, added up over the files. Sizes are relative to nibabel's: of all files together, and of the
worst. The rows of zlib-ng need `pip install zlib-ng`.
"""

from __future__ import annotations

import argparse
import gzip
import io
import tempfile
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from isal import igzip, isal_zlib
from nibabel.openers import Opener

from espcn_core import volumes
from espcn_core.volumes.compressed import BLOCK, LEVEL, compressor

try:
    from zlib_ng import gzip_ng, zlib_ng
except ImportError:
    gzip_ng = zlib_ng = None

NIBABEL, OURS = "nibabel, as it is", f"espcn-core (isal, level {LEVEL})"
THREADS = (1, 2)
WINDOW = 1 << 15
Way = Callable[[bytes], int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="NIfTI files")
    parser.add_argument("--rounds", type=int, default=3, help="of which the fastest counts")
    options = parser.parse_args()

    contents = [bytes_of(path) for path in options.files]
    megabytes = sum(map(len, contents)) / 1e6
    print(f"{len(contents)} files, {megabytes:.1f} MB; best of {options.rounds}\n")
    print(f"{'writing':30} threads  seconds   MB/s   size  worst")
    written = measure(ways_to_write(), contents, options.rounds)
    reference = [size for _, size in written[NIBABEL, 1]]
    for (name, threads), results in written.items():
        seconds, size = (sum(numbers) for numbers in zip(*results, strict=True))
        worst = max(own / other for (_, own), other in zip(results, reference, strict=True))
        size /= sum(reference)
        print(f"{name:30} {threads:7} {seconds:8.3f} {megabytes / seconds:6.0f} {size:6.3f} {worst:6.3f}")

    print(f"\n{'reading':30} threads  seconds   MB/s")
    compressed = [gzip.compress(content, 1, mtime=0) for content in contents]
    for (name, threads), results in measure(ways_to_read(), compressed, options.rounds).items():
        seconds = sum(seconds for seconds, _ in results)
        print(f"{name:30} {threads:7} {seconds:8.3f} {megabytes / seconds:6.0f}")


def bytes_of(path: Path) -> bytes:
    """What a volume is on the disk, uncompressed."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "x.nii")
        volumes.write(volumes.read(path), plain)
        return plain.read_bytes()


def measure(
    ways: dict[tuple[str, int], Way], contents: list[bytes], rounds: int
) -> dict[tuple[str, int], list[tuple[float, int]]]:
    """Seconds and resulting bytes of each way for each content; the ways take turns."""
    results: dict[tuple[str, int], list[tuple[float, int]]] = {key: [] for key in ways}
    for number, content in enumerate(contents):
        for _ in range(rounds):
            for key, way in ways.items():
                start = time.perf_counter()
                size = way(content)
                timed = time.perf_counter() - start, size
                results[key][number:] = [min([*results[key][number:], timed])]
    return results


def ways_to_write() -> dict[tuple[str, int], Way]:
    libraries: list[tuple[str, Any, tuple[int, ...]]] = [
        ("standard library", zlib, (1, 6)),
        ("isal", isal_zlib, (0, 1, 2, 3)),
    ]
    if zlib_ng is not None:
        libraries.append(("zlib-ng", zlib_ng, (1, 2, 6)))
    ways: dict[tuple[str, int], Way] = {(NIBABEL, 1): by_nibabel}
    ways |= {(OURS, threads): partial(by_us, threads=threads) for threads in THREADS}
    for name, library, levels in libraries:
        for level in levels:
            for threads in THREADS:
                ways[f"{name}, level {level}", threads] = partial(in_blocks, library, level, threads)
    return ways


def by_nibabel(content: bytes) -> int:
    with tempfile.NamedTemporaryFile(suffix=".nii.gz") as file:
        with Opener(file.name, "wb") as stream:
            stream.write(content)
        return Path(file.name).stat().st_size


def by_us(content: bytes, threads: int) -> int:
    with tempfile.TemporaryFile() as file:
        with compressor(file, threads) as stream:
            stream.write(content)
        return file.tell()


def in_blocks(library: Any, level: int, threads: int, content: bytes) -> int:
    def deflate(start: int) -> bytes:
        before = {"zdict": content[max(0, start - WINDOW) : start]} if start else {}
        stream = library.compressobj(level, wbits=-15, **before)
        return stream.compress(content[start : start + BLOCK]) + stream.flush(library.Z_SYNC_FLUSH)

    with tempfile.TemporaryFile() as file, ThreadPoolExecutor(threads) as pool:
        library.crc32(content)
        for block in pool.map(deflate, range(0, len(content), BLOCK)):
            file.write(block)
        return file.tell()


def ways_to_read() -> dict[tuple[str, int], Way]:
    def fill(opener: Any, compressed: bytes) -> int:
        size = int.from_bytes(compressed[-4:], "little")
        view, got = np.empty(size, np.uint8).data, 0
        with opener(fileobj=io.BytesIO(compressed)) as stream:
            while n := stream.readinto(view[got : got + (1 << 20)]):
                got += n
        return got

    openers = {"standard library": gzip.GzipFile, "isal (espcn-core)": igzip.IGzipFile}
    if gzip_ng is not None:
        openers["zlib-ng"] = gzip_ng.GzipNGFile
    return {(name, 1): partial(fill, opener) for name, opener in openers.items()}


if __name__ == "__main__":
    main()
