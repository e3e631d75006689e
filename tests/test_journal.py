# ruff: noqa: E501 # tables of whole messages, one case a line
"""Files arrive in a folder together or not at all, whoever else is there and whatever was left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

import autoreg
from autoreg.checkpoint import holding, journal, staging
from tests.plugin_maker import REPOSITORY, in_new_process

posix = pytest.mark.skipif(os.name != "posix", reason="modes, links and locks of POSIX")


def content(folder: Path) -> dict[str, str]:
    """Return the text of every file by its name, what is hidden too."""
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def write(folder: Path | str, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def decided(folder: Path, files: Mapping[str, str], *, remove: tuple[str, ...] = ()) -> Path:
    """Leave the folder as a process does that is killed when everything is decided and nothing is done."""
    stage = folder / f"{journal.STAGE}abc"
    write(stage / "files", files)

    def mark(path: Path) -> dict[str, int] | None:
        return {"size": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns} if path.exists() else None

    moves = {name: {"new": mark(stage / "files" / name), "old": mark(folder / name)} for name in files}
    fields = {"format": 1, "stage": stage.name, "files": moves, "remove": remove}
    (folder / journal.COMMIT).write_text(json.dumps(fields))
    return stage


# --- all or nothing --------------------------------------------------------------------------------


def test_everything_arrives_together(tmp_path: Path) -> None:
    """A commit puts the staged files in place, in folders too, removes what it names and leaves nothing behind."""
    write(tmp_path, {"a": "old", "model.safetensors": "old", "mine": "mine"})
    with staging.stage(tmp_path) as stage:
        write(stage.path, {"a": "new", "b/c": "new"})
        assert set(stage.files()) == {"a", "b/c"}
        assert content(tmp_path)["a"] == "old"
        stage.commit(remove=["model.safetensors"])
    assert content(tmp_path) == {"a": "new", "b/c": "new", "mine": "mine"}


def test_nothing_arrives_without_a_commit(tmp_path: Path) -> None:
    """Whatever ends the block before the commit, the folder is as it was, and gone if it was made for this."""
    write(tmp_path, {"a": "old"})
    for folder in (tmp_path, tmp_path / "new" / "deeper"):
        with pytest.raises(KeyboardInterrupt), staging.stage(folder) as stage:  # noqa: PT012 # the block is what is tested
            write(stage.path, {"a": "new"})
            raise KeyboardInterrupt
    assert content(tmp_path) == {"a": "old"}
    assert os.listdir(tmp_path) == ["a"]


def test_only_weight_files_are_removed(tmp_path: Path) -> None:
    """A commit that would remove anything but weight files of this folder is refused."""
    write(tmp_path, {"README.md": "mine"})
    for name in ("README.md", "../model.safetensors", "sub/model.safetensors", "optimizer.pt"):
        with pytest.raises(ValueError, match="is no weight file of this folder"), staging.stage(tmp_path) as stage:  # noqa: PT012 # the block is what is tested
            write(stage.path, {"a": "new"})
            stage.commit(remove=[name])
    assert content(tmp_path) == {"README.md": "mine"}


@posix
def test_links_are_replaced_and_modes_kept(tmp_path: Path) -> None:
    """A hard link or a symlink is replaced and what it led to stays; a file keeps its mode, a new one has the umask's."""
    blob, folder = tmp_path / "blob", tmp_path / "it"
    write(tmp_path, {"blob": "shared", "it/hard": "", "it/secret": "old"})
    (folder / "hard").unlink()
    (folder / "hard").hardlink_to(blob)
    (folder / "soft").symlink_to(blob)
    (folder / "secret").chmod(0o640)
    before = os.umask(0o027)
    try:
        with staging.stage(folder) as stage:
            write(stage.path, dict.fromkeys(["hard", "soft", "secret", "fresh"], "new"))
            Path(stage.path, "fresh").chmod(0o600)  # as safetensors leaves its files
            stage.commit()
    finally:
        os.umask(before)
    assert blob.read_text() == "shared"
    assert not (folder / "soft").is_symlink()
    assert set(content(folder).values()) == {"new"}
    modes = {name: (folder / name).stat().st_mode & 0o777 for name in ("secret", "fresh", "soft")}
    assert modes == {"secret": 0o640, "fresh": 0o640, "soft": blob.stat().st_mode & 0o777}


