"""The HTML report: complete, self-contained, and safe with any names; its pictures show what the labels hold."""
from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from conftest import ROOT
from mmengine.config import Config
from PIL import Image
from support.scanning import dense

from mmimb.report import derived_lines, present, suggest
from mmimb.report.evidence import measured
from mmimb.report.examples import GRID, WIDTH, SampleReader, find_examples, find_places
from mmimb.report.figures import cooccurrence_figure, frequency_figures
from mmimb.report.page import PageSource, render
from mmimb.report.suggest import fix_first
from mmimb.report.svg import percent
from mmimb.report.thumbnails import find_thumbnails
from mmimb.scan import Scan, build_split
from mmimb.scan.crops import CropCounts
from mmimb.scan.findings import FINDINGS
from mmimb.scan.reader import Reader
from mmimb.stats import ClassStats, PerImageCounts

EVIL = '<script>alert(1)</script>'
CLASSES = ('sky', 'road', f'{EVIL}"onload="x', 'never & $x$', 'sign\x07\n\ud800')
HEIGHT, WIDE = 60, 80
VOID_TAGS = {'meta', 'img', 'br', 'link', 'hr', 'input'}


class Page(HTMLParser):
    """What a browser sees: elements with attributes, the text of each section, and whether every element is closed."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text: dict[str, str] = {}
        self.rows: dict[str, list[list[str]]] = {}
        self.open: list[str] = []
        self.section = ''
        self.feed(html.decode('utf-8'))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID_TAGS:
            self.open.append(tag)
        if tag == 'section':
            self.section = dict(attrs)['id']
        if tag == 'tr':
            self.rows.setdefault(self.section, []).append([])
        if tag in ('td', 'th'):
            self.rows[self.section][-1].append('')

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text[self.section] = self.text.get(self.section, '') + data
        if {'td', 'th'} & set(self.open[-2:]):
            self.rows[self.section][-1][-1] += data


@pytest.fixture
def folder(tmp_path):
    """Five images; class 2 lies in the lower left corner of two of them, class 4 is one pixel of one."""
    for kind in ('images', 'annotations'):
        (tmp_path / kind / 'train').mkdir(parents=True)
    for i in range(5):
        label = np.zeros((HEIGHT, WIDE), np.uint8)
        label[30:] = 1
        if i in (1, 2):
            label[-5 * i:, :10] = 2
        if i == 3:
            label[0, -1] = 4
        Image.fromarray(label).save(tmp_path / f'annotations/train/{i}.png')
        Image.new('RGB', (WIDE, HEIGHT), (60, 120, 180)).save(tmp_path / f'images/train/{i}.jpg', quality=100)
    return tmp_path


def build(folder, **rest):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
    dataset = dict(type='BaseSegDataset', data_root=str(folder), metainfo=dict(classes=CLASSES), pipeline=pipeline,
                   data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'), **rest)
    return build_split(Config(dict(train_dataloader=dict(dataset=dataset))))


def counts(folder) -> tuple[ClassStats, PerImageCounts]:
    """Counts of the folder, from the files."""
    labels = [np.array(Image.open(file)) for file in sorted((folder / 'annotations/train').iterdir())]
    dense = np.array([[(label == c).sum() for c in range(5)] for label in labels])
    rows = [np.flatnonzero(row) for row in dense]
    per_image = PerImageCounts(np.cumsum([0, *map(len, rows)]), np.concatenate(rows).astype(np.int32),
                               dense[dense > 0].astype(np.int64), tuple(f'annotations/train/{i}.png' for i in range(5)))
    held = dense > 0
    stats = ClassStats(tuple(dense.sum(0).tolist()), tuple(held.sum(0).tolist()), num_images=5, ignored_pixels=7,
                       image_pixels=tuple((held * dense.sum(1, keepdims=True)).sum(0).tolist()), classes=CLASSES,
                       provenance={'split': 'train', 'dataset': f'{EVIL}Set'})
    return stats, per_image


AUDIT = {
    'duplicate_label': dict(severity='warning', total=1, files=[dict(file=None, detail=f'{EVIL} here')]),
    'outside_classes': dict(severity='error', total=300,
                            files=[dict(file=f'a/{EVIL}{i}\udcff.png', detail='d') for i in range(99)]),
}


def source(folder, audit=AUDIT, **rest) -> PageSource:
    stats, per_image = counts(folder)
    scan = Scan(stats, per_image, per_image.cooccurrence(5), audit)
    values = dict(reader=Reader(build(folder)), crops=CropCounts(2, 0, (10, 20, 30, 0, 0), (9, 9, 5, 0, 0), 0, 10),
                  run={'host': EVIL})
    return PageSource(scan, f'{EVIL} title', suggest(stats), **{**values, **rest})


def test_nothing_is_loaded_and_no_name_becomes_code(folder) -> None:
    html = render(source(folder))
    page = Page(html)
    assert page.open == []
    tags = Counter(tag for tag, _ in page.elements)
    assert not {'link', 'iframe', 'object', 'embed', 'base', 'form'} & set(tags)
    assert tags['script'] == 1
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith('on')]
        for name in ('src', 'href', 'xlink:href', 'srcset', 'data'):
            assert attributes.get(name, '#').startswith(('#', 'data:image/')), attributes
    assert '@import' not in html.decode()
    assert not re.search(r'url\((?!#)', html.decode())
    policy, = [a['content'] for tag, a in page.elements if a.get('http-equiv') == 'Content-Security-Policy']
    script, = re.findall(r'<script>(.*?)</script>', html.decode(), re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    ids = [attributes['id'] for _, attributes in page.elements if 'id' in attributes]
    assert len(ids) == len(set(ids))
    anchors = {attributes['href'][1:] for tag, attributes in page.elements if tag == 'a'}
    assert anchors == set(page.text) - {''} == {'frequency', 'suggestion', 'weights', 'crops', 'examples', 'places', 'together',
                                                'audit', 'provenance'}
    for section in ('frequency', 'weights', 'crops', 'examples', 'places', 'together', 'audit', 'provenance'):
        assert '<script>' in page.text[section], 'shown as it is written'


def test_figures_are_well_formed_and_take_the_ink_of_the_page(folder) -> None:
    html = render(source(folder)).decode()
    figures = [ElementTree.fromstring(text) for text in re.findall(r'<svg.*?</svg>', html, re.S)]
    assert [figure.get('aria-label') for figure in figures] == [
        'Pixel share of classes 1 and on, by frequency', 'Class weights of every scheme',
        'Which classes occur in the same images']
    for figure in figures:
        text = ElementTree.tostring(figure, encoding='unicode')
        assert 'currentColor' in text
        assert '#010203' not in text
        assert 'width' not in figure.attrib, 'as wide as the page'
    names = ''.join(figures[0].itertext())
    assert 'never & $x$' in names
    assert r'sign\x07\n' in names, 'control characters are written as escapes'


def svg_texts(svg: str) -> list[str]:
    return [''.join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter('{http://www.w3.org/2000/svg}text')]


def test_figures_show_the_counts(folder) -> None:
    stats, per_image = counts(folder)
    order, pixels = [0, 1, 2, 4, 3], np.array(stats.pixels)
    texts = svg_texts(frequency_figures(stats)[0])
    assert [text for text in texts if text.endswith('%') and '.' in text][-4:] == [
        percent(share) for share in pixels[order][:4] / pixels.sum()]
    assert texts.count('never') == 1
    held = dense(per_image, 5) > 0
    expected = []
    for row in order:
        for column in order:
            if held[:, row].any():
                expected.append(f'{100 * (held[:, row] & held[:, column]).sum() / held[:, row].sum():.0f}')
    numbers = [text for text in svg_texts(cooccurrence_figure(stats, per_image.cooccurrence(5))) if text.isdigit()]
    assert numbers == expected
    assert len(set(numbers)) > 3


def test_numbers_are_those_of_the_statistics(folder) -> None:
    given = source(folder)
    page, stats = Page(render(given)), given.scan.stats
    _, *rows = page.rows['frequency']
    order = sorted(range(5), key=lambda c: -stats.pixels[c])
    assert [int(row[0]) for row in rows] == order
    assert [int(row[3].replace('\u202f', '')) for row in rows] == [stats.pixels[c] for c in order]
    assert [row[2] for row in rows] == ['head', 'head', 'medium', 'medium', 'tail']
    assert [int(row[5]) for row in rows] == [stats.images[c] for c in order]
    assert rows[0][4] == f'{100 * stats.pixels[order[0]] / sum(stats.pixels):.1f} %'
    crops = {row[0]: row[1:] for row in page.rows['crops'][1:]}
    share = stats.pixels[0] / sum(stats.pixels)
    assert crops['sky'] == [f'{100 * share:.1f} %', '16.7 %', f'{10 / 60 / share:.2f}', '100 %', '90.0 %']
    assert crops['never & $x$'][2] == '–'
    assert '300 labels with values outside the class list' in page.text['suggestion']
    assert min(p for p in stats.pixels if p) == 1
    tiles = ' '.join(page.text[''].split())
    assert f'imbalance ratio{max(stats.pixels):,} : 1'.replace(',', ' ') in tiles
    assert 'audit1 error' in tiles


def test_audit_shows_the_worst_first_and_how_many_are_left_out(folder) -> None:
    page = Page(render(source(folder)))
    text = page.text['audit']
    assert text.index(FINDINGS['outside_classes'].title) < text.index(FINDINGS['duplicate_label'].title)
    files = [row[0] for row in page.rows['audit'] if row[0] not in ('file', '(whole dataset)')]
    assert files == [f'a/{EVIL}{i}?.png' for i in range(50)]
    assert '250 more are in the JSON report' in text
    assert [a.get('class') for tag, a in page.elements if tag == 'details' and 'open' in a] == [None, None, 'finding error']
    assert 'Nothing was found' in Page(render(source(folder, audit={}))).text['audit']


def test_texts_are_set_for_people(folder) -> None:
    """Code in back-ticks is set as code, versions are a list, and no row of a table needs more than the page has."""
    audit = {'reduce_zero_label': dict(severity='warning', total=1, files=[dict(file=None, detail=f'`{EVIL}` is False')])}
    html = render(source(folder, audit=audit, run={'versions': {'python': '3.11', 'numpy': '2.4'}}))
    page = Page(html)
    assert '`' not in ''.join(page.text.values()).partition('use strict')[0]
    assert f'<code>{EVIL}</code>'.replace('<script>', '&lt;script&gt;').replace('</script>', '&lt;/script&gt;') in html.decode()
    assert 'python\xa03.11, numpy\xa02.4' in page.text['provenance']


def test_findings_have_pictures_of_their_files(folder) -> None:
    entries = [dict(file='annotations/train/2.png', detail='d'), dict(file='annotations/train/3.png', detail='d')]
    audit = {'outside_classes': dict(severity='error', total=2, files=entries),
             'duplicate_image': dict(severity='warning', total=1, files=[
                 dict(file='images/train/1.jpg', detail='d', other='images/train/4.jpg')]),
             'missing_label': dict(severity='error', total=1, files=[dict(file='annotations/train/9.png', detail='d')])}
    reader = SampleReader(Reader(build(folder)))
    found = find_thumbnails(audit, reader)
    assert {name: [len(thumb.pictures) for thumb in thumbs] for name, thumbs in found.items()} == {
        'outside_classes': [2, 2], 'duplicate_image': [2]}, 'image and label, and the two images of a pair'
    assert found['duplicate_image'][0].caption == 'images/train/1.jpg and images/train/4.jpg'
    np.testing.assert_allclose(picture(found['outside_classes'][0].pictures[0])[20, 50], (180, 120, 60), atol=12)
    page = Page(render(source(folder, audit=audit)))
    assert sum(tag == 'img' and 'alt' in a and a['alt'] == '' for tag, a in page.elements) == 6


def test_parts_without_data_are_left_out(folder) -> None:
    stats = ClassStats((5, 3, 0))
    bare = Scan(stats, PerImageCounts(np.zeros(1, int), np.zeros(0, int), np.zeros(0, int), ()))
    page = Page(render(PageSource(bare, 'x', suggest(stats))))
    assert set(page.text) - {''} == {'frequency', 'suggestion', 'weights', 'audit', 'provenance'}
    assert {a['href'][1:] for tag, a in page.elements if tag == 'a'} == set(page.text) - {''}


@pytest.mark.parametrize(('split', 'suggested'), [('train', True), ('val', False), (None, False)])
def test_counts_of_other_splits_suggest_nothing(split, suggested) -> None:
    stats = ClassStats((5, 3), provenance={'split': split})
    bare = Scan(stats, PerImageCounts(np.zeros(1, int), np.zeros(0, int), np.zeros(0, int), ()))
    shown = present(bare, Path('a/merged.json'), {})
    assert shown.title == 'merged'
    assert (shown.suggestion is not None) == suggested
    page = Page(render(shown))
    assert ('suggestion' in page.text) == ('#suggestion' in {a.get('href') for _, a in page.elements}) == suggested
    named = present(bare, Path('a/r.json'), {}, config='configs/x/net.py')
    assert named.title == f'net, {split}'
    if suggested:
        assert "_base_ = './net.py'" in named.suggestion.config
        assert "stats = 'a/r.json'" in named.suggestion.config


def test_the_suggestion_counts_crops_and_ends_with_the_tuning() -> None:
    stats = ClassStats((900, 30), images=(9, 9), num_images=9, classes=('a', 'b'), provenance={'split': 'train'})
    bare = Scan(stats, PerImageCounts(np.zeros(1, int), np.zeros(0, int), np.zeros(0, int), ()))
    source = present(bare, Path('r.json'), {}, crops=CropCounts(4, 0, (900, 3), (36, 1), 0, 36))
    text, lines = Page(render(source)).text['suggestion'], derived_lines(stats, [], source.suggestion)
    for shown in (text, '\n'.join(lines)):
        assert 'b (2.8 %, one batch of 1 in 36) occurs in less than 5 % of the crops' in shown
        assert 'InverseFrequency' in shown
        assert ('Measured against cross-entropy' in shown) == bool(measured())
        assert shown.rstrip().endswith('mmimb tune my_child_config.py CHECKPOINT --out tuned.pth')


def test_errors_of_the_audit_come_before_a_suggestion() -> None:
    stats = ClassStats((5000, 3), provenance={'split': 'train'})
    audit = {name: {'severity': severity, 'total': total, 'files': []} for name, severity, total in
             (('outside_classes', 'error', 3), ('empty_label', 'warning', 1))}
    scan = Scan(stats, PerImageCounts(np.zeros(1, int), np.zeros(0, int), np.zeros(0, int), ()), audit=audit)
    source = present(scan, Path('r.json'), {})
    text = Page(render(source)).text['suggestion']
    lines = '\n'.join(derived_lines(stats, [], source.suggestion, fix_first(audit)))
    for shown in (text, lines):
        assert '3 labels with values outside the class list (outside_classes)' in shown
        assert 'ix these first' in shown
        assert 'empty' not in shown
        assert 'loss_decode' not in shown
    assert 'loss_decode' in '\n'.join(derived_lines(stats, [], source.suggestion))


def picture(uri: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.split(',')[1]), np.uint8), cv2.IMREAD_COLOR)


def test_examples_are_the_largest_and_the_median_area_and_outlined(folder) -> None:
    stats, per_image = counts(folder)
    found = find_examples(stats, per_image, SampleReader(Reader(build(folder))))
    shown = [(e.class_index, e.kind, e.file[-5], e.pixels) for e in found]
    assert shown == [(4, 'largest', '3', 1), (2, 'largest', '2', 100), (2, 'typical', '1', 50)], 'halves of all are not rare'
    image = picture(found[1].jpeg).astype(int)
    assert image.shape == (WIDTH * HEIGHT // WIDE, WIDTH, 3)
    scale = WIDTH / WIDE
    pink = (image[..., 0] > 180) & (image[..., 2] > 180) & (image[..., 1] < 120)
    rows, columns = np.nonzero(pink)
    assert rows.min() == pytest.approx(50 * scale, abs=6)
    assert columns.max() == pytest.approx(10 * scale, abs=6)
    inside, outside = image[int(56 * scale), int(4 * scale)], image[int(20 * scale), int(60 * scale)]
    np.testing.assert_allclose(inside, (180, 120, 60), atol=12)
    np.testing.assert_allclose(outside, (154, 124, 94), atol=12)
    ring = picture(found[0].jpeg).astype(int)
    pink = (ring[..., 0] > 180) & (ring[..., 2] > 180) & (ring[..., 1] < 120)
    assert pink[:30, -30:].sum() > 20
    assert np.nonzero(pink)[0].max() > 12, 'a ring, wider than the outline of a pixel'
    assert pink.sum() == pink[:30, -30:].sum()


def test_places_are_where_the_labels_lie(folder) -> None:
    stats, per_image = counts(folder)
    found = {place.class_index: place for place in find_places(stats, per_image, SampleReader(Reader(build(folder))))}
    assert set(found) == {2, 4}
    rows, columns = GRID
    for place in found.values():
        assert place.share.shape == GRID
        assert place.share.sum() == pytest.approx(1, abs=1e-6)
    assert found[4].share[0, -1] == pytest.approx(1)
    assert found[2].num_images == 2
    # 5 x 10 pixels fill one row of cells and two columns; 10 x 10 fill two rows
    expected = np.zeros(GRID)
    expected[-1, :2] += .5 / 2
    expected[-2:, :2] += .5 / 4
    np.testing.assert_allclose(found[2].share, expected, atol=1e-6)
    assert picture(found[4].png).shape == (rows, columns, 3)
    assert picture(found[4].png)[0, -1].sum() > 600 > picture(found[4].png)[1, 0].sum()


def test_files_that_cannot_be_read_do_not_stop_the_report(folder) -> None:
    given = source(folder)
    (folder / 'images/train/3.jpg').write_bytes(b'no image')
    for i in (1, 2):
        (folder / f'annotations/train/{i}.png').write_bytes(b'')
    page = Page(render(given))
    assert page.text['examples'].count('the image cannot be read') >= 3
    assert CLASSES[2] not in page.text['places']


@pytest.mark.parametrize('image', [
    np.full((HEIGHT, WIDE), 700, np.uint16), np.zeros((HEIGHT, WIDE), np.uint8), np.zeros((HEIGHT, WIDE, 4), np.uint8)],
    ids=['16 bit', 'grey', 'alpha'])
def test_unusual_images(folder, image) -> None:
    for file in (folder / 'images/train').iterdir():
        file.unlink()
    image[0, 0] = 255
    for i in range(5):
        cv2.imwrite(str(folder / f'images/train/{i}.png'), image)
    dataset = build(folder, img_suffix='.png')
    dataset.pipeline.transforms[0].color_type = 'unchanged'
    read = SampleReader(Reader(dataset)).image(0)
    assert (read.shape, read.dtype) == ((HEIGHT, WIDE, 3), np.uint8)
    assert find_examples(*counts(folder), SampleReader(Reader(dataset)))[0].jpeg.startswith('data:image/jpeg')


def test_150_classes_are_named_everywhere_and_stay_small() -> None:
    rng = np.random.default_rng(0)
    held = rng.random((60, 150)) < np.linspace(1, .05, 150)
    held[0] = True
    pixels = (held * (1e6 * .94 ** np.arange(150) + 1)).astype(np.int64)
    rows = [np.flatnonzero(row) for row in held]
    per_image = PerImageCounts(np.cumsum([0, *map(len, rows)]), np.concatenate(rows).astype(np.int32), pixels[held],
                               tuple(f'{i}.png' for i in range(60)))
    names = tuple(f'thing {c:03d} of many' for c in range(150))
    stats = ClassStats(tuple(pixels.sum(0).tolist()), tuple(held.sum(0).tolist()), num_images=60, classes=names)
    html = render(PageSource(Scan(stats, per_image, per_image.cooccurrence(150)), 'large', suggest(stats)))
    assert len(html) < 1_000_000
    figures = re.findall(r'<svg.*?</svg>', html.decode(), re.S)
    assert len(figures) == 5, 'three columns of bars, the weights, the matrix'
    assert all(name in ''.join(figures[:3]) for name in names)
    assert all(f'thing {c:03d} of' in figures[4] for c in range(150))


@pytest.mark.parametrize(('share', 'text'), [(1, '100 %'), (.314624, '31.5 %'), (.09999, '10.00 %'), (.0523, '5.23 %'),
                                             (.00392, '0.392 %'), (1.3e-6, '0.000130 %'), (0, '0 %')])
def test_percent(share, text) -> None:
    assert percent(share) == text


def test_the_template_is_part_of_the_package(tmp_path) -> None:
    command = [sys.executable, 'setup.py', '-q', 'build_py', '-d', str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    installed = {path.name for path in (tmp_path / 'mmimb/report/templates').iterdir()}
    assert installed == {path.name for path in (ROOT / 'mmimb/report/templates').iterdir()} == {
        'base.html.j2', 'explain.html.j2', 'page.css', 'page.js', 'report.html.j2'}
