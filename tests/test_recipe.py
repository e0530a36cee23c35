"""One recipe, the same everywhere: the figures of the scanner and of README.md follow from the study's results."""
from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from scipy import stats as student

from mmimb.report import evidence, suggest
from mmimb.stats import ClassStats

README = (ROOT / 'README.md').read_text(encoding='utf-8')
QUICKSTART = (ROOT / 'tools/quickstart.sh').read_text(encoding='utf-8')
EVIDENCE = json.loads((ROOT / 'mmimb/report/evidence.json').read_text(encoding='utf-8'))


def scores(name: str, arm: str, decision: str, key: str, seeds: list[int]) -> np.ndarray:
    """Return the test scores of the confirming runs, read from the lines of the results alone."""
    head, *lines = (ROOT / f'benchmarks/study/results/frozen_{name}.csv').read_text(encoding='utf-8').splitlines()
    rows = [dict(zip(head.split(','), line.split(','), strict=True)) for line in lines]
    found = {int(r['seed']): float(r[f'test_{key}']) for r in rows
             if (r['stage'], r['arm'], r['decision']) == ('confirm', arm, decision) and r[f'test_{key}']}
    return np.array([found[seed] for seed in seeds])


ENTRIES = [(name, {'arm': EVIDENCE['arm'], **entry}) for name, entry in EVIDENCE['datasets'].items() if entry['seeds']]
ENTRIES += [(name, entry['higher']) for name, entry in ENTRIES if entry['higher'] is not None]


@pytest.mark.parametrize(('name', 'entry'), ENTRIES, ids=lambda value: value if isinstance(value, str) else value['arm'])
@pytest.mark.parametrize('key', ['mIoU', 'tail'])
def test_the_evidence_is_what_was_measured(name: str, entry: dict, key: str) -> None:
    before = scores(name, 'ce', 'argmax', key, entry['seeds'])
    after = scores(name, entry['arm'], entry['decision'], key, entry['seeds'])
    assert (entry[key]['before'], entry[key]['after']) == pytest.approx((before.mean(), after.mean()), abs=0.006)
    if len(before) == 1:
        assert entry[key]['low'] is entry[key]['high'] is None
        return
    gain = after - before
    half = student.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / len(gain) ** .5
    assert (entry[key]['low'], entry[key]['high']) == pytest.approx((gain.mean() - half, gain.mean() + half), abs=0.006)


def test_the_table_of_the_readme_has_these_figures() -> None:
    head, _, *rows = [[cell.strip() for cell in line.strip('|').split('|')]
                      for line in README.split('<!-- recipe:begin -->')[1].split('<!-- recipe:end -->')[0].strip().splitlines()]
    found = {row[1]: row for row in rows}
    for place, entry in enumerate(EVIDENCE['datasets'].values()):
        arm = f"`{EVIDENCE['arm']}`" + ('' if entry['decision'] == 'argmax' else ' + offsets')
        shown = found[arm][2 + 2 * place:4 + 2 * place]
        assert head[2 + 2 * place].startswith(entry['title'])
        for cell, key in zip(shown, ('mIoU', 'tail'), strict=True):
            number = re.match(r'\**([+-][\d.]+)', cell)
            assert (number is not None) == bool(entry['seeds'])
            if number:
                assert float(number[1]) == pytest.approx(entry[key]['after'] - entry[key]['before'], abs=0.06)


