"""The loopback hub answers huggingface_hub's real client as the hub does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

from tests.hub.server import Hub, serve

WEIGHTS = bytes(range(256)) * 50_000  # 12.8 MB: the client writes, and resumes, by 10 MiB


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # these tests are online, on loopback
    repo = tmp_path / "hub" / "org" / "name"
    (repo / "sub").mkdir(parents=True)
    (repo / "config.json").write_text("{}\n")
    (repo / "sub" / "notes.txt").write_text("notes\n")
    (repo / "model.safetensors").write_bytes(WEIGHTS)
    old = repo.with_name("name@v1")
    old.mkdir()
    (old / "config.json").write_text('{"old": true}\n')
    with serve(tmp_path / "hub", moved={"short": "org/name"}) as hub:
        yield hub


def _download(hub: Hub, cache: Path, repo: str, file: str, revision: str = "main") -> Path:
    return Path(hf_hub_download(repo, file, cache_dir=cache, endpoint=hub.url, revision=revision))


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (("org/other", "config.json", "main"), RepositoryNotFoundError),
        (("org/name", "other.json", "main"), RemoteEntryNotFoundError),
        (("org/name", "config.json", "v9"), RevisionNotFoundError),
    ],
)
def test_what_is_missing_is_told_apart(
    hub: Hub, tmp_path: Path, wanted: tuple[str, str, str], error: type[Exception]
) -> None:
    """A missing repository, file and revision each raise the client's own exception."""
    with pytest.raises(error):
        _download(hub, tmp_path / "cache", *wanted)


def test_a_file_is_named_by_its_digest(hub: Hub, tmp_path: Path) -> None:
    """Git names a small file by its SHA-1 as a blob, LFS a large one by its SHA-256."""
    small = _download(hub, tmp_path / "cache", "org/name", "config.json")
    large = _download(hub, tmp_path / "cache", "org/name", "model.safetensors")
    assert small.resolve().name == "0967ef424bce6791893e9a57bb952f80fd536e93"  # git hash-object
    assert len(large.resolve().name) == 64
    assert large.read_bytes() == WEIGHTS


def test_large_files_come_from_another_host(hub: Hub, tmp_path: Path) -> None:
    """A file in LFS is redirected once, and the client keeps the redirect's headers."""
    _download(hub, tmp_path / "cache", "org/name", "model.safetensors")
    asked = [(request.method, request.status) for request in hub.requests]
    assert asked == [("HEAD", 302), ("GET", 200)]


def test_a_second_download_sends_no_file(hub: Hub, tmp_path: Path) -> None:
    """The client asks again whether the file changed, and downloads it once."""
    for _ in range(2):
        _download(hub, tmp_path / "cache", "org/name", "config.json")
    assert [request.method for request in hub.requests] == ["HEAD", "GET", "HEAD"]
    assert len(hub.downloads("org/name", "config.json")) == 1


def test_a_cut_download_goes_on_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    """The client asks for the rest of a broken download, from the last 10 MiB that it wrote."""
    hub.cut("org/name", "model.safetensors", after=12_000_000)
    path = _download(hub, tmp_path / "cache", "org/name", "model.safetensors")
    assert path.read_bytes() == WEIGHTS
    first, second = hub.downloads("org/name", "model.safetensors")
    assert (first.status, first.start, first.sent) == (200, 0, 12_000_000)
    assert (second.status, second.start, second.sent) == (206, 10 << 20, len(WEIGHTS) - (10 << 20))


def test_a_revision_is_a_branch_or_a_commit(hub: Hub, tmp_path: Path) -> None:
    """A revision's files are found by its name and by its commit."""
    api = HfApi(endpoint=hub.url)
    commit = api.model_info("org/name", revision="v1").sha
    assert commit
    assert commit != api.model_info("org/name").sha
    for revision in ("v1", commit):
        path = _download(hub, tmp_path / revision, "org/name", "config.json", revision=revision)
        assert "old" in path.read_text()


def test_an_old_name_is_redirected(hub: Hub, tmp_path: Path) -> None:
    """A repository that moved is still found under the name it had."""
    assert HfApi(endpoint=hub.url).model_info("short").id == "org/name"
    assert _download(hub, tmp_path / "cache", "short", "config.json").read_text() == "{}\n"


def test_a_whole_repository_is_downloaded(hub: Hub, tmp_path: Path) -> None:
    """The client lists a repository and downloads every file of it."""
    folder = Path(snapshot_download("org/name", cache_dir=tmp_path / "cache", endpoint=hub.url))
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {"config.json", "sub/notes.txt", "model.safetensors"}


def test_a_folder_is_listed(hub: Hub) -> None:
    """A listing names files and folders, and a missing folder is an error."""
    api = HfApi(endpoint=hub.url)
    assert {entry.path for entry in api.list_repo_tree("org/name")} == {
        "config.json",
        "model.safetensors",
        "sub",
    }
    assert [entry.path for entry in api.list_repo_tree("org/name", "sub")] == ["sub/notes.txt"]
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree("org/name", "other"))


def test_a_stopped_hub_is_gone(hub: Hub, tmp_path: Path) -> None:
    """After the context manager nothing answers at the hub's address."""
    with serve(tmp_path / "hub") as second:
        HfApi(endpoint=second.url).model_info("org/name")
    with pytest.raises(Exception, match=r"(?i)connect|refused"):
        HfApi(endpoint=second.url).model_info("org/name")
