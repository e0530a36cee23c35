"""Checks what is in a wheel: ``python tests/support/wheel_contents.py WHEEL FILE…`` with the files that a clone has."""
from __future__ import annotations

import sys
from email.parser import Parser
from zipfile import ZipFile

from markdown_it import MarkdownIt

FOR_A_CLONE = ('tools/setup.sh', 'tools/quickstart.sh', 'tools/constraints.txt')
FOLDERS = {'mmimb': '', 'configs': 'mmimb/.mim/', 'tools': 'mmimb/.mim/', 'model-index.yml': 'mmimb/.mim/'}


def expected(files: list[str]) -> set[str]:
    """Return where the wheel has the files of a clone."""
    return {FOLDERS[name.split('/')[0]] + name for name in files if name.split('/')[0] in FOLDERS and name not in FOR_A_CLONE}


def addresses(text: str) -> list[str]:
    """Return all links and pictures of a Markdown text."""
    tokens = [child for token in MarkdownIt('commonmark').parse(text) for child in token.children or ()]
    return [str(value) for token in tokens for key, value in token.attrs.items() if key in ('href', 'src')]


def main(wheel: str, files: list[str]) -> int:
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if '.dist-info/' not in name}
        metadata = Parser().parsestr(archive.read(next(
            name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))).decode())
    wrong = [f'missing: {name}' for name in sorted(expected(files) - names)]
    wrong += [f'not of the clone: {name}' for name in sorted(names - expected(files))]
    links = addresses(str(metadata.get_payload()))
    wrong += [f'a link that a package index cannot follow: {link}' for link in links if not link.startswith(('https://', '#'))]
    wrong += [f'no {key}' for key in ('Author', 'Classifier', 'Summary', 'Keywords', 'Project-URL') if not metadata.get(key)]
    print(*wrong, f'{len(names)} files, {len(links)} links', sep='\n')
    return int(bool(wrong or not links))


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], sys.argv[2:]))
