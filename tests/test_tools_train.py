"""tools/train.py and tools/test.py as users run them, on a tiny real data set."""
from __future__ import annotations

import json
import os
import shutil

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from support.tiny_run import CLASSES, error_line, iterations, make_report, refused, tiny, tool
from test_engine_checkpoint import Crafted

from mmimb.stats import ClassStats, EvaluatedCounts, image_scores

__all__ = ['tiny']  # a fixture
METRICS = ('mIoU', 'mAcc', 'aAcc', 'mIoU_head', 'mIoU_tail', 'IoU.car', 'Acc.sign', 'Precision.road')


def test_training_ends_and_validates(tiny):
    assert iterations(tiny.output) == list(range(1, 9))
    assert 'mIoU_tail' in tiny.output
    assert 'synchronised batch norm became ordinary' in tiny.output


def test_checkpoint_is_plain_and_complete(tiny):
    checkpoint = torch.load(tiny.work / 'iter_8.pth', weights_only=True)
    assert {'meta', 'state_dict', 'message_hub', 'optimizer', 'param_schedulers'} <= set(checkpoint)
    assert checkpoint['meta']['iter'] == 8
    assert checkpoint['meta']['dataset_meta']['classes'] == CLASSES


def test_dumped_config_holds_the_counts(tiny):
    dumped = Config.fromfile(tiny.work / 'tiny.py')
    stats = ClassStats.load(dumped.model.decode_head.loss_decode.stats)
    assert stats == ClassStats.load(tiny.stats)
    assert dumped.resume is False
    assert dumped.get('load_from') is None


def test_inference_without_the_statistics_file(tiny, tmp_path):
    from mmseg.apis import inference_model, init_model
    image = cv2.imread(str(tiny.data / 'images/3.png'))
    away = tiny.stats.rename(tmp_path / 'away.json')
    try:
        for config in (tiny.work / 'tiny.py', tiny.config):
            cfg = Config.fromfile(config)
            model = init_model(cfg, str(tiny.work / 'iter_8.pth'), device='cpu')
            assert inference_model(model, image).pred_sem_seg.data.shape == (1, 64, 64)
        result = tool('test.py', tiny.config, tiny.work / 'iter_8.pth', '--work-dir', tmp_path / 'w')
        assert result.returncode == 0, result.stderr[-2000:]
        line = error_line(refused('train.py', tiny.config, '--work-dir', tmp_path / 'none'))
        assert 'stats.json' in line
        assert not (tmp_path / 'none').exists()
    finally:
        away.rename(tiny.stats)


def test_test_writes_the_metrics(tiny):
    dumped = (tiny.work / 'tiny.py').read_bytes()
    result = tool('test.py', 'tiny.py', 'work/iter_8.pth', '--out', 'out/metrics.json', '--show-dir', 'show', '--work-dir',
                  'work', cwd=tiny.folder)
    assert result.returncode == 0, result.stderr[-3000:]
    report = json.loads((tiny.folder / 'out/metrics.json').read_text())
    assert set(METRICS) <= set(report['metrics'])
    assert all(isinstance(value, float) for value in report['metrics'].values())
    assert report['config'] == 'tiny.py'
    assert report['checkpoint'] == 'work/iter_8.pth'
    assert report['seed'] == 3
    assert report['classes'] == list(CLASSES)
    assert report['groups'] == {'head': ['road'], 'medium': ['car'], 'tail': ['sign']}
    assert sorted(os.listdir(tiny.folder / 'out')) == ['metrics.counts.npz', 'metrics.json']
    counts = EvaluatedCounts.load(tiny.folder / 'out/metrics.json')
    assert counts.files == tuple(f'{i}.png' for i in range(8))
    assert counts.totals(3)[1].tolist() == [8 * (61 * 64 - 22 * 32 - 64), 8 * 22 * 32, 8 * 64], 'the labels that were written'
    hits, label, prediction = counts.totals(3)
    assert report['metrics']['IoU.road'] == pytest.approx(100 * hits[0] / (label[0] + prediction[0] - hits[0]), abs=.00501)
    assert report['areas']['sign'] == {'label': 512, 'prediction': int(prediction[2])}
    assert report['image_scores']['mIoU_C'] == pytest.approx(image_scores(counts, 3)['mIoU_C'], abs=.00501)
    assert len(list((tiny.folder / 'show').rglob('*.png'))) == 8
    assert (tiny.work / 'tiny.py').read_bytes() == dumped, 'testing overwrote the config of the training'
    assert f'mIoU: {report["metrics"]["mIoU"]:.4f}' in tiny.output.rsplit('Iter(val)', 1)[1]


def test_resume_passes_over_a_truncated_checkpoint(tiny, tmp_path):
    shutil.copytree(tiny.work, tmp_path / 'work')
    (tmp_path / 'work/last_checkpoint').write_text(str(tmp_path / 'work/iter_8.pth'))
    os.truncate(tmp_path / 'work/iter_8.pth', 2000)
    result = tool('train.py', tiny.config, '--work-dir', tmp_path / 'work', '--resume')
    assert result.returncode == 0, result.stderr[-3000:]
    assert 'iter_8.pth' in result.stdout
    assert 'trying the one before' in result.stdout
    assert iterations(result.stdout) == [5, 6, 7, 8]
    whole, resumed = (torch.load(folder / 'iter_8.pth', weights_only=True) for folder in (tiny.work, tmp_path / 'work'))
    losses = [checkpoint['message_hub']['log_scalars']['train/loss']['log'] for checkpoint in (whole, resumed)]
    assert len(losses[1]) == 8, 'the log history of the first part is gone'
    assert torch.equal(*losses), 'the resumed part differs'
    assert all(torch.equal(whole['state_dict'][key], resumed['state_dict'][key]) for key in whole['state_dict'])


