"""What reaches the console, and what a run says of the machine, the command and the commit it ran on."""

import json
import os
import subprocess
import sys
from unittest.mock import Mock

import pytest

from marinecv import environment as module
from marinecv.console import link, silence
from marinecv.environment import command_line, commit, environment


@pytest.mark.parametrize(("descriptor", "left"), [(2, ("ab", "b")), (1, ("b", "ab"))])
def test_what_cpp_writes_within_is_gone_and_what_it_writes_after_is_there(capfd, descriptor, left):
    streams = (sys.stdout, sys.stderr)
    os.write(3 - descriptor, b"a")
    with pytest.raises(KeyError), silence(descriptor):
        os.write(descriptor, b"a")
        raise KeyError
    for stream in streams:
        stream.write("b")
    said = capfd.readouterr()
    assert (said.out, said.err) == left


def test_a_path_is_a_link_in_a_terminal_alone(tmp_path, monkeypatch):
    page = tmp_path / "my run" / "report.html"
    assert link(page) == str(page)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.chdir(tmp_path)
    escape = "\033]8;;"
    assert link(page) == f"{escape}{page.as_uri()}\033\\{page}{escape}\033\\" and "my%20run" in link(page)
    assert page.as_uri() in link("my run/report.html")
    monkeypatch.setenv("TERM", "dumb")
    assert link(page) == str(page)


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
    monkeypatch.setattr(subprocess, "run", Mock(side_effect=OSError("no git")))
    assert commit() == ""