@posix
def test_the_folder_may_be_a_link(tmp_path: Path) -> None:
    """A link to the folder is followed, and stays."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with staging.stage(tmp_path / "link") as stage:
        write(stage.path, {"a": "new"})
        stage.commit()
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "real") == {"a": "new"}


# --- what stands in the way ------------------------------------------------------------------------


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    """A folder with the name of a file that is to be saved, or the reverse, is a SaveError naming it."""
    write(tmp_path, {"config.json/x": "", "sub": ""})
    for name, named, said in [
        ("config.json", "config.json", "is a directory.\nA folder has the name of a file that is to be saved: move it away."),
        ("sub/x", "sub/x", "not a directory.\nA file or link has the name of a folder that is needed: move it away."),
    ]:  # fmt: skip
        with pytest.raises(autoreg.SaveError) as caught, staging.stage(tmp_path) as stage:  # noqa: PT012 # as above
            write(stage.path, {name: "new", "b": "new"})
            stage.commit()
        assert str(caught.value) == f"{tmp_path / named}: nothing was saved: {said}"
    assert content(tmp_path) == {"config.json/x": "", "sub": ""}


@posix
def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    """A folder without the right to write is a SaveError, and nothing is left in it."""
    write(tmp_path / "it", {"a": "old"})
    (tmp_path / "it").chmod(0o555)
    script = """
        import json, os, sys, tempfile
        import autoreg
        from autoreg.checkpoint import holding, journal, staging
        tempfile.tempdir = sys.argv[1]
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            with staging.stage(sys.argv[1]) as stage:
                pass
        except autoreg.SaveError as error:
            print(json.dumps(str(error)))
    """
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    said = in_new_process(script, arguments=[str(tmp_path / "it")])
    assert said.partition(": ")[2] == (
        "nothing was saved: permission denied.\n"
        "Choose a folder that you may write to, or have its owner give you the right."
    )
    assert content(tmp_path / "it") == {"a": "old"}


# --- what was left behind --------------------------------------------------------------------------


def test_a_decided_save_is_finished(tmp_path: Path) -> None:
    """`recover` finishes what was decided, once; a save does so before its own."""
    write(tmp_path, {"a": "old", "model.safetensors": "old", "mine": "mine"})
    decided(tmp_path, {"a": "new", "b": "new"}, remove=("model.safetensors", "model-00001-of-00009.safetensors"))
    assert journal.recover(tmp_path) is True
    assert content(tmp_path) == {"a": "new", "b": "new", "mine": "mine"}
    assert journal.recover(tmp_path) is False
    decided(tmp_path, {"a": "newer"})
    with staging.stage(tmp_path) as stage:
        write(stage.path, {"c": "own"})
        stage.commit()
    assert content(tmp_path) == {"a": "newer", "b": "new", "c": "own", "mine": "mine"}


def test_a_half_done_save_is_finished(tmp_path: Path) -> None:
    """Files that were renamed before the process died are known by size and time, and the rest follow."""
    write(tmp_path, {"a": "old", "b": "old"})
    stage = decided(tmp_path, {"a": "new", "b": "new"})
    (stage / "files" / "a").replace(tmp_path / "a")
    assert journal.recover(tmp_path)
    assert content(tmp_path) == {"a": "new", "b": "new"}


@pytest.mark.parametrize("half_done", [False, True])
def test_a_file_that_was_written_since(tmp_path: Path, half_done: bool) -> None:
    """What somebody else wrote after the process died is never replaced: the error says what to decide."""
    write(tmp_path, {"a": "old", "b": "old"})
    stage = decided(tmp_path, {"a": "new", "b": "new"})
    if half_done:
        (stage / "files" / "b").replace(tmp_path / "b")
    (tmp_path / "a").write_text("somebody else's")
    before = content(tmp_path)
    with pytest.raises(autoreg.CheckpointError) as caught:
        journal.recover(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'a'}: a save was interrupted here, and this file was written or removed by something else since.\n"
        f"To keep what is in the folder now, delete {journal.COMMIT} and {stage.name}; look whether the weights and"
        " config.json belong together. To be sure, save again into a new folder."
    )
    with pytest.raises(autoreg.SaveError, match="a save was interrupted here"), staging.stage(tmp_path):
        pass
    assert content(tmp_path) == before


def test_a_stage_that_has_gone(tmp_path: Path) -> None:
    """Without its stage, a commit of which nothing was done is dropped, and one half done is an error."""
    write(tmp_path, {"a": "old", "b": "old"})
    stage = decided(tmp_path, {"a": "new", "b": "new"})
    kept = (stage / "files" / "a").rename(tmp_path.parent / "kept")
    (stage / "files" / "b").unlink()
    commit = (tmp_path / journal.COMMIT).read_text()
    assert journal.recover(tmp_path)
    assert content(tmp_path) == {"a": "old", "b": "old"}
    (tmp_path / journal.COMMIT).write_text(commit)
    kept.replace(tmp_path / "a")
    with pytest.raises(autoreg.CheckpointError, match="a save was interrupted here"):
        journal.recover(tmp_path)


STRANGE = [
    ("", "Expecting value"),
    ("[]", "list indices"),
    ('{"format": 2}', "format 2 is of another release of autoreg"),
    ('{"format": 1, "stage": "../x", "files": {}, "remove": []}', "'../x' is no staging folder"),
    ('{"format": 1, "stage": ".autoreg-stage-a", "files": {"a": {"new": null, "old": null}}, "remove": []}', "without a size"),
    *(
        (json.dumps({"format": 1, "stage": ".autoreg-stage-abc", "files": {name: {"new": {"size": 3, "mtime_ns": 1}, "old": None}}, "remove": []}), "is no name of a file in the folder")
        for name in ("../a", "/a", "x/../../a", "a//b", "c:a", "a\\b", ".autoreg-commit.json", ".autoreg-stage-abc/x")
    ),
    *(
        (json.dumps({"format": 1, "stage": ".autoreg-stage-abc", "files": {}, "remove": [name]}), "it would remove what is no weight file")
        for name in ("README.md", "../model.safetensors", "sub/model.safetensors", 3)
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), STRANGE)
def test_a_commit_file_by_a_stranger(tmp_path: Path, text: str, problem: str) -> None:
    """A commit file that is damaged, or leads out of the folder, is an error naming it, and nothing is touched."""
    folder = tmp_path / "it"
    write(tmp_path, {"a": "outside", "it/README.md": "mine", "it/.autoreg-stage-abc/files/a": "evil"})
    (folder / journal.COMMIT).write_text(text)
    before = content(tmp_path)
    with pytest.raises(autoreg.CheckpointError) as caught:
        journal.recover(folder)
    assert str(caught.value).startswith(
        f"{folder / journal.COMMIT}: a save was interrupted here, and its commit file cannot be read ("
    )
    assert problem in str(caught.value)
    assert content(tmp_path) == before


@posix
def test_a_commit_through_a_link(tmp_path: Path) -> None:
    """A commit file that would write through a link in the folder is unsafe, and nothing is written."""
    folder, outside = tmp_path / "it", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    decided(folder, {"sub/a": "evil"})
    (folder / "sub").symlink_to(outside)
    with pytest.raises(autoreg.UnsafeCheckpointError, match="it would write through the link"):
        journal.recover(folder)
    assert list(outside.iterdir()) == []


@posix
def test_the_stage_of_a_dead_process_is_removed_and_of_a_live_one_not(tmp_path: Path) -> None:
    """What a killed process staged is removed by the next look; what a live one stages stays."""
    script = """
        import sys, time
        from autoreg.checkpoint import holding, journal, staging
        with staging.stage(sys.argv[1]) as stage:
            open(stage.path + "/a", "w").write("new")
            print("staged", flush=True)
            time.sleep(600)
    """
    with running(script, tmp_path) as process:
        assert journal.recover(tmp_path) is False
        assert len(list(tmp_path.glob(".autoreg-stage-*/files/a"))) == 1
        process.kill()
        process.wait()
        assert journal.recover(tmp_path) is False
    assert list(tmp_path.iterdir()) == []


# --- locks -----------------------------------------------------------------------------------------


@contextmanager
def running(script: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a script in a process of its own, and go on when it has said its first word."""
    lines = "\n".join(line.removeprefix(" " * 8) for line in script.splitlines())
    command = [sys.executable, "-c", lines, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


HOLDER = """
        import sys, time
        from autoreg.checkpoint import holding, journal, staging
        with holding.locked(sys.argv[1], exclusive={exclusive}):
            print("held", flush=True)
            time.sleep(600)
"""


@posix
@pytest.mark.parametrize(("theirs", "ours", "free"), [(True, True, False), (True, False, False), (False, True, False), (False, False, True)])  # fmt: skip
def test_who_waits_for_whom(tmp_path: Path, theirs: bool, ours: bool, free: bool) -> None:
    """One process holds the folder alone, or several read; who waits too long is told; the dead hold nothing."""
    with running(HOLDER.format(exclusive=theirs), tmp_path) as process:
        if free:
            with holding.locked(tmp_path, exclusive=ours, timeout=0) as held:
                assert held
        else:
            with pytest.raises(autoreg.CheckpointError) as caught, holding.locked(tmp_path, exclusive=ours, timeout=0):
                pass
            assert str(caught.value) == (
                f"{tmp_path}: other processes have been saving into the folder or loading from it for 0 s.\n"
                "Try again when they are done; `lsof +D` on the folder shows who they are."
            )
        process.kill()
        process.wait()
        with holding.locked(tmp_path, exclusive=True, timeout=0) as held:
            assert held
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_forked_process_does_not_keep_the_lock(tmp_path: Path) -> None:
    """A process that was forked inside the block, as a DataLoader's worker is, keeps nobody waiting after it."""
    with holding.locked(tmp_path, exclusive=True):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)  # until the parent is done
            os._exit(0)
        os.close(reading)
    with holding.locked(tmp_path, exclusive=True, timeout=0) as held:
        assert held
    os.close(writing)
    os.waitpid(child, 0)


