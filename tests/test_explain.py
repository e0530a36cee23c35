"""Why rare classes fail: every count against numpy over the predictions themselves, the advice, the page, and bad input."""
from __future__ import annotations

import base64
import hashlib
import json
import re
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmseg.apis import inference_model, init_model
from support.tiny_run import CLASSES, make_config, refused, tiny, tool
from test_html_report import Page
from test_metric import build, run, sample

from mmimb.analysis.advice import advise, story
from mmimb.analysis.evidence import Fate, RunEvidence
from mmimb.analysis.objects import object_counts
from mmimb.analysis.score_curves import Operating
from mmimb.analysis.training_facts import TrainingFacts, training_facts
from mmimb.engine.explain_run import _check_trained, _num_classes
from mmimb.engine.explaining import Explanation, Picture, chosen
from mmimb.engine.tuning_split import fitting_classes
from mmimb.metrics import PrecisionRecallMetric
from mmimb.metrics.anatomy import AnatomyMetric
from mmimb.report.error_pictures import FALSE, FOUND, LOST, picture_panels
from mmimb.report.explained import explained_lines, render_explanation
from mmimb.stats import ClassStats
from mmimb.stats.imbalance import rarest

__all__ = ['tiny']  # a fixture
NAMES = ('road', 'car', 'sign')


def anatomy_of(images, classes=3):
    metric = AnatomyMetric()
    metric.dataset_meta = {'classes': tuple('abcdefgh'[:classes])}
    for pred, label in images:
        metric.process(None, [sample(pred, label)])
    metric.evaluate(len(images))
    return metric.anatomy


def test_objects_by_size():
    label = np.zeros((12, 12), int)
    label[1, 1] = label[2, 2] = 1  # one object: corners touch
    label[5:9, 5:9] = 1            # 16 pixels
    label[11, 0] = 255
    pred = label.copy()
    pred[5:8, 5:9] = 0             # a quarter is left
    pred[2, 2] = 2                 # half is left
    counts = object_counts(pred, label, 3)
    assert counts[1, 1].tolist() == [1, 1, 2, 1]
    assert counts[1, 4].tolist() == [1, 0, 16, 4]
    assert counts[1].sum(0).tolist() == [2, 1, 18, 5]
    assert counts[0].sum(0).tolist() == [1, 1, 125, 125]
    assert counts[2].sum() == 0


def test_errors_near_edges_and_the_image_of_each_confusion():
    label = np.zeros((20, 40), int)
    label[:, 20:] = 1
    label[0] = 255
    near, far = label.copy(), label.copy()
    near[5, 19] = 1   # 1 pixel from the edge
    far[5:8, 2] = 1   # far away from it
    far[5, 39] = 2
    anatomy = anatomy_of([(near, label), (far, label)])
    width = 3
    assert anatomy.near[0].tolist() == [2 * 19 * width - 1, 1, 0]
    assert anatomy.near[1].tolist() == [0, 2 * 19 * width, 0], 'the edge of the image is none, nor that of ignored pixels'
    assert anatomy.largest[0, 1] == 3
    assert (anatomy.image[0, 1], anatomy.image[1, 2], anatomy.image[2, 0]) == (1, 1, -1)
    assert (anatomy_of([]).image == -1).all()


def fate(**changes) -> Fate:
    values = dict(class_index=1, labelled=1000, predicted=500, images=5, recall=.3, precision=.6, iou=.25, mean_iou=.2,
                  taken=((0, .3), (2, .3)), from_others=((0, .4), ), near=.1, objects=10, found=2,
                  now=Operating(0, .3, .6, .4, .25), best=Operating(.1, .3, .6, .42, .26), average_precision=.4)
    return Fate(**{**values, **changes})


def facts(**changes) -> TrainingFacts:
    values = dict(pixels=1000, share=.01, images=100, num_images=400, crop_share=.2, findings=0, example='')
    return TrainingFacts(**{**values, **changes})


BELIEVED = Operating(.1, .5, .6, .55, .4)


