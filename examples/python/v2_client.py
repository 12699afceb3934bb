"""Writes with influxdb-client, and queries with urllib, because the client's queries are Flux.

    pip install influxdb-client && python v2_client.py
"""

import json
import os
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from influxdb_client import InfluxDBClient, Point
from influxdb_client.client.write_api import SYNCHRONOUS

url = os.environ.get("TIDEMARK_URL", "http://127.0.0.1:8787")
token = os.environ["TIDEMARK_TOKEN"]


def query(q, db=""):
    """Returns the rows of one InfluxQL statement."""
    form = urlencode({"db": db, "epoch": "s", "q": q}).encode()
    with urlopen(Request(f"{url}/query", form, {"Authorization": f"Token {token}"})) as response:
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
# Any organisation works.
with InfluxDBClient(url=url, token=token, org="any") as client:
    client.write_api(write_options=SYNCHRONOUS).write(bucket="demo", record=points)

for time, level in query("SELECT level FROM tide", db="demo"):
    print(time, level)
