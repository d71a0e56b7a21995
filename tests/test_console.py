"""What reaches the console."""

import os
import sys

import pytest

from marinecv.console import link, silence


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