@pytest.mark.parametrize(('of_fate', 'of_facts', 'kinds'), [
    ({'best': BELIEVED, 'now': BELIEVED}, {}, ['look']),
    ({'iou': .85}, {'images': 3}, []),
    ({'labelled': 0}, {}, []),
    ({}, {}, ['see']),
    ({'best': Operating(1., .2, .1, .19, .1), 'now': Operating(0, 0, 0, 0, 0), 'taken': ((2, .7), )}, {}, ['see']),
    ({'best': Operating(1., .2, .3, .21, .1), 'now': Operating(0, 0, 0, 0, 0)}, {}, ['believe', 'see']),
    ({'best': BELIEVED, 'now': BELIEVED}, {'findings': 5, 'example': 'damaged_label: a.png'}, ['label']),
    ({'best': BELIEVED, 'now': BELIEVED}, {'findings': 4}, ['look']),
    ({'best': BELIEVED, 'now': BELIEVED}, {'images': 19}, ['see']),
    ({'best': BELIEVED}, {}, ['believe']),
    ({'best': Operating(-1., .5, .6, .55, .4)}, {}, ['doubt']),
    ({'best': BELIEVED, 'now': BELIEVED, 'near': .5, 'found': 5}, {}, ['sharpen']),
    ({'best': BELIEVED, 'now': BELIEVED, 'near': .5, 'found': 4}, {}, ['look']),
    ({'best': BELIEVED, 'now': BELIEVED, 'taken': ((2, .35), )}, {}, ['separate']),
    ({'best': BELIEVED, 'now': BELIEVED}, {'images': 20, 'num_images': 401}, ['see']),
    ({'best': BELIEVED, 'now': BELIEVED}, {'crop_share': .04}, ['see']),
    ({'best': None, 'now': None}, {'images': None, 'num_images': None, 'crop_share': None}, ['look']),
])
def test_advice_follows_the_rules(of_fate, of_facts, kinds):
    found = advise(fate(**of_fate), facts(**of_facts), NAMES)
    assert [advice.kind for advice in found] == kinds
    assert all(advice.title and advice.text.endswith('.') for advice in found)


def test_the_story_says_the_numbers():
    text = ' '.join(story(fate(), facts(), NAMES))
    for words in ('30 % of its pixels are found; 30 % are taken for road, 30 % are taken for sign, 10 % for other classes.',
                  '10 % of the lost pixels lie near an edge between classes; of its 10 objects 2 are found',
                  '60 % are right (the others are road 40 %); it is predicted 0.50 times as large',
                  'The best offset of its scores, +0.10, would change the F-score from 0.40 to 0.42.',
                  'Training saw 1,000 pixels of it, 1.0 % of all, in 100 images (25 %) and 20 % of the crops.'):
        assert words in text, text
    assert 'No pixel of car is labelled' in story(fate(labelled=0), facts(), NAMES)[0]
    assert 'It is never predicted.' in story(fate(predicted=0), facts(), NAMES)


def test_rare_is_less_than_an_equal_share():
    stats = ClassStats(pixels=(53, 30, 10, 7, 0))
    assert rarest(stats, 6) == [3, 2], 'neither half of everything nor what never occurs'
    assert rarest(stats, 1) == [3]
    assert rarest(ClassStats(pixels=(5, 5)), 6) == [1]


def test_facts_of_training_count_the_images_with_findings(tmp_path):
    from mmimb.stats import PerImageCounts
    from mmimb.stats.npz import pack
    per_image = PerImageCounts(np.array([0, 2, 3, 5, 6]), np.array([0, 1, 0, 0, 1, 0], np.int32),
                               np.array([5, 2, 8, 3, 4, 1]), ('a/0.png', 'a/1.png', 'a/2.png', 'b/2.png'))
    (tmp_path / 'r.npz').write_bytes(pack(per_image.arrays()))
    audit = {'damaged_label': dict(severity='error', total=1, files=[dict(file='a/2.png', detail='is cut')]),
             'near_duplicate': dict(severity='warning', total=1, files=[dict(file='i/1.jpg', detail='resembles')]),
             'not_checked': dict(severity='note', total=1, files=[dict(file='a/0.png', detail='no')])}
    report = dict(pixels=[17, 6], images=[4, 2], num_images=4, classes=['a', 'b'], per_image='r.npz', audit=audit,
                  crops=dict(per_image=1, seed=0, pixels=[1, 1], images=[4, 1], ignored_pixels=0, num_crops=8))
    (tmp_path / 'r.json').write_text(json.dumps(report))
    with pytest.warns(UserWarning, match='error'):
        found = training_facts(tmp_path / 'r.json')
    assert [(one.pixels, one.images, one.crop_share, one.findings) for one in found] == [
        (17, 4, .5, 2), (6, 2, .125, 1)], 'a finding about a label is not about one of the same name elsewhere'
    assert found[1].example == 'damaged_label: a/2.png is cut'


