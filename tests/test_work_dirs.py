"""Work folders in a comparison: finished, running, interrupted, of different settings."""
from __future__ import annotations

import json
import os
import shutil

import pytest
from test_compare import CE, CLASSES, GROUPS, MSE, SECOND, result, write

from mmimb.analysis import compare_runs, load
from mmimb.analysis.scalars import rows, validations
from mmimb.files import locked

CONFIG = '''
train_cfg = dict(max_iters=1200, type='IterBasedTrainLoop', val_interval=200)
default_hooks = dict(logger=dict(interval=20, log_metric_by_epoch=False, type='LoggerHook'))
optim_wrapper = dict(optimizer=dict(lr={lr}))
val_evaluator = dict(stats=dict(classes={classes!r}, pixels=[90, 100, 50, 40, 4, 5]), type='mmimb.LongTailIoUMetric')
randomness = dict(seed={seed})
work_dir = {work_dir!r}
'''


def scalar_lines(scores):
    """Lines of scalars.json: two of training before each validation."""
    lines = []
    for step, iou in scores.items():
        lines += [{'lr': 0.1, 'loss': 1.0, 'iter': step - 20, 'step': step - 20}, {'loss': 1.0, 'iter': step, 'step': step}]
        metrics = result(iou)['metrics']
        lines.append({**{k: float('nan') if v is None else v for k, v in metrics.items()}, 'time': 0.1, 'step': step})
    return [json.dumps(line) for line in lines]


def make_run(folder, scores, seed=0, lr=0.1, name='ce', start='20260101_000000', cut=0):
    """Write the folder of a run; ``cut`` characters are missing at the end of its scalars.json."""
    data = folder / start / 'vis_data'
    data.mkdir(parents=True)
    text = '\n'.join(scalar_lines(scores)) + '\n'
    (data / 'scalars.json').write_text(text[:len(text) - cut])
    (folder / f'{name}.py').write_text(CONFIG.format(classes=CLASSES, seed=seed, lr=lr, work_dir=str(folder)))
    return folder


def done(iou):
    return {200: CE, 1200: iou}


def test_runs_of_one_config_are_seeds_of_one_name(tmp_path):
    for seed, (ce, mse) in enumerate(((CE, MSE), (SECOND, CE))):
        make_run(tmp_path / f'a{seed}', done(ce), seed)
        make_run(tmp_path / f'deep/b{seed}', done(mse), seed, lr=0.2, name='mse')
    for specs in ([str(tmp_path)], [str(tmp_path / 'a*'), str(tmp_path / 'deep')], [str(tmp_path / 'a0'), str(tmp_path)],
                  [str(tmp_path / name) for name in ('a0', 'a1', 'deep/b0', 'deep/b1')],
                  [f'ce={tmp_path}/a0,{tmp_path}/a1', f'mse={tmp_path}/deep/b*']):
        runs, notes = load(specs)
        assert notes == []
        assert [(run.name, run.seeds) for run in runs] == [('ce', (0, 1)), ('mse', (0, 1))]
        assert runs[0].groups == {k: tuple(v) for k, v in GROUPS.items()}
        assert list(runs[0].values['IoU.sign']) == [10, 13]
        comparison, = compare_runs(runs)
        assert comparison.gain('IoU.sign').mean == pytest.approx((20 - 10 + 10 - 13) / 2)


def test_tests_go_before_validations(tmp_path):
    make_run(tmp_path / 'ce', done(CE))
    make_run(tmp_path / 'mse', done(CE), name='mse')
    write(tmp_path / 'ce/metrics.json', result(SECOND))
    runs, notes = load([str(tmp_path)])
    assert notes == ['Note: mse has no tested run: the validations of all are compared.']
    assert [run.mean('IoU.sign') for run in runs] == [10, 10]
    write(tmp_path / 'mse/metrics.json', result(MSE, seed=None))
    runs, notes = load([str(tmp_path)])
    assert notes == []
    assert [run.mean('IoU.sign') for run in runs] == [13, 20]
    assert runs[1].seeds == (0, ), 'the seed that the folder knows'
    assert [run.mean('IoU.sign') for run in load([str(tmp_path)], validation=True).runs] == [10, 10]
    runs, _ = load([f'x={write(tmp_path / "x.json", result(CE))}', str(tmp_path / 'mse')])
    assert [run.name for run in runs] == ['x', 'mse']


@pytest.mark.parametrize('cut', [1, 30, 300])
def test_a_running_run_is_left_out_and_named(tmp_path, cut):
    """The last line is cut: between two lines, or in one."""
    make_run(tmp_path / 'a0', done(CE))
    make_run(tmp_path / 'a1', {200: CE, 400: SECOND, 600: MSE}, seed=1, cut=cut)
    make_run(tmp_path / 'b0', done(MSE), name='mse')
    runs, (note, ) = load([str(tmp_path)])
    assert [(run.name, run.seeds) for run in runs] == [('ce', (0, )), ('mse', (0, ))]
    assert note.startswith('Left out: seed 1 of ce is running or was interrupted, at iteration 600 of 1200 (last written ')
    assert note.endswith(f' ago), last mIoU {"49.50" if cut == 1 else "47.50"}.')


