"""The checker of raises names those that no test reached, and no others."""

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


@pytest.mark.parametrize(("lines", "missed"), [((1, 2, 3, 9), []), ((3,), [9]), (None, [3, 9])])
def test_a_raise_that_was_not_executed_is_named(lines, missed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "marinecv").mkdir()
    (tmp_path / "marinecv" / "halves.py").write_text(SOURCE)
    report = {"files": {"marinecv/halves.py": {"executed_lines": lines}} if lines else {}}  # one that was not imported
    named = [int(line.split(":")[1]) for line in unreached(report, tmp_path / "marinecv")]
    assert named == missed
    (tmp_path / "coverage.json").write_text(json.dumps(report))
    assert main(["coverage.json"]) == bool(missed)
    assert f"{len(missed)} raise statements" in capsys.readouterr().out


def test_a_bare_raise_counts_and_a_word_in_a_text_does_not():
    assert raises(SOURCE) == [3, 9]
    assert raises("'raise ValueError'  # raise\n") == []
