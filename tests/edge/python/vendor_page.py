"""Runs the steps for Python from the vendor's page for users of v2, unchanged."""

from influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS

from order import carry_out


def write(order):
    """Writes a point without `precision`, so that its time is in nanoseconds."""
    influxdb_client = InfluxDBClient(url=order["url"], token=order["token"], org="placeholder_org")
    write_api = influxdb_client.write_api(write_options=SYNCHRONOUS)
    write_api.write(bucket=order["database"], record="home,room=kitchen temp=72 1463683075")
    write_api.close()


if __name__ == "__main__":
    carry_out({"write": write})
