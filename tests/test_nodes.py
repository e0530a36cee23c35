"""Where the settings of a config stand."""
from __future__ import annotations

from mmimb.nodes import nodes


def test_places() -> None:
    assert [place for place, _ in nodes(dict(a=[1, dict(b=dict())], c='x'), 'cfg')] == ['cfg', 'cfg.a[1]', 'cfg.a[1].b']
    assert list(nodes(None, 'cfg')) == []