def test_published_counts_tell_no_findings_and_no_crops():
    found = training_facts('mmimb::cityscapes')
    assert (len(found), found[0].images, found[0].num_images) == (19, 2934, 2975)
    assert {(one.findings, one.crop_share) for one in found} == {(0, None)}


def test_panels_show_what_is_found_lost_and_false():
    label = np.zeros((4, 400), int)
    label[:, :100], label[:, 300:] = 1, -1
    pred = np.where(np.arange(400) < 50, 1, 0)[None].repeat(4, 0)
    pred[:, 100:150] = 1
    palette = np.array([[10, 20, 30], [200, 100, 0]], np.uint8)
    image, of_label, of_pred, errors = picture_panels(np.zeros((4, 400, 3), np.uint8), label, [pred], 1, palette)
    decode = lambda uri: cv2.imdecode(np.frombuffer(base64.b64decode(uri.split(',')[1]), np.uint8), 1).astype(int)  # noqa: E731
    assert image.startswith('data:image/jpeg')
    assert [decode(of_label)[2, x].tolist() for x in (5, 200, 390)] == [[0, 100, 200], [30, 20, 10], [128] * 3]
    assert [decode(of_pred)[2, x].tolist() for x in (5, 120, 390)] == [[0, 100, 200], [0, 100, 200], [128] * 3]
    for x, colour in ((20, FOUND), (75, LOST), (125, FALSE)):
        np.testing.assert_allclose(decode(errors)[2, x], colour, atol=30)
    assert picture_panels(None, label, [pred], 1, palette)[0] == ''


@pytest.fixture(scope='module')
def explained(tiny, tmp_path_factory):
    """The page and the output for the tiny training, against its checkpoint of the fourth iteration."""
    folder = tmp_path_factory.mktemp('explain')
    page = folder / 'page.html'
    result = tool('explain.py', tiny.config, tiny.work / 'iter_8.pth', '--against', tiny.work / 'iter_4.pth', '--html', page,
                  '--work-dir', folder / 'w')
    assert result.returncode == 0, result.stderr[-3000:]
    return SimpleNamespace(html=page.read_bytes(), output=result.stdout)


def predictions(tiny, checkpoint):
    """Counts of the maps that mmseg itself predicts: ``(3, images, C)`` right, labelled, predicted."""
    from mmengine.config import Config
    cfg = Config.fromfile(tiny.config)
    model = init_model(cfg, str(tiny.work / checkpoint), device='cpu')
    counts = np.zeros((3, 8, 3), int)
    for i in range(8):
        pred = inference_model(model, str(tiny.data / f'images/{i}.png')).pred_sem_seg.data[0].numpy()
        label = cv2.imread(str(tiny.data / f'labels/{i}.png'), cv2.IMREAD_UNCHANGED)
        for c in range(3):
            counts[:, i, c] = ((pred == c) & (label == c)).sum(), (label == c).sum(), ((pred == c) & (label != 255)).sum()
    return counts


def test_the_page_has_the_counts_of_the_predictions(tiny, explained):
    page = Page(explained.html)
    assert page.open == []
    rows = {row[0]: row for row in page.rows['numbers'][1:]}
    assert list(rows) == ['sign', 'car', 'road'], 'from rare to frequent'
    first, second = predictions(tiny, 'iter_8.pth').sum(1), predictions(tiny, 'iter_4.pth').sum(1)
    for c, name in enumerate(CLASSES):
        cells = rows[name]
        assert int(cells[5].replace('\u202f', '')) == first[1, c]
        for place, of in ((6, lambda n, c=c: n[0, c] / (n[1, c] + n[2, c] - n[0, c])), (8, lambda n, c=c: n[0, c] / n[1, c])):
            shown = [float(value) for value in cells[place].replace('\xa0', ' ').split(' → ')]
            assert shown == [pytest.approx(100 * of(counts), abs=.0501) for counts in (first, second)], (name, place)
        assert cells[10].split('\xa0')[0] == f'{first[2, c] / first[1, c]:.2f}'
    with np.errstate(invalid='ignore'):
        hits, label, pred = predictions(tiny, 'iter_8.pth')
        of_images = np.nanmean(np.where(label > 0, hits / (label + pred - hits), np.nan), 1)
    tiles = ' '.join(page.text[''].split())
    assert f'mIoU of images{100 * of_images.mean():.1f}' in tiles.replace(' ', ' ')
    assert 'sign: ' in explained.output
    assert '  -> ' in explained.output
    assert 'iter_4.pth: IoU' in explained.output


