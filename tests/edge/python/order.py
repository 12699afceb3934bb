"""Reads the order of a client under test, and prints its report (../client_trials.mjs)."""

import json
import sys
import time

FIRST_SECOND = 1_700_000_000

EVERY_TYPE = {
    "measurement": "types",
    "tags": {"a tag": "x, y=z"},
    "fields": {
        "float": 1.5,
        "integer": 7,
        "string": 'say "hi", ünïcode',
        "boolean": True,
    },
}


def point(i):
    """Returns point `i` of an order, in the format of the 1.x clients. Its time is in seconds."""
    return {
        "measurement": "load",
        "tags": {"host": f"h{i % 3}"},
        "fields": {"value": i},
        "time": FIRST_SECOND + i,
    }


def load_point(kind, i):
    """Returns point `i` of an order as a `Point` of the 2.x and 3.x clients."""
    return kind("load").tag("host", f"h{i % 3}").field("value", i).time(FIRST_SECOND + i, write_precision="s")


def typed_point(kind):
    """Returns `EVERY_TYPE` as a `Point` of the 2.x and 3.x clients."""
    point = kind(EVERY_TYPE["measurement"])
    for key, value in EVERY_TYPE["tags"].items():
        point = point.tag(key, value)
    for key, value in EVERY_TYPE["fields"].items():
        point = point.field(key, value)
    return point.time(FIRST_SECOND, write_precision="s")


def batches(order):
    """Yields the point numbers of each batch, with the pauses in the order."""
    end = order["first"] + order["count"]
    for start in range(order["first"], end, order["batch"]):
        yield range(start, min(start + order["batch"], end))
        time.sleep(order.get("pauseMs", 0) / 1000)


def until_written(order, write):
    """Calls `write` once, or repeatedly until it succeeds if the order is patient."""
    while True:
        try:
            return write()
        except Exception:  # noqa: BLE001 - clients raise many kinds of errors
            if not order.get("patient"):
                raise
            time.sleep(0.4)


def carry_out(actions):
    order = json.loads(sys.argv[1])
    report = {"error": None}
    try:
        report.update(actions[order["action"]](order) or {})
    except Exception as error:  # noqa: BLE001
        report["error"] = str(error)
    print(json.dumps(report))
