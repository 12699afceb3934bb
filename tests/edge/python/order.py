"""How a client under test gets its order and reports: see ../client_trials.mjs."""

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
    """Point i of an order of points, as the clients of 1.x take it; its time is in seconds."""
    return {
        "measurement": "load",
        "tags": {"host": f"h{i % 3}"},
        "fields": {"value": i},
        "time": FIRST_SECOND + i,
    }


def batches(order):
    """The numbers of the points of each batch, with the pauses that the order asks for."""
    end = order["first"] + order["count"]
    for start in range(order["first"], end, order["batch"]):
        yield range(start, min(start + order["batch"], end))
        time.sleep(order.get("pauseMs", 0) / 1000)


def until_written(order, write):
    """Calls `write` once or, for a client without retries, as long as a patient user would."""
    while True:
        try:
            return write()
        except Exception:  # noqa: BLE001 - whatever the client raises is what is tested
            if not order.get("patient"):
                raise
            time.sleep(0.4)


def carry_out(actions):
    """Carries out the order of the command line with the function of its action."""
    order = json.loads(sys.argv[1])
    report = {"error": None}
    try:
        report.update(actions[order["action"]](order) or {})
    except Exception as error:  # noqa: BLE001
        report["error"] = str(error)
    print(json.dumps(report))