def test_resume_with_nothing_there_starts_anew_with_a_seed(tiny, tmp_path):
    result = tool('train.py', tiny.config, '--work-dir', tmp_path / 'w', '--resume', '--seed', 11, '--cfg-options',
                  'train_cfg.max_iters=1', 'train_dataloader.num_workers=1')
    assert result.returncode == 0, result.stderr[-3000:]
    assert 'nothing to resume' in result.stdout
    assert torch.load(tmp_path / 'w/iter_1.pth', weights_only=True)['meta']['seed'] == 11


@pytest.mark.slow
def test_checkpoints_from_elsewhere(tiny, tmp_path):
    stock = torch.load(tiny.work / 'iter_4.pth', weights_only=True)
    stock['message_hub']['log_scalars'] = {'train/loss': HistoryBuffer([1.0], [1])}
    stock['message_hub']['resumed_keys'] = {'train/loss': True}
    torch.save(stock, tmp_path / 'stock.pth')
    torch.save({**stock, 'x': Crafted(tmp_path / 'mark')}, tmp_path / 'crafted.pth')
    work = ('--work-dir', tmp_path / 'w')
    line = error_line(refused('train.py', tiny.config, *work, '--resume', tmp_path / 'stock.pth'))
    assert 'HistoryBuffer' in line
    assert '--trust-checkpoint' in line
    for result in (tool('train.py', tiny.config, *work, '--resume', tmp_path / 'crafted.pth'),
                   refused('train.py', tiny.config, *work, '--cfg-options', f'load_from={tmp_path / "crafted.pth"}'),
                   refused('test.py', tiny.config, tmp_path / 'crafted.pth', *work)):
        assert 'crafted.pth' in error_line(result)
    assert not (tmp_path / 'mark').exists()
    assert not (tmp_path / 'w').exists()
    result = tool('train.py', tiny.config, *work, '--resume', tmp_path / 'stock.pth', '--trust-checkpoint')
    assert result.returncode == 0, result.stderr[-3000:]
    assert iterations(result.stdout) == [5, 6, 7, 8]


def test_a_label_out_of_range_is_named_and_the_folder_stays_usable(tiny, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(tiny.data, data)
    for i in range(8):
        label = cv2.imread(str(data / f'labels/{i}.png'), 0)
        label[50, 50] = 7
        cv2.imwrite(str(data / f'labels/{i}.png'), label)
    options = ('--work-dir', tmp_path / 'w', '--cfg-options', f'train_dataloader.dataset.data_root={data}',
               'train_dataloader.num_workers=2')
    line = error_line(tool('train.py', tiny.config, *options))
    assert line == 'error: `target` must be in [0, 3) or ignore_index=255, got 7'
    for path in data.glob('labels/*'):
        path.write_bytes(b'no image')
    line = error_line(tool('train.py', tiny.config, *options))
    assert 'labels' in line or 'image' in line or 'decode' in line, line


@pytest.mark.parametrize(('classes', 'words'), [(CLASSES[:2], 'the 3 classes of the model, got 2'),
                                                (('road', 'bus', 'sign'), "class 1 is 'car' there")])
def test_statistics_that_do_not_fit_are_one_line(tiny, tmp_path, classes, words):
    report = make_report(tmp_path / 'other.json', classes=classes)
    result = refused('train.py', tiny.config, '--work-dir', tmp_path / 'w', '--cfg-options',
                     f'model.decode_head.loss_decode.stats={report}')
    assert words in error_line(result)
    assert not (tmp_path / 'w').exists()


def test_a_missing_dataset_shows_the_tree(tiny, tmp_path):
    result = tool('train.py', tiny.config, '--work-dir', tmp_path / 'w', '--cfg-options',
                  f'train_dataloader.dataset.data_root={tmp_path / "nowhere"}')
    assert 'train_dataloader.dataset' in error_line(result)
    assert 'expected tree' in result.stderr
    assert 'MISSING' in result.stderr


LOSS = 'model.decode_head.loss_decode'


@pytest.mark.parametrize(('override', 'words'), [
    (f'{LOSS}.reduction=avg', f'{LOSS}: `reduction` must be one of'),
    (f'{LOSS}.type=mmimb.Nope', f"{LOSS}: `type` must be a registered model, got 'mmimb.Nope'"),
    (f'{LOSS}.loss_weight=x', f'{LOSS}: `loss_weight` must be a finite number'), (f'{LOSS}.gamma=2', f'{LOSS}: `gamma` is no'),
    (f'{LOSS}.type=CrossEntropyLoss', f'{LOSS}: ')])
def test_a_bad_loss_is_one_line_and_nothing_is_written(tiny, tmp_path, override, words):
    line = error_line(refused('train.py', tiny.config, '--work-dir', tmp_path / 'w', '--cfg-options', override))
    assert line.startswith(f'error: {words}')
    assert not (tmp_path / 'w').exists()
