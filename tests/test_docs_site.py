"""What the documentation tells to type is what the commands take; the steps of a page run; every page has its place."""
from __future__ import annotations

import re
import shlex
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import ROOT
from support.scanning import build, leaf, write_pair

from mmimb.commands.main import build_parser, main
from mmimb.datasets.demo import DEMO_CLASSES, make_demo_dataset
from mmimb.scan import scan_dataset

TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding='utf-8') for path in (
    *sorted((ROOT / 'docs').glob('*.md')), *sorted((ROOT / 'configs').rglob('*.md')),
    *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'benchmarks/study/README.md')))}
SCRIPTS = {'train.py': 'train', 'test.py': 'test', 'tune_offsets.py': 'tune', 'compare_runs.py': 'compare',
           'doctor.py': 'doctor', 'make_demo_dataset.py': 'demo', 'scan_dataset.py': 'scan', 'explain.py': 'explain'}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf'^```{language}\n(.*?)^```', text, re.M | re.S)


def commands(text: str) -> list[list[str]]:
    """Return the words of every command of mmimb in the shell blocks of a text, after ``mmimb``."""
    found = []
    for block in blocks(text, 'bash'):
        for line in block.replace('\\\n', ' ').splitlines():
            words: list[str] = []
            with suppress(ValueError):  # a line of a shell script with half a quote
                words = shlex.split(line, comments=True)
            for at, word in enumerate(words):
                script = SCRIPTS.get(word.removeprefix('tools/')) if word.startswith('tools/') else None
                if script or (word == 'mmimb' and (at == 0 or words[at - 1] == '-m')):
                    rest = words[at + 1:]
                    end = next((i for i, w in enumerate(rest) if w in ('>', '|', '&&', ';', '2>&1')), len(rest))
                    found.append([*([script] if script else []), *rest[:end]])
                    break
    return found


@pytest.mark.parametrize('name', [name for name, text in TEXTS.items() if commands(text)])
def test_commands_of_a_page_are_taken(name, capsys) -> None:
    for words in commands(TEXTS[name]):
        joined = [' '.join(words[:2]), *words[2:]] if words[:2] == ['scan', 'merge'] else words
        if '…' in joined or '...' in joined:
            continue  # cut on purpose
        try:
            build_parser().parse_args(joined)
        except SystemExit:
            pytest.fail(f'{name}: mmimb {shlex.join(words)}\n{capsys.readouterr().err}')


def test_commands_are_found_in_blocks() -> None:
    text = '```bash\nmmimb scan c.py \\\n  --out r.json   # a note\nsrun -n 8 python tools/train.py c.py > log\n```\n`mmimb no`'
    assert commands(text) == [['scan', 'c.py', '--out', 'r.json'], ['train', 'c.py']]
    assert sum(len(commands(text)) for text in TEXTS.values()) > 40


def test_every_page_has_a_place() -> None:
    nav = yaml.safe_load(re.sub(r'!!\S+', '', (ROOT / 'mkdocs.yml').read_text()))['nav']
    placed = re.findall(r"'([\w/]+\.md)'", str(nav))
    pages = {name.removeprefix('docs/') for name in TEXTS if name.startswith('docs/')}
    assert pages <= set(placed)
    assert len(placed) == len(set(placed))


@pytest.mark.slow
def test_your_own_dataset_end_to_end(tmp_path, monkeypatch, capsys) -> None:
    """The first three steps of the page, with two iterations of training."""
    text = TEXTS['docs/own_dataset.md']
    monkeypatch.chdir(tmp_path)
    make_demo_dataset('data/mine', train=12, val=6, test=6)
    assert str(DEMO_CLASSES) in text
    config, _, _, program = blocks(text, 'python')
    quick = 'train_cfg = dict(max_iters=2, val_interval=2)\n' + ''.join(
        f'{split}_dataloader.update(num_workers=0, persistent_workers=False)\n' for split in ('train', 'val', 'test'))
    Path('mine.py').write_text(config + quick)
    steps = [words for words in commands(text)[:5] if words[0] != 'doctor']
    assert [words[0] for words in steps] == ['scan', 'train', 'tune', 'test']
    for words in steps:
        try:
            no_workers = ['--workers', '0'] if words[0] == 'scan' else []  # which import all again
            status = main([*(word.replace('iter_1200', 'iter_2') for word in words), *no_workers])
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        assert status == 0, err[-2000:]
        following = re.findall(r'^next: mmimb (\w+) ', out, re.M)
        assert following == [{'scan': 'train', 'train': 'tune', 'tune': 'test', 'test': 'compare'}[words[0]]]
    assert {'report.html', 'child.py', 'tuned.pth', 'tuned.json'} <= {path.name for path in Path().iterdir()}
    shutil.copy(min(Path('data/mine/images/val').iterdir()), 'image.jpg')
    Path('data/mine/stats.json').unlink()
    names: dict[str, Any] = {}
    exec(program, names)
    assert names['classes'].shape == (128, 160)


def test_labels_with_other_values_are_mapped_as_the_page_says(tmp_path) -> None:
    for n in range(2):
        write_pair(tmp_path, f'{n}', np.array([[0, 7, 11, 33], [33, 7, 7, 255]], np.uint8))
    exec(blocks(TEXTS['docs/own_dataset.md'], 'python')[1], {})
    found = scan_dataset(build({**leaf(tmp_path, metainfo=dict(classes=('a', 'b', 'c'))), 'type': 'MyDataset'}), 0, 'train')
    assert found.stats.pixels == (6, 2, 4)
    assert found.stats.ignored_pixels == 4
    assert 'outside_classes' not in found.audit