def test_images_of_the_training_are_told(explained):
    words = '8 of 8 images of --split val are those of the train split: a model is surer of them than of new ones'
    assert f'note: {words}\n' in explained.output
    assert words in explained.html.decode()
    assert 'of the test split' not in explained.output, 'explaining makes no score too good'


def test_the_page_loads_nothing_and_runs_only_its_own_script(explained):
    html = explained.html.decode()
    page = Page(explained.html)
    policy, = [a['content'] for tag, a in page.elements if a.get('http-equiv') == 'Content-Security-Policy']
    script, = re.findall(r'<script>(.*?)</script>', html, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith('on')]
        for name in ('src', 'href', 'srcset'):
            assert attributes.get(name, '#').startswith(('#', 'data:image/')), attributes
    ids = [attributes['id'] for _, attributes in page.elements if 'id' in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes['href'][1:] for tag, attributes in page.elements if tag == 'a'}
    assert targets <= set(ids), 'a link that leads nowhere'
    assert any(target.startswith('taken-2-') for target in targets), 'a cell of the matrix leads to an image'
    assert {'stories', 'confusion', 'images', 'frequency', 'numbers', 'provenance'} <= set(page.text)


def test_worst_images_are_ordered_by_iou_then_by_what_is_lost():
    metric = build(classes=NAMES, keep_counts=True)
    images = [([2] * 4 + [0] * 6, [0] * 10), ([2] * 8 + [0] * 2, [2] * 2 + [0] * 8), ([2] * 2 + [0] * 8, [0] * 10),
              ([2] * 5 + [0] * 5, [2] * 5 + [0] * 5), ([0] * 10, [0] * 10)]
    maps = [(np.array([pred, pred]), np.array([label, [255] * 10])) for label, pred in images]
    run(metric, [sample(*one) for one in maps])
    found = RunEvidence('x', NAMES, {}, metric.counts, anatomy_of(maps))
    assert found.worst_images(2, 9) == [0, 2, 1, 3]
    assert found.most_lost(2, 9) == [1, 0, 2]
    assert [(one.image, one.kind, one.other) for one in chosen(found, [2])] == [
        (0, 'worst', -1), (2, 'worst', -1), (1, 'lost', -1), (1, 'taken', 0)]
    of_sign = found.fates()[2]
    assert (of_sign.labelled, of_sign.predicted, of_sign.images) == (19, 7, 4)
    assert of_sign.taken == ((0, 12 / 19), )
    assert of_sign.iou == pytest.approx(7 / 19)
    assert of_sign.mean_iou == pytest.approx((0 + 2 / 8 + 0 + 1) / 4)
    assert of_sign.best is None
    assert (of_sign.from_others, found.fates()[0].from_others) == ((), ((2, 12 / 43), ))


def test_bad_input_is_one_line_and_nothing_is_written(tiny, tmp_path):
    page, weights = tmp_path / 'p.html', tiny.work / 'iter_8.pth'
    common = ('--html', page, '--work-dir', tmp_path / 'w')
    plain = make_config(tmp_path / 'plain.py', tiny.data, tiny.stats, "val_evaluator = dict(type='IoUMetric')\n")
    for arguments, words in (
            ((plain, weights, *common), '`--stats` must name the report of `mmimb scan CONFIG`'),
            ((tiny.config, weights, *common, '--stats', tmp_path / 'none.json'), 'none.json'),
            ((tiny.config, weights, *common, '--split', 'all'), '`--split` must be one of'),
            ((tiny.config, tmp_path / 'none.pth', *common), '`checkpoint` must be an existing file'),
            ((tiny.config, weights, *common, '--against', tmp_path / 'none.pth'), '`checkpoint` must be an existing file'),
            ((tiny.config, weights, '--html', tmp_path / 'p.txt'), '`--html` must be a path that ends with .html')):
        result = refused('explain.py', *arguments)
        assert result.returncode == 2
        assert result.stderr.startswith('error: '), result.stderr
        assert result.stderr.count('\n') == 1
        assert words in result.stderr
    assert not page.exists()


