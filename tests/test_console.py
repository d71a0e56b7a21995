"""What reaches the console."""

import os
import sys

import pytest

from marinecv.console import silence


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
