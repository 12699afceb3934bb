"""Writes and queries with influxdb, the client for InfluxDB 1.x.

    pip install influxdb && python v1_client.py
"""

import os
from urllib.parse import urlsplit

from influxdb import InfluxDBClient

address = urlsplit(os.environ.get("TIDEMARK_URL", "http://127.0.0.1:8787"))
secure = address.scheme == "https"

client = InfluxDBClient(
    host=address.hostname,
    port=address.port or (443 if secure else 80),
    ssl=secure,
    verify_ssl=secure,
    # The token is the password. Any user name works.
    username="any",
    password=os.environ["TIDEMARK_TOKEN"],
    database="demo",
)
# This database keeps points permanently. A database that a write creates keeps points for three days.
client.create_database("demo")
points = [
    {
        "measurement": "tide",
        "tags": {"harbour": "Bergen"},
        "fields": {"level": 1.5 + hour},
        "time": 1_700_000_000 + hour * 3600,
    }
    for hour in range(3)
]
client.write_points(points, time_precision="s")

for point in client.query("SELECT level FROM tide", epoch="s").get_points():
    print(point["time"], point["level"])
