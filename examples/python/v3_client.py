"""influxdb3-python. It writes over HTTP; its queries need Flight, which Workers cannot serve, so
InfluxQL goes by urllib.

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

points = [
    Point("tide").tag("harbour", "Bergen").field("level", 1.5 + hour).time(1_700_000_000 + hour * 3600, "s")
    for hour in range(3)
]
one_by_one = write_client_options(write_options=WriteOptions(write_type=WriteType.synchronous))
with InfluxDBClient3(host=url, token=token, database="demo", write_client_options=one_by_one) as client:
    client.write(record=points, write_precision="s")

form = urlencode({"db": "demo", "epoch": "s", "q": "SELECT level FROM tide"}).encode()
with urlopen(Request(f"{url}/query", form, {"Authorization": f"Bearer {token}"})) as response:
    result = json.load(response)["results"][0]
for time, level in result["series"][0]["values"]:
    print(time, level)
