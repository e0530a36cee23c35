"""Docstrings for the site: Sphinx's roles become code, examples become blocks."""
from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r':[a-z]+:`~?\.?([^`]+)`')
EXAMPLE = re.compile(r'(?m)^( *)(>>> .*(?:\n\1\S.*)*)')


def for_markdown(text: str) -> str:
    """Return a docstring in which Markdown finds its way."""
    return EXAMPLE.sub(r'\1```pycon\n\1\2\n\1```', ROLE.sub(r'`\1`', text))


class MarkdownDocstrings(Extension):
    """Changes every docstring as it is collected."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = for_markdown(obj.docstring.value)
