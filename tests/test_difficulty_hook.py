"""ClassWeightHook measures in real runs: from which pixels, when, and what it writes."""
from __future__ import annotations

import logging
import shutil
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmseg.models.decode_heads import PIDHead
from mmseg.models.utils import resize
from support.difficulty_run import BY_EPOCHS, CLASSES, Folder, rows, state
from torch import nn

from mmimb.engine.training import TrainOptions, train
from mmimb.heads import prediction_loss
from mmimb.hooks.difficulty.meter import DifficultyMeter
from mmimb.hooks.difficulty.training import watch_training


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Folder:
    return Folder(tmp_path_factory.mktemp('difficulty'))


def run(config: Path, work: Path):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        name = f'{config.stem}-{work.name}'
        options = [f'experiment_name={name}', f'visualizer.name={name}']  # runs of one process would share a visualizer
        runner = train(TrainOptions(str(config), str(work), cfg_options=options))
    logging.shutdown()
    return runner


def recall(model, root: Path) -> np.ndarray:
    """Recall of the classes over all images of a folder, image by image, in numpy."""
    hits, labelled = np.zeros(3), np.zeros(3)
    for path in sorted((root / 'labels').glob('*.png')):
        image = torch.from_numpy(cv2.imread(str(root / 'images' / path.name))).permute(2, 0, 1)
        label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        with torch.no_grad():
            batch = model.data_preprocessor(dict(inputs=[image]), False)['inputs']
            pred = resize(model.encode_decode(batch, [dict(img_shape=label.shape)]), size=label.shape, mode='bilinear',
                          align_corners=False)[0].argmax(0).numpy()
        for c in range(3):
            hits[c] += ((label == c) & (pred == c)).sum()
            labelled[c] += (label == c).sum()
    return hits / labelled


def test_holdout_is_measured_as_the_paper_does(folder, tmp_path) -> None:
    tensorboard_too = "visualizer['vis_backends'].append(dict(type='TensorboardVisBackend'))\n"
    config = folder.config(folder.holdout(interval=4, more='momentum=0'), extra=tensorboard_too)
    runner = run(config, tmp_path)
    score = recall(runner.model.eval(), folder.held_out)  # of the last iteration, which was measured
    weight = runner.model.decode_head.loss_decode.class_weight
    np.testing.assert_allclose(weight.difficulty.numpy(), np.clip(1 - score, 0.01, 1), rtol=1e-12)
    assert weight.weight.std() > 0
    table = rows(tmp_path)
    assert [row['iteration'] for row in table] == ['4'] * 3 + ['8'] * 3
    assert [row['class'] for row in table[:3]] == list(CLASSES)
    assert [float(row['weight']) for row in table[3:]] == weight.weight.tolist()
    assert [float(row['difficulty']) for row in table[3:]] == weight.difficulty.tolist()
    assert float(table[-1]['tau']) == weight.tau.item()
    picture = cv2.imread(str(next(tmp_path.glob('*/class_weights.png'))))
    assert picture.shape[1] > 800
    scalars = tensorboard(tmp_path)
    assert scalars['class_weight/decode_head.loss_decode/sign'] == [1, *[float(table[i]['weight']) for i in (2, 5)]]
    assert scalars['tau/decode_head.loss_decode'][-1] == pytest.approx(weight.tau.item())


