"""A client as a backend team writes one: all it knows of the service is the OpenAPI document.

Arguments: the service's URL, and the keys of a telephony system, a dashboard and an auditor. Makes a client of the
document, sends commands with it, reads what it wrote, follows the feed and proves that it missed nothing.
"""

import hashlib
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import httpx
from openapi_spec_validator import validate

URL, TELEPHONY, READER, AUDITOR = sys.argv[1:5]


def generated(document, folder):
    """The package that a generator makes of the document."""
    written = folder / "openapi.json"
    written.write_text(json.dumps(document))
    config = folder / "config.yml"
    config.write_text("post_hooks: []\npackage_name_override: service\n")
    made = folder / "made"
    generator = Path(sys.executable).with_name("openapi-python-client")
    command = [generator, "generate", "--path", written, "--config", config]
    said = subprocess.run(
        [*command, "--meta", "none", "--output-path", made / "service"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    # It knows no streams of lines and no metrics, and leaves them out; nothing else.
    left_out = set(re.findall(r"WARNING parsing (\w+ \S+)", said.stdout + said.stderr))
    assert left_out <= {"POST /v1/commands", "GET /metrics"}, said.stdout + said.stderr
    sys.path.insert(0, str(made))
    return importlib.import_module("service")


def client(key):
    return SERVICE.AuthenticatedClient(base_url=URL, token=key, raise_on_unexpected_status=True)


def operation(name):
    """What the document calls `name`, wherever the generator put it."""
    folder = Path(SERVICE.__file__).parent / "api"
    [file] = folder.glob(f"*/{name}.py")
    return importlib.import_module(f"service.api.{file.parent.name}.{name}")


def model(name, fields):
    models = importlib.import_module("service.models")
    return getattr(models, name).from_dict(fields)


def send(call, name, **fields):
    command = model(name, {"type": snake(name), **fields})
    return operation("send_command").sync_detailed(call, client=client(TELEPHONY), body=command)


def snake(name):
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def streamed(lines):
    """The events of a stream of server-sent events: id, name, data."""
    fields = {}
    for line in lines:
        if not line and fields:
            yield fields.get("id"), fields.get("event"), json.loads(fields.get("data", "null"))
            fields = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")


def follow(last_event_id, until):
    """The events of the feed after that id, up to that position; count and rolling hash are summed anew."""
    headers = {"Authorization": f"Bearer {AUDITOR}", "Accept": "text/event-stream"}
    headers["Last-Event-ID"] = str(last_event_id)
    with httpx.stream("GET", f"{URL}/v1/events", headers=headers, timeout=30) as answer:
        assert answer.status_code == 200, answer.read()
        events = streamed(answer.iter_lines())
        _, name, begin = next(events)
        assert name == "begin", name
        count, rolled = begin["count"], bytes.fromhex(begin["rolling_hash"])
        for position, name, event in events:
            if "hash" not in event:
                continue
            count += 1
            rolled = hashlib.sha256(rolled + bytes.fromhex(event["hash"])).digest()
            assert (event["count"], event["rolling_hash"]) == (count, rolled.hex()), event
            yield event
            if int(position) >= until:
                return


def main():
    call = f"py-{uuid.uuid4()}"
    connected = send(call, "ConnectCall", agent="agent:ana", queue="billing")
    assert connected.status_code == 200, connected.content
    assert connected.headers["ETag"] == '"1"', connected.headers

    # A retry by id is answered as the first time, and writes nothing.
    again = str(uuid.uuid4())
    asked = {"by": "agent:ana", "target": "agent:ben", "id": again}
    first, second = (send(call, "StartConsult", **asked) for _ in range(2))
    assert first.parsed.to_dict() == second.parsed.to_dict(), (first.content, second.content)

    # A refusal says which rule, what to do, and where the call is.
    refused = send(call, "StartConference", by="agent:ana")
    assert refused.status_code == 409, refused.content
    problem = refused.parsed.to_dict()
    assert (problem["code"], problem["rule"], problem["revision"]) == ("consult_not_answered", "R5", 3), problem
    assert problem["detail"], problem

    stale = send(call, "AcceptConsult", by="agent:ben", expect=1)
    assert (stale.status_code, stale.parsed.revision) == (412, 3), stale.content

    # Who wrote reads what it wrote.
    position = second.parsed.events[-1].position
    rows = operation("list_active_calls").sync(client=client(READER), min_position=position, limit=1000)
    [row] = [row for row in rows.rows if row.call == call]
    assert row.consult.state == "ringing" and rows.position >= position, row

    # Many commands are a stream of lines, and so are their answers.
    lines = [
        {"call": call, "type": "accept_consult", "by": "agent:ben"},
        {"call": call, "type": "transfer_call", "by": "agent:ben"},
        {"call": call, "type": "nonsense"},
    ]
    headers = {"Authorization": f"Bearer {TELEPHONY}", "Content-Type": "application/x-ndjson"}
    body = "".join(json.dumps(line) + "\n" for line in lines)
    answered = httpx.post(f"{URL}/v1/commands", headers=headers, content=body)
    answers = [json.loads(line) for line in answered.text.splitlines()]
    assert [answer["line"] for answer in answers] == [1, 2, 3], answers
    assert answers[0]["accepted"] and answers[1]["rejection"]["rule"] and answers[2]["error"], answers
    position = answers[0]["events"][-1]["position"]

    # The feed from the beginning, cut in the middle and resumed: nothing is missing, nothing comes twice.
    events = []
    for event in follow(0, position):
        events.append(event)
        if event["call"] == call:
            break
    events += follow(events[-1]["position"], position)
    positions = [event["position"] for event in events]
    assert positions == sorted(set(positions)) and positions[-1] == position, positions
    own = [event["type"] for event in events if event["call"] == call]
    assert own == ["call_connected", "consult_requested", "party_held", "consult_started"], own

    # The service says the same of that prefix to whoever asks.
    proof = operation("read_proof").sync(client=client(AUDITOR), count=len(events))
    assert proof.rolling_hash == events[-1]["rolling_hash"] and proof.position == position, proof
    print(json.dumps({"events": len(events), "rolling_hash": proof.rolling_hash}))


if __name__ == "__main__":
    DOCUMENT = httpx.get(f"{URL}/openapi.json").json()
    validate(DOCUMENT)
    with tempfile.TemporaryDirectory() as folder:
        SERVICE = generated(DOCUMENT, Path(folder))
        main()