def test_reading_begins_with_nothing_unfinished(tmp_path: Path) -> None:
    """Inside `reading`, what was decided before is done."""
    write(tmp_path, {"a": "old"})
    decided(tmp_path, {"a": "new"})
    with journal.reading(tmp_path):
        assert content(tmp_path) == {"a": "new"}


def test_recover_of_what_is_no_folder(tmp_path: Path) -> None:
    """A hub id, a file and a folder that is not there have nothing to recover."""
    write(tmp_path, {"a": ""})
    assert [journal.recover(path) for path in ("owner/name", tmp_path / "a", tmp_path / "gone")] == [False] * 3


# --- where something is missing --------------------------------------------------------------------


def test_without_locks(tmp_path: Path) -> None:
    """Without the locks of POSIX everything else works; a stage is taken for live until it is a day old."""
    script = """
        import json, os, sys, time
        sys.modules["fcntl"] = None
        from autoreg.checkpoint import holding, journal, staging
        folder = sys.argv[1]
        old, young = (os.path.join(folder, journal.STAGE + name) for name in ("old", "young"))
        os.mkdir(old); os.mkdir(young)
        os.utime(old, (time.time() - 90000,) * 2)
        with holding.locked(folder, exclusive=True) as held, staging.stage(folder) as stage:
            open(stage.path + "/a", "w").write("new")
            stage.commit()
        print(json.dumps([held, sorted(os.listdir(folder))]))
    """
    held, left = in_new_process(script, arguments=[str(tmp_path)])
    assert held is False
    assert left == [".autoreg-stage-young", "a"]


