"""Reads what `kaigi` wrote, through PyPI's `kurrentdbclient`: the argument is the connection string, standard input the
events as `kaigi events` tells them. What docs/eventstoredb.md promises is compared, and every hash is made anew from the
stored bytes as docs/hash-chain.md says, with none of our code."""

import faulthandler
import hashlib
import json
import sys
from datetime import datetime
from itertools import groupby
from uuid import NAMESPACE_OID, UUID, uuid5

from kurrentdbclient import KurrentDBClient

# A stand-in that never answers must not keep the test.
faulthandler.dump_traceback_later(60, exit=True)

BESIDE = {"$correlationId", "$causationId", "previous", "stored"}


def field(content):
    return len(content).to_bytes(4, "big") + content


def integer(number):
    return number.to_bytes(8, "big")


def optional(value, encoded):
    return field(b"\0" if value is None else b"\1" + encoded(value))


def text(value):
    return value.encode()


def millis(time):
    whole, fraction = time.removesuffix("Z").split(".")
    seconds = datetime.fromisoformat(whole + "+00:00").timestamp()
    return integer(int(seconds) * 1000 + int(fraction))


def hash_of(event_type, metadata, previous):
    covered = [
        b"kaigi-event-v1",
        field(bytes.fromhex(previous)),
        field(text(metadata["call"])),
        field(integer(metadata["revision"])),
        field(text(event_type)),
        field(integer(metadata["version"])),
        field(millis(metadata["at"])),
        optional(metadata.get("reported_at"), millis),
        field(millis(metadata["recorded_at"])),
        field(UUID(metadata["id"]).bytes),
        field(UUID(metadata["command"]).bytes),
        field(bytes.fromhex(metadata["digest"])),
        optional(metadata["correlation"], text),
        optional(metadata["actor"], text),
        field(bytes.fromhex(metadata["stored"]["payload"])),
    ]
    return hashlib.sha256(b"".join(covered)).hexdigest()


def equal(found, expected, what):
    assert found == expected, f"{what}: {found!r} is not {expected!r}"


def compare(event, expected, previous):
    where = f"event {event.stream_position} of {event.stream_name}, "
    metadata, data = json.loads(event.metadata), json.loads(event.data)
    equal(event.content_type, "application/json", where + "content type")
    equal(event.type, expected["type"], where + "type")
    equal(data, expected["data"], where + "data")
    equal(event.commit_position, expected["position"], where + "position")
    shown = {name: value for name, value in metadata.items() if name not in BESIDE}
    told = {name: value for name, value in expected.items() if name not in ("position", "type", "data")}
    equal(shown, told, where + "metadata")
    equal(metadata["$causationId"], expected["command"], where + "cause")
    correlation = expected["correlation"]
    equal(metadata["$correlationId"], expected["command"] if correlation is None else correlation, where + "correlation")
    equal(event.id, uuid5(NAMESPACE_OID, metadata["hash"]), where + "id")
    equal(metadata["previous"], previous, where + "link to the event before")
    equal(hash_of(event.type, metadata, previous), metadata["hash"], where + "hash")
    stored = metadata["stored"]
    envelope_id = uuid5(UUID(metadata["command"]), f"{metadata['call']}/{stored['index']}")
    equal(metadata["id"], str(envelope_id), where + "envelope's id")
    if personal := stored["personal"]:
        commitment = hashlib.sha256(bytes.fromhex(personal["salt"]) + text(personal["text"])).hexdigest()
        assert commitment in stored["payload"], where + "the payload does not commit to the personal text"
        assert personal["text"] in data.values(), where + "the personal text is not shown"
    return metadata["hash"]


client = KurrentDBClient(sys.argv[1])
expected = json.load(sys.stdin)
by_call = sorted(expected, key=lambda event: (event["call"], event["revision"]))
personal = 0
for call, events in groupby(by_call, key=lambda event: event["call"]):
    events = list(events)
    stream = client.get_stream(f"call-{call}")
    equal([event.stream_position for event in stream], list(range(len(events))), f"numbers of call-{call}")
    previous = "0" * 64
    for found, told in zip(stream, events):
        previous = compare(found, told, previous)
        personal += json.loads(found.metadata)["stored"]["personal"] is not None

calls = dict(filter_include=["call-"], filter_by_stream_name=True, filter_by_prefix=True)
order = [event.commit_position for event in client.read_all(**calls)]
equal(order, [event["position"] for event in expected], "the order of all events")

client.close()
print(json.dumps({"events": len(expected), "calls": len({event["call"] for event in expected}), "personal": personal}))
