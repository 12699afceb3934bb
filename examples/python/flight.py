"""Queries into pandas and Polars with Arrow Flight and influxdb3-python. It connects to
`tidemark flight`, or with FLIGHT_PORT=8787 to the native program. The server supports SQL after `npm run sql`.

    pip install influxdb3-python pandas polars && python flight.py
"""

import os
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from influxdb_client_3 import InfluxDBClient3

url = os.environ.get("TIDEMARK_URL", "http://127.0.0.1:8787")
flight_port = int(os.environ.get("FLIGHT_PORT", "8788"))
token = os.environ["TIDEMARK_TOKEN"]


def post(path, body):
    urlopen(Request(f"{url}{path}", body.encode(), {"Authorization": f"Bearer {token}"})).close()


# This database keeps points permanently. A database that a write creates keeps points for three days.
post("/query", urlencode({"q": "CREATE DATABASE demo"}))
hours = range(3)
post(
    "/write?db=demo&precision=s",
    "\n".join(f"tide,harbour=Bergen level={1.5 + hour} {1_700_000_000 + hour * 3600}" for hour in hours),
)

with InfluxDBClient3(host=url, token=token, database="demo", query_port_overwrite=flight_port) as client:
    frame = client.query("SELECT time, level FROM tide ORDER BY time", mode="pandas")
    same = client.query("SELECT level FROM tide", language="influxql", mode="polars")

assert same["level"].sum() == frame["level"].sum()
for time, level in zip(frame["time"], frame["level"]):
    print(int(time.timestamp()), level)
