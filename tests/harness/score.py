"""Counting what holds, and waiting for a level."""
import time


class Score:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def check(self, what, holds, detail=''):
        if holds:
            self.passed += 1
            print(f'ok    {what}', flush=True)
        else:
            self.failed += 1
            print(f'FAIL  {what}: {str(detail)[:2000]}', flush=True)
        return bool(holds)

    def skip(self, what, why):
        self.skipped += 1
        print(f'skipped: {what}: {why}', flush=True)

    def end(self):
        print(f'{self.passed} passed, {self.failed} failed, {self.skipped} skipped')
        raise SystemExit(1 if self.failed else 0)


def until(level, seconds=30, every=0.05, but=()):
    """Asks until `level` returns something true, and returns that; what it returned last when the time is over. Exceptions in `but` mean: not yet."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = level()
        except but:
            found = None
        if found or time.monotonic() >= end:
            return found
        time.sleep(every)


def wait(level, what, seconds=60, every=0.05, but=()):
    """As `until`, but raises TimeoutError that names what was waited for."""
    found = until(level, seconds, every, but)
    if not found:
        raise TimeoutError(f'no {what} within {seconds:.0f} s')
    return found
