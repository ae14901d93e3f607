"""When a watch looks: intervals, lines of cron, and clocks that jump."""

import time
from datetime import datetime
from itertools import pairwise

import pytest

from orchestrator.watching.timing import Schedule, When, cron_read, following, iso, moment, span
from orchestrator.watching.told import span as in_words
from tests.makers.watched import START, FakeClock

HOUR = 3600.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("6h", 6 * HOUR), ("1d", 24 * HOUR), ("1h30m", 1.5 * HOUR),
     ("0.5h", 1800), ("1s", 1)],
)  # fmt: skip
def test_an_interval_has_its_unit(text: str, seconds: float):
    assert span(text, "--every") == seconds


@pytest.mark.parametrize("text", ["0s", "0h", "6", "-1h", "h", "1 h", "6hours", "999d", "0.5s", ""])
def test_an_interval_that_is_none_is_refused(text: str):
    with pytest.raises(ValueError, match=r"--every .*: expected a number with its unit, such as"):
        span(text, "--every")


@pytest.mark.parametrize(
    "line", ["* * * *", "61 * * * *", "x 0 * * *", "0 0 0 1 1", "0 */6 * * * *", "0 0 30 2 *"]
)
def test_a_bad_line_of_cron_is_refused(line: str):
    with pytest.raises(ValueError, match=r"--cron .* cannot be read \(.*\): expected five fields"):
        cron_read([line], "--cron")


def test_a_line_of_cron_names_moments_in_local_time():
    after = datetime(2026, 3, 3, 5, 59, 30).timestamp()
    assert datetime.fromtimestamp(following("0 */6 * * *", after=after)) == datetime(2026, 3, 3, 6)
    assert datetime.fromtimestamp(following("30 9 * * MON", after=after)) == datetime(
        2026, 3, 9, 9, 30
    )
    with pytest.raises(ValueError, match="names no moment in the next 50 years"):
        cron_read(["* * */20 * 1L"], "--cron")


def test_cron_in_the_night_in_which_the_clock_is_put_forward(monkeypatch: pytest.MonkeyPatch):
    """2:30 does not exist on that night: the look comes once, and the next night as usual."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        before = datetime(2026, 3, 29, 0, 0).timestamp()
        first = following("30 2 * * *", after=before)
        second = following("30 2 * * *", after=first)
        assert 2 * HOUR <= first - before <= 3 * HOUR
        assert datetime.fromtimestamp(second) == datetime(2026, 3, 30, 2, 30)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_the_interval_is_measured_by_the_clock_that_grows():
    clock = FakeClock()
    schedule = Schedule(When(every=HOUR), clock=clock)
    assert schedule.due, "the first look is at once"
    schedule.began()
    clock.back(24 * HOUR)
    clock.sleep(HOUR - 1)
    assert not schedule.due and schedule.seconds_left == 1
    clock.sleep(1)
    assert schedule.due


def test_of_one_look_there_is_no_next():
    clock = FakeClock()
    schedule = Schedule(When(), clock=clock)
    schedule.began()
    clock.sleep(1000 * HOUR)
    assert not schedule.due and schedule.seconds_left == float("inf")


@pytest.mark.parametrize("jump", [0.0, 10.0, 0.5 * HOUR, 5 * HOUR, 24 * 400 * HOUR])
def test_a_wall_clock_that_is_put_back_neither_delays_nor_repeats_a_look_of_cron(jump: float):
    """Looks stay an hour apart, but for one that may fall nearer where the clock was put."""
    clock = FakeClock()
    schedule = Schedule(When(cron="0 * * * *"), clock=clock)
    looks = []
    clock.plan(2.25 * HOUR, lambda: clock.back(jump))
    while clock.time < 6 * HOUR:
        if schedule.due:
            looks.append(clock.time)
            schedule.began()
        clock.sleep(60)
    apart = [late - early for early, late in pairwise(looks)]
    assert max(apart) <= 2 * HOUR and min(apart[1:]) > 60
    assert 5 <= len(looks) <= 8


def test_a_wall_clock_that_is_put_forward_brings_the_look_of_cron_at_once():
    clock = FakeClock()
    schedule = Schedule(When(cron="0 * * * *"), clock=clock)
    schedule.began()
    clock.back(-2 * HOUR)
    assert schedule.due
    schedule.began()
    assert not schedule.due


def test_moments_are_written_in_utc_and_read_again():
    assert iso(START).endswith("+00:00") and moment(iso(START)) == START


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.6, "1 min"), (3661, "1 h 1 min"), (86400 + 7200 + 5, "1 d 2 h")],
)
def test_times_in_words(seconds: float, words: str):
    assert in_words(seconds) == words
