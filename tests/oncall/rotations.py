#!/usr/bin/env python3
"""Checks who is on call against independent implementations: random schedules at random instants and edge cases, against arithmetic on Python's
zoneinfo written here, and for plain rotations against `icalendar` and `recurring-ical-events` from RRULEs. Our iCalendar feed is parsed by
`icalendar`. Edge cases: every change of clocks 2024-2030 in ten zones, hand-overs, ends of hours, of overrides and of temporary schedules,
each a second before, at, and after.

Both sides must use the same time zone data: PyPI `tzdata` is pinned to the release compiled into the service, and the system's is unused.
"""
import argparse
import bisect
import datetime as dt
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import zoneinfo

import icalendar
import recurring_ical_events
import tzdata

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / 'harness')]
from peers import binary  # noqa: E402
from score import Score  # noqa: E402

zoneinfo.reset_tzpath(to=())  # use the package only

UTC = dt.timezone.utc
SECOND, HOUR, DAY = dt.timedelta(seconds=1), dt.timedelta(hours=1), dt.timedelta(days=1)
# Northern and southern, whole, half and three-quarter hours, changes at midnight, two hours at once, Ramadan, and none at all.
ZONES = ['Europe/Oslo', 'America/New_York', 'Australia/Lord_Howe', 'Pacific/Chatham', 'Africa/Cairo', 'America/Santiago',
         'Africa/Casablanca', 'America/St_Johns', 'Antarctica/Troll', 'Asia/Kolkata']
WEEKDAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday']
FIRST, LAST = dt.datetime(2024, 1, 1, tzinfo=UTC), dt.datetime(2031, 1, 1, tzinfo=UTC)


# --- the reference implementations ---------------------------------------------------------------------------------------------------------------

