"""Runs the PyPI package influxdb. It retries if no server responds, but not after a rejection."""

from urllib.parse import urlsplit

from influxdb import InfluxDBClient

import order as given


def client_of(order):
    address = urlsplit(order["url"])
    return InfluxDBClient(
        host=address.hostname,
        port=address.port,
        username="any",
        password=order["token"],
        database=order["database"],
        gzip=order.get("gzip", False),
        retries=30 if order.get("patient") else 1,
    )


def points(order):
    client = client_of(order)
    for numbers in given.batches(order):
        data = [given.point(i) for i in numbers]
        given.until_written(order, lambda: client.write_points(data, time_precision="s"))


def types(order):
    data = [{**given.EVERY_TYPE, "time": given.FIRST_SECOND}]
    client_of(order).write_points(data, time_precision="s")


def line(order):
    client_of(order).write_points([order["line"]], protocol="line")


def tour(order):
    client = client_of(order)
    version = client.ping()
    client.create_database("made")
    client.create_retention_policy("long", "INF", 1, database="made", default=True)
    policies = client.get_list_retention_policies("made")
    data = [given.point(i) for i in range(4)]
    client.write_points(data, time_precision="s", database="made", tags={"region": "eu"})
    client.switch_database("made")
    rows = client.query("SELECT value, region FROM load WHERE value >= 2", epoch="s")
    bound = client.query(
        "SELECT value FROM load WHERE host = $host", bind_params={"host": "h1"}, epoch="s"
    )
    chunks = client.query("SELECT value FROM load", chunked=True, chunk_size=1, epoch="s")
    series = client.get_list_series("made")
    found = client.get_list_database()
    client.drop_database("made")
    return {
        "version": version,
        "policies": policies,
        "rows": [[p["time"], p["value"], p["region"]] for p in rows.get_points()],
        "bound": [p["value"] for p in bound.get_points()],
        "chunks": [p["value"] for chunk in chunks for p in chunk.get_points()],
        "series": series,
        "found": found,
        "left": client.get_list_database(),
    }


given.carry_out({"points": points, "types": types, "line": line, "tour": tour})
