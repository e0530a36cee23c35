"""tools/tune_offsets.py: from a checkpoint to one with offsets, and back."""
from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny_run import (
    CLASSES,
    command,
    environment,
    error_line,
    free_port,
    make_config,
    make_dataset,
    make_report,
    refused,
    same_weights,
    tool,
)

from mmimb.analysis.offset_objective import Objective
from mmimb.analysis.offset_table import tuning_sentence, tuning_table
from mmimb.engine.evaluation import TestOptions, evaluate
from mmimb.engine.tuned_file import RECORD
from mmimb.engine.tuning import TuneOptions, tune_checkpoint, undo_offsets
from mmimb.engine.tuning_run import TuneResult, confirmed

EXTRA = '''
model['decode_head']['loss_decode'] = dict(type='mmimb.CrossEntropyLoss')
train_cfg = dict(type='IterBasedTrainLoop', max_iters=40, val_interval=100)
optim_wrapper['optimizer']['lr'] = 0.1
param_scheduler = []
default_hooks['checkpoint']['interval'] = 40
'''
BIAS = 'decode_head.conv_seg.bias'


class Trained:
    """A trained network whose bias favours the rare classes, as weights would make it, and its offsets for mIoU."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data, self.stats = make_dataset(folder / 'data'), make_report(folder / 'stats.json')
        self.config = make_config(folder / 'tiny.py', self.data, self.stats, EXTRA)
        result = tool('train.py', self.config, '--work-dir', folder / 'work')
        assert result.returncode == 0, result.stderr[-3000:]
        content = torch.load(folder / 'work/iter_40.pth', weights_only=True)
        content['state_dict'][BIAS] += torch.tensor([0., 2., 3.])
        self.checkpoint = folder / 'biased.pth'
        torch.save(content, self.checkpoint)
        self.tuned = folder / 'tuned.pth'
        self.result = self.tune(self.checkpoint, self.tuned)

    def options(self, checkpoint: Path, out: Path, **changes: Any) -> TuneOptions:
        return TuneOptions(**{**dict(config=str(self.config), checkpoint=str(checkpoint), out=str(out),
                                     work_dir=str(self.folder / 'logs')), **changes})

    def tune(self, checkpoint: Path, out: Path, **changes: Any) -> TuneResult:
        result = tune_checkpoint(self.options(checkpoint, out, **changes))
        assert result is not None
        return result

    def test(self, checkpoint: Path) -> dict[str, float]:
        return evaluate(TestOptions(str(self.config), str(checkpoint), work_dir=str(self.folder / 'logs')))['metrics']


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Trained:
    return Trained(tmp_path_factory.mktemp('trained'))


def load(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def test_the_file_is_a_plain_checkpoint_with_another_bias(trained) -> None:
    before, after = load(trained.checkpoint), load(trained.tuned)
    assert set(after) == {'state_dict', 'meta', RECORD}
    assert after['meta'] == before['meta']
    changed = [key for key, value in after['state_dict'].items() if not torch.equal(value, before['state_dict'][key])]
    assert changed == [BIAS]
    offsets = after['state_dict'][BIAS] - before['state_dict'][BIAS]
    np.testing.assert_allclose(offsets, trained.result.tuning.offsets, atol=1e-6)
    record = after[RECORD]
    assert record['objective'] == 'mIoU'
    assert (record['split'], record['images'], record['groups'], record['classes']) == ('val', 8, 8, list(CLASSES))
    assert len(record['fingerprint']) == 64
    assert torch.equal(record['bias'], before['state_dict'][BIAS])


def test_the_figures_are_those_of_an_evaluation_of_both_files(trained) -> None:
    tuning = trained.result.tuning
    for path, counts, value in ((trained.checkpoint, trained.result.before, tuning.before),
                                (trained.tuned, trained.result.after, tuning.after)):
        metrics = trained.test(path)
        assert metrics['mIoU'] == pytest.approx(value, abs=0.006)
        for c, name in enumerate(CLASSES):
            assert metrics[f'Acc.{name}'] == pytest.approx(100 * counts.hits[c] / counts.labels[c], abs=0.006)
    assert tuning.after > tuning.before + 1
    assert tuning.interval[0] <= tuning.gain <= tuning.interval[1]


def test_stock_mmseg_loads_it_and_decides_by_shifted_scores(trained) -> None:
    import cv2
    from mmengine.config import Config
    from mmseg.apis import inference_model, init_model
    config = Config.fromfile(trained.config)
    config.model.decode_head.loss_decode = dict(type='CrossEntropyLoss')
    image = cv2.imread(str(trained.data / 'images/3.png'))
    plain, tuned = (inference_model(init_model(config, str(path), device='cpu'), image)
                    for path in (trained.checkpoint, trained.tuned))
    shifted = plain.seg_logits.data.double() + torch.from_numpy(trained.result.tuning.offsets).view(-1, 1, 1)
    torch.testing.assert_close(tuned.seg_logits.data.double(), shifted, rtol=0, atol=1e-5)
    assert (tuned.pred_sem_seg.data != plain.pred_sem_seg.data).any()


def test_undo_gives_the_weights_back_bit_by_bit(trained, tmp_path) -> None:
    out = tmp_path / 'plain.pth'
    undo_offsets(trained.options(trained.tuned, out))
    assert same_weights(out, trained.checkpoint)
    assert RECORD not in load(out)
    with pytest.raises(ValueError, match=r'`--undo` must be given for a checkpoint of `mmimb tune`'):
        undo_offsets(trained.options(out, tmp_path / 'again.pth'))


def test_tuning_again_replaces_the_offsets(trained, tmp_path) -> None:
    again = trained.tune(trained.tuned, tmp_path / 'again.pth')
    assert again.tuning.offsets.tobytes() == trained.result.tuning.offsets.tobytes()
    assert same_weights(tmp_path / 'again.pth', trained.tuned)
    other = trained.tune(trained.tuned, tmp_path / 'other.pth', objective='worst', blocks=2)
    assert other.tuning.num_groups == 4
    assert load(tmp_path / 'other.pth')[RECORD]['objective'] == 'worst'
    undo_offsets(trained.options(tmp_path / 'other.pth', tmp_path / 'plain.pth'))
    assert same_weights(tmp_path / 'plain.pth', trained.checkpoint)


def test_half_of_the_class_weights_is_where_the_search_starts(trained, tmp_path) -> None:
    weighted = dict(cfg_options=['model.decode_head.loss_decode.class_weight=[1,7.389056,9.0]'])  # log: 0, 2, 2.2
    result = trained.tune(trained.checkpoint, tmp_path / 'half.pth', **weighted)
    assert result.tuning.start is not None
    assert 'Start: half of the class weights taken back, which changes mIoU by +' in tuning_sentence(result.tuning)
    assert load(tmp_path / 'half.pth')[RECORD]['start_gain'] == result.tuning.start.gain
    assert load(trained.tuned)[RECORD]['start_gain'] is None
    assert result.tuning.before == trained.result.tuning.before
    assert result.tuning.after >= result.tuning.before + result.tuning.start.gain - 0.5
    root = [f'model.decode_head.loss_decode.class_weight.{part}' for part in ('type=mmimb.InverseFrequency', 'power=0.5')]
    scheme = trained.tune(trained.checkpoint, tmp_path / 'root.pth', cfg_options=[
        *root, f'model.decode_head.loss_decode.class_weight.stats={trained.stats}'])
    assert not any('cannot be taken back' in notice for notice in scheme.notices)
    absent = trained.tune(trained.checkpoint, tmp_path / 'absent.pth', cfg_options=[
        *root, 'model.decode_head.loss_decode.class_weight.stats=absent.json'])
    assert absent.tuning.start is None
    assert 'half of the class weights cannot be taken back: `stats` must be' in '\n'.join(absent.notices)
    with pytest.raises(ValueError, match="`start` must be 'half-weights' or 'none', got 'half'"):
        trained.tune(trained.checkpoint, tmp_path / 'none.pth', start='half')
    plain = trained.tune(trained.checkpoint, tmp_path / 'none.pth', start='none', **weighted)
    assert plain.tuning.start is None
    assert plain.tuning.offsets.tobytes() == trained.result.tuning.offsets.tobytes()


def test_no_change_leaves_the_bits_alone(trained, tmp_path) -> None:
    """The road alone: no offset can make it better."""
    data = make_dataset(tmp_path / 'data')
    import cv2
    for path in (data / 'labels').iterdir():
        cv2.imwrite(str(path), np.zeros((64, 64), np.uint8))
    config = make_config(tmp_path / 'road.py', data, trained.stats, EXTRA)
    calm = load(trained.checkpoint)
    calm['state_dict'][BIAS] += torch.tensor([1e4, 0, 0])
    torch.save(calm, tmp_path / 'calm.pth')
    result = trained.tune(tmp_path / 'calm.pth', tmp_path / 'out.pth', config=str(config))
    assert not result.tuning.changed
    assert result.tuning.before == result.tuning.after == 100
    assert same_weights(tmp_path / 'out.pth', tmp_path / 'calm.pth')
    assert load(tmp_path / 'out.pth')[RECORD]['family'] == 'none'


def test_offsets_that_all_pixels_do_not_bear_out_are_dropped(trained) -> None:
    goal = Objective.of('mIoU')
    result = trained.result
    tuning, counts, (notice, ) = confirmed(result.tuning, result.after, result.before, goal)
    assert (tuning.changed, counts is result.after, tuning.before, tuning.after) == (False, True, *2 * [result.tuning.after])
    assert not tuning.offsets.any()
    assert notice.endswith('on all pixels: no change')


def test_the_table_and_the_sentence(trained) -> None:
    result = trained.result
    table = tuning_table(result.tuning, result.classes, result.before, result.after).splitlines()
    assert [line.split()[0] for line in table] == ['class', 'road', 'car', 'sign']
    hits, labels = result.before.hits[2], result.before.labels[2]
    assert f'{100 * hits / labels:.2f} > ' in table[3]
    assert f'{result.tuning.offsets[2]:+.3f}' in table[3]
    text = tuning_sentence(result.tuning)
    assert f'{result.tuning.gain:+.2f} points (80 % interval {result.tuning.interval[0]:+.2f} to' in text
    assert f'{result.tuning.before:.2f} > {result.tuning.after:.2f}' in text
    assert 'No change' in tuning_sentence(replace(result.tuning, family='none'))


def test_notices(trained) -> None:
    text = '\n'.join(trained.result.notices)
    assert '8 of 8 images of --split val are those of the test split: its scores will be too good afterwards' in text
    assert '8 of 8 images of --split val are those of the train split: a model is surer of them than of new ones' in text


def test_a_config_names_the_split(trained, tmp_path) -> None:
    half = tmp_path / 'half'
    shutil.copytree(trained.data, half)
    for i in range(4):
        (half / f'images/{i}.png').unlink()
        (half / f'labels/{i}.png').unlink()
    split = make_config(tmp_path / 'split.py', half, trained.stats, EXTRA)
    result = trained.tune(trained.checkpoint, tmp_path / 'out.pth', split=str(split), stats=str(trained.stats),
                          objective='mIoU_tail')
    assert result.tuning.num_groups == 4
    assert not any('split: ' in notice for notice in result.notices)
    record = load(tmp_path / 'out.pth')[RECORD]
    assert (record['split'], record['images']) == (str(split), 4)


@pytest.mark.slow
def test_two_ranks_write_what_one_does(trained, tmp_path) -> None:
    one, two = tmp_path / 'one.pth', tmp_path / 'two.pth'
    half = tmp_path / 'seven'  # an odd number: one rank gets an image twice
    shutil.copytree(trained.data, half)
    (half / 'images/0.png').unlink()
    (half / 'labels/0.png').unlink()
    config = make_config(tmp_path / 'seven.py', half, trained.stats, EXTRA)
    arguments = (trained.checkpoint, '--work-dir', tmp_path / 'logs', '--for', 'mIoU=1,mAcc=1', '--stats', trained.stats)
    result = tool('tune_offsets.py', config, *arguments, '--out', one)
    assert result.returncode == 0, result.stderr[-3000:]
    assert 'wrote' in result.stdout
    torchrun = [sys.executable, '-m', 'mmimb.engine.torchrun', '--nproc_per_node', '2', '--master_port', free_port()]
    arguments = (*arguments, '--out', two, '--launcher', 'pytorch')
    result = subprocess.run([*torchrun, *command('tune_offsets.py', config, *arguments)[1:]],
                            env=environment(), text=True, capture_output=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.count('wrote') == 1
    assert same_weights(one, two)
    first, second = load(one)[RECORD], load(two)[RECORD]
    assert torch.equal(first.pop('bias'), second.pop('bias'))
    assert first == second
    assert first['images'] == first['groups'] == 7


@pytest.mark.slow
def test_the_test_command_tells_of_offsets_that_it_corrects_again(trained, tmp_path) -> None:
    result = tool('test.py', trained.config, trained.tuned, '--logit-adjustment', 1, '--stats', trained.stats, '--work-dir',
                  tmp_path)
    assert result.returncode == 0
    assert 'the checkpoint has decision offsets' in result.stdout + result.stderr
    result = tool('test.py', trained.config, trained.tuned, '--work-dir', tmp_path, '--out', tmp_path / 'out.json')
    assert 'decision offsets' not in result.stdout + result.stderr
    metrics = json.loads((tmp_path / 'out.json').read_text())['metrics']
    assert metrics['mIoU'] == pytest.approx(trained.result.tuning.after, abs=0.006)


def test_bad_input_gets_one_line_before_anything_is_written(trained, tmp_path) -> None:
    def line(*arguments: Any, config: Path = trained.config, checkpoint: Any = trained.checkpoint) -> str:
        out = () if '--out' in arguments else ('--out', tmp_path / 'out.pth')
        return error_line(refused('tune_offsets.py', config, checkpoint, *arguments, *out, '--work-dir', tmp_path / 'logs'))

    assert "`--split` must be one of ('val', 'test') or a config, got 'train'" in line('--split', 'train')
    assert "`config` must be an existing config file, got 'no.py'" in line('--split', 'no.py')
    assert '`objective` must be made of mIoU, mIoU_tail, mAcc, worst' in line('--for', 'IoU')
    assert '`--out` must be another file than CHECKPOINT' in line('--out', trained.checkpoint)
    assert '`--out` must be a file, got the folder' in line('--out', tmp_path)
    assert '`checkpoint` must be an existing file' in line(checkpoint='none.pth')
    assert '`CHECKPOINT` must be a local file' in line(checkpoint='https://example.org/a.pth')
    assert "`--undo` must be given for a checkpoint of `mmimb tune`" in line('--undo')
    assert '`stats` must' in line('--stats', tmp_path / 'none.json')
    torch.save(dict(state_dict={}), tmp_path / 'empty.pth')
    assert '`CHECKPOINT` must hold weights' in line(checkpoint=tmp_path / 'empty.pth')
    torch.save({**load(trained.tuned), RECORD: dict(key=1)}, tmp_path / 'broken.pth')
    text = line(checkpoint=tmp_path / 'broken.pth')
    assert '`CHECKPOINT` must hold `decision_offsets` as `mmimb tune` writes it' in text
    assert not (tmp_path / 'out.pth').exists()


@pytest.mark.parametrize(('change', 'words'), [
    (dict(blocks=0), '`--blocks` must be a number of images of at least 1, got 0'),
    (dict(blocks=8), '`--split` must hold 2 groups of images or more, .*, got 8 images in 1; without'),
    (dict(groups='all.txt'), '`--split` must hold 2 groups of images or more, .*, got 8 images in 1; without'),
    (dict(blocks=2, groups='x'), '`--groups` must be without --blocks'),
    (dict(groups='none.txt'), '`--groups` must be an existing file'),
    (dict(stats=dict(pixels=[1, 2])), '`stats` must have the 3 classes of the model, got 2'),
], ids=lambda value: '-'.join(value) if isinstance(value, dict) else '')
def test_input_that_does_not_fit_the_split_is_one_line(trained, tmp_path, monkeypatch, change, words) -> None:
    (tmp_path / 'all.txt').write_text('0 1 2 3 4 5 6 7\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, OSError), match=words):
        tune_checkpoint(trained.options(trained.checkpoint, tmp_path / 'out.pth', **change))
    assert not (tmp_path / 'out.pth').exists()


def test_a_split_without_labels(trained, tmp_path) -> None:
    config = make_config(tmp_path / 'bare.py', trained.data, trained.stats,
                         EXTRA + "test_dataloader['dataset']['pipeline'] = [load[0], load[2]]\n")
    with pytest.raises(ValueError, match='`--split` must have labels, got none'):
        tune_checkpoint(trained.options(trained.checkpoint, tmp_path / 'out.pth', config=str(config), split='test'))