def tensorboard(work: Path) -> dict[str, list[float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(str(next(work.glob('*/vis_data'))))
    events.Reload()
    return {tag: [pytest.approx(e.value, rel=1e-6) for e in events.Scalars(tag)] for tag in events.Tags()['scalars']}


def test_training_is_measured_without_a_word_in_the_config(folder, tmp_path) -> None:
    """tools/train.py adds the hook, and a DifficultyBalanced weight alone makes it measure."""
    runner = run(folder.config(iterations=100, checkpoint=100), tmp_path)
    weight = runner.model.decode_head.loss_decode.class_weight
    assert {row['iteration'] for row in rows(tmp_path)} == {'100'}
    assert weight.weight.std() > 0
    assert weight.weight.mean().item() == pytest.approx(1)


def test_the_main_head_alone_counts_and_momentum_mixes(folder, tmp_path) -> None:
    auxiliary = '''
by_iou = dict(type='mmimb.DifficultyBalanced', num_classes=3, measure='iou', tau=1)
model['auxiliary_head'] = dict(model['decode_head'], loss_decode=dict(type='mmimb.CrossEntropyLoss', class_weight=by_iou))
'''
    runner = run(folder.config('interval=2, momentum=0.5, stride=1', extra=auxiliary), tmp_path)
    saved = state(tmp_path, 8)['class_difficulty']
    assert saved['log']['user'][:2] == ['decode_head.loss_decode', 'auxiliary_head.loss_decode']
    assert saved['log']['iteration'] == [2, 2, 4, 4, 6, 6, 8, 8]
    main, other = (getattr(runner.model, name).loss_decode.class_weight for name in ('decode_head', 'auxiliary_head'))
    scores = saved['meter']['score']
    torch.testing.assert_close(main.difficulty, (1 - scores[0]).clamp(0.01, 1))
    torch.testing.assert_close(other.difficulty, (1 - scores[1]).clamp(0.01, 1))


def test_counts_of_training_are_those_of_the_pixels_looked_at() -> None:
    """Every fourth row and column; once for a loss that is called twice; labels against interpolated logits."""

    class Head:
        ignore_index, align_corners, threshold = 255, False, 0.3

    generator = torch.Generator().manual_seed(0)
    for channels, size, low in [(3, (21, 30), (21, 30)), (3, (21, 30), (6, 8)), (1, (21, 30), (21, 30)), (3, (2, 2), (2, 2))]:
        for align_corners in (False, True):
            Head.align_corners = align_corners
            loss, meter = nn.Identity(), DifficultyMeter(max(channels, 2), 0)
            handle = watch_training(loss, Head(), meter, stride=4)
            logits = torch.randn(2, channels, *low, generator=generator, requires_grad=True)
            label = torch.randint(0, max(channels, 2), (2, *size), generator=generator)
            label[0, :5] = 255
            loss.forward = lambda logits, label: logits
            with torch.no_grad():
                loss(logits, label)  # how an OHEM sampler ranks pixels
            loss.eval()(logits, label)
            loss.train()(logits, label)
            full = logits.detach()
            full = full if low == size else resize(full, size, mode='bilinear', align_corners=align_corners)
            pred = (full[:, 0].sigmoid() > 0.3).long() if channels == 1 else full.argmax(1)
            if min(size) > 2:
                pred, label = pred[:, 2::4, 2::4], label[:, 2::4, 2::4]
            for c in range(max(channels, 2)):
                masks = (label == c) & (pred == c), label == c, (label != 255) & (pred == c)
                assert meter.counts[:, c].tolist() == [int(mask.sum()) for mask in masks]
            handle.remove()


@pytest.mark.parametrize('size', [(64, 96), (16, 24)])
def test_counting_never_waits_for_the_device(size) -> None:
    """Meta tensors have no values: whatever would fetch one for the host raises."""

    class Head:
        ignore_index, align_corners, threshold = 255, False, 0.5

    loss, meter = nn.Identity(), DifficultyMeter(19, 0.9).to('meta')
    watch_training(loss, Head(), meter, stride=4)
    loss.forward = lambda logits, label: logits
    loss(torch.empty(2, 19, *size, device='meta'), torch.empty(2, 64, 96, dtype=torch.int64, device='meta'))
    with pytest.raises(RuntimeError):
        bool(meter.counts.any())  # a host sync would have raised above as well


def test_validation_as_a_source_warns_and_measures_every_validation(folder, tmp_path) -> None:
    runner = run(folder.config("source='val', momentum=0", val_interval=4), tmp_path)
    assert sorted({int(row['iteration']) for row in rows(tmp_path)}) == [4, 8]
    score = recall(runner.model.eval(), folder.data)
    weight = runner.model.decode_head.loss_decode.class_weight
    np.testing.assert_allclose(weight.difficulty.numpy(), np.clip(1 - score, 0.01, 1), rtol=1e-12)
    assert 'its scores are no longer those of unseen data' in next(tmp_path.glob('*/*.log')).read_text()


def test_weights_survive_an_average_of_the_model(folder, tmp_path) -> None:
    """EMAHook exchanges the buffers of the model during a validation, and puts them back after it."""
    average = "custom_hooks.append(dict(type='EMAHook', update_buffers=True))\n"
    runner = run(folder.config("source='val'", val_interval=4, extra=average), tmp_path)
    weight = runner.model.decode_head.loss_decode.class_weight.weight
    assert weight.tolist() == [float(row['weight']) for row in rows(tmp_path)[-3:]]
    assert weight.std() > 0


def test_a_training_shorter_than_the_interval_is_warned_about(folder, tmp_path) -> None:
    run(folder.config('interval=9'), tmp_path)
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert 'ClassWeightHook measures every 9 iterations, and the training has 8: class weights stay at 1' in log


def test_the_prediction_of_pidnet_is_watched() -> None:
    """Its first loss is that of an auxiliary branch."""
    norm = dict(type='BN')
    head = PIDHead(in_channels=8, channels=8, num_classes=3, norm_cfg=norm, act_cfg=dict(type='ReLU'), loss_decode=[
        dict(type='mmimb.CrossEntropyLoss', loss_name=f'loss_{i}') for i in range(4)])
    assert prediction_loss(head) is head.loss_decode[1]


def test_epochs(folder, tmp_path) -> None:
    run(folder.config(folder.holdout(2, more='by_epoch=True'), extra=BY_EPOCHS.format(3)), tmp_path)
    assert sorted({int(row['iteration']) for row in rows(tmp_path)}) == [8]  # two epochs of four batches


BAD = {
    'nothing uses it': ('interval=7', "model['decode_head']['loss_decode'].pop('class_weight')",
                        '`ClassWeightHook` must have no settings of a measurement where nothing uses it .*, got interval=7$'),
    'two hooks': ("interval=5", "custom_hooks.append(dict(type='mmimb.ClassWeightHook'))",
                  '`custom_hooks` must have one ClassWeightHook that measures difficulty, got 2'),
    'epochs': ('by_epoch=True', '', '`by_epoch` of ClassWeightHook must be False in an iteration-based loop, got True'),
    'classes': ('', "model['decode_head']['loss_decode']['class_weight']['num_classes'] = 4",
                '`num_classes` of the DifficultyBalanced of decode_head.loss_decode must be 3'),
    'no validation': ("source='val'", 'val_dataloader = val_cfg = val_evaluator = None', '`val_dataloader` must be given for'),
}


@pytest.mark.parametrize(('hook', 'extra', 'message'), BAD.values(), ids=BAD)
def test_bad_settings_are_told_at_the_start(folder, tmp_path, hook, extra, message) -> None:
    with pytest.raises(ValueError, match='^' + message) as error:
        run(folder.config(hook, extra=extra + '\n'), tmp_path)
    assert '\n' not in str(error.value)
    assert not list(tmp_path.glob('*.pth'))


def test_a_holdout_must_be_held_out(folder, tmp_path) -> None:
    with pytest.raises(ValueError, match=r'^`dataloader.dataset` must be held out from .*, got 16 images and labels .*0\.png$'):
        run(folder.config(folder.holdout(root=folder.data)), tmp_path)
    other = tmp_path / 'other'  # labels of the same images, drawn once more
    shutil.copytree(folder.data, other)
    shutil.rmtree(other / 'images')
    (other / 'images').symlink_to(folder.data / 'images')
    with pytest.raises(ValueError, match=r'held out from training, got 8 images and labels .*images.0\.png$'):
        run(folder.config(folder.holdout(root=other)), tmp_path / 'again')
    link = tmp_path / 'link'
    link.symlink_to(folder.data)
    with pytest.raises(ValueError, match='must be held out from training'):
        run(folder.config(folder.holdout(root=link)), tmp_path / 'work')


@pytest.mark.parametrize(('change', 'message'), [
    ("dataset['data_prefix'] = dict(img_path='images')",
     '`data_prefix` of BaseSegDataset must have `seg_map_path`, or each of its entries, got'),
    ("dataset['pipeline'].insert(2, dict(type='RandomCrop', crop_size=(32, 32)))",
     r'`dataloader.dataset` must give labels of the size of the image file \(64, 64\), got \(32, 32\)')])
def test_a_holdout_must_have_labels_of_the_size_of_the_files(folder, tmp_path, change, message) -> None:
    dataset = "dataset = custom_hooks[0]['dataloader']['dataset']\n"
    with pytest.raises(ValueError, match='^' + message):
        run(folder.config(folder.holdout(), extra=f'{dataset}{change}\ndel dataset\n'), tmp_path)


def test_a_holdout_must_hold_every_class(folder, tmp_path) -> None:
    poor = Folder(tmp_path / 'poor').held_out
    for path in (poor / 'labels').glob('*.png'):
        label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        label[label == 2] = 0
        cv2.imwrite(str(path), label)
    with pytest.raises(ValueError, match='must hold pixels of every class, got none of sign in 8 images'):
        run(folder.config(folder.holdout(root=poor)), tmp_path / 'work')
    runner = run(folder.config(folder.holdout(root=poor, more='allow_missing=True')), tmp_path / 'work2')
    weight = runner.model.decode_head.loss_decode.class_weight
    assert weight.difficulty[2] == 1
    assert weight.weight[:2].mean().item() == pytest.approx(1)


@pytest.mark.parametrize(('hook', 'message'), [
    (dict(source='test'), "`source` must be one of"),
    (dict(source='holdout'), "`dataloader` must be given for source='holdout', as dict"),
    (dict(dataloader=dict(dataset={})), "`dataloader` must be None unless source='holdout', got {'dataset': {}}"),
    (dict(source='val', interval=3), "`interval` must be None for source='val'"),
    (dict(interval=0), '`interval` must be at least 1, got 0'),
    (dict(momentum=1), '`momentum` must be a finite number at least 0 and below 1, got 1'),
    (dict(stride=0), '`stride` must be at least 1, got 0'),
    (dict(source='val', stride=2), "`stride` must be None unless source='train', got 2"),
    (dict(allow_missing=True), "`allow_missing` must be False unless source='holdout', got True"),
    (dict(source='val', by_epoch=True), "`by_epoch` must be False for source='val'"),
])
def test_bad_arguments(hook, message) -> None:
    from mmimb.hooks import ClassWeightHook
    with pytest.raises(ValueError, match=message):
        ClassWeightHook(**hook)
