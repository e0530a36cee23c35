"""Class names and file names that hold escape sequences and newlines, in what each tool shows."""
from __future__ import annotations

import json
import logging
import os
import re

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console
from support.tiny_run import make_config, make_dataset, make_report, tool

from mmimb.analysis import compare_runs, latex, load, markdown, rich_table, tables, verdict
from mmimb.doctor.check import Finding
from mmimb.doctor.page import to_page
from mmimb.engine.errors import one_line_errors
from mmimb.metrics.table import class_table
from mmimb.printable import PrintableFilter, printable
from mmimb.report.terminal import summary_lines
from mmimb.stats import ClassStats

BAD = 'car\x1b]0;owned\x07\x1b[2J\nerror: all is lost\r\u202e'
SHOWN = r'car\x1b]0;owned\x07\x1b[2J\nerror: all is lost\r\u202e'
HARM = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]')


def harmless(text: str) -> None:
    assert not HARM.search(text), repr(text)
    assert not [line for line in text.splitlines() if line.startswith('error: all is lost')]


@pytest.mark.parametrize(('text', 'shown'), [
    ('sky', 'sky'), ('Straße 道路 🚗 क्षेत्र', 'Straße 道路 🚗 क्षेत्र'), ('a\tb', r'a\tb'), (BAD, SHOWN), ('\x9b1A', r'\x9b1A'),
    (os.fsdecode(b'a\xff'), r'a\udcff'), ('\u2028', r'\u2028'), ('a\\n', 'a\\n')])
def test_what_is_escaped(text, shown):
    assert printable(text) == shown
    printable(text).encode()


def test_class_names_in_tables_and_lines(tmp_path):
    harmless(class_table(torch.tensor([[3, 1], [1, 3]]), (BAD, 'sky'), {BAD: [0], 'head': [1]}))
    stats = ClassStats(pixels=(5, 0), classes=('sky', BAD))
    assert SHOWN in ' '.join(summary_lines(stats))
    harmless(' '.join(summary_lines(stats)))
    scores = dict.fromkeys(['mIoU', f'IoU.{BAD}', 'IoU.sky', 'aAcc', 'mAcc'], 50.0)
    metrics = {'metrics': scores, 'config': 'c', 'seed': 0, 'checkpoint': 'x', 'classes': [BAD, 'sky'], 'groups': {}}
    for name in ('a', 'b'):
        (tmp_path / f'{name}.json').write_text(json.dumps({**metrics, 'seed': 0}))
    runs = load([f'{BAD}={tmp_path / "a.json"}', f'b={tmp_path / "b.json"}']).runs
    found = compare_runs(runs)
    console = Console(width=400, record=True, file=open(os.devnull, 'w'))  # noqa: SIM115
    for table in tables(runs, found):
        console.print(rich_table(table))
        for text in (markdown(table), latex(table)):
            harmless(text.replace('\n', ' '))
    harmless(console.export_text())
    for line in verdict(runs, found):
        harmless(line)
        assert '\n' not in line


def test_the_log(caplog):
    logger = logging.getLogger('test_printable')
    logger.addFilter(PrintableFilter())
    logger.warning('lines\nstay, %s does not act', '\x1b[2J')
    assert caplog.messages == ['lines\nstay, \\x1b[2J does not act']


def test_arguments_that_do_not_fit_are_left_to_logging(capsys):
    logger = logging.getLogger('test_printable_arguments')
    logger.propagate = False
    logger.addHandler(logging.StreamHandler())
    logger.addFilter(PrintableFilter())
    logger.warning('%d items', 'x')
    assert 'Logging error' in capsys.readouterr().err


def test_errors_and_the_doctor(capsys):
    with pytest.raises(SystemExit), one_line_errors():
        raise ValueError(f'`classes` must be fine, got {BAD}')
    text = capsys.readouterr().err
    harmless(text)
    assert len(text.splitlines()) == 1
    harmless(to_page([Finding('config', 'failure', BAD, BAD)]))


@pytest.mark.slow
def test_a_scan_and_a_training(tmp_path):
    """A label whose name would forge a finding, and a class whose name would clear the screen."""
    data = make_dataset(tmp_path / 'data')
    name = '9\x1b[2J\nerror: all is lost'
    for folder in ('images', 'labels'):
        cv2.imwrite(str(data / folder / 'x.png'), np.zeros((64, 64), np.uint8))
        (data / folder / 'x.png').rename(data / folder / f'{name}.png')
    (data / 'labels' / f'{name}.png').write_bytes(b'no image')
    config = make_config(tmp_path / 'c.py', data, make_report(tmp_path / 's.json'))
    config.write_text(config.read_text().replace("'car'", repr('car\x1b[2J')))
    result = tool('scan_dataset.py', config, '--out', tmp_path / 'r.json', '--workers', '0')
    assert result.returncode == 3, result.stderr
    harmless(result.stdout + result.stderr)
    assert '9\\x1b[2J\\nerror: all is lost.png' in result.stderr
    (data / 'labels' / f'{name}.png').unlink()
    (data / 'images' / f'{name}.png').unlink()
    config.write_text(config.read_text().replace(repr(str(tmp_path / 's.json')), repr(dict(pixels=[4, 2, 1]))))
    result = tool('train.py', config, '--work-dir', tmp_path / 'w', '--cfg-options', 'train_cfg.max_iters=2',
                  'train_cfg.val_interval=2')
    assert result.returncode == 0, result.stderr[-2000:]
    assert '\\x1b[2J' in result.stdout
    log = ''.join(path.read_text() for path in (tmp_path / 'w').glob('*/*.log'))
    for text in (result.stdout, result.stderr, log):
        assert '\x1b[2J' not in text
