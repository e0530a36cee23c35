"""``mmimb scan --write-config``: the suggestion as a file, and what the scan says last."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_scan_tool import CONFIG, work  # noqa: F401

from mmimb.commands.main import main
from mmimb.engine.config import read_config

MODEL = """
model = dict(decode_head=dict(type='FCNHead', num_classes=3, loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.7)))
val_evaluator = dict(type='IoUMetric')
"""
WEIGHT = dict(type='mmimb.InverseFrequency', stats='r.json', power=0.5)


@pytest.fixture
def scan(work, monkeypatch, capsys):  # noqa: F811
    """Scan ``config.py`` in this process; returns the status, the lines of stdout and stderr."""
    (work / 'config.py').write_text(CONFIG + MODEL)
    for path in (work / 'set/annotations/train').iterdir():  # 30 : 1
        Image.fromarray(np.array([[0] * 30 + [1]] * 3, np.uint8)).save(path)
        Image.new('RGB', (31, 3), (ord(path.stem), 0, 0)).save(work / 'set/images/train' / f'{path.stem}.jpg')
    monkeypatch.chdir(work)

    def run(*arguments: str) -> tuple[int, list[str], str]:
        try:
            status = main(['scan', 'config.py', '--workers', '0', *arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        return status, out.splitlines(), err
    return run


def test_the_suggestion_as_a_file(scan) -> None:
    options = ['--cfg-options', 'model.decode_head.channels=8']
    status, lines, _ = scan('--write-config', 'new/child.py', '--out', 'r.json', *options)
    assert lines[-1] == 'next: mmimb train new/child.py --cfg-options model.decode_head.channels=8'
    assert lines[-2].startswith('wrote ')
    assert lines[-2].endswith(' new/child.py')
    assert not [line for line in lines if '_base_' in line], 'what is in the file is not shown as well'
    text = Path('new/child.py').read_text()
    assert text.startswith('# Written by `mmimb scan`')
    assert '# The imbalance ratio is 30 : 1' in text
    cfg = read_config('new/child.py')
    assert cfg.model.decode_head.loss_decode == dict(type='mmimb.CrossEntropyLoss', loss_weight=0.7, class_weight=WEIGHT)
    assert cfg.val_evaluator == dict(type='mmimb.LongTailIoUMetric', stats='r.json')
    assert scan('--write-config', 'new/child.py')[0] == status, 'it is written again'


def test_without_it_the_config_is_shown(scan) -> None:
    _, lines, _ = scan('--out', 'r.json')
    assert "    _base_ = './config.py'" in lines
    assert lines[-1].startswith('next: mmimb train my_child_config.py   (the config above, saved under that name')
    assert scan('--split', 'val', '--cfg-options', 'val_dataloader.dataset.type=X')[0] == 2


@pytest.mark.parametrize(('arguments', 'rule'), [
    (['mine.py'], 'must be a new file or one that `mmimb scan` has written'), (['a.txt'], 'must be a path that ends with .py'),
    (['a.py', '--split', 'val'], 'must come with --split train'), (['a.py', '--shard', '0/2'], 'must come with a scan of all')])
def test_what_cannot_be_written_is_told_before_the_scan(scan, arguments, rule) -> None:
    Path('mine.py').write_text('# mine\n')
    status, lines, err = scan('--write-config', *arguments)
    assert (status, lines) == (2, [])
    assert err.startswith('error: ')
    assert rule in err
    assert Path('mine.py').read_text() == '# mine\n'


def test_errors_come_before_a_config(scan) -> None:
    Path('set/annotations/train/x.png').write_bytes(b'no picture')
    status, lines, _ = scan('--write-config', 'child.py', '--out', 'r.json')
    assert status == 3
    assert not Path('child.py').exists()
    assert lines[-2].startswith('fix first: 1 ')
    assert lines[-2].endswith('(unreadable_label)')
    assert lines[-1] == 'next: mmimb scan config.py --out r.json --write-config child.py'
    _, lines, _ = scan('--out', 'r.json', '--crops', '1', '--html', 'a.html')
    assert lines[-1] == 'next: mmimb scan config.py --out r.json --html a.html --crops 1'


def test_a_part_says_how_it_is_joined(scan) -> None:
    _, lines, _ = scan('--shard', '0/2', '--out', 'part.json')
    assert lines[-1] == 'next: mmimb scan merge PART.json OTHER.json --out FILE.json   (when all parts are there)'


def test_a_merge_names_no_option_that_it_lacks(scan, capsys) -> None:
    for shard in (0, 1):
        scan('--shard', f'{shard}/2', '--out', f'{shard}.json')
    with pytest.raises(SystemExit):
        main(['scan', 'merge', '0.json', '1.json', '--out', 'r.json', '--write-config', 'child.py'])
    capsys.readouterr()
    main(['scan', 'merge', '0.json', '1.json', '--out', 'r.json'])
    *_, last = capsys.readouterr().out.splitlines()
    assert last == 'next: mmimb train my_child_config.py   (the config above, saved under that name)'
