from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from espcn_core.errors import DataError
from espcn_core.figshare import fetch
from espcn_core.figshare.fetch import RECORD, RecordFile

CONTENT = np.random.default_rng(0).bytes(300_000)
FILE = RecordFile("data.zip", 7, len(CONTENT), hashlib.md5(CONTENT).hexdigest())
PART = ".data.zip.part"


@dataclass
class _Server:
    """What the server does, and what it was asked for."""

    url: str = ""
    knows_range: bool = True
    breaks_at: list[int] = field(default_factory=list)  # bytes of each answer before it breaks off
    statuses: list[int] = field(default_factory=list)  # instead of an answer
    strays: int = 0  # answers that begin at another place than asked for
    content: bytes = CONTENT
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    state = _Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append((self.path, asked))
            if state.statuses:
                self.send_response(state.statuses.pop(0))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.knows_range else 0
            if start and state.strays:
                state.strays -= 1
                start -= 1000
            body = state.content[start:]
            self.send_response(206 if asked and state.knows_range else 200)
            if asked and state.knows_range:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}"
                )
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.breaks_at.pop(0)] if state.breaks_at else body)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        state.url = f"http://127.0.0.1:{http.server_port}/files"
        yield state
        http.shutdown()


def _fetch(server: _Server, folder: Path, file: RecordFile = FILE) -> list[tuple[str, int, int]]:
    steps: list[tuple[str, int, int]] = []
    fetch(
        folder,
        files=[file],
        base_url=server.url,
        progress=lambda name, done, size: steps.append((name, done, size)),
        pause=0,
    )
    return steps


def _only(folder: Path) -> bytes:
    """The content of the file, which must be the only one."""
    assert [path.name for path in folder.iterdir()] == [FILE.name]
    return (folder / FILE.name).read_bytes()


def test_a_file_is_asked_for_by_its_number(server: _Server, tmp_path: Path) -> None:
    steps = _fetch(server, tmp_path / "new" / "folder")
    assert _only(tmp_path / "new" / "folder") == CONTENT
    assert server.asked == [("/files/7", None)]
    assert steps[-1] == ("data.zip", 300_000, 300_000)
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)


def test_a_broken_connection_is_gone_on_with(server: _Server, tmp_path: Path) -> None:
    server.breaks_at = [120_000, 1_000, 50_000]
    _fetch(server, tmp_path)
    assert _only(tmp_path) == CONTENT
    assert [asked for _, asked in server.asked] == [None, "bytes=120000-", "bytes=121000-", "bytes=171000-"]


def test_a_server_without_ranges_starts_over(server: _Server, tmp_path: Path) -> None:
    server.knows_range = False
    server.breaks_at = [120_000, 80_000]
    _fetch(server, tmp_path)
    assert _only(tmp_path) == CONTENT
    assert len(server.asked) == 3


def test_an_answer_from_another_place_is_not_used(server: _Server, tmp_path: Path) -> None:
    server.breaks_at = [120_000]
    server.strays = 1
    _fetch(server, tmp_path)
    assert _only(tmp_path) == CONTENT
    assert [asked for _, asked in server.asked] == [None, "bytes=120000-", None]


def test_another_run_goes_on_where_the_first_gave_up(server: _Server, tmp_path: Path) -> None:
    server.breaks_at = [120_000, 0, 0, 0, 0, 0]
    with pytest.raises(DataError, match=r"data\.zip cannot be fetched .*go on with it"):
        _fetch(server, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [PART]
    server.breaks_at = []
    _fetch(server, tmp_path)
    assert _only(tmp_path) == CONTENT
    assert server.asked[-1][1] == "bytes=120000-"


def test_a_file_with_another_md5_is_thrown_away(server: _Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(DataError, match=r"data\.zip came with another MD5"):
        _fetch(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_and_right_is_not_asked_for(server: _Server, tmp_path: Path) -> None:
    (tmp_path / FILE.name).write_bytes(CONTENT)
    assert _fetch(server, tmp_path) == [("data.zip", 300_000, 300_000)]
    assert server.asked == []


@pytest.mark.parametrize("wrong", [CONTENT[:-1] + b"?", CONTENT[:1000]])
def test_a_wrong_file_stays_until_the_right_one_is_there(
    server: _Server, tmp_path: Path, wrong: bytes
) -> None:
    (tmp_path / FILE.name).write_bytes(wrong)
    server.statuses = [403]
    with pytest.raises(DataError):
        _fetch(server, tmp_path)
    assert (tmp_path / FILE.name).read_bytes() == wrong
    _fetch(server, tmp_path)
    assert _only(tmp_path) == CONTENT


def test_a_part_that_is_too_long_is_begun_anew(server: _Server, tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(CONTENT + b"more")
    _fetch(server, tmp_path)
    assert _only(tmp_path) == CONTENT


def test_a_whole_part_is_only_checked(server: _Server, tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(CONTENT)
    _fetch(server, tmp_path)
    assert _only(tmp_path) == CONTENT
    assert server.asked == []


@pytest.mark.parametrize("status", [202, 403, 404])
def test_a_refusal_says_what_to_do(server: _Server, tmp_path: Path, status: int) -> None:
    server.statuses = [status]
    with pytest.raises(DataError, match=f"status {status}.*with a browser") as caught:
        _fetch(server, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert len(server.asked) == 1


def test_a_busy_server_is_asked_again(server: _Server, tmp_path: Path) -> None:
    server.statuses = [503, 429, 500]
    _fetch(server, tmp_path)
    assert _only(tmp_path) == CONTENT


def test_a_page_instead_of_the_file_is_refused(server: _Server, tmp_path: Path) -> None:
    server.content = b"<html>log in to the network</html>"
    with pytest.raises(DataError, match=r"data\.zip was not sent by the server \(34 bytes of 300,000\)"):
        _fetch(server, tmp_path)


def test_no_server_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(DataError, match=r"data\.zip cannot be fetched \(.*refused"):
        _fetch(_Server(url="http://127.0.0.1:9"), tmp_path)


def test_a_folder_that_cannot_be_made(server: _Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        _fetch(server, tmp_path / "file")


def test_the_record_is_complete() -> None:
    assert len({file.number for file in RECORD}) == len({file.md5 for file in RECORD}) == len(RECORD) == 6
    assert all(len(file.md5) == 32 for file in RECORD)
    assert sum(file.name.endswith(".zip") for file in RECORD) == 4
