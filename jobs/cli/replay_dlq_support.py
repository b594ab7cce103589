"""What the commands of `meridian replay-dlq` share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaException

from jobs.broker.markers import UndeliveredRecords
from jobs.broker.snapshot import UnreadableTopic
from jobs.cli.console import EXIT_ENVIRONMENT, EXIT_FAILED, CliError
from jobs.export.select import UnreadableRecord
from jobs.replay.pace import JobStandsStill


@contextmanager
def plain_errors() -> Iterator[None]:
    """What can go wrong with the topics, as lines with exit codes."""
    try:
        yield
    except JobStandsStill as error:
        raise CliError(str(error), EXIT_ENVIRONMENT, "`meridian doctor` says why; run it again later") from None
    except (UndeliveredRecords, UnreadableTopic, KafkaException) as error:
        text = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise CliError(text, EXIT_ENVIRONMENT, "is the stack up, and do the topics exist?") from None
    except UnreadableRecord as error:
        raise CliError(str(error), EXIT_FAILED) from None
