"""Runs SQL files in a table environment, as the stock client does with `-i` and `-f`; statement sets become one job."""

from __future__ import annotations

from py4j.protocol import Py4JJavaError
from pyflink.table import DataTypes, Table, TableEnvironment, TableResult
from pyflink.table.expressions import col
from pyflink.table.types import LocalZonedTimestampType

from jobs.pipeline.sql_errors import telling_line
from jobs.pipeline.sql_script import Statement


class SqlProblem(ValueError):  # noqa: N818
    """A statement that Flink refuses: where it is and why, in one line."""


class SqlSession:
    """A table environment in which scripts are run one after the other."""

    def __init__(self, tables: TableEnvironment) -> None:
        self.tables = tables

    def run(self, statement: Statement) -> TableResult | None:
        """Execute one statement; None for a setting, which has no result.

        A statement set is added to the job of the stream environment, as it is planned under the settings of this
        moment; it starts when that job does.

        Raises
        ------
        SqlProblem : Flink refuses the statement.
        """
        try:
            if statement.setting is not None:
                self.tables.get_config().set(*statement.setting)
                return None
            if statement.inserts:
                attached = self.tables.create_statement_set()
                for insert in statement.inserts:
                    attached.add_insert_sql(insert)
                attached.attach_as_datastream()
                return None
            if statement.is_query:
                return _readable(self.tables.sql_query(statement.text)).execute()
            return self.tables.execute_sql(statement.text)
        except Py4JJavaError as error:
            raise SqlProblem(f"{statement.where}: {telling_line(str(error))}") from None
        except (TypeError, ValueError) as error:
            raise SqlProblem(f"{statement.where}: {telling_line(str(error))}") from None


def _readable(table: Table) -> Table:
    """The table with instants as UTC timestamps: PyFlink cannot collect TIMESTAMP_LTZ."""
    fields = zip(table.get_schema().get_field_names(), table.get_schema().get_field_data_types(), strict=True)
    return table.select(
        *(
            col(name).cast(DataTypes.TIMESTAMP(kind.precision)).alias(name)
            if isinstance(kind, LocalZonedTimestampType)
            else col(name)
            for name, kind in fields
        )
    )
