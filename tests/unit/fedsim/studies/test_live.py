"""What is shown while a study runs: several processes may tell of their work at once."""

from rich.console import Console

from fedsim.studies.live import LiveStudy


def test_tasks_may_end_in_any_order() -> None:
    live = LiveStudy(Console(quiet=True), ())
    first, second = live.task("one", 3), live.task("other", 2)
    one = first.__enter__()
    other = second.__enter__()
    one("begun")
    first.__exit__(None, None, None)
    other("goes on")
    assert list(live._tasks.values()) == ["other 1/2 goes on"]
    second.__exit__(None, None, None)
    assert not live._tasks
