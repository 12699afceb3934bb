"""Writes with influxdb3-python over HTTP, and queries InfluxQL with urllib. flight.py is the example for queries with
Arrow Flight.

    pip install influxdb3-python && python v3_client.py
"""

import json
import os
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from influxdb_client_3 import (
    InfluxDBClient3,
    Point,
    WriteOptions,
    WriteType,
    write_client_options,
)

url = os.environ.get("TIDEMARK_URL", "http://127.0.0.1:8787")
token = os.environ["TIDEMARK_TOKEN"]


def query(q, db=""):
    """Returns the rows of one InfluxQL statement."""
    form = urlencode({"db": db, "epoch": "s", "q": q}).encode()
    with urlopen(Request(f"{url}/query", form, {"Authorization": f"Bearer {token}"})) as response:
        result = json.load(response)["results"][0]
    if "error" in result:
        raise RuntimeError(result["error"])
    return [row for series in result.get("series", []) for row in series["values"]]


# This database keeps points permanently. A database that a write creates keeps points for three days.
query("CREATE DATABASE demo")

points = [
    Point("tide").tag("harbour", "Bergen").field("level", 1.5 + hour).time(1_700_000_000 + hour * 3600, "s")
    for hour in range(3)
]
one_by_one = write_client_options(write_options=WriteOptions(write_type=WriteType.synchronous))
with InfluxDBClient3(host=url, token=token, database="demo", write_client_options=one_by_one) as client:
    client.write(record=points, write_precision="s")

for time, level in query("SELECT level FROM tide", db="demo"):
    print(time, level)
