"""Long work without a terminal: a line every half minute, and no more."""
from __future__ import annotations

import pytest

from mmimb.commands.next_line import is_main_process, print_first, print_next, short
from mmimb.doctor import isolate
from mmimb.engine import progress


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
    return now


def test_a_line_every_half_minute(clock, capsys) -> None:
    with progress.progress_bar() as update:
        for done in range(1, 2001):
            clock[0] += 0.1
            update(done, 2000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == '300 of 2,000 images, about 170 s left'.replace('170 s', '3 min')
    assert len(lines) == 6, 'of 200 s; the end is told by the result'


def test_short_work_says_nothing(clock, capsys) -> None:
    with progress.progress_bar('crop') as update:
        update(1, 2)
        clock[0] += 29
        update(2, 2)
    assert capsys.readouterr() == ('', '')


def test_the_doctor_names_the_check_that_takes_long(clock, capsys) -> None:
    lines = progress.Lines('check')
    clock[0] += 31
    lines(0, 18, 'two processes')
    clock[0] += 31
    lines(9, 18, 'two processes')
    assert capsys.readouterr().err.splitlines() == ['0 of 18 checks, now: two processes',
                                                    '9 of 18 checks, now: two processes, about 62 s left']


def test_waiting_for_a_check_is_told_with_its_name(monkeypatch, tmp_path) -> None:
    (tmp_path / 'PIL.py').write_text('import time; time.sleep(3)')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=':')
    monkeypatch.setattr(isolate, 'TICK', 0.2)
    told = []
    isolate.run_checks(None, ['pillow'], progress=lambda *state: told.append(state))
    assert (0, 1, 'pillow') in told
    assert told[-1] == (1, 1, '')


def test_the_next_line_can_be_pasted(capsys, monkeypatch) -> None:
    print_next('mmimb', 'train', 'my config.py', note='or \x1b[2J')
    print_first('a\nb')
    assert capsys.readouterr().out == "next: mmimb train 'my config.py'   (or \\x1b[2J)\nfix first: a\\nb\n"
    assert is_main_process()
    for rank, main in (('0', True), ('1', False)):
        monkeypatch.setenv('WORLD_SIZE', '2')
        monkeypatch.setenv('RANK', rank)
        assert is_main_process() == main


def test_paths_are_shown_as_they_are_typed(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert short(tmp_path / 'a/b.pth') == 'a/b.pth'
    assert short('a/b.pth') == 'a/b.pth'
    assert short('/x/b.pth') == '/x/b.pth'
    assert short('CHECKPOINT') == 'CHECKPOINT'
