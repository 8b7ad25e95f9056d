"""Tests of `bartizan query` and `bartizan shell`: file patterns, compressed files, standard input, charts, and piped input.

Expected rows are computed with Python's csv and json; gz and zst files are written by other programs (Python's gzip, and the zstd tool if
it is installed)."""
import gzip
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

BARTIZAN = pathlib.Path(os.environ.get('BARTIZAN', 'target/debug/bartizan')).resolve()
passed = 0


def run(*args, stdin='', ok=True, env=None):
    data = stdin if isinstance(stdin, bytes) else stdin.encode()
    done = subprocess.run([BARTIZAN, *args], input=data, capture_output=True, env={**os.environ, **(env or {})})
    out, err = done.stdout.decode(), done.stderr.decode()
    assert (done.returncode == 0) == ok, f'{args}: {done.returncode}\n{out}\n{err}'
    return out if ok else err


def rows(*args, stdin=''):
    return [json.loads(line) for line in run('query', '--format', 'ndjson', *args, stdin=stdin).splitlines()]


def check(name, condition, *seen):
    global passed
    assert condition, (name, *seen)
    passed += 1
    print(f'ok    {name}')


def main():
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        cases(folder)
    finally:
        shutil.rmtree(folder)
    print(f'{passed} passed')


def cases(folder):
    days = {'mon': [('ann', 3), ('bob', 4)], 'tue': [('ann', 10)]}
    for day, events in days.items():
        (folder / f'{day}.csv').write_text('User,Bytes\n' + ''.join(f'{user},{size}\n' for user, size in events))
    lines = ''.join(json.dumps({'User': user, 'Bytes': size}) + '\n' for events in days.values() for user, size in events)
    (folder / 'all.ndjson.gz').write_bytes(gzip.compress(lines.encode()))
    pattern = str(folder / '*.csv')
    everything = [size for events in days.values() for _, size in events]

    check('a pattern gives a table a file', rows('--file', pattern, 'mon | count') == [{'Count': 2}] and rows('--file', pattern, 'tue | count') == [{'Count': 1}])
    check('a name gives one table of all', rows('--file', f'Days={pattern}', 'Days | summarize s = sum(Bytes)') == [{'s': sum(everything)}])
    check('gzip is read', rows('--file', str(folder / 'all.ndjson.gz'), 'all | summarize s = sum(Bytes)') == [{'s': sum(everything)}])
    if shutil.which('zstd'):
        subprocess.run(['zstd', '-q', str(folder / 'mon.csv')], check=True)
        check('Zstandard is read', rows('--file', f'Z={folder / "mon.csv.zst"}', 'Z | count') == [{'Count': 2}])
    else:
        print('skipped: Zstandard: there is no `zstd` here')
    check('standard input is read', rows('--file', '-', '--input-format', 'ndjson', 'stdin | count', stdin=lines) == [{'Count': 3}])
    packed = gzip.compress(lines.encode())
    check('compressed standard input is read', rows('--file', 'In=-', '--input-format', 'json', 'In | count', stdin=packed) == [{'Count': 3}])
    check('its format must be said', '--input-format' in run('query', '--file', '-', 'stdin | count', ok=False))
    check('no file is told', 'no file is called like' in run('query', '--file', str(folder / '*.parquet'), 'x', ok=False))
    twice = folder / 'more'
    twice.mkdir()
    shutil.copy(folder / 'mon.csv', twice / 'mon.csv')
    check('two files of one name are told', 'two files give table `mon`' in run('query', '--file', pattern, '--file', str(twice / 'mon.csv'), 'mon', ok=False))

    check('a published table has no rows', rows('--file', pattern, 'StorageBlobLogs | count') == [{'Count': 0}])
    check('wildcards skip published tables', rows('--file', pattern, 'union * | count') == [{'Count': 3}])
    check('names of tables are exact', 'did you mean `StorageBlobLogs`' in run('query', '--file', pattern, 'StorageBloblogs', ok=False))
    (folder / 'StorageBlobLogs.csv').write_text('TimeGenerated,StatusCode\n2026-03-01,200\n')
    typed = ('query', '--format', 'json', '--file', str(folder / 'StorageBlobLogs.csv'), 'StorageBlobLogs | project StatusCode')
    check('a file named like a published table has its types', '"200"' in run(*typed), run(*typed))
    (folder / 'StorageBlobLogs.csv').unlink()
    (folder / 'hunt.kql').write_text('StorageBlobLogs | where StatusCode == "404" | project AccountName')
    run('kql', 'check', str(folder / 'hunt.kql'))

    chart = run('query', '--file', f'Days={pattern}', '--format', 'chart', 'Days | summarize b = sum(Bytes) by User | sort by b | render barchart', env={'COLUMNS': '50'})
    bars = {line.split(' ')[0]: line.count('█') for line in chart.splitlines()}
    check('a chart of bars is in proportion and fits', list(bars) == ['ann', 'bob'] and abs(bars['ann'] * 4 - bars['bob'] * 13) <= 13 and max(map(len, chart.splitlines())) <= 50, chart)
    check('a pipe has no colours', '\x1b' not in chart)
    check('what cannot be drawn is printed', 'ann' in run('query', '--file', f'Days={pattern}', '--format', 'chart', 'Days | distinct User'))

    home = {'HOME': str(folder), 'XDG_STATE_HOME': str(folder / 'state')}
    script = '.tables\n.schema mon\n.format json\nmon | summarize s = sum(Bytes)\n.exit\nprint "never"\n'
    said = run('shell', '--file', pattern, stdin=script, env=home)
    check('the shell reads commands and questions', 'mon\ntue\n' in said and 'Bytes  long' in said and '"s": 7' in said and 'never' not in said, said)
    check('the shell keeps a history', 'sum(Bytes)' in (folder / 'state/bartizan/history').read_text())
    wrong = run('shell', '--file', pattern, stdin='mon | where Usr == 1\n', env=home, ok=False)
    check('the shell says what is wrong', 'did you mean `User`' in wrong, wrong)
    check('completion of the command line', 'bartizan' in run('completion', 'bash'))


if __name__ == '__main__':
    sys.exit(main())
