"""Runs the PyPI package aioinflux, which never retries."""

import asyncio
from urllib.parse import urlsplit

from aioinflux import InfluxDBClient

import order as given


def client_of(order):
    address = urlsplit(order["url"])
    return InfluxDBClient(
        host=address.hostname,
        port=address.port,
        db=order["database"],
        username="any",
        password=order["token"],
    )


def in_ns(point):
    """Converts the time of a point, because aioinflux writes whole numbers as nanoseconds."""
    return {**point, "time": point["time"] * 1_000_000_000}


async def patiently(order, client, data):
    while True:
        try:
            return await client.write(data)
        except Exception:  # noqa: BLE001
            if not order.get("patient"):
                raise
            await asyncio.sleep(0.4)


async def points(order):
    async with client_of(order) as client:
        for numbers in given.batches(order):
            await patiently(order, client, [in_ns(given.point(i)) for i in numbers])


async def types(order):
    async with client_of(order) as client:
        await client.write(in_ns({**given.EVERY_TYPE, "time": given.FIRST_SECOND}))


async def line(order):
    async with client_of(order) as client:
        await client.write(order["line"])


async def tour(order):
    async with client_of(order) as client:
        headers = await client.ping()
        await client.create_database(db="made")
        client.db = "made"
        await client.write([in_ns(given.point(i)) for i in range(4)])
        whole = await client.query("SELECT value FROM load", epoch="s")
        chunks = await client.query("SELECT value FROM load", epoch="s", chunked=True, chunk_size=1)
        chunked = [chunk async for chunk in chunks]
        measurements = await client.show_measurements()
        await client.drop_database(db="made")
    values = [chunk["results"][0]["series"][0]["values"] for chunk in chunked]
    return {
        "version": headers["X-Influxdb-Version"],
        "rows": whole["results"][0]["series"][0]["values"],
        "chunks": [row for rows in values for row in rows],
        "measurements": measurements["results"][0]["series"][0]["values"],
    }


def on_a_loop(action):
    """Runs `action` in a new event loop, because the client needs the loop before it runs."""

    def run(order):
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(action(order))

    return run


actions = {"points": points, "types": types, "line": line, "tour": tour}
given.carry_out({name: on_a_loop(action) for name, action in actions.items()})
