"""Writes and queries with aioinflux, an asynchronous client.

    pip install aioinflux && python asyncio_client.py
"""

import asyncio
import os
from urllib.parse import urlsplit

from aioinflux import InfluxDBClient

address = urlsplit(os.environ.get("TIDEMARK_URL", "http://127.0.0.1:8787"))
secure = address.scheme == "https"


async def main():
    # The token is the password. Any user name works.
    login = {"username": "any", "password": os.environ["TIDEMARK_TOKEN"]}
    port = address.port or (443 if secure else 80)
    async with InfluxDBClient(host=address.hostname, port=port, ssl=secure, db="demo", **login) as client:
        # This database keeps points permanently. A database that a write creates keeps points for three days.
        await client.create_database(db="demo")
        points = [
            {
                "measurement": "tide",
                "tags": {"harbour": "Bergen"},
                "fields": {"level": 1.5 + hour},
                # Whole numbers are times in nanoseconds.
                "time": (1_700_000_000 + hour * 3600) * 1_000_000_000,
            }
            for hour in range(3)
        ]
        await client.write(points)
        answer = await client.query("SELECT level FROM tide", epoch="s")
        for time, level in answer["results"][0]["series"][0]["values"]:
            print(time, level)


asyncio.run(main())
