"""What several test modules share; nothing here is a test."""

import pytest

pytest.register_assert_rewrite("tests.support.scripts")  # its assertions are to show their values, too
