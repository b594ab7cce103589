"""SQL files are split as the stock client splits them."""

from __future__ import annotations

from jobs.pipeline.sql_script import Statement, split_statements


def texts(script: str) -> list[str]:
    return [statement.text for statement in split_statements(script)]


def test_statements_end_at_semicolons() -> None:
    assert texts("SELECT 1; SELECT 2;\n;\nSELECT 3") == ["SELECT 1", "SELECT 2", "SELECT 3"]


def test_semicolons_in_quotes_and_comments_end_nothing() -> None:
    assert texts("SELECT 'a;''b', `c;d` -- e; f\nFROM t /* g; */;") == ["SELECT 'a;''b', `c;d`  \nFROM t"]


def test_a_quote_in_a_comment_opens_nothing() -> None:
    assert texts("-- the station's zone\nSELECT 1;\nSELECT 2;") == ["SELECT 1", "SELECT 2"]


def test_hints_are_no_comments() -> None:
    assert texts("SELECT /*+ STATE_TTL('r' = '1d') */ 1;") == ["SELECT /*+ STATE_TTL('r' = '1d') */ 1"]


def test_a_statement_set_is_one_statement() -> None:
    script = """EXECUTE STATEMENT SET BEGIN
        INSERT INTO a SELECT CASE WHEN x THEN 1 END FROM t;
        INSERT INTO b SELECT 2;
        END;
        SELECT 3;"""
    statements = list(split_statements(script))
    assert [s.inserts for s in statements] == [
        ["INSERT INTO a SELECT CASE WHEN x THEN 1 END FROM t", "INSERT INTO b SELECT 2"],
        [],
    ]


def test_a_statement_knows_where_it_begins() -> None:
    found = list(split_statements("-- one\n\nSELECT\n 1;\n\nSELECT 2;", "f.sql"))
    assert [statement.where for statement in found] == ["f.sql:3", "f.sql:6"]


def test_a_setting_has_key_and_value() -> None:
    assert Statement("SET 'a.b' = 'it''s'", "f", 1).setting == ("a.b", "it's")
    assert Statement("SELECT 'SET'", "f", 1).setting is None


def test_queries_are_told_from_other_statements() -> None:
    kinds = {
        text: Statement(text, "f", 1).is_query for text in ("SELECT 1", "with x as (select 1) select 2", "SHOW TABLES")
    }
    assert list(kinds.values()) == [True, True, False]
