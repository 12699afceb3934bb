"""Runs the PyPI package influxdb-client, with batches and its own retries, or with single writes."""

from datetime import datetime, timedelta, timezone

from influxdb_client import BucketRetentionRules, InfluxDBClient, Point, WriteOptions
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

import order as given


def client_of(order):
    return InfluxDBClient(
        url=order["url"], token=order["token"], org="an org", enable_gzip=order.get("gzip", False)
    )


def batching(order):
    """Returns the default options with shorter intervals."""
    return WriteOptions(
        batch_size=order["batch"],
        flush_interval=200,
        retry_interval=100,
        max_retry_delay=1000,
        max_retries=60,
        max_retry_time=60_000,
    )


def points(order):
    failures = []
    with client_of(order) as client:
        if order.get("patient"):
            failed = lambda _, data, error: failures.append(error)  # noqa: E731
            with client.write_api(write_options=batching(order), error_callback=failed) as api:
                for numbers in given.batches(order):
                    api.write(order["database"], record=[given.load_point(Point, i) for i in numbers],
                              write_precision="s")
        else:
            api = client.write_api(write_options=SYNCHRONOUS)
            for numbers in given.batches(order):
                api.write(order["database"], record=[given.load_point(Point, i) for i in numbers],
                          write_precision="s")
    if failures:
        raise failures[0]


def types(order):
    point = given.typed_point(Point)
    with client_of(order) as client:
        api = client.write_api(write_options=SYNCHRONOUS)
        api.write(order["database"], record=point, write_precision="s")


def line(order):
    with client_of(order) as client:
        api = client.write_api(write_options=SYNCHRONOUS)
        api.write(order["database"], record=order["line"])


def managed(client):
    """Creates, changes and deletes a bucket. Reports the state of the bucket after each step."""
    api = client.buckets_api()
    day = BucketRetentionRules(type="expire", every_seconds=86_400)
    made = api.create_bucket(bucket_name="made", retention_rules=day)
    client.write_api(write_options=SYNCHRONOUS).write(made.id, record="m v=1i")
    made.retention_rules[0].every_seconds = 172_800
    changed = api.update_bucket(made)
    found = api.find_bucket_by_name("made")
    pages = [bucket.name for bucket in api.find_buckets_iter(limit=1)]
    orgs = client.organizations_api().find_organizations(org="an org")
    api.delete_bucket(made)
    return {
        "orgs": [org.name for org in orgs],
        "same": made.id == found.id == changed.id and made.org_id == orgs[0].id,
        "seconds": [bucket.retention_rules[0].every_seconds for bucket in (changed, found)],
        "paged": "made" in pages and len(pages) > 1,
        "left": api.find_bucket_by_name("made") is None,
    }


def deleted(client, order):
    """Deletes points of one measurement and tag in a time range. The test itself queries the remaining points."""
    lines = [f"gone,host=h{i % 2} v={i}i {given.FIRST_SECOND + i}" for i in range(10)]
    write = client.write_api(write_options=SYNCHRONOUS)
    write.write(order["database"], record=lines, write_precision="s")
    first = datetime.fromtimestamp(given.FIRST_SECOND, timezone.utc)
    api = client.delete_api()
    api.delete(first + timedelta(seconds=2), first + timedelta(seconds=6),
               '_measurement="gone" AND host="h0"', bucket=order["database"], org="an org")
    try:
        api.delete(first, first, 'host="a" OR host="b"', bucket=order["database"])
    except ApiException as error:
        return error.status


def tour(order):
    with client_of(order) as client:
        seen = {"ping": client.ping(), "version": client.version(),
                "health": client.health().status, "ready": client.ready().status}
        return {**seen, **managed(client), "or": deleted(client, order)}


given.carry_out({"points": points, "types": types, "line": line, "tour": tour})
