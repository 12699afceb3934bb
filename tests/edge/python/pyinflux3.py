"""Runs pyinflux3, the predecessor of influxdb3-python, which the vendor's page for users of v2 still names."""

import sys
from pathlib import Path

from order import carry_out

# The package is in .cache/pyinflux3 of the repository.
sys.path.insert(0, str(Path(__file__).parents[3] / ".cache" / "pyinflux3"))

from influxdb_client_3 import InfluxDBClient3, flight_client_options  # noqa: E402


def query(order):
    """Queries in both languages over TLS, which this client always uses."""
    with open(order["certificate"]) as file:
        options = flight_client_options(tls_root_certs=file.read())
    # The client appends ":443" to the host. Text after a slash is not a port.
    host = f"localhost:{order['port']}/"
    client = InfluxDBClient3(
        host=host, org="", database=order["database"], token=order["token"], flight_client_options=options
    )
    sql = client.query("SELECT room, temp FROM home ORDER BY time")
    influxql = client.query("SELECT temp FROM home", language="influxql")
    return {"sql": sql.to_pylist(), "influxql": influxql.column("temp").to_pylist()}


if __name__ == "__main__":
    carry_out({"query": query})
