"""Which images belong together."""
from __future__ import annotations

import pytest

from mmimb.analysis.image_groups import image_groups

PATHS = ['a/x1.png', 'a/x2.png', 'b/y1.png', 'b/z.png', 'b/u.png']


def test_every_image_is_for_itself_unless_told_otherwise(tmp_path) -> None:
    assert image_groups(PATHS) == [0, 1, 2, 3, 4]
    assert image_groups(PATHS, blocks=2) == [0, 0, 1, 1, 2]
    file = tmp_path / 'groups.txt'
    file.write_text('x1 x2 other\n\ny1 z\n')
    first, second, third, fourth, alone = image_groups(PATHS, str(file))
    assert first == second != third == fourth != alone
    assert alone not in (first, third)


def test_names_with_blanks_and_folders(tmp_path) -> None:
    paths = ['/d/früh/Bild 1 ä.png', '/d/früh/Bild 2 ä.png', '/d/spät/Bild 1 ä.png', '/d/spät/x.y.png', '/d/spät/x.z.png']
    file = tmp_path / 'groups.txt'
    file.write_text('"früh/Bild 1 ä" "Bild 2 ä" spät/x.y\nx.z\t"Bild 1 ä"\n', encoding='utf-8')
    assert image_groups(paths, str(file)) == [0, 0, 1, 0, 1]


def test_bad_files(tmp_path) -> None:
    file = tmp_path / 'groups.txt'
    file.write_text('x1 x2\nx2 y1\n')
    with pytest.raises(ValueError, match=r"`--groups` must hold every name once .*, got 'x2' in lines 1 and 2"):
        image_groups(PATHS, str(file))
    file.write_text('other\n')
    with pytest.raises(ValueError, match=r"`--groups` must name images of the split, such as 'x1', got none"):
        image_groups(PATHS, str(file))
    file.write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ValueError, match='`--groups` must be a text file'):
        image_groups(PATHS, str(file))
