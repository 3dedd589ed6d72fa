"""Contents whose views by kind are cheap, and let go of what they show."""

import gc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedsim.transport.record_views import Content, as_content


def records() -> dict[str, ArrayRecord | MetricRecord | ConfigRecord]:
    return {
        "arrays": ArrayRecord({"w": Array(np.ones(3))}),
        "metrics": MetricRecord({"loss": 1.5}),
        "config": ConfigRecord({"server-round": 3}),
        "more": MetricRecord({"loss": 2.5}),
    }


@pytest.fixture
def no_search_for_circles() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_it_shows_what_flowers_own_shows() -> None:
    own, ours = RecordDict(records()), Content(records())
    assert dict(ours.array_records) == dict(own.array_records)
    assert dict(ours.metric_records) == dict(own.metric_records)
    assert dict(ours.config_records) == dict(own.config_records)
    assert ours == own
    assert ours.deflate() == own.deflate()
    assert RecordDict.inflate(ours.deflate(), {c.object_id: c for c in ours.children.values()})


def test_what_is_changed_in_a_view_is_changed_in_the_content() -> None:
    content = Content(records())
    content.metric_records["new"] = MetricRecord({"loss": 3.5})
    del content.metric_records["more"]
    assert list(content) == ["arrays", "metrics", "config", "new"]
    with pytest.raises(TypeError, match="ConfigRecord is not a MetricRecord"):
        content.metric_records["metrics"] = ConfigRecord()  # type: ignore[assignment]
    assert content["metrics"] == MetricRecord({"loss": 1.5})


@pytest.mark.usefixtures("no_search_for_circles")
def test_a_look_at_it_keeps_nothing_alive() -> None:
    content = as_content(RecordDict(records()))
    record = weakref.ref(content["arrays"])
    assert list(content.array_records) == ["arrays"]
    del content
    assert record() is None


def test_what_is_light_already_stays_as_it_is() -> None:
    content = Content(records())
    assert as_content(content) is content
