"""Runs the PyPI package influxdb3-python, which writes over HTTP, with batches or single writes."""

from influxdb_client_3 import (
    InfluxDBClient3,
    Point,
    SYNCHRONOUS,
    WriteOptions,
    WriteType,
    write_client_options,
)

import order as given


def client_of(order, **options):
    return InfluxDBClient3(
        host=order["url"],
        token=order["token"],
        database=order["database"],
        enable_gzip=order.get("gzip", False),
        write_client_options=write_client_options(**options),
    )


def one_by_one(order):
    options = WriteOptions(write_type=WriteType.synchronous, use_v2_api=order["v2"], max_retries=0)
    return client_of(order, write_options=options)


def batching(order):
    """Returns the default options with shorter intervals."""
    return WriteOptions(
        use_v2_api=order["v2"],
        batch_size=order["batch"],
        flush_interval=200,
        retry_interval=100,
        max_retry_delay=1000,
        max_retries=60,
        max_retry_time=60_000,
    )


def points(order):
    failures = []
    if order.get("patient"):
        failed = lambda _, data, error: failures.append(error)  # noqa: E731
        client = client_of(order, write_options=batching(order), error_callback=failed)
    else:
        client = one_by_one(order)
    with client:
        for numbers in given.batches(order):
            client.write(record=[given.load_point(Point, i) for i in numbers], write_precision="s")
    if failures:
        raise failures[0]


def types(order):
    point = given.typed_point(Point)
    with one_by_one(order) as client:
        client.write(record=point, write_precision="s")


def line(order):
    with one_by_one(order) as client:
        client.write(record=order["line"])


def tour(order):
    with one_by_one(order) as client:
        return {"version": client.get_server_version()}


given.carry_out({"points": points, "types": types, "line": line, "tour": tour})