class Zone:
    """Wall-clock times by zoneinfo. `fold=0`: a skipped time takes the offset from before the gap, a repeated one is the first."""

    def __init__(self, name):
        self.name, self.info = name, zoneinfo.ZoneInfo(name)

    def instant(self, local):
        return local.replace(tzinfo=self.info, fold=0).astimezone(UTC)

    def wall(self, at):
        return at.astimezone(self.info).replace(tzinfo=None, fold=0)

    def changes(self):
        """The instants at which the offset changes, to the second."""
        def offset(at):
            return at.astimezone(self.info).utcoffset()
        found, at = [], FIRST
        while at < LAST:
            following = at + DAY
            if offset(at) != offset(following):
                low, high = at, following
                while high - low > SECOND:
                    middle = low + ((high - low) // 2) // SECOND * SECOND
                    low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
                found.append(high)
            at = following
        return found


def moved(start, every, units):
    """`start` plus that many calendar units; months clamp to the last day."""
    if every == 'month':
        months = start.year * 12 + start.month - 1 + units
        year, month = divmod(months, 12)
        month += 1
        following = dt.date(year + month // 12, month % 12 + 1, 1)
        return start.replace(year=year, month=month, day=min(start.day, (following - DAY).day))
    return start + units * (DAY if every == 'day' else 7 * DAY)


def users_of(turn):
    return [turn] if isinstance(turn, str) else turn


class Rotation:
    def __init__(self, zone, rotation):
        self.zone, self.every, self.length = zone, rotation['every'], rotation.get('length', 1)
        self.start = dt.datetime.fromisoformat(rotation['start'])
        self.end = zone.instant(dt.datetime.fromisoformat(rotation['end'])) if 'end' in rotation else None
        self.turns = [users_of(turn) for turn in rotation['users']]
        self.began = zone.instant(self.start)
        self.known = [self.began]  # hand-overs, computed one after the other from the first

    def handover(self, n):
        if self.every == 'hour':
            return self.began + n * self.length * HOUR
        return self.zone.instant(moved(self.start, self.every, n * self.length))

    def turn(self, at):
        """The number of the turn, or None."""
        if at < self.began or (self.end and at >= self.end):
            return None
        if self.every == 'hour':
            return (at - self.began) // (self.length * HOUR)
        while self.known[-1] <= at:
            self.known.append(self.handover(len(self.known)))
        return bisect.bisect_right(self.known, at) - 1

    def on_call(self, at):
        n = self.turn(at)
        return set() if n is None else set(self.turns[n % len(self.turns)])


class Plan:
    """The documented meaning of a schedule, one instant at a time: no intervals, no code shared with ours."""

    def __init__(self, question):
        schedule = question['schedule']
        self.zone = Zone(schedule['time_zone'])
        self.layers = [(Rotation(self.zone, layer['rotation']), layer.get('hours', [])) for layer in schedule.get('layers', [])]
        self.temporary = [(self.local(span['from']), self.local(span['to']),
                           [(shift['user'], self.local(shift['from']), self.local(shift['to'])) for shift in span['shifts']])
                          for span in schedule.get('temporary', [])]
        changes = [(dt.datetime.fromisoformat(change['from']), n, dt.datetime.fromisoformat(change['to']), change)
                   for n, change in enumerate(question.get('overrides', [])) if change['schedule'] == question['name']]
        self.overrides = sorted(changes, key=lambda change: change[:2])

    def local(self, text):
        return self.zone.instant(dt.datetime.fromisoformat(text))

    def in_hours(self, hours, at):
        if not hours:
            return True
        today = self.zone.wall(at).date()
        for window in hours:
            begin, end = dt.time.fromisoformat(window['from']), dt.time.fromisoformat(window['to'])
            for back in (-1, 0, 1, 2):
                day = today - back * DAY
                if window.get('days') and WEEKDAYS[day.weekday()] not in window['days']:
                    continue
                until = day if end > begin else day + DAY
                if self.zone.instant(dt.datetime.combine(day, begin)) <= at < self.zone.instant(dt.datetime.combine(until, end)):
                    return True
        return False

    def on_call(self, at):
        on = set()
        for rotation, hours in reversed(self.layers):
            on = rotation.on_call(at) if self.in_hours(hours, at) else set()
            if on:
                break
        for start, end, shifts in reversed(self.temporary):
            if start <= at < end:
                on = {user for user, begin, until in shifts if begin <= at < until}
                break
        for start, _, end, change in self.overrides:
            if not start <= at < end or change.get('requested'):
                continue
            removed, added = change.get('remove'), change.get('add')
            if removed is None:
                on = on | {added}
            elif removed in on:
                on = (on - {removed}) | ({added} if added else set())
        return sorted(on)


def by_rrule(question, at):
    """The same for a plain rotation, by libraries that expand RRULEs: one series of events per entry, each event a hand-over."""
    rotation = question['schedule']['layers'][0]['rotation']
    every, length, entries = rotation['every'], rotation.get('length', 1), rotation['users']
    zone = Zone(question['schedule']['time_zone'])
    start = dt.datetime.fromisoformat(rotation['start'])
    if 'end' in rotation and at >= zone.instant(dt.datetime.fromisoformat(rotation['end'])):
        return []
    calendar = icalendar.Calendar()
    for n, entry in enumerate(entries):
        rule = {'FREQ': {'hour': 'HOURLY', 'day': 'DAILY', 'week': 'WEEKLY', 'month': 'MONTHLY'}[every], 'INTERVAL': length * len(entries)}
        if every == 'month' and start.day > 28:
            rule |= {'BYMONTHDAY': list(range(28, start.day + 1)), 'BYSETPOS': -1}
        if every == 'hour':
            first = zone.instant(start) + n * length * HOUR  # elapsed hours: RFC 5545 counts them so in UTC
        else:
            first = moved(start, every, n * length).replace(tzinfo=zone.info)
        event = icalendar.Event()
        event.add('uid', f'{n}')
        event.add('summary', json.dumps(users_of(entry)))
        event.add('dtstart', first)
        event.add('duration', dt.timedelta(minutes=1))
        event.add('rrule', rule)
        calendar.add_component(event)
    turn = length * {'hour': HOUR, 'day': DAY, 'week': 7 * DAY, 'month': 31 * DAY}[every]
    found = recurring_ical_events.of(icalendar.Calendar.from_ical(calendar.to_ical())).between(at - turn - 2 * DAY, at + DAY)
    begun = [(event.start.astimezone(UTC), event['summary']) for event in found if event.start.astimezone(UTC) <= at]
    return sorted(json.loads(max(begun)[1])) if begun else []


# --- the test cases --------------------------------------------------------------------------------------------------------------------

class Dice(random.Random):
    def some(self, few):
        return self.choice(few)


def local_text(at):
    return at.isoformat(timespec='minutes')


def utc_text(at):
    return at.astimezone(UTC).isoformat().replace('+00:00', 'Z')


def question(dice, number, zone, change):
    """A schedule with times near a DST change (or anywhere, in the zone without one), and instants to check."""
    plain = number % 25 == 0
    near = change if dice.random() < 0.8 else FIRST + dice.random() * (LAST - FIRST) // SECOND * SECOND
    wall = zone.wall(near)

    def clock():
        """A time of day; often one that this change skips or repeats."""
        if dice.random() < 0.6:
            minutes = wall.hour * 60 + wall.minute + dice.some([-120, -90, -75, -61, -60, -45, -31, -30, -15, -1, 0, 1, 15, 30, 45, 60, 90])
            return dt.time(minutes // 60 % 24, minutes % 60)
        return dt.time(dice.randrange(24), dice.some([0, 0, 0, 15, 30, 45, dice.randrange(60)]))

    def day(most):
        return wall.date() - dice.randrange(most) * DAY

    def users():
        entries = []
        for _ in range(dice.randint(1, 6)):
            user = f'u{dice.randrange(7)}'
            entries.append([user, 'ann, "the ø"'] if dice.random() < 0.15 else user)
        return entries

    def rotation():
        every = dice.some(['hour', 'day', 'day', 'week', 'week', 'month'])
        most = {'hour': 40, 'day': 400, 'week': 1500, 'month': 5000}[every]
        begin = dt.datetime.combine(day(most), clock())
        if every == 'month' and dice.random() < 0.6:
            begin = begin.replace(month=dice.some([1, 3, 5, 7, 8, 10, 12]), day=dice.some([29, 30, 31]))
        made = {'every': every, 'start': local_text(begin), 'users': users()}
        if dice.random() < 0.7:
            made['length'] = dice.randint(1, 60 if every == 'hour' else 5)
        if dice.random() < 0.15:
            made['end'] = local_text(max(dt.datetime.combine(wall.date() + dice.randint(-3, 3) * DAY, clock()), begin + DAY))
        return made

    def hours():
        made = {'from': clock().isoformat('minutes'), 'to': clock().isoformat('minutes')}
        if dice.random() < 0.6:
            made['days'] = dice.sample(WEEKDAYS, dice.randint(1, 6))
        return made

    def layer():
        made = {'rotation': rotation()}
        if dice.random() < 0.6:
            made['hours'] = [hours() for _ in range(dice.randint(1, 3))]
        return made

    schedule = {'time_zone': zone.name, 'layers': [{'rotation': rotation()}] if plain else [layer() for _ in range(dice.randint(1, 4))]}
    asked = {'id': number, 'name': 's', 'schedule': schedule}
    edges = [near, change]
    if not plain:
        spans = []
        for _ in range(dice.some([0, 0, 0, 1, 2])):
            begin = dt.datetime.combine(wall.date() + dice.randint(-3, 1) * DAY, clock())
            end = begin + dice.randint(1, 100) * HOUR
            shifts = []
            for _ in range(dice.randint(0, 4)):
                first = begin + dice.randrange(int((end - begin) / HOUR)) * HOUR
                shifts.append({'user': f'u{dice.randrange(7)}', 'from': local_text(first), 'to': local_text(min(end, first + dice.randint(1, 30) * HOUR))})
                edges += [zone.instant(first)]
            spans.append({'from': local_text(begin), 'to': local_text(end), 'shifts': shifts})
            edges += [zone.instant(begin), zone.instant(end)]
        if spans:
            schedule['temporary'] = spans
        overrides = []
        for _ in range(dice.some([0, 0, 1, 2, 4])):
            begin = near + dice.randint(-80, 40) * HOUR + dice.randrange(3600) * SECOND
            end = begin + dice.randint(1, 120 * 3600) * SECOND
            made = {'schedule': dice.some(['s'] * 9 + ['other']), 'from': utc_text(begin), 'to': utc_text(end)}
            removed, added = dice.sample(range(7), 2)
            what = dice.random()
            if what < 0.75:
                made['remove'] = f'u{removed}'
            if what > 0.25:
                made['add'] = f'u{added}'
            if dice.random() < 0.1:
                made['requested'] = True
            overrides.append(made)
            edges += [begin, end]
        if overrides:
            asked['overrides'] = overrides
    plan = Plan(asked)
    for rotation_, windows in plan.layers:
        n = rotation_.turn(near)
        if n is not None:
            edges += [rotation_.handover(n), rotation_.handover(n + 1)]
        for window in windows:
            edges += [zone.instant(dt.datetime.combine(wall.date(), dt.time.fromisoformat(window[end]))) for end in ('from', 'to')]
    at = {change, change - SECOND, near + dice.randint(-7200, 7200) * SECOND, near + dice.randint(-40 * 86400, 40 * 86400) * SECOND}
    while len(at) < INSTANTS:
        at.add(dice.some(edges) + dice.some([-HOUR, -SECOND, 0 * SECOND, 0 * SECOND, SECOND, HOUR, dice.randint(-90000, 90000) * SECOND]))
    asked['at'] = sorted(utc_text(instant) for instant in at)
    if number % 20 == 1:
        asked['window'] = [utc_text(near - dice.randint(1, 5) * DAY), utc_text(near + dice.randint(1, 5) * DAY)]
        asked['calendar'] = True
    return asked, plan


INSTANTS = 8


def read(text):
    """Our timestamps have seven digits; schedules use whole seconds."""
    return dt.datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)


def check_window(asked, plan, answer):
    """Between adjacent edges of our shifts the reference does not change either, and at each edge both agree."""
    begin, end = (dt.datetime.fromisoformat(text) for text in asked['window'])
    shifts = [(read(start), read(until), user) for start, until, user in answer['shifts']]
    edges = sorted({begin, end, *(edge for shift in shifts for edge in shift[:2])})
    looked = 0
    for left, right in zip(edges, edges[1:]):
        for at in {left, left + (right - left) // 2 // SECOND * SECOND, right - SECOND}:
            ours = sorted(user for start, until, user in shifts if start <= at < until)
            looked += 1
            if ours != plan.on_call(at):
                return looked, f'shifts at {at}: ours {ours}, outside {plan.on_call(at)}'
    return looked, None


def check_calendar(asked, answer):
    """A parser finds the shifts of the window in the feed."""
    begin, end = (dt.datetime.fromisoformat(text) for text in asked['window'])
    raw = answer['calendar'].encode()
    if not raw.endswith(b'\r\n') or any(len(line) > 75 or b'\n' in line for line in raw.split(b'\r\n')):
        return 'a line is too long or ends otherwise than in CRLF'
    events = icalendar.Calendar.from_ical(raw).walk('VEVENT')
    if len({str(event['uid']) for event in events}) != len(events):
        return 'two events share a UID'
    seen = sorted((max(event.start, begin), min(event.end, end), str(event['summary']).removesuffix(' on call: s')) for event in events)
    wanted = sorted((read(start), read(until), user) for start, until, user in answer['shifts'])
    return None if seen == wanted else f'feed {seen[:3]}…, shifts {wanted[:3]}…'


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument('--schedules', type=int, default=2000)
    arguments.add_argument('--seed', type=int, default=random.SystemRandom().randrange(2**32))
    arguments = arguments.parse_args()
    print(f'seed {arguments.seed}, tzdata {tzdata.IANA_VERSION}', flush=True)
    dice, score = Dice(arguments.seed), Score()

    changes = []
    for zone in map(Zone, ZONES):
        own = zone.changes() or [FIRST + dice.random() * (LAST - FIRST) // SECOND * SECOND for _ in range(14)]
        changes += [(zone, change) for change in own]
    dice.shuffle(changes)
    asked = []
    began = time.monotonic()
    ours = outside = 0.0
    disagreements, instants, by_rules, edges, feeds, reached = [], 0, 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / 'questions.jsonl'
        # In batches, to limit memory.
        for first in range(0, arguments.schedules, 5000):
            asked = [question(dice, n, *changes[n % len(changes)]) for n in range(first, min(first + 5000, arguments.schedules))]
            path.write_text(''.join(json.dumps(one) + '\n' for one, _ in asked))
            test, then = 'rotations::answers_a_file_of_questions', time.monotonic()
            subprocess.run([binary(test), test, '--exact'], env={**os.environ, 'BARTIZAN_ROTATIONS': str(path)}, check=True, stdout=subprocess.DEVNULL)
            ours += time.monotonic() - then
            then = time.monotonic()
            answers = [json.loads(line) for line in pathlib.Path(f'{path}.answers').read_text().splitlines()]
            if len(answers) != len(asked):
                raise SystemExit(f'{len(asked)} questions, {len(answers)} answers')
            for (one, plan), answer in zip(asked, answers):
                if answer['id'] != one['id'] or 'error' in answer:
                    disagreements.append((one, str(answer)[:300]))
                    continue
                for at, on in zip(one['at'], answer['on_call'], strict=True):
                    instant = dt.datetime.fromisoformat(at)
                    expected = plan.on_call(instant)
                    instants += 1
                    reached += bool(expected)
                    if on != expected:
                        disagreements.append((one, f'at {at}: ours {on}, outside {expected}'))
                if one['id'] % 25 == 0:
                    for at, on in zip(one['at'], answer['on_call']):
                        by_rules += 1
                        expected = by_rrule(one, dt.datetime.fromisoformat(at))
                        if on != expected:
                            disagreements.append((one, f'at {at}: ours {on}, by RRULE {expected}'))
                if 'window' in one:
                    looked, wrong = check_window(one, plan, answer)
                    edges += looked
                    feeds += 1
                    disagreements += [(one, wrong) for wrong in (wrong, check_calendar(one, answer)) if wrong]
            outside += time.monotonic() - then
            print(f'  {first + len(asked)} schedules, {len(disagreements)} disagreements, {time.monotonic() - began:.0f} s', flush=True)
    for one, wrong in disagreements[:5]:
        print(f'DISAGREE {wrong}\n  {json.dumps(one)}')
    print(f'ours took {ours:.1f} s, the judges {outside:.1f} s; somebody is on call at {reached} of {instants} instants')
    score.check(f'{arguments.schedules} schedules at {instants} instants around {len(changes)} changes of clocks in {len(ZONES)} zones',
                not disagreements and instants, f'{len(disagreements)} disagreements')
    score.check(f'{by_rules} instants of plain rotations by RRULE', by_rules and not disagreements, 'see above')
    score.check(f'{edges} instants between the edges of shifts', edges and not disagreements, 'see above')
    score.check(f'{feeds} calendar feeds read by icalendar', feeds and not disagreements, 'see above')
    score.check('most instants have somebody on call', reached * 2 > instants, f'{reached} of {instants}')
    score.end()


if __name__ == '__main__':
    main()
