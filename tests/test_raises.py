"""The checker of raises: it names those that no test reached, and no others."""

import json

import pytest
from raises import main, raises, unreached

SOURCE = """def half(n):
    if n % 2:
        raise ValueError(
            "odd"
        )
    try:
        return int(n / 2)
    except OverflowError:
        raise
"""


@pytest.fixture
def house(tmp_path, monkeypatch):
    (tmp_path / "marinecv").mkdir()
    (tmp_path / "marinecv" / "halves.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(*lines):
    return {"files": {"marinecv/halves.py": {"executed_lines": list(lines)}}}


def test_a_bare_raise_counts_and_a_word_in_a_text_does_not():
    assert raises(SOURCE) == [3, 9]
    assert raises("'raise ValueError'  # raise\n") == []


def test_a_raise_that_was_not_executed_is_named(house):
    assert unreached(report(1, 2, 3, 6), house / "marinecv") == [f"{house / 'marinecv' / 'halves.py'}:9: raise"]
    assert unreached(report(1, 2, 3, 6, 9), house / "marinecv") == []


def test_a_file_that_the_report_does_not_name_was_not_reached(house):
    assert [line.rpartition(": ")[2] for line in unreached({"files": {}}, house / "marinecv")] == [
        "raise ValueError(",
        "raise",
    ]


@pytest.mark.parametrize(
    ("lines", "code", "said"), [((3, 9), 0, "0 raise statements"), ((3,), 1, "halves.py:9: raise")]
)
def test_the_exit_code_tells_whether_all_were_reached(house, capsys, lines, code, said):
    (house / "coverage.json").write_text(json.dumps(report(*lines)))
    assert main(["coverage.json"]) == code
    assert said in capsys.readouterr().out