TRACED = """
    import errno, json, sys
    from pathlib import Path
    from autoreg.checkpoint import holding, journal, staging
    from tests.faults.tracer import available, trace

    folder, number = Path(sys.argv[1]), int(sys.argv[2])

    def save():
        with staging.stage(folder) as stage:
            for name in ("a", "b"):
                Path(stage.path, name).write_text("new")
            stage.commit()

    def judge(event):
        over = event.call == "rename" and event.path.endswith(("→ a", "→ b"))
        return number if over and not (number == errno.EPERM and event.number > 1) else None

    if not available():
        print("null")
    else:
        seen = trace(save, folder, judge)
        print(json.dumps([seen.error, seen.text.partition("\\n\\n")[0], seen.spoilt]))
"""


@posix
@pytest.mark.parametrize(("number", "error", "after"), [(1, "", "new"), (16, "SaveError", "old")])
def test_a_rename_that_is_refused(tmp_path: Path, number: int, error: str, after: str) -> None:
    """Where nothing may be renamed over a file, that goes first; where no rename is possible, nothing has changed."""
    write(tmp_path, {"a": "old", "b": "old"})
    seen = in_new_process(TRACED, arguments=[str(tmp_path), str(number)])
    if seen is None:
        pytest.skip("processes cannot be traced here")
    assert seen[0] == error
    assert seen[2] > 0
    assert content(tmp_path) == {"a": after, "b": after}
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
    if error:
        assert "nothing was saved: device or resource busy." in seen[1]
