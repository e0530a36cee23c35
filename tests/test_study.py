"""benchmarks/study: arms, equal conditions, resuming, intervals and tables; on made-up features, without the encoder."""
# ruff: noqa: E402  (the folder of the study comes first)
from __future__ import annotations

import csv
import json
import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from test_compare_images import CLASSES as COMPARED
from test_compare_images import confusion_of, scores_of, write_test

STUDY = ROOT / 'benchmarks/study'
sys.path[:0] = [str(STUDY), str(STUDY.parent)]

import bootstrap
import collect_scratch
import features as study_features
import frozen
import run as study_run
import scoring
import store
import tables
import tune
from arms import ARMS
from encoder import CHANNELS, STRIDES
from sets import SETS, StudySet, tail_classes

CLASSES = ['road', 'car', 'pole', 'bike']
STATS = {'classes': CLASSES, 'pixels': [9000, 800, 90, 20], 'images': [6, 5, 3, 2], 'num_images': 6, 'ignored_pixels': 4,
         'image_pixels': [12000, 9000, 6000, 4000]}
SMALL = frozen.Schedule(iterations=3, batch=2, warmup=1, channels=8)


def write_features(folder: Path, items: int, size: int = 32, classes: int = 4) -> study_features.Features:
    """Write random features and labels as :func:`features.ensure_features` does."""
    rng = np.random.default_rng(items)
    folder.mkdir(parents=True)
    for channels, stride in zip(CHANNELS, STRIDES, strict=True):
        np.save(folder / f'stride{stride}.npy', rng.normal(size=items * channels * (size // stride) ** 2).astype(np.float16))
    labels = rng.integers(classes, size=(items, size, size)).astype(np.uint8)
    labels[:, :3] = 255
    np.save(folder / 'labels.npy', labels.ravel())
    present = np.stack([np.bincount(x.ravel(), minlength=256)[:255] > 0 for x in labels])
    np.save(folder / 'present.npy', present)
    (folder / 'meta.json').write_text(json.dumps({'stems': [f'a_{k}' for k in range(items)], 'shapes': [[size, size]] * items,
                                                  'sizes': [[size, size]] * items}))
    return study_features.Features(folder)


@pytest.fixture
def fit(tmp_path) -> study_features.Features:
    return write_features(tmp_path / 'fit', 12)


def test_items_are_where_they_were_written(fit, tmp_path) -> None:
    values = np.load(tmp_path / 'fit/stride8.npy').reshape(12, CHANNELS[1], 4, 4)
    found, label = fit.batch([7, 2], 'cpu')
    assert torch.equal(found[1], torch.from_numpy(values[[7, 2]]).float())
    assert label.shape == (2, 32, 32)
    assert (label[:, :3] == 255).all()
    assert fit.present[:, :4].all()
    assert not fit.present[:, 4:].any()


@pytest.mark.parametrize('name', ARMS)
@pytest.mark.filterwarnings('ignore:.*(extreme|no effect)')
def test_every_arm_trains(name, fit) -> None:
    head, seconds = frozen.train(ARMS[name], STATS, fit, SMALL, seed=3, views=2)
    assert seconds > 0
    start = frozen.build_head(ARMS[name], STATS, SMALL, 3)
    moved = [k for k, v in frozen.network_state(head).items() if not torch.equal(v, frozen.network_state(start)[k])]
    assert 'conv_seg.weight' in moved
    assert all(torch.isfinite(v).all() for v in frozen.network_state(head).values())


@pytest.mark.parametrize('name', ['ce', 'ce-if0.5', 'mse', 'ce-lovasz0.5', 'distribution-balanced'])
def test_total_loss_is_that_of_the_head(name, fit) -> None:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    head = frozen.build_head(ARMS[name], STATS, SMALL, 0).train()
    found, label = fit.batch([0, 5], 'cpu')
    logits = head(found)
    stock = head.loss_by_feat(logits, [SegDataSample(gt_sem_seg=PixelData(data=y[None])) for y in label])
    expected = sum(v for k, v in stock.items() if 'loss' in k)
    torch.testing.assert_close(frozen.total_loss(head, logits, label), expected)


def test_arms_differ_in_the_loss_alone(fit) -> None:
    linear = [name for name, arm in ARMS.items() if arm.classifier == 'linear']
    states = {name: frozen.network_state(frozen.build_head(ARMS[name], STATS, SMALL, 5)) for name in linear}
    for state in states.values():
        assert state.keys() == states['ce'].keys()
        assert all(torch.equal(state[k], states['ce'][k]) for k in state)
    other = frozen.network_state(frozen.build_head(ARMS['ce'], STATS, SMALL, 6))
    assert not torch.equal(other['conv_seg.weight'], states['ce']['conv_seg.weight'])


def test_data_order(fit) -> None:
    schedule = frozen.Schedule(iterations=6, batch=2)
    order = frozen.data_order(fit, schedule, 4, views=2)
    assert np.array_equal(order, frozen.data_order(fit, schedule, 4, views=2))
    assert not np.array_equal(order, frozen.data_order(fit, schedule, 5, views=2))
    assert sorted(order.ravel()[:6] // 2) == list(range(6))  # an epoch shows every image once
    assert set(order.ravel() % 2) == {0, 1}
    rare = frozen.data_order(fit, schedule, 4, 2, temperature=0.01, pixels=STATS['pixels'])
    assert rare.shape == order.shape


def test_rare_sampling_draws_views_that_hold_the_class(fit) -> None:
    fit.present[:, 3] = False
    fit.present[[4, 9], 3] = True
    order = frozen.data_order(fit, frozen.Schedule(iterations=100, batch=4), 0, 2, temperature=0.01, pixels=STATS['pixels'])
    share = np.array(STATS['pixels']) / sum(STATS['pixels'])
    expected = np.exp((1 - share) / 0.01 - ((1 - share) / 0.01).max())
    expected = (expected / expected.sum())[3]
    assert np.isin(order, [4, 9]).mean() == pytest.approx(expected + (1 - expected) * 2 / 12, abs=0.08)


def test_average_follows_its_definition(fit) -> None:
    head = frozen.build_head(ARMS['ce'], STATS, SMALL, 0)
    average = frozen.Average(head, 0.9)
    expected = head.conv_seg.bias.detach().clone()
    for step in range(1, 30):
        with torch.no_grad():
            head.conv_seg.bias += step
        average.update(head)
        decay = min(0.9, step / (10 + step))
        expected = decay * expected + (1 - decay) * head.conv_seg.bias.detach()
    torch.testing.assert_close(average.state['conv_seg.bias'], expected)
    assert not any(k.startswith('loss_decode') for k in average.state)


def test_figures() -> None:
    counts = np.array([[[6, 0, 1, 0], [8, 2, 2, 0], [7, 0, 4, 1]], [[3, 0, 0, 0], [4, 0, 0, 0], [4, 0, 0, 0]]])
    found = scoring.figures(counts, [1, 2, 3])
    assert found['iou'][:3] == pytest.approx([100 * 9 / 14, 0, 100 / 5])
    assert np.isnan(found['iou'][3])  # without a labelled pixel
    assert found['mIoU'] == pytest.approx((900 / 14 + 20) / 3)
    assert found['tail'] == pytest.approx(10)
    assert found['tail_precision'] == pytest.approx((0 + 25) / 2)
    assert found['tail_recall'] == pytest.approx((0 + 50) / 2)


def test_counts_and_decision(fit) -> None:
    head = frozen.build_head(ARMS['ce'], STATS, SMALL, 0).eval()
    shift = torch.tensor([0.0, 0.0, 50.0, 0.0])
    plain, moved = (scoring.count_all(head, fit, 4, offsets=offsets) for offsets in (None, shift))
    assert plain.shape == (12, 3, 4)
    assert (plain[:, 1].sum(1) == 29 * 32).all()  # ignored pixels do not count
    assert (moved[:, 2].sum(0)[[0, 1, 3]] == 0).all()
    scores, label = next(iter(scoring.predictions(head, fit)))
    up = torch.nn.functional.interpolate(scores[None], label.shape, mode='bilinear', align_corners=False)[0]
    assert torch.equal(scoring.decide(scores, label.shape), up.argmax(0))


class TestRunning:
    """The loop over jobs, on a study set that exists on disk alone."""

    @pytest.fixture
    def work(self, tmp_path, monkeypatch) -> Path:
        small = StudySet('tiny', '', {}, ratio=(1, 1), crop=(32, 32), views=2, halves=False,
                         schedule={'iterations': 2, 'batch': 2, 'channels': 8})
        monkeypatch.setitem(SETS, 'tiny', small)
        monkeypatch.setattr(study_run, 'tail_classes', lambda name: ['bike'])
        for split, items in (('fit', 6), ('dev', 2), ('test', 3)):
            write_features(tmp_path / 'half/tiny' / split, items)
        (tmp_path / 'half/tiny/stats.json').write_text(json.dumps(STATS))
        plan = [{'stage': 'screen', 'seeds': [0], 'datasets': ['tiny'], 'arms': ['ce', 'ce-if0.5']},
                {'stage': 'confirm', 'seeds': [7, 8], 'datasets': ['tiny'], 'arms': ['ce']}]
        (tmp_path / 'plan.json').write_text(json.dumps(plan))
        return tmp_path

    def main(self, work, monkeypatch) -> list[dict[str, str]]:
        monkeypatch.setattr(sys, 'argv', ['run.py', '--data', str(work), '--work-dir', str(work), '--plan',
                                          str(work / 'plan.json'), '--results', str(work / 'results')])
        assert study_run.main() == 0
        return store.read_rows(work / 'results/frozen_tiny.csv')

    def test_screening_never_reads_test(self, work, monkeypatch) -> None:
        rows = self.main(work, monkeypatch)
        assert [(r['stage'], r['arm'], r['seed']) for r in rows] == [
            ('screen', 'ce', '0'), ('screen', 'ce-if0.5', '0'), ('confirm', 'ce', '7'), ('confirm', 'ce', '8')]
        assert [bool(r['test_mIoU']) for r in rows] == [False, False, True, True]
        assert all(r['dev_mIoU'] and r['dev:pole'] and r['commit'] and r['torch'] for r in rows)
        assert not (work / 'runs/frozen-half/tiny/ce/0/test.npz').exists()

    def test_finished_runs_are_kept_and_broken_ones_repeated(self, work, monkeypatch) -> None:
        first = self.main(work, monkeypatch)
        assert self.main(work, monkeypatch) == first
        (work / 'runs/frozen-half/tiny/ce/8/run.json').unlink()  # as if it had been killed
        again = self.main(work, monkeypatch)
        assert len(again) == 5
        assert {k: v for k, v in again[-1].items() if k != 'train_seconds'} == {
            k: v for k, v in first[-1].items() if k != 'train_seconds'}

    def test_a_failing_run_does_not_stop_the_others(self, work, monkeypatch) -> None:
        (work / 'half/tiny/dev/meta.json').rename(work / 'meta.json')
        monkeypatch.setattr(study_run, 'features_of', lambda job, *_: (_ for _ in ()).throw(OSError(job.arm)))
        monkeypatch.setattr(sys, 'argv', ['run.py', '--data', str(work), '--work-dir', str(work), '--plan',
                                          str(work / 'plan.json'), '--results', str(work / 'results')])
        assert study_run.main() == 1


def hold(folder: str, held, release) -> None:
    with store.claimed(Path(folder)) as mine:
        held.put(mine)
        release.get()


def test_one_process_works_on_a_run(tmp_path) -> None:
    context = multiprocessing.get_context('spawn')
    held, release = context.Queue(), context.Queue()
    process = context.Process(target=hold, args=(str(tmp_path), held, release))
    process.start()
    try:
        assert held.get(timeout=120)
        with store.claimed(tmp_path) as mine:
            assert not mine
    finally:
        release.put(None)
        process.join(60)
    with store.claimed(tmp_path) as mine:
        assert mine


def test_plans_name_arms_and_sets() -> None:
    for path in STUDY.glob('plan*.json'):
        jobs = store.read_plan(path)
        assert jobs
        assert {job.arm for job in jobs} <= set(ARMS)
        assert {job.dataset for job in jobs} <= set(SETS)
        seeds = {stage: {job.seed for job in jobs if job.stage == stage} for stage in ('screen', 'confirm')}
        assert not seeds['screen'] & seeds['confirm']


def test_tails_are_classes_of_their_datasets() -> None:
    from mmseg.registry import DATASETS

    import mmimb.registry  # noqa: F401
    for name, study in SETS.items():
        assert set(tail_classes(name)) <= set(DATASETS.get(study.type).METAINFO['classes'])


def test_camvid_units_are_blocks_of_a_sequence() -> None:
    stems = [f'A_{k}' for k in range(25)] + [f'B_{k}' for k in range(3)]
    assert SETS['camvid'].units(stems, Path()) == ['A-0'] * 20 + ['A-1'] * 5 + ['B-0'] * 3


def test_tile_units_are_groups(tmp_path) -> None:
    (tmp_path / 'magnetic_tile').mkdir()
    (tmp_path / 'magnetic_tile/groups.txt').write_text('a b\nc\n')
    assert SETS['magnetic_tile'].units(['c', 'b', 'a'], tmp_path) == ['1', '0', '0']


def test_tables(tmp_path, monkeypatch, capsys) -> None:
    results = tmp_path / 'results'
    for seed in (10, 11, 12):
        for arm, gain in (('ce', 0.0), ('ce-if0.5', 4.0 + seed % 2)):
            found = {split: {'iou': np.array([80.0, np.nan]), 'mIoU': 50 + gain, 'tail': 20 + gain, 'tail_precision': 60.0,
                             'tail_recall': 30.0, 'mAcc': 70.0} for split in ('dev', 'test')}
            job = store.Job('camvid', arm, seed, 'confirm')
            store.append_row(results / 'frozen_camvid.csv', store.result_row(job, 'argmax', {'train_seconds': '40'},
                                                                             ['a', 'b'], found))
    with (results / 'bootstrap.csv').open('w') as file:
        writer = csv.DictWriter(file, ['regime', 'dataset', 'arm', 'decision',
                                       'mIoU_low', 'mIoU_high', 'tail_low', 'tail_high'])
        writer.writeheader()
        writer.writerow(dict(zip(writer.fieldnames, ['frozen', 'camvid', 'ce-if0.5', 'argmax', 1, 9, -1, 9], strict=True)))
    doc = tmp_path / 'doc.md'
    doc.write_text('before <!-- study:begin --> old <!-- study:end --> after')
    monkeypatch.setattr(sys, 'argv', ['tables.py', '--results', str(results), '--doc', str(doc)])
    assert tables.main() == 0
    line = next(row for row in capsys.readouterr().out.splitlines() if row.startswith('| ce-if0.5'))
    half = 4.302652729911275 * np.std([4, 5, 4], ddof=1) / np.sqrt(3)
    interval = f'+4.3 (+{13 / 3 - half:.1f} to +{13 / 3 + half:.1f})'
    assert line == f'| ce-if0.5 | argmax | 3 | 54.3 ± 0.6 | {interval} **better** | 24.3 ± 0.6 | {interval} | 60.0 | 70.0 |'
    text = doc.read_text()
    assert line in text
    assert text.startswith('before ')
    assert text.endswith(' after')
    assert 'old' not in text
    summary = store.read_rows(results / 'summary.csv')
    assert [(r['arm'], r['mIoU_verdict'], r['tail_verdict']) for r in summary] == [('ce', '', ''), ('ce-if0.5', 'better', '')]


def test_a_share_of_the_prior() -> None:
    found = tune.prior_offsets([90, 10, 0], 0.5)
    assert found == pytest.approx([0.5 * np.log(0.9), 0.5 * np.log(0.1), 0.5 * np.log(0.1)])


def test_runs_from_scratch_get_lines_and_intervals(tmp_path, monkeypatch):
    """Two seeds of two setups, scored as from_scratch.sh does; tuned results are those of the setup with another seed."""
    runs, work, results = tmp_path / 'runs', tmp_path / 'work', tmp_path / 'results'
    monkeypatch.setattr(collect_scratch, 'tail_classes', lambda name: ['sign'])
    monkeypatch.setattr(bootstrap, 'tail_classes', lambda name: ['sign'])
    names = [f'seq_{i}.png' for i in range(16)]
    counts = {}
    for setup, rate in (('ce', 0.6), ('ce-root', 0.9)):
        for seed in (0, 1):
            logs = runs / f'{setup}-{seed}/20260101_000000/vis_data'
            logs.mkdir(parents=True)
            (logs / 'scalars.json').write_text('\n'.join(
                json.dumps(line) for line in ({'lr': 0.1, 'time': 0.5, 'step': 20}, {'lr': 0.1, 'time': 1.5, 'step': 40},
                                              {'mIoU': 50.0, 'step': 40})))
            for k, split in enumerate(('dev', 'test', 'dev.tuned', 'test.tuned')):
                counts[setup, seed, split] = confusion_of(rate, 10 * k + seed)
                write_test(runs / f'{setup}-{seed}.{split}.json', counts[setup, seed, split], seed, names=names)
    (runs / 'outlying-mse-0.dev.json').write_text('{}')  # not done yet
    write = ['collect_scratch.py', str(runs), '--work-dir', str(work), '--results', str(results), '--commit', 'abc']
    for _ in range(2):  # the second time gives the same file
        monkeypatch.setattr(sys, 'argv', write)
        assert collect_scratch.main() == 0
    rows = store.read_rows(results / 'scratch_camvid.csv')
    assert [(r['arm'], r['seed'], r['decision']) for r in rows] == [
        (arm, seed, way) for arm in ('ce', 'ce-if0.5') for seed in '01' for way in ('argmax', 'tuned-mIoU')]
    assert {(r['commit'], r['iterations'], r['train_seconds'], r['regime']) for r in rows} == {('abc', '40', '40.0', 'scratch')}
    for row, (setup, seed) in zip(rows[::2], [('ce', 0), ('ce', 1), ('ce-root', 0), ('ce-root', 1)], strict=True):
        expected = scores_of(counts[setup, seed, 'test'].sum(0))
        assert float(row['test_mIoU']) == pytest.approx(expected['mIoU'], abs=1e-3)
        assert float(row['test_tail']) == pytest.approx(expected['IoU.sign'], abs=1e-3)
        assert float(row['test:car']) == pytest.approx(expected['IoU.car'], abs=1e-3)
    (work / 'half/camvid').mkdir(parents=True)
    (work / 'half/camvid/stats.json').write_text(json.dumps({'classes': COMPARED}))
    monkeypatch.setattr(sys, 'argv', ['bootstrap.py', '--data', str(tmp_path), *write[2:-2]])
    assert bootstrap.main() == 0
    found = {(r['regime'], r['arm'], r['decision']): r for r in store.read_rows(results / 'bootstrap.csv')}
    ways = ('ce', 'tuned-mIoU'), ('ce-if0.5', 'argmax'), ('ce-if0.5', 'tuned-mIoU')
    assert set(found) == {('scratch', *way) for way in ways}
    gain = np.mean([scores_of(counts['ce-root', s, 'test'].sum(0))['mIoU'] - scores_of(counts['ce', s, 'test'].sum(0))['mIoU']
                    for s in (0, 1)])
    line = found['scratch', 'ce-if0.5', 'argmax']
    assert float(line['mIoU']) == pytest.approx(gain, abs=1e-3)
    assert line['units'] == '1'
