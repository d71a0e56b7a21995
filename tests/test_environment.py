"""What a run says of the machine, the command and the commit it ran on."""

import json
import subprocess
import sys

from marinecv import environment as module
from marinecv.environment import command_line, commit, environment


def test_the_environment_names_versions_and_command(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/run.py", "pretrain", "--grid"])
    monkeypatch.setattr(module, "PACKAGES", ("tensorflow", "no-such-package-anywhere"))
    found = json.loads(json.dumps(environment()))
    assert found["command"] == "python run.py pretrain --grid"
    assert found["tensorflow"] and found["no-such-package-anywhere"] == "" and found["cores"] > 0
    monkeypatch.setattr(sys, "argv", ["/usr/bin/marinecv", "runs"])
    assert command_line() == "marinecv runs"


def test_the_commit_of_a_clone_is_marked_when_it_is_changed(tmp_path, monkeypatch):
    clone = tmp_path / "clone"
    (clone / "marinecv").mkdir(parents=True)
    (clone / "file").write_text("1")
    monkeypatch.setattr(module, "__file__", str(clone / "marinecv" / "environment.py"))
    assert commit() == ""  # no clone
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "file"], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=clone, check=True, capture_output=True)
    clean = commit()
    assert len(clean) >= 7 and not clean.endswith("+")
    (clone / "file").write_text("2")
    assert commit() == clean + "+"

    def failing(*args, **options):
        raise OSError("no git")

    monkeypatch.setattr(subprocess, "run", failing)
    assert commit() == ""