def test_before_a_name_is_finished_all_are_compared_at_a_common_step(tmp_path):
    make_run(tmp_path / 'a0', {200: SECOND, 400: CE, 1200: MSE})
    make_run(tmp_path / 'a1', {200: SECOND}, seed=1)
    make_run(tmp_path / 'b0', {200: CE, 400: MSE, 600: CE}, name='mse')
    with locked(tmp_path / 'b0/lock'):
        runs, notes = load([str(tmp_path)])
    assert [run.mean('IoU.sign') for run in runs] == [10, 20]
    assert notes[0] == 'Note: no run of mse is finished: all are compared at step 400, the last validation that every name has.'
    assert notes[1].startswith('Left out: seed 1 of ce is running or was interrupted, at iteration 200 of 1200')
    assert notes[2] == 'Unfinished: seed 0 of mse is running, at iteration 600 of 1200, last mIoU 46.67.'
    assert len(notes) == 3


def test_a_run_by_epochs(tmp_path):
    run = make_run(tmp_path / 'r', {})
    config = run / 'ce.py'
    config.write_text(config.read_text().replace('max_iters=1200', 'max_epochs=4').replace(', log_metric_by_epoch=False', ''))
    file, = run.glob('*/vis_data/scalars.json')
    lines = [{'loss': 1.0, 'epoch': 2, 'iter': 900, 'step': 900}, {**result(CE)['metrics'], 'step': 1},
             {**result(MSE)['metrics'], 'step': 2}]
    file.write_text('\n'.join(map(json.dumps, lines)))
    other = make_run(tmp_path / 'o', done(CE), name='other')
    runs, notes = load([f'epochs={run}', f'epochs2={shutil.copytree(run, tmp_path / "r2")}'])
    assert runs[0].mean('IoU.sign') == 20
    assert notes[1].startswith('Unfinished: seed 0 of epochs is running or was interrupted, at epoch 2 of 4 (')
    file.write_text('\n'.join(map(json.dumps, [*lines, {**result(SECOND)['metrics'], 'step': 4}])))
    runs, notes = load([str(run), str(other)])
    assert [run.mean('IoU.sign') for run in runs] == [13, 10]
    assert notes == []


def test_several_starts_are_one_run(tmp_path):
    run = make_run(tmp_path / 'r', {200: CE, 400: CE}, cut=5)
    make_run(run, {400: SECOND, 600: MSE}, start='20260102_000000')
    assert list(validations(run)) == [200, 400, 600]
    assert validations(run)[400]['IoU.sign'] == 13, 'the later one'


def test_a_broken_line_in_the_middle_is_one_error(tmp_path):
    run = make_run(tmp_path / 'r', done(CE))
    file = run / '20260101_000000/vis_data/scalars.json'
    file.write_text(file.read_text().replace('"loss"', 'loss', 1))
    with pytest.raises(ValueError, match=r'scalars.json: line 1 must be a JSON object'):
        list(rows(run))


def test_refused(tmp_path):
    make_run(tmp_path / 'a0', done(CE))
    make_run(tmp_path / 'a1', done(CE), seed=1, lr=0.2)
    (tmp_path / 'empty').mkdir()
    make_run(tmp_path / 'young', {})
    make_run(tmp_path / 'other', {20: CE}, name='other')
    for specs, words in {
            ('nowhere', ): "got 'nowhere' (no such folder)", ('nowhere*', ): 'no such folder',
            (str(tmp_path / 'empty'), ): 'must name work folders of runs', (f'a={tmp_path}/empty', ): 'must name work folders',
            (str(tmp_path / 'a*'), ): 'must have the same settings, got different optim_wrapper in',
            (f'x={tmp_path}/a0,{tmp_path}/a0', ): 'every folder once',
            (f'x={tmp_path}/a0', f'x={tmp_path}/a1'): "distinct names, got 'x' twice",
            (f'ce={tmp_path}/a0', f'{tmp_path}/young'): "distinct names, got 'ce' twice",
            (f'x={tmp_path}/a0,{tmp_path}/young', ): 'must have distinct seeds, got 0',
            (f'x={tmp_path}/a0,x.json', ): 'files or folders, not both',
            (f'x={tmp_path}/young', ): 'none, it is running or was interrupted, before its first iteration',
            (f'x={tmp_path}/a0', f'y={tmp_path}/other'): 'a validation in common, got x: steps 200, 1200; y: steps 20',
    }.items():
        with pytest.raises((ValueError, OSError)) as caught:
            load(specs)
        assert words in str(caught.value)
        assert '\n' not in str(caught.value)


def test_the_base_can_be_chosen(tmp_path):
    make_run(tmp_path / 'a', done(CE))
    make_run(tmp_path / 'b', done(MSE), name='mse')
    assert [run.name for run in load([str(tmp_path)], base='mse').runs] == ['mse', 'ce']
    with pytest.raises(ValueError, match="`--base` must be one of ce, mse, got 'x'"):
        load([str(tmp_path)], base='x')


def test_explicit_names_may_have_different_settings(tmp_path):
    make_run(tmp_path / 'a0', done(CE))
    make_run(tmp_path / 'a1', done(CE), seed=1, lr=0.2)
    assert [run.name for run in load([f'x={tmp_path}/a0', f'y={tmp_path}/a1']).runs] == ['x', 'y']


def test_a_config_is_read_without_running_it(tmp_path):
    run = make_run(tmp_path / 'r', done(CE))
    config = run / 'ce.py'
    config.write_text(config.read_text() + "import os\nos.mkdir('made')\nx = print('hello')\n")
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        assert load(['r']).runs[0].seeds == (0, )
    finally:
        os.chdir(before)
    assert not (tmp_path / 'made').exists()
