"""Tables come back as they were, and no spreadsheet runs a cell of them."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as some
from scenes import FORMULA, as_a_spreadsheet_reads

from marinecv.files.csv_tables import parse_numbers, read_table, table_text, write_table

TEXT = (
    some.text(some.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
    | some.text("'=+-@\t\r\n\",;|a0 é", max_size=6)
    | some.sampled_from(["", "NA", "nan", "None", "007", "1e5", "=cmd|' /C calc'!A0", "'", "\ufeff"])
)
FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@some.composite
def tables(draw):
    names = draw(some.lists(TEXT, min_size=1, max_size=4, unique=True))
    assume(names[0][:1] != "\ufeff")  # at the start of a file it is the byte order mark of Excel
    row = some.lists(TEXT, min_size=len(names), max_size=len(names))
    return pd.DataFrame(draw(some.lists(row, max_size=4)), columns=names, dtype=object)


@FEW
@given(tables())
def test_any_text_comes_back_as_it_was(tmp_path, table):
    write_table(tmp_path / "a.csv", table)
    back = read_table(tmp_path / "a.csv")
    assert list(back.columns) == list(table.columns)
    assert back.to_numpy().tolist() == table.to_numpy().tolist()


@FEW
@given(tables())
def test_a_spreadsheet_sees_the_same_cells_and_none_of_them_is_a_formula(table):
    rows = as_a_spreadsheet_reads(table_text(table))
    assert [len(row) for row in rows] == [len(table.columns)] * (len(table) + 1)
    assert not [cell for row in rows for cell in row if cell.startswith(FORMULA)]


@FEW
@given(tables())
def test_a_table_that_a_spreadsheet_or_git_saved_again_is_the_same_table(tmp_path, table):
    table = table.map(lambda cell: cell.replace("\n", "")).rename(columns=lambda name: name.replace("\n", ""))
    table = table.loc[:, ~table.columns.duplicated()]
    git, office = tmp_path / "git.csv", io.StringIO(newline="")
    git.write_bytes(table_text(table).replace("\n", "\r\n").encode())
    csv.writer(office, quoting=csv.QUOTE_ALL).writerows(csv.reader(io.StringIO(table_text(table), newline="")))
    (tmp_path / "office.csv").write_bytes(office.getvalue().encode("utf-8-sig"))
    for file in (git, tmp_path / "office.csv"):
        assert read_table(file).to_numpy().tolist() == table.to_numpy().tolist()


@FEW
@given(some.lists(some.floats(), min_size=1, max_size=5))
def test_numbers_are_exact_to_the_last_digit_and_have_no_apostrophe(tmp_path, values):
    write_table(tmp_path / "a.csv", pd.DataFrame({"a": np.array(values, dtype=np.float64), "b": -7}))
    table = read_table(tmp_path / "a.csv")
    np.testing.assert_array_equal(parse_numbers(table, ["a"], "a.csv")["a"], values)
    assert set(table["b"]) == {"-7"} and "'" not in (tmp_path / "a.csv").read_text()


PLAIN = ["a,b\n", "a,b\n1,\n,2\n", "\ufeffa,b\n NA ,nan", "a,\n1,\u2028\n", "a;b,c\n1;2,\v\n\n"]


@pytest.mark.parametrize("text", PLAIN)
def test_a_table_without_quotes_is_read_as_with_them(text, tmp_path):
    quoted = io.StringIO(newline="")
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    csv.writer(quoted, quoting=csv.QUOTE_ALL).writerows(rows)
    for name, content in (("plain.csv", text), ("quoted.csv", quoted.getvalue())):
        (tmp_path / name).write_bytes(content.encode())
    pd.testing.assert_frame_equal(read_table(tmp_path / "plain.csv"), read_table(tmp_path / "quoted.csv"))


FORMULAS = {cell: f"'{cell}" for cell in ("=1+1", "'=1+1", "-2+3", "@SUM(A1)", "\tx")}
OTHERS = {"'a": "'a", "1-2": "1-2", "a,b": '"a,b"', 'a"b': '"a""b"', "a\rb": '"a\rb"', "\n=1": '"\'\n=1"'}


@pytest.mark.parametrize(("cell", "written"), [*(FORMULAS | OTHERS).items()])
def test_what_a_spreadsheet_would_run_gets_an_apostrophe_and_nothing_else_does(cell, written):
    assert table_text(pd.DataFrame({"a": [cell]})) == f"a\n{written}\n"
    assert table_text(pd.DataFrame({"a": [cell, "b"]}), header=False) == f"{written}\nb\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "its header is ''"),
        (b"a,a\n1,2\n", "its header is 'a,a'"),
        (b"a,b\n1,\0\n", "zero byte"),
        (b"a,b\n1,\xff\n", "codec can't decode"),
        (b'a,b\n1,"2\n', "unexpected end of data"),
        (b"a,b\n1,2\n3\n", "row 2 below the header has 1 cells"),
        (b"a,b\n1,2,3\n4\n", "row 1 below the header has 3 cells"),
    ],
)
def test_a_file_that_is_no_table_of_ours_is_refused(text, reason, tmp_path):
    (tmp_path / "a.csv").write_bytes(text)
    with pytest.raises(ValueError, match=f"a.csv is no table of marinecv: .*{reason}.* Expected CSV") as refusal:
        read_table(tmp_path / "a.csv")
    assert type(refusal.value) is ValueError


def test_a_cell_that_is_no_number_is_named_with_its_row():
    table = pd.DataFrame({"a": ["1", "", "1_0"]}, dtype=str)
    with pytest.raises(ValueError, match="a.csv has '1_0' for 'a', in row 3 below the header"):
        parse_numbers(table, ["a"], "a.csv")
    with pytest.raises(ValueError, match="a.csv lacks the column 'c'"):
        parse_numbers(table, ["c"], "a.csv")


def test_days_are_written_with_their_time():
    assert table_text(pd.DataFrame({"day": pd.to_datetime(["2023-01-01"])})) == "day\n2023-01-01 00:00:00\n"
