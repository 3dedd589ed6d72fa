"""Events for programs: their keys, their counts, and the time left."""

import io
import json
from datetime import datetime
from typing import Any

import pytest

from fedsim.progress_sinks import FanOut, JsonLines


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    for event in found:
        assert event.pop("schema") == 2
        assert datetime.fromisoformat(event.pop("time")).utcoffset().total_seconds() == 0
    return found


def test_a_task_is_told_from_start_to_end_with_the_time_left() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = JsonLines(stream, clock)
    with lines.task("federation honest", total=10, done=2) as advance:
        clock.now += 6
        advance("loss 1.5")
        lines.say("news")
        clock.now += 2
        advance("")
    work = {"task": 1, "what": "federation honest"}
    assert events(stream) == [
        {"event": "started", **work, "done": 2, "total": 10},
        {
            "event": "progress",
            **work,
            "done": 3,
            "total": 10,
            # One step took 6 seconds, and 7 are left.
            "standing": "loss 1.5",
            "seconds_left": 42.0,
        },
        {"event": "said", "text": "news"},
        {
            "event": "progress",
            **work,
            "done": 4,
            "total": 10,
            # Two steps took 8 seconds, and 6 are left.
            "standing": "",
            "seconds_left": 24.0,
        },
        {"event": "finished", **work, "done": 4, "total": 10, "seconds": 8.0},
    ]


def test_tasks_that_are_broken_off_end() -> None:
    stream = io.StringIO()
    lines = JsonLines(stream, Clock())

    def break_off() -> None:
        with lines.task("outer", 2), lines.task("inner", 3) as advance:
            advance("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    found = events(stream)
    assert [(e["event"], e["task"], e["done"]) for e in found] == [
        ("started", 1, 0),
        ("started", 2, 0),
        ("progress", 2, 1),
        ("finished", 2, 1),
        ("finished", 1, 0),
    ]


def test_tasks_of_several_processes_end_in_any_order() -> None:
    stream = io.StringIO()
    lines = JsonLines(stream, Clock())
    one, other = lines.task("one", 1), lines.task("other", 1)
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    with lines.task("third", 1):
        pass
    other.__exit__(None, None, None)
    assert [(e["event"], e["task"]) for e in events(stream)] == [
        *(("started", 1), ("started", 2), ("finished", 1)),
        *(("started", 3), ("finished", 3), ("finished", 2)),
    ]


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        JsonLines(io.StringIO()).emit("results", auc=float("nan"))


def test_several_watchers_hear_the_same() -> None:
    one, other = io.StringIO(), io.StringIO()
    both = FanOut(JsonLines(one, Clock()), JsonLines(other, Clock()))
    both.say("news")
    with both.task("work", 2) as advance:
        advance("half")
    assert events(one) == events(other)
    assert [e["event"] for e in events(one)] == ["said", "started", "progress", "finished"]
