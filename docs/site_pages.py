"""What the site has beside docs/: README and others as pages, the command reference, the files that pages link to."""
from __future__ import annotations

import argparse
import inspect
import os
import re
import sys
from pathlib import Path
from posixpath import dirname, normpath, relpath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PAGES = {'README.md': 'index.md', 'CHANGELOG.md': 'changelog.md', 'CONTRIBUTING.md': 'contributing.md',
         'configs/README.md': 'configs.md', 'benchmarks/study/README.md': 'study_protocol.md'}
LINK = re.compile(r'(\]\(|(?:src|href)=")(?!https?:|mailto:|#)([^)\s"#]+)(#[^)\s"]*)?')
REPORT = 'example_report.html'
API = {'Counts': 'stats', 'Losses': 'losses', 'Class weights': 'weights', 'Sampling': 'sampling', 'Heads': 'heads',
       'Metrics': 'metrics', 'Hooks': 'hooks', 'Datasets': 'datasets', 'The contract of a loss': 'testing',
       'Formulas': 'functional'}


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages and, once all are known, the files that they link to."""
    texts = {name: (ROOT / name).read_text(encoding='utf-8') for name in PAGES}
    texts |= {f'docs/{file.src_uri}': file.content_string for file in files.documentation_pages()}
    for name, uri in PAGES.items():
        files.append(File.generated(config, uri, content=texts[name]))
    files.append(File.generated(config, 'commands.md', content=command_pages()))
    files.append(File.generated(config, 'api.md', content=api_page()))
    report = os.environ.get('MMIMB_EXAMPLE_REPORT')
    files.append(File.generated(config, REPORT, content=Path(report).read_bytes() if report else b'not built'))
    linked = {normpath(f'{dirname(name)}/{match[2]}'.lstrip('/'))
              for name, text in texts.items() for match in LINK.finditer(text)}
    folders = {path for path in linked if (ROOT / path).is_dir() and f'{path}/README.md' not in PAGES}
    for path in sorted(folders):
        inside = sorted(found.name for found in (ROOT / path).iterdir() if found.is_file())
        text = f'# {path}\n\n' + '\n'.join(f'- [{name}]({name})' for name in inside) + '\n'
        files.append(File.generated(config, f'files/{path}/index.md', content=text))
        linked |= {f'{path}/{name}' for name in inside}
    for path in sorted(linked):
        if (ROOT / path).is_file() and path not in PAGES and not path.startswith('docs/'):
            files.append(File.generated(config, f'files/{path}', abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Point links at the places that the site has for the repository's files."""
    uri = page.file.src_uri
    if uri.startswith('files/'):
        return markdown
    name = next((name for name, place in PAGES.items() if place == uri), f'docs/{uri}')

    def target(match: re.Match[str]) -> str:
        path = normpath(f'{dirname(name)}/{match[2]}'.lstrip('/'))
        if (ROOT / path).is_dir():
            path += '/README.md' if f'{path}/README.md' in PAGES else '/index.md'
        place = PAGES.get(path) or (path.removeprefix('docs/') if path.startswith('docs/') else f'files/{path}')
        return f'{match[1]}{relpath(place, dirname(uri) or ".")}{match[3] or ""}'
    return indented(LINK.sub(target, markdown))


def indented(text: str) -> str:
    """Return a text in which what belongs to a numbered item has four spaces: GitHub wants three, Python-Markdown four."""
    lines, fenced = [], False
    for line in text.splitlines():
        fenced ^= line.startswith('```')
        lines.append(f' {line}' if not fenced and re.match(r' {3}\S', line) else line)
    return '\n'.join(lines) + '\n'


def command_pages() -> str:
    """Return the reference of all commands, from their parsers."""
    sys.path.insert(0, str(ROOT))
    from mmimb.commands.main import COMMANDS, build_parser, module_of

    os.environ['COLUMNS'] = '100'  # of usage lines
    actions = next(action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    text = ['# Commands', 'Each script of `tools/` that MMSegmentation knows is one of these: `tools/train.py` is `mmimb '
            'train`. Without the program on the path, `python -m mmimb COMMAND` is the same.']
    for name in COMMANDS:
        parser = actions.choices[name]
        head, _, rest = (inspect.getdoc(module_of(name)) or '').partition('\n')
        text += [f'## mmimb {name}', head, *([f'```text\n{rest.strip()}\n```'] if rest.strip() else []),
                 f'```text\n{parser.format_usage().strip()}\n```', arguments(parser)]
        text += [parser.epilog] if parser.epilog else []
    return '\n\n'.join(text) + '\n'


def arguments(parser: argparse.ArgumentParser) -> str:
    """Return the table of a parser's arguments."""
    rows = ['| argument | meaning |', '|---|---|']
    for action in parser._actions:
        if action.dest == 'help':
            continue
        value = action.metavar if isinstance(action.metavar, str) else ' '.join(action.metavar or ())
        names = ', '.join(f'`{name}`' for name in action.option_strings) or f'`{action.metavar or action.dest}`'
        if action.option_strings and action.nargs != 0 and value:
            names += f' `{value}`'
        choices = f' ({", ".join(map(str, action.choices))})' if action.choices else ''
        meaning = (action.help or '') % {**vars(action), 'prog': parser.prog}
        rows.append(f'| {names} | {escaped(meaning + choices)} |')
    return '\n'.join(rows)


def escaped(text: str) -> str:
    """Return a text for the cell of a table."""
    return text.replace('|', r'\|').replace('<', '&lt;').replace('*', r'\*')


def api_page() -> str:
    """Return the page with the docstrings of the public names."""
    parts = ['# Python', 'The names that `from mmimb import …` gives, and the formulas behind them. In a config, a registered '
             "class is `type='mmimb.<Name>'`, without `custom_imports`."]
    for title, part in API.items():
        parts.append(f'## {title}\n\n`mmimb.{part}`\n\n::: mmimb.{part}')
    return '\n\n'.join(parts) + '\n'