def test_what_is_better_than_the_recipe_is_told_where_its_interval_says_so(tmp_path: Path) -> None:
    """Not with four seeds, nor with five whose differences scatter around 0, nor with another arm or decision."""
    def higher(arms: dict[str, list[float]]) -> dict | None:
        lines = ['regime,stage,arm,decision,seed,dataset,train_seconds,test_mIoU,test_tail,test_tail_precision,test_mAcc']
        ways = {'ce,argmax': [50] * 5, 'ce-if0.5,tuned-mIoU': [52] * 5, **{f'{arm},argmax': v for arm, v in arms.items()}}
        lines += [f'frozen,confirm,{way},{seed},ccp,9,{mIoU},{mIoU - 40},1,1' for way, values in ways.items()
                  for seed, mIoU in enumerate(values)]
        (tmp_path / 'frozen_ccp.csv').write_text('\n'.join(lines) + '\n')
        code = ('import json, sys; sys.path.insert(0, "benchmarks"); import recipe; from pathlib import Path\n'
                'print(json.dumps(recipe.evidence(recipe.test_rows(Path(sys.argv[1]), "ccp"))["higher"]))')
        run = subprocess.run([sys.executable, '-c', code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True)
        return json.loads(run.stdout)

    assert higher({'ce-dice0.5': [56] * 4, 'ce-effective': [58] * 5, 'difficulty-cap10': [60] * 5}) is None
    found = higher({'ce-dice0.5': [56] * 5, 'ce-lovasz0.5': [57] * 5})
    assert (found['arm'], found['seeds']) == ('ce-dice0.5', [0, 1, 2, 3, 4])
    assert higher({'ce-dice0.5': [58, 47, 58, 47, 58]}) is None
    assert found['mIoU'] == {'before': 50.0, 'after': 56.0, 'low': 6.0, 'high': 6.0}


def test_the_program_writes_these_figures(tmp_path: Path) -> None:
    """From a copy of two seeds: their means, an interval, and what the scanner says of it."""
    lines = ['regime,stage,arm,decision,seed,dataset,train_seconds,test_mIoU,test_tail,test_tail_precision,test_mAcc']
    for seed, (ce, recipe) in enumerate([(50, 53), (51, 52)]):
        lines += [f'frozen,confirm,ce,argmax,{seed},camvid,9,{ce},10,1,1',
                  f'frozen,confirm,ce-if0.5,tuned-mIoU,{seed},camvid,9,{recipe},14,1,1']
    lines += ['frozen,confirm,ce-if0.5,argmax,0,camvid,9,49,11,1,1']
    (tmp_path / 'frozen_camvid.csv').write_text('\n'.join([*lines, 'frozen,screen,ce,argmax,7,camvid,9,,,,']) + '\n')
    code = ('import json, sys; sys.path.insert(0, "benchmarks"); import recipe; from pathlib import Path\n'
            'rows = {name: recipe.test_rows(Path(sys.argv[1]), name) for name in recipe.NAMES}\n'
            'trained = [row for row in rows["camvid"] if row["decision"] == "argmax"]\n'
            'print(json.dumps([*map(recipe.evidence, (rows["camvid"], trained, rows["ccp"])), recipe.table(rows, {})]))')
    run = subprocess.run([sys.executable, '-c', code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True)
    camvid, half, ccp, table = json.loads(run.stdout)
    assert camvid == {'decision': 'tuned-mIoU', 'seeds': [0, 1],
                      'mIoU': {'before': 50.5, 'after': 52.5, 'low': -10.71, 'high': 14.71},
                      'tail': {'before': 10.0, 'after': 14.0, 'low': 4.0, 'high': 4.0}, 'higher': None}
    assert ccp['seeds'] == []
    assert (half['decision'], half['seeds']) == ('argmax', [0]), 'one is trained and none is tuned'
    assert half['mIoU'] == {'before': 50.0, 'after': 49.0, 'low': None, 'high': None}
    assert '| +2.0 (-10.7 to +14.7) | +4.0 (+4.0 to +4.0) | – |' in table
    assert '| `ce` | 50.5 ± 0.7 | 10.0 ± 0.0 | –' in table


def test_the_same_recipe_everywhere() -> None:
    weight, = re.findall(r'weight = (dict\(.*\))', suggest(ClassStats((10 ** 6, 10))).config)
    call = weight.replace('stats=stats', "stats='data/my/stats.json'")
    assert f'weight = {call}\n' in README
    assert f'weight = {call}\n' in (ROOT / 'docs/losses.md').read_text(encoding='utf-8')
    for path in (ROOT / 'configs').glob('*/*_ce-root.py'):
        if path.parent.name == 'masks':  # losses on queries, which have weights of their own
            continue
        text = path.read_text(encoding='utf-8')
        stats, = re.findall(r'--out (\S+)', text) or set(re.findall(r"'(mmimb::\w+)'", text))  # scanned, or known
        assert f"weight = {weight.replace('stats=stats', f'stats={stats!r}')}\n" in text
    assert 'tools/tune_offsets.py configs/demo/fast-scnn_demo_ce-root.py' in QUICKSTART
    assert all(entry.title in README for entry in evidence.measured())


def test_quickstart_names_what_is_there() -> None:
    subprocess.run(['bash', '-n', ROOT / 'tools/quickstart.sh'], check=True)
    for name in re.findall(r'(?:tools|configs)/[\w/.-]+\.(?:py|sh)', QUICKSTART):
        assert 'NAME' in name or (ROOT / name).is_file(), name
    for name in re.findall(r'^(?:train|measure) ([a-z-]+) ', QUICKSTART, re.M):
        assert (ROOT / f'configs/demo/fast-scnn_demo_{name}.py').is_file()
