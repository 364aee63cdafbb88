"""One scenario through PyPI's `kurrentdbclient`, against the stand-in whose connection string is the argument."""

import faulthandler
import sys
from uuid import uuid4

from kurrentdbclient import KurrentDBClient, NewEvent, StreamState
from kurrentdbclient.exceptions import (
    FailedPreconditionError,
    NotFoundError,
    StreamIsDeletedError,
    WrongCurrentVersionError,
)

# A stand-in that never answers must not keep the test.
faulthandler.dump_traceback_later(60, exit=True)

client = KurrentDBClient(sys.argv[1])
stream = f"call-{uuid4()}"


def event(kind):
    return NewEvent(type=kind, data=b'{"kind":"' + kind.encode() + b'"}', metadata=b'{"who":"python"}')


def types(events):
    return [event.type for event in events]


def refused(how, what):
    try:
        what()
    except how as error:
        return error
    raise AssertionError(f"{how.__name__} was expected")


def append(events, current_version, to=stream):
    return client.append_to_stream(to, current_version=current_version, events=events)


# A single event goes by Append, several go by BatchAppend.
refused(NotFoundError, lambda: client.get_stream(stream))
a, b, c = event("a"), event("b"), event("c")
first = append(a, StreamState.NO_STREAM)
second = append([b, c], 0)
assert first < second, "positions grow"

assert append(a, StreamState.NO_STREAM) == first, "a retry is answered as the first time"
assert append([b, c], 0) == second, "a retry of several is answered as the first time"
assert append([b, c], StreamState.ANY) == second, "a retry is recognised whatever is expected"

wrong = refused(WrongCurrentVersionError, lambda: append(event("x"), StreamState.NO_STREAM))
assert wrong.actual_version == 2, wrong
wrong = refused(WrongCurrentVersionError, lambda: append([event("x"), event("y")], 1))
assert (wrong.actual_version, wrong.expected_version) == (2, 1), wrong
refused(WrongCurrentVersionError, lambda: append([b, event("x")], 0))

read = client.get_stream(stream)
assert types(read) == ["a", "b", "c"], read
assert [event.stream_position for event in read] == [0, 1, 2]
assert (read[0].id, read[0].data, read[0].metadata) == (a.id, a.data, a.metadata)
assert read[0].commit_position == first
assert types(client.get_stream(stream, backwards=True, limit=2)) == ["c", "b"]
assert types(client.get_stream(stream, stream_position=2)) == ["c"]
assert types(client.get_stream(stream, stream_position=1, backwards=True)) == ["b", "a"]

# By default, it leaves system events out with a regular expression that looks ahead.
assert not [event for event in client.read_all() if event.type.startswith("$")]
assert [event for event in client.read_all(filter_exclude=()) if event.type.startswith("$")]
calls = dict(filter_include=["call-.*"], filter_by_stream_name=True)
assert types(client.read_all(commit_position=first, **calls)) == ["a", "b", "c"], "with the event there"
assert types(client.read_all(commit_position=second, backwards=True, limit=1, **calls)) == ["b"], "without it"
prefix = dict(filter_include=[stream], filter_by_stream_name=True, filter_by_prefix=True)
assert types(client.read_all(**prefix)) == ["a", "b", "c"]
assert client.get_commit_position() == second

with client.subscribe_to_all(commit_position=first, timeout=30, **calls) as subscription:
    assert types([next(subscription), next(subscription)]) == ["b", "c"], "after the event there"
    append(event("d"), 2)
    assert next(subscription).type == "d"
with client.subscribe_to_stream(stream, from_end=True, timeout=30) as subscription:
    append(event("e"), 3)
    assert next(subscription).type == "e"

wrong = refused(WrongCurrentVersionError, lambda: client.delete_stream(stream, current_version=1))
assert wrong.actual_version == 4, wrong
client.delete_stream(stream, current_version=4)
refused(NotFoundError, lambda: client.get_stream(stream))
append(event("f"), StreamState.NO_STREAM)
assert [(event.type, event.stream_position) for event in client.get_stream(stream)] == [("f", 5)]

client.tombstone_stream(stream, current_version=5)
refused(StreamIsDeletedError, lambda: client.get_stream(stream))
# For one event by itself, this client does not say more than the server's code.
refused(FailedPreconditionError, lambda: append(event("g"), StreamState.ANY))
refused(StreamIsDeletedError, lambda: append([event("g"), event("h")], StreamState.ANY))

client.set_stream_metadata("call-short", metadata={"$maxCount": 1}, current_version=StreamState.ANY)
append([event("a"), event("b")], StreamState.ANY, to="call-short")
assert types(client.get_stream("call-short")) == ["b"]

client.close()
print("the scenario ended well")
