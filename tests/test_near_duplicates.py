"""Near-duplicates between two splits: found through size, quality and brightness, and none among different scenes."""
from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from support.scanning import build, leaf

from mmimb.commands.main import main
from mmimb.scan.near_duplicates import BITS, NEAR, ImageHasher, _nearest, near_duplicates, perceptual_hash
from mmimb.scan.reader import Reader


def scene(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    """A picture of boxes on a gradient."""
    rng = np.random.default_rng(seed)
    image = np.linspace(40, 200, height)[:, None, None] * np.ones((1, width, 3)) * rng.uniform(.5, 1, 3)
    for _ in range(25):
        y, x = rng.integers(0, height), rng.integers(0, width)
        image[y:y + rng.integers(5, 50), x:x + rng.integers(5, 50)] = rng.uniform(0, 255, 3)
    return image.astype(np.uint8)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float((perceptual_hash(a) != perceptual_hash(b)).sum())


def test_the_same_scene_is_near_and_another_is_not():
    image = scene(0)
    rough = cv2.imdecode(cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 1)
    changed = {'quality': rough, 'size': cv2.resize(image, (90, 70), interpolation=cv2.INTER_AREA),
               'brightness': np.clip(image * .8 + 20, 0, 255).astype(np.uint8), 'one pixel aside': np.roll(image, 1, 1)}
    assert {name: distance(image, other) <= NEAR * BITS for name, other in changed.items()} == dict.fromkeys(changed, True)
    scenes = [scene(seed) for seed in range(40)]
    assert min(distance(a, b) for i, a in enumerate(scenes) for b in scenes[:i]) > 1.4 * NEAR * BITS
    assert perceptual_hash(np.full((50, 50, 3), 90, np.uint8)) is None, 'nothing to compare'
    signs = perceptual_hash(image)
    assert signs.shape == (BITS, )
    assert set(signs.tolist()) == {-1., 1.}


def test_the_nearest_is_that_of_all_pairs(monkeypatch):
    monkeypatch.setattr('mmimb.scan.near_duplicates.BLOCK', 3)
    rng = np.random.default_rng(0)
    own, others = rng.choice([-1., 1.], (8, BITS)).astype(np.float32), rng.choice([-1., 1.], (7, BITS)).astype(np.float32)
    for row, column, flips in ((1, 6, 5), (4, 0, 51), (5, 2, 52)):
        own[row] = others[column]
        own[row, :flips] *= -1
    assert list(_nearest(own, others)) == [(1, 6, 5), (4, 0, 51)]


@pytest.fixture
def folder(tmp_path):
    """Three training and two validation images, of which a frame is the next of the other; labels are blank."""
    images = {'train/a': scene(1), 'train/b': scene(2), 'train/flat': np.full((120, 160, 3), 99, np.uint8),
              'val/a': scene(3), 'val/next': np.roll(scene(2), 1, 1)}
    for name, image in images.items():
        for kind, array, suffix in (('images', image, 'jpg'), ('annotations', np.zeros((120, 160), np.uint8), 'png')):
            path = tmp_path / kind / f'{name}.{suffix}'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), array)
    return tmp_path


@pytest.mark.parametrize('workers', [0, 2])
def test_pairs_across_splits_are_found(folder, workers):
    reader = Reader(build(leaf(folder)), other=build(leaf(folder, 'val')), other_split='val')
    steps = []
    pair, = near_duplicates(reader, workers=workers, progress=lambda done, total: steps.append((done, total)))
    assert (pair.image, pair.other) == ('images/train/b.jpg', 'images/val/next.jpg')
    assert pair.distance <= NEAR * BITS
    assert steps == [(n, 5) for n in range(1, 6)]
    assert near_duplicates(Reader(build(leaf(folder)))) == [], 'no other split'


def test_images_that_cannot_be_read_are_passed_over(folder):
    (folder / 'images/train/b.jpg').write_bytes(b'no image')
    reader = Reader(build(leaf(folder)), other=build(leaf(folder, 'val')), other_split='val')
    assert near_duplicates(reader) == []
    assert [found is None for _, found in ImageHasher(reader).read(0, 5)] == [False, True, True, False, False]


def test_the_scanner_warns_with_pictures(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    config = folder / 'c.py'
    loaders = ''.join(f'{split}_dataloader = dict(dataset={leaf(folder, split)!r})\n' for split in ('train', 'val'))
    config.write_text(loaders)
    (folder / 'images/val/same.jpg').write_bytes((folder / 'images/train/a.jpg').read_bytes())
    (folder / 'annotations/val/same.png').write_bytes((folder / 'annotations/train/a.png').read_bytes())
    common = ['scan', 'c.py', '--out', 'r.json', '--workers', '0']
    assert main([*common, '--near-duplicates', '--html', 'r.html']) == 3
    audit = json.loads((folder / 'r.json').read_text())['audit']
    entry = audit['near_duplicate']
    assert entry['severity'] == 'warning'
    assert [(one['file'], one['other']) for one in entry['files']] == [('images/train/b.jpg', 'images/val/next.jpg')]
    assert [one['file'] for one in audit['in_both_splits']['files']] == ['images/train/a.jpg'], 'an equal image is that alone'
    told = capsys.readouterr().err
    assert "warning: near_duplicate: images/train/b.jpg: resembles 'images/val/next.jpg' of the val list (" in told
    html = (folder / 'r.html').read_text()
    assert 'images that nearly equal one of the other split' in html
    assert 'images/train/b.jpg and images/val/next.jpg' in html
    assert main(common) == 3
    assert 'near_duplicate' not in json.loads((folder / 'r.json').read_text())['audit'], 'only on request'
    with pytest.raises(SystemExit):
        main([*common, '--near-duplicates', '--shard', '0/2'])
    assert '`near-duplicates`' in capsys.readouterr().err
