"""The templates of the pages: one environment, and one script whose hash the page itself names, so that no other one runs."""
from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from .svg import percent, thousands

QUOTED = re.compile(r'`([^`]+)`')
INNER_WORD = re.compile(r'(?<=[a-z])(?=[A-Z(])|(?<==)')


def render_page(template: str, values: Mapping[str, Any]) -> bytes:
    """Return the HTML of a template. Texts are escaped, whatever they hold; figures go through ``svg(...)``.

    Raises:
        ImportError: jinja2 is missing.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup, escape
    except ImportError as error:
        raise ImportError(f'jinja2 must be installed to write the report, got {error}') from error

    def code(text: Any) -> Markup:
        """Return a text in which what stands between back-ticks is set as code."""
        return Markup(QUOTED.sub(r'<code>\1</code>', str(escape(text))))

    environment = Environment(loader=PackageLoader('mmimb.report'), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(thousands=thousands, percent=percent, code=code, hundred=lambda share: 100 * share,
                               breakable=lambda name: INNER_WORD.sub('\u200b', name))
    script = files(__package__).joinpath('templates/page.js').read_text(encoding='utf-8')
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    values = {**values, 'svg': Markup, 'script': Markup(script), 'script_hash': f'sha256-{digest}'}
    return environment.get_template(template).render(values).encode('utf-8', 'replace')
