"""A model hub on loopback: the routes that huggingface_hub's real client asks for, over a folder of repositories."""

import hashlib
import json
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

LFS_SUFFIXES = frozenset({".bin", ".h5", ".msgpack", ".pt", ".safetensors"})
CHUNK = 1 << 16
LOG_LENGTH = 10_000

_ID = r"(?P<id>[^/]+(?:/[^/]+)?)"
_FILE = re.compile(rf"/{_ID}/resolve/(?P<rev>[^/]+)/(?P<file>.+)")
_BLOB = re.compile(rf"/blobs/{_ID}/resolve/(?P<rev>[^/]+)/(?P<file>.+)")
_INFO = re.compile(rf"/api/models/{_ID}(?:/revision/(?P<rev>[^/]+))?")
_TREE = re.compile(rf"/api/models/{_ID}/tree/(?P<rev>[^/]+)(?:/(?P<folder>.+))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One answered request: what was asked, and how many bytes of a file went out."""

    method: str
    path: str
    status: int
    repo: str = ""
    file: str = ""
    start: int = 0
    sent: int = 0


class NotFoundError(Exception):
    """The hub's own 404: an error code that the client turns into an exception."""

    def __init__(self, code: str, message: str, commit: str | None = None) -> None:
        super().__init__(message)
        self.code, self.commit = code, commit


@dataclass(frozen=True, kw_only=True, slots=True)
class Blob:
    """One file of a repository and what the hub says of it."""

    repo: str
    name: str
    path: Path
    size: int
    git_sha1: str
    sha256: str | None

    @property
    def etag(self) -> str:
        return self.sha256 or self.git_sha1

    def entry(self) -> dict[str, Any]:
        """Return the row that the tree listing has for this file."""
        row: dict[str, Any] = {"type": "file", "path": self.name, "size": self.size, "oid": self.git_sha1}
        if self.sha256:
            row["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 134}
        return row


@lru_cache(maxsize=256)
def _digests(path: Path, size: int, _mtime_ns: int) -> tuple[str, str | None]:
    """Hash a file as git does and, where the hub would keep it in LFS, by SHA-256 too."""
    lfs = path.suffix in LFS_SUFFIXES
    git, sha = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            git.update(chunk)
            sha.update(chunk)
    return git.hexdigest(), sha.hexdigest() if lfs else None


def _blob(repo: str, name: str, path: Path) -> Blob:
    stat = path.stat()
    git_sha1, sha256 = _digests(path, stat.st_size, stat.st_mtime_ns)
    return Blob(repo=repo, name=name, path=path, size=stat.st_size, git_sha1=git_sha1, sha256=sha256)


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A repository at one revision; the commit is a digest of its contents."""

    id: str
    commit: str
    blobs: Mapping[str, Blob]

    @classmethod
    def of(cls, repo: str, folder: Path) -> "Snapshot":
        paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        blobs = {name: _blob(repo, name, path) for name, path in sorted(paths.items())}
        digest = hashlib.sha1(usedforsecurity=False)
        for name, blob in blobs.items():
            digest.update(f"{name} {blob.etag}\n".encode())
        return cls(id=repo, commit=digest.hexdigest(), blobs=blobs)

    def blob(self, name: str) -> Blob:
        if name not in self.blobs:
            raise NotFoundError("EntryNotFound", f"{self.id} has no {name}", self.commit)
        return self.blobs[name]

    def info(self) -> dict[str, Any]:
        """Return what `/api/models/{id}` says."""
        siblings = [{"rfilename": name} for name in self.blobs]
        return {"id": self.id, "sha": self.commit, "private": False, "tags": [], "siblings": siblings}

    def tree(self, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
        """List a folder: its files and, where not recursive, the folders directly in it."""
        prefix = f"{folder}/" if folder else ""
        inside = {name.removeprefix(prefix): blob for name, blob in self.blobs.items() if name.startswith(prefix)}
        if folder and not inside:
            raise NotFoundError("EntryNotFound", f"{self.id} has no folder {folder}", self.commit)
        rows = [blob.entry() for name, blob in inside.items() if recursive or "/" not in name]
        folders = {name.split("/")[0] for name in inside if "/" in name} if not recursive else set()
        return rows + [{"type": "directory", "path": prefix + name, "oid": "0" * 40} for name in sorted(folders)]


class Repositories:
    """A folder of repositories: `org/name` holds the branch main, `org/name@v2` the revision v2."""

    def __init__(self, root: Path, moved: Mapping[str, str]) -> None:
        self.root, self.moved = root, dict(moved)

    def snapshot(self, repo: str, revision: str) -> Snapshot:
        """Return a repository at a branch, tag or commit."""
        revisions = self._revisions(repo)
        if revision in revisions:
            return revisions[revision]
        for snapshot in revisions.values():
            if snapshot.commit == revision:
                return snapshot
        raise NotFoundError("RevisionNotFound", f"{repo} has no revision {revision}")

    def _revisions(self, repo: str) -> dict[str, Snapshot]:
        main = self.root / repo
        if {".", ".."} & set(repo.split("/")) or not main.is_dir():
            raise NotFoundError("RepoNotFound", f"no repository {repo}")
        others = {path.name.partition("@")[2]: path for path in main.parent.glob(f"{main.name}@*")}
        return {name: Snapshot.of(repo, path) for name, path in ({"main": main} | others).items()}


@dataclass(kw_only=True)
class Hub:
    """A running hub: where it is, what it was asked, and the switches that break it."""

    url: str
    repositories: Repositories
    _log: deque[Request] = field(default_factory=lambda: deque(maxlen=LOG_LENGTH))
    _cuts: dict[tuple[str, str], int] = field(default_factory=dict)
    _announced: dict[tuple[str, str], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def requests(self) -> tuple[Request, ...]:
        """Return the requests answered so far (the last 10,000)."""
        with self._lock:
            return tuple(self._log)

    def downloads(self, repo: str = "", file: str = "") -> tuple[Request, ...]:
        """Return the requests that sent bytes of a file: of any, of a repository's, or of one."""
        sent = [request for request in self.requests if request.sent]
        return tuple(it for it in sent if repo in ("", it.repo) and file in ("", it.file))

    def cut(self, repo: str, file: str, *, after: int) -> None:
        """Break the next download of a file, once, after that many bytes."""
        with self._lock:
            self._cuts[repo, file] = after

    def announce(self, repo: str, file: str, *, size: int) -> None:
        """Say from now on, wherever the size of a file is said, that it has so many bytes."""
        with self._lock:
            self._announced[repo, file] = size

    def announced(self, blob: Blob) -> int:
        """Return how many bytes the hub says that a file has."""
        with self._lock:
            return self._announced.get((blob.repo, blob.name), blob.size)

    def record(self, request: Request) -> None:
        with self._lock:
            self._log.append(request)

    def take_cut(self, repo: str, file: str) -> int | None:
        """Return after how many bytes this download is to break, and forget it."""
        with self._lock:
            return self._cuts.pop((repo, file), None)


class _Server(ThreadingHTTPServer):
    hub: Hub
    daemon_threads = False  # server_close() waits for the answers still under way

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent: a client that goes away in the middle is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    # HTTP/1.0 closes after each answer: a stopped hub is gone, for clients that keep connections too.
    protocol_version = "HTTP/1.0"
    timeout = 30
    server: _Server

    def do_GET(self) -> None:
        try:
            self._route()
        except NotFoundError as error:
            self._not_found(error)

    do_HEAD = do_GET  # noqa: N815 - http.server's own name

    def _route(self) -> None:
        url = urlsplit(self.path)
        # The order matters: `org/name` and `name` are both names, so the patterns overlap.
        for pattern, answer in (
            (_TREE, self._tree),
            (_INFO, self._info),
            (_BLOB, self._blob),
            (_FILE, self._file),
        ):
            if match := pattern.fullmatch(url.path):
                if not self._moved(match):
                    answer(match)
                return
        raise NotFoundError("RepoNotFound", f"no route {url.path}")

    def _moved(self, match: re.Match[str]) -> bool:
        """Redirect a repository's old name to its new one, as the hub does, with a relative address."""
        target = self.server.hub.repositories.moved.get(unquote(match["id"]))
        if target is None:
            return False
        start, end = match.span("id")
        self._answer(307, {"Location": self.path[:start] + quote(target) + self.path[end:]})
        return True

    def _snapshot(self, match: re.Match[str]) -> Snapshot:
        repo, revision = unquote(match["id"]), unquote(match["rev"] or "main")
        return self.server.hub.repositories.snapshot(repo, revision)

    def _info(self, match: re.Match[str]) -> None:
        self._json(self._snapshot(match).info())

    def _tree(self, match: re.Match[str]) -> None:
        recursive = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() == "true"
        self._json(self._snapshot(match).tree(unquote(match["folder"] or ""), recursive=recursive))

    def _file(self, match: re.Match[str]) -> None:
        snapshot = self._snapshot(match)
        blob = snapshot.blob(unquote(match["file"]))
        headers = {"X-Repo-Commit": snapshot.commit, "ETag": f'"{blob.etag}"'}
        if blob.sha256 is None:
            return self._send(blob, headers)
        # LFS files come from another host name: the client keeps this answer's headers and sends no token there.
        host = f"http://localhost:{self.server.server_address[1]}"
        location = f"{host}/blobs/{quote(blob.repo)}/resolve/{snapshot.commit}/{quote(blob.name)}"
        headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(self.server.hub.announced(blob))}
        return self._answer(302, headers | {"Location": location})

    def _blob(self, match: re.Match[str]) -> None:
        blob = self._snapshot(match).blob(unquote(match["file"]))
        self._send(blob, {"ETag": f'"{blob.etag}"'})

    def _send(self, blob: Blob, headers: dict[str, str]) -> None:
        """Send a file, or what the Range header asks of it, or only so much as the test's cut lets through."""
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        size = self.server.hub.announced(blob)
        start = min(int(wanted[1]), blob.size, size) if wanted else 0
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        headers |= {"Content-Length": str(size - start), "Accept-Ranges": "bytes"}
        cut = self.server.hub.take_cut(blob.repo, blob.name) if self.command == "GET" else None
        end = min(blob.size, size) if cut is None else min(start + cut, blob.size, size)
        self._log(206 if wanted else 200, blob=blob, start=start, end=end)
        self._head(206 if wanted else 200, headers)
        if self.command == "GET":
            self._body(blob, start, end)

    def _body(self, blob: Blob, start: int, end: int) -> None:
        with blob.path.open("rb") as stream:
            stream.seek(start)
            for position in range(start, end, CHUNK):
                self.wfile.write(stream.read(min(CHUNK, end - position)))

    def _json(self, value: object) -> None:
        self._answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def _not_found(self, error: NotFoundError) -> None:
        headers = {"X-Error-Code": error.code, "X-Error-Message": str(error)}
        self._answer(404, headers | ({"X-Repo-Commit": error.commit} if error.commit else {}))

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self._log(status)
        self._head(status, {**headers, "Content-Length": str(len(body))})
        if self.command == "GET":
            self.wfile.write(body)

    def _log(self, status: int, *, blob: Blob | None = None, start: int = 0, end: int = 0) -> None:
        """Log before answering: whoever has the answer can count on the log."""
        repo, file = (blob.repo, blob.name) if blob else ("", "")
        sent = end - start if self.command == "GET" else 0
        self.server.hub.record(
            Request(method=self.command, path=self.path, status=status, repo=repo, file=file, start=start, sent=sent)
        )

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
        """Print nothing."""


@contextmanager
def serve(root: Path, *, moved: Mapping[str, str] | None = None, port: int = 0) -> Iterator[Hub]:
    """Serve the repositories under `root` on 127.0.0.1; `moved` maps old names to new ones."""
    server = _Server(("127.0.0.1", port), _Handler)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    server.hub = Hub(url=url, repositories=Repositories(Path(root), moved or {}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
