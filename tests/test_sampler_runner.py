"""The samplers in real runs of mmengine: both loops, resumed ones, with the difficulty sampler's weights in the checkpoint."""
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import InfiniteSampler
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import HOOKS, MODELS, TRANSFORMS
from mmengine.runner import Runner
from support.sampling import CLASSES, PIPELINE, build, sampler, scan, write_images

SKIPS = hasattr(InfiniteSampler, 'skip')  # onedl-mmengine; mmengine reads the past batches again
STEPS, HALF, BATCH, INTERVAL, DELAY = 14, 7, 3, 2, 5
READ: list[int] = []


@TRANSFORMS.register_module()
class NoteSampled(BaseTransform):
    """Notes the images that are read, in this process."""

    def transform(self, results):
        READ.append(int(Path(results['img_path']).stem))
        return results


@MODELS.register_module()
class SamplerProbe(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return {'loss': self.weight.square().sum()}


@HOOKS.register_module()
class Teacher(Hook):
    """Notes the images of each iteration, and gives a DifficultySampler weights as measurements would."""

    def __init__(self, teach):
        self.teach, self.batches = teach, []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.batches.append([int(Path(sample.img_path).stem) for sample in data_batch['data_samples']])

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        done = runner.iter + 1
        if self.teach and done % INTERVAL == 0:
            drawn = runner.train_dataloader.sampler
            drawn.set_class_weights(weights(done), (done + drawn.delay) * BATCH)

    def before_save_checkpoint(self, runner, checkpoint):
        checkpoint['sampler'] = runner.train_dataloader.sampler.state_dict()

    def after_load_checkpoint(self, runner, checkpoint):
        runner.train_dataloader.sampler.load_state_dict(checkpoint['sampler'])


def flat(batches: list[list[int]]) -> list[int]:
    return [image for batch in batches for image in batch]


def weights(iteration: int) -> torch.Tensor:
    return torch.rand(len(CLASSES), dtype=torch.float64, generator=torch.Generator().manual_seed(iteration))**8


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    return {**write_images(tmp_path_factory.mktemp('runs') / 'data'), 'pipeline': [dict(type='NoteSampled'), *PIPELINE]}


@pytest.fixture(scope='module')
def report(dataset, tmp_path_factory):
    return scan(build(dataset), tmp_path_factory.mktemp('report') / 'stats.json')


def train(folder, dataset, drawn, *, loop, workers=0, seed=5, resume=None, stop=None):
    teacher = Teacher(teach=drawn['type'] == 'mmimb.DifficultySampler')
    runner = Runner(
        model=dict(type='SamplerProbe'), work_dir=str(folder), experiment_name=f'{folder.name}{resume is not None}',
        default_scope='mmseg', log_level='ERROR', randomness=dict(seed=seed), train_cfg=loop,
        train_dataloader=dict(batch_size=BATCH, num_workers=workers, persistent_workers=workers > 0, dataset=dataset,
                              sampler=drawn),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)), custom_hooks=[teacher, dict(type='mmimb.PlainCheckpointHook')],
        default_hooks=dict(logger=None, timer=None, checkpoint=dict(type='CheckpointHook', **(stop or dict(interval=100)))),
        load_from=resume and str(resume), resume=resume is not None)
    READ.clear()
    runner.train()
    if workers:
        runner.train_loop.dataloader_iterator._iterator._shutdown_workers()  # the garbage collector waits 5 s for each
    return teacher.batches


ITERATIONS = dict(type='IterBasedTrainLoop', max_iters=STEPS)
CASES = {'RareClassSampler': dict(temperature=0.3), 'RepeatFactorSampler': dict(threshold=0.5),
         'DifficultySampler': dict(delay=DELAY)}


@pytest.mark.parametrize(('kind', 'workers', 'seeds'), [
    ('RareClassSampler', 0, (5, 5)), ('RepeatFactorSampler', 0, (None, None)), ('DifficultySampler', 0, (5, 5)),
    ('DifficultySampler', 2, (5, 5)), ('DifficultySampler', 0, (None, None))])
def test_iterations_resumed(dataset, report, tmp_path, kind, workers, seeds) -> None:
    drawn = dict(type=f'mmimb.{kind}', stats=str(report), **CASES[kind])
    stop = dict(interval=HALF, by_epoch=False)
    whole = train(tmp_path, dataset, drawn, loop=ITERATIONS, workers=workers, seed=seeds[0], stop=stop)
    assert len(whole) == STEPS
    resumed = train(tmp_path, dataset, drawn, loop=ITERATIONS, workers=workers, seed=seeds[1],
                    resume=tmp_path / f'iter_{HALF}.pth')
    assert resumed == whole[HALF:]
    if workers == 0:
        assert flat(whole[HALF:] if SKIPS else whole) == READ


def test_the_weights_come_into_force_when_they_should(dataset, report, tmp_path) -> None:
    drawn = dict(type='mmimb.DifficultySampler', stats=str(report), delay=DELAY)
    batches = train(tmp_path, dataset, drawn, loop=ITERATIONS, workers=2)
    plain = sampler('DifficultySampler', build(dataset), report)
    for done in range(INTERVAL, STEPS, INTERVAL):
        plain.set_class_weights(weights(done), (done + DELAY) * BATCH)
    want = [plain.draw(k) for k in range(STEPS * BATCH)]
    assert flat(batches) == want
    equal = sampler('DifficultySampler', build(dataset), report)
    first = (INTERVAL + DELAY) * BATCH
    assert want[:first] == [equal.draw(k) for k in range(first)]
    assert want[first:] != [equal.draw(k) for k in range(first, STEPS * BATCH)]


@pytest.mark.parametrize('kind', CASES)
def test_epochs_resumed(dataset, report, tmp_path, kind) -> None:
    drawn = dict(type=f'mmimb.{kind}', stats=str(report), infinite=False, **CASES[kind])
    loop = dict(type='EpochBasedTrainLoop', max_epochs=4)
    whole = train(tmp_path, dataset, drawn, loop=loop, stop=dict(interval=2))
    size = 15 if kind == 'RepeatFactorSampler' else 12
    assert len(whole) == 4 * size // BATCH
    if kind != 'DifficultySampler':
        plain = sampler(kind, build(dataset), report, **CASES[kind])
        assert flat(whole) == [plain.draw(k) for k in range(4 * size)]
    assert train(tmp_path, dataset, drawn, loop=loop, resume=tmp_path / 'epoch_2.pth') == whole[len(whole) // 2:]