def test_other_classes_than_those_of_the_split_are_one_line():
    with pytest.raises(ValueError, match=r'must be of a model with the classes .*, got .a\.pth. with road, car, tree'):
        _check_trained('a.pth', {'dataset_meta': {'classes': ['road', 'car', 'tree']}}, CLASSES)
    _check_trained('a.pth', {'dataset_meta': {'classes': list(CLASSES)}}, CLASSES)
    _check_trained('a.pth', {}, CLASSES)
    dataset = SimpleNamespace(metainfo={'classes': CLASSES})
    assert fitting_classes(dataset, 3) == CLASSES
    assert fitting_classes(SimpleNamespace(), 2) == ('0', '1')
    with pytest.raises(ValueError, match='must have the 4 classes of the model, got 3'):
        fitting_classes(dataset, 4)
    heads = [SimpleNamespace(out_channels=channels, num_classes=4) for channels in (3, 1, None)]
    assert [_num_classes(head) for head in heads] == [3, 2, 4]


def test_a_split_without_labels_is_one_line(tiny, tmp_path):
    pipeline = "[dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]"
    config = make_config(tmp_path / 'u.py', tiny.data, tiny.stats, f"val_dataloader['dataset']['pipeline'] = {pipeline}\n")
    result = refused('explain.py', config, tiny.work / 'iter_8.pth', '--html', tmp_path / 'p.html')
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith('error: `pipeline` of BaseSegDataset must hold a LoadAnnotations')
    assert not (tmp_path / 'p.html').exists()


EVIL = '<script>alert(1)</script>'


def explanation(classes: tuple[str, ...], images: int = 6) -> Explanation:
    """An explanation of random predictions; the last class is rare, and another one never occurs."""
    rng = np.random.default_rng(0)
    number = len(classes)
    metric, scores, anatomy = build(classes=classes, keep_counts=True), PrecisionRecallMetric(), AnatomyMetric()
    scores.dataset_meta = anatomy.dataset_meta = metric.dataset_meta
    pictures = {}
    for i in range(images):
        label = rng.integers(0, number - 1, (12, 16))
        label[:2, :3], label[0, -1] = number - 1, 255
        label[label == 1] = 0
        logits = rng.normal(size=(number, 12, 16)) + 2 * (np.arange(number)[:, None, None] == label)
        one = {**sample(logits.argmax(0), label, f'{EVIL}{i}.png'), 'seg_logits': {'data': torch.tensor(logits)}}
        for each in (metric, scores, anatomy):
            each.process(None, [one])
        pictures[i] = Picture(f'{EVIL}{i}.png', None if i < 3 else np.zeros((12, 16, 3), np.uint8),
                              np.where(label == 255, -1, label), [logits.argmax(0)])
    metrics = {**metric.evaluate(images), **scores.evaluate(images)}
    anatomy.evaluate(images)
    run_of = RunEvidence(f'{EVIL}.pth', classes, metrics, metric.counts, anatomy.anatomy, scores.curves)
    stats = ClassStats(pixels=(900, *[0 if c == 1 else 100 for c in range(1, number - 1)], 3), classes=classes)
    rare = tuple(rarest(stats, 6))
    facts_of = tuple(facts(images=None, num_images=None, crop_share=None, pixels=p, share=p / 9999) for p in stats.pixels)
    palette = rng.integers(0, 255, (number, 3)).astype(np.uint8)
    return Explanation(f'{EVIL} title', 'val', f'{EVIL}.json', (run_of, ), stats, facts_of, rare, palette, chosen(run_of, rare),
                       pictures, (f'`{EVIL}` is a notice', ))


def test_no_name_becomes_code():
    names = ('sky', 'never', f'{EVIL}"onload="x', 'sign\x07\n\ud800')
    found = explanation(names)
    html = render_explanation(found)
    page = Page(html)
    assert page.open == []
    assert sum(tag == 'script' for tag, _ in page.elements) == 1
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith('on')]
    for section in ('stories', 'confusion', 'images', 'frequency', 'numbers', 'provenance'):
        assert '<script>' in page.text[section], 'shown as it is written'
    assert page.text['images'].count('the image cannot be read') >= 1
    assert [row[0] for row in page.rows['numbers'][1:]][:1] == ['never'], 'what never occurs is the rarest'
    assert all('\x07' not in line and '\n' not in line for line in explained_lines(found))


def test_150_classes_stay_a_page_that_opens():
    html = render_explanation(explanation(tuple(f'thing {c:03d}' for c in range(150)), images=3))
    assert len(html) < 3_000_000
    page = Page(html)
    assert len(page.rows['numbers']) == 151
    assert sum(tag == 'rect' for tag, _ in page.elements) < 10_000
