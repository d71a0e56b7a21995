"""Tables come back as they were, and no spreadsheet runs a cell of them."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as some

from marinecv.tables import numbers, read_table, table_text, write_table

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
ANY_TEXT = some.text(some.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
ODD_TEXT = some.text("'=+-@\t\r\n\",;|a0 é", max_size=6)
TEXT = (
    ANY_TEXT
    | ODD_TEXT
    | some.sampled_from(["", "NA", "nan", "None", "007", "1e5", "=cmd|' /C calc'!A0", "'", "\ufeff"])
)
FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@some.composite
def tables(draw):
    names = draw(some.lists(TEXT, min_size=1, max_size=4, unique=True))
    assume(names[0][:1] != "\ufeff")  # at the start of a file it is the mark that Excel sets, and no name
    row = some.lists(TEXT, min_size=len(names), max_size=len(names))
    return pd.DataFrame(draw(some.lists(row, max_size=4)), columns=names, dtype=object)


def as_a_spreadsheet_reads(text):
    """Rows end at a carriage return, a line feed or both, outside of quotes."""
    return list(csv.reader(io.StringIO(text, newline="")))


@FEW
@given(tables())
def test_any_text_comes_back_as_it_was(tmp_path, table):
    write_table(tmp_path / "a.csv", table)
    back = read_table(tmp_path / "a.csv")
    assert list(back.columns) == list(table.columns)
    assert back.to_numpy().tolist() == table.to_numpy().tolist()


@FEW
@given(tables())
def test_a_table_without_quotes_is_read_as_the_same_one_with_quotes(tmp_path, table):
    table = table.map(without_marks).rename(columns=without_marks)
    assume(table.columns.is_unique and "" not in table.columns and "\ufeff" not in table.columns[0])
    rows = [list(table.columns), *table.to_numpy().tolist()]
    plain, quoted = tmp_path / "plain.csv", tmp_path / "quoted.csv"
    plain.write_text("".join(",".join(row) + "\n" for row in rows), encoding="utf-8", newline="\n")
    quoted.write_text("".join('"' + '","'.join(row) + '"\n' for row in rows), encoding="utf-8", newline="\n")
    assume(b"\n\n" not in plain.read_bytes())  # an empty line is no row
    pd.testing.assert_frame_equal(read_table(plain), read_table(quoted))


def without_marks(text):
    """The text without what would have it quoted, or taken for what is guarded."""
    return "".join(mark for mark in text if mark not in "\"',\r\n")


@FEW
@given(tables())
def test_a_spreadsheet_sees_the_same_cells_and_none_of_them_is_a_formula(table):
    rows = as_a_spreadsheet_reads(table_text(table))
    assert [len(row) for row in rows] == [len(table.columns)] * (len(table) + 1)
    assert not [cell for row in rows for cell in row if cell.startswith(FORMULA)]


@FEW
@given(tables())
def test_a_table_that_git_gave_the_line_ends_of_windows_is_the_same_table(tmp_path, table):
    table = table.map(lambda cell: cell.replace("\n", "")).rename(columns=lambda name: name.replace("\n", ""))
    table = table.loc[:, ~table.columns.duplicated()]
    (tmp_path / "a.csv").write_bytes(table_text(table).replace("\n", "\r\n").encode())
    assert read_table(tmp_path / "a.csv").to_numpy().tolist() == table.to_numpy().tolist()


@FEW
@given(some.lists(some.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_numbers_are_written_to_the_last_digit_and_without_apostrophe(numbers):
    text = table_text(pd.DataFrame({"a": np.array(numbers, dtype=np.float64), "b": -7}))
    rows = as_a_spreadsheet_reads(text)[1:]
    assert [float(value) for value, _ in rows] == numbers and {seven for _, seven in rows} == {"-7"}


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("'=1+1", "''=1+1"),
        ("'a", "'a"),
        ("-2+3", "'-2+3"),
        ("+1", "'+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("a,b", '"a,b"'),
        ('a"b', '"a""b"'),
        ("a\rb", '"a\rb"'),
        ("\n=1", '"\'\n=1"'),
        ("1-2", "1-2"),
    ],
)
def test_what_a_spreadsheet_would_run_gets_an_apostrophe_and_nothing_else_does(cell, written):
    assert table_text(pd.DataFrame({"a": [cell]})) == f"a\n{written}\n"


def test_a_table_without_a_header_is_one_row_of_text():
    assert table_text(pd.DataFrame({"a": ["=x", "y"], "b": [-1, 2]}), header=False) == "'=x,-1\ny,2\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "it is empty. Expected CSV in UTF-8 with a header"),
        (b"a,b\n1,\0\n", "it holds a zero byte"),
        (b"a,b\n1,\xff\n", "Expected CSV in UTF-8"),
        (b'a,b\n1,"2\n', "Expected CSV in UTF-8"),
        (b"a,a\n1,2\n", "its header names 'a' twice"),
        (b"a,b\n1,2\n3\n", "row 2 below the header has 1 cells .* Expected 2: a, b"),
        (b"a,b\n1,2,3\n", "row 1 below the header has 3 cells"),
        (b"a,b\n1,2,3\n4\n", "row 1 below the header has 3 cells"),
        (b"a,b\n1\n2,3,4\n", "row 1 below the header has 1 cells"),
    ],
)
def test_a_file_that_is_no_table_of_ours_is_refused(text, reason, tmp_path):
    (tmp_path / "a.csv").write_bytes(text)
    with pytest.raises(ValueError, match=f"a.csv is no table of marinecv: .*{reason}"):
        read_table(tmp_path / "a.csv")


def test_numbers_are_read_to_the_last_digit_and_a_word_among_them_is_named(tmp_path):
    values = [0.1 + 0.2, -1e-300, 5e-324, float("nan")]
    write_table(tmp_path / "a.csv", pd.DataFrame({"a": values, "b": ["1", "x", "", "2"]}))
    table = read_table(tmp_path / "a.csv")
    np.testing.assert_array_equal(numbers(table, ["a"], "a.csv")["a"], values)
    with pytest.raises(ValueError, match="a.csv has 'x' for 'b', in row 2 below the header. Expected a number"):
        numbers(table, ["b"], "a.csv")
    with pytest.raises(ValueError, match="a.csv lacks the column 'c'. Expected c; found a, b"):
        numbers(table, ["c"], "a.csv")
