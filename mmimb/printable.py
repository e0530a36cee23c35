"""Names from files in what people read: nothing in them moves the cursor, begins a line, or speaks to the terminal."""
from __future__ import annotations

import logging
import re

CONTROL = '\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff'  # all but tab and newline
INSIDE_LINE, IN_TEXT = re.compile(f'[\t\n{CONTROL}]'), re.compile(f'[{CONTROL}]')


def printable(text: object) -> str:
    r"""Return a text in which control characters, marks of direction and halves of characters are written as escapes.

    >>> printable('sky\x1b[2J\n')
    'sky\\x1b[2J\\n'
    """
    return INSIDE_LINE.sub(_escape, str(text))


def printable_lines(text: str) -> str:
    """Return the same for a text of several lines, which stay."""
    return IN_TEXT.sub(_escape, text)


class PrintableFilter(logging.Filter):
    """Makes the messages of a logger printable, before a formatter adds colours."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # arguments that do not fit: logging itself reports these and goes on
            return True
        record.msg, record.args = printable_lines(text), None
        return True


def _escape(match: re.Match[str]) -> str:
    return match[0].encode('unicode_escape').decode('ascii')
