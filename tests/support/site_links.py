"""Dead links of a built site: ``python tests/support/site_links.py FOLDER`` lists them, and fails if there is one."""
from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """Collects the links and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors = {''}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ('href', 'src') and value:
                self.links.append(value)
            elif name in ('id', 'name') and value:
                self.anchors.add(value)


def dead_links(site: Path) -> list[str]:
    """Return ``page: link`` for every link to a file or an anchor of the site that is not there."""
    pages = {path: Page(path.read_text(encoding='utf-8')) for path in sorted(site.rglob('*.html'))}
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or path.name == '404.html':
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            target = target / 'index.html' if target.is_dir() else target
            other = {found.resolve(): seen for found, seen in pages.items()}.get(target)
            if not target.exists() or (other is not None and unquote(parts.fragment) not in other.anchors):
                dead.append(f'{path.relative_to(site)}: {link}')
    return dead


if __name__ == '__main__':
    folder = Path(sys.argv[1])
    found = dead_links(folder)
    print(*found, f'{len(list(folder.rglob("*.html")))} pages, {len(found)} dead links', sep='\n')
    sys.exit(bool(found))
