"""What a run says of the machine, the command and the commit it ran on."""

import json
import subprocess
import sys

from marinecv import environment as room
from marinecv.environment import commit, environment


def test_the_environment_names_versions_and_command(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/run.py", "pretrain", "--grid"])
    found = environment()
    assert found["command"] == "python run.py pretrain --grid"
    assert found["tensorflow"] and found["keras"] and found["cores"] > 0
    json.dumps(found)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/marinecv", "runs"])
    assert room.command_line() == "marinecv runs"


def test_a_package_that_is_not_there_has_no_version():
    assert room._version("no-such-package-anywhere") == ""


def test_the_commit_is_empty_where_there_is_no_clone_or_no_git(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "__file__", str(tmp_path / "marinecv" / "environment.py"))
    assert commit() == ""
    (tmp_path / ".git").mkdir()

    def failing(*args, **options):
        raise OSError("no git")

    monkeypatch.setattr(subprocess, "run", failing)
    assert commit() == ""


def test_the_commit_of_a_clone_is_marked_when_it_is_changed(tmp_path, monkeypatch):
    clone = tmp_path / "clone"
    (clone / "marinecv").mkdir(parents=True)
    (clone / "file").write_text("1")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "file"], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=clone, check=True, capture_output=True)
    monkeypatch.setattr(room, "__file__", str(clone / "marinecv" / "environment.py"))
    clean = commit()
    assert len(clean) >= 7 and not clean.endswith("+")
    (clone / "file").write_text("2")
    assert commit() == clean + "+"
