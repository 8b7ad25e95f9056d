"""`bartizan kql run --jsonl` as one long process, and the memory that it had."""
import json
import pathlib
import re
import subprocess

from service import BINARY


class Engine:
    """Answers one query after the other; what memory cannot hold goes below `folder`."""

    def __init__(self, folder, *options):
        command = [BINARY, 'kql', 'run', '--jsonl', *map(str, options)]
        self.folder = pathlib.Path(folder)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                        env={'TMPDIR': str(folder), 'PATH': '/usr/bin:/bin'})

    def status(self, field):
        """Bytes, as the kernel says: `VmHWM` was resident at most, `VmRSS` is."""
        status = pathlib.Path(f'/proc/{self.process.pid}/status').read_text()
        return int(re.search(field + r':\s+(\d+) kB', status)[1]) << 10

    def ask(self, query):
        """The answer, none where the process ended; and the most memory it had meanwhile."""
        try:
            pathlib.Path(f'/proc/{self.process.pid}/clear_refs').write_text('5')
            self.process.stdin.write(json.dumps({'id': '1', 'query': query}) + '\n')
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except (BrokenPipeError, ProcessLookupError):
            line = ''
        return (json.loads(line), self.status('VmHWM')) if line else (None, 0)

    def left(self):
        """Bytes in the folder for what memory cannot hold."""
        return sum(path.stat().st_size for path in self.folder.rglob('*') if path.is_file())

    def end(self):
        self.process.stdin.close()
        return self.process.wait(30)
