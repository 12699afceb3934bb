"""Runs the same cases with each unmodified client of Arrow Flight (../flight_cases.mjs)."""

import threading
import time

import adbc_driver_flightsql.dbapi as adbc
import duckdb
import polars
import pyarrow
import pyarrow.compute as compute
import pyarrow.flight as flight
from adbc_driver_flightsql import DatabaseOptions
from flightsql import FlightSQLClient
from flightsql.client import FlightSQLCallOptions
from influxdb_client_3 import InfluxDBClient3
from sqlalchemy import create_engine, text

from flight import failure
from flight_sql import adbc_options, known, plain, ticket
from order import carry_out

TYPES = "SELECT * FROM types ORDER BY time"
MILLION = "SELECT host, v, w, i, time FROM million"
# The timeout of a call. It is longer than any response in this test takes.
PATIENCE_S = 60
# A fast machine reads the table in 40 ms.
LATE_S = 0.01


class Influxdb3:
    """influxdb3-python, with JSON tickets. Its deadline is `query_timeout`, which is 5 minutes by default."""

    def __init__(self, order, token, deadline_s):
        self.client = InfluxDBClient3(
            host="http://127.0.0.1",
            token=token,
            database=order["database"],
            query_port_overwrite=order["port"],
            query_timeout=deadline_s * 1000,
        )

    def ask(self, q):
        return self.client.query(q)

    def begun(self, q):
        reader = self.client.query(q, mode="chunk")
        rows = reader.read_chunk().data.num_rows
        reader.cancel()
        return rows

    def close(self):
        self.client.close()


class Pyarrow:
    def __init__(self, order, token, deadline_s):
        self.order = order
        self.client = flight.connect(f"grpc://127.0.0.1:{order['port']}")
        headers = [(b"authorization", f"Bearer {token}".encode())]
        self.options = flight.FlightCallOptions(headers=headers, timeout=deadline_s)

    def ask(self, q):
        return self.client.do_get(ticket(self.order, q), self.options).read_all()

    def begun(self, q):
        reader = self.client.do_get(ticket(self.order, q), self.options)
        rows = reader.read_chunk().data.num_rows
        reader.cancel()
        return rows

    def close(self):
        self.client.close()


class Adbc:
    """adbc-driver-flightsql, which contains arrow-go's client. It requests a FlightInfo, then the rows of its ticket."""

    def __init__(self, order, token, deadline_s):
        timeouts = {
            DatabaseOptions.TIMEOUT_FETCH.value: str(deadline_s),
            DatabaseOptions.TIMEOUT_QUERY.value: str(PATIENCE_S),
        }
        options = {**adbc_options(order), **timeouts}
        options[DatabaseOptions.AUTHORIZATION_HEADER.value] = f"Bearer {token}"
        uri = f"grpc://127.0.0.1:{order['port']}"
        self.connection = adbc.connect(uri, db_kwargs=options)

    def ask(self, q):
        with self.connection.cursor() as cursor:
            cursor.execute(q)
            return cursor.fetch_arrow_table()

    def begun(self, q):
        with self.connection.cursor() as cursor:
            cursor.execute(q)
            return cursor.fetch_record_batch().read_next_batch().num_rows

    def close(self):
        self.connection.close()


class AdbcToPolars(Adbc):
    def ask(self, q):
        table = polars.read_database(q, self.connection).to_arrow(compat_level=polars.CompatLevel.oldest())
        # Polars always returns texts of the type large_utf8.
        fields = [f.with_type(pyarrow.utf8()) if f.type == pyarrow.large_utf8() else f for f in table.schema]
        return table.cast(pyarrow.schema(fields))

    def begun(self, q):
        batches = polars.read_database(q, self.connection, iter_batches=True)
        return next(iter(batches)).height


class AdbcToDuckdb(Adbc):
    def ask(self, q):
        with self.connection.cursor() as cursor:
            cursor.execute(q)
            read = cursor.fetch_record_batch()
            return duckdb.connect().from_arrow(read).to_arrow_table()

    def begun(self, q):
        with self.connection.cursor() as cursor:
            cursor.execute(q)
            relation = duckdb.connect().from_arrow(cursor.fetch_record_batch())
            return len(relation.limit(10).fetchall())


class Dbapi:
    def __init__(self, order, token, deadline_s):
        self.client = FlightSQLClient(
            host="127.0.0.1",
            port=order["port"],
            insecure=True,
            token=token,
            metadata={"database": order["database"]},
        )
        self.options = FlightSQLCallOptions(timeout=deadline_s)

    def read(self, q):
        info = self.client.execute(q)
        return self.client.do_get(info.endpoints[0].ticket, self.options)

    def ask(self, q):
        return self.read(q).read_all()

    def begun(self, q):
        reader = self.read(q)
        rows = reader.read_chunk().data.num_rows
        reader.cancel()
        return rows

    def close(self):
        self.client.close()


class Rows:
    """Python rows with the interface of an Arrow table. Only the names of the columns are known."""

    def __init__(self, names, rows):
        self.schema = [pyarrow.field(name, pyarrow.null()) for name in names]
        self.rows, self.num_rows, self.num_columns = rows, len(rows), len(names)

    def to_pylist(self):
        names = [field.name for field in self.schema]
        return [dict(zip(names, known(row))) for row in self.rows]

    def __getitem__(self, name):
        at = [field.name for field in self.schema].index(name)
        return pyarrow.chunked_array([[row[at] for row in self.rows]])


class Sqlalchemy:
    """SQLAlchemy with the dialect of flightsql-dbapi, as in Superset. It reads the complete result and has no deadline."""

    def __init__(self, order, token, deadline_s):
        url = f"datafusion+flightsql://127.0.0.1:{order['port']}"
        self.engine = create_engine(f"{url}?database={order['database']}&token={token}&insecure=True")

    def ask(self, q):
        with self.engine.connect() as connection:
            result = connection.execute(text(q))
            return Rows(list(result.keys()), result.fetchall())

    begun = None

    def close(self):
        self.engine.dispose()


CLIENTS = {
    "influxdb3-python": Influxdb3,
    "pyarrow.flight": Pyarrow,
    "adbc-driver-flightsql": Adbc,
    "Polars by ADBC": AdbcToPolars,
    "DuckDB by ADBC": AdbcToDuckdb,
    "flightsql-dbapi": Dbapi,
    "SQLAlchemy": Sqlalchemy,
}


def late(client_of):
    """Returns the error of an exceeded deadline, and whether it arrived soon after the deadline."""
    client = client_of(LATE_S)
    started = time.monotonic()
    said = failure(lambda: client.ask(MILLION))
    client.close()
    return [said and said[1], time.monotonic() - started < PATIENCE_S / 6]


def together(client):
    """Sends two concurrent queries with one client. Returns the number of rows of each."""
    seen = [None, None]

    def ask(n):
        seen[n] = client.ask(f"SELECT v FROM many WHERE v >= {n * 1000}").num_rows

    threads = [threading.Thread(target=ask, args=(n,)) for n in (0, 1)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return seen


def refused(kind, order, token):
    def act():
        client = kind(order, token, PATIENCE_S)
        try:
            client.ask("SELECT 1 AS one")
        finally:
            client.close()

    return failure(act)


def cases_of(kind, order):
    client = kind(order, order["token"], PATIENCE_S)
    seen = {
        "types": plain(client.ask(TYPES)),
        "empty": plain(client.ask("SELECT f, host FROM types WHERE i > 1000")),
        "wrong": failure(lambda: client.ask("SELEC 1")),
        "unknown": failure(lambda: client.ask("SELECT * FROM nothing")),
        "token": refused(kind, order, "wrong"),
        "other": refused(kind, order, order["other"]),
        "two": together(client),
    }
    million = client.ask(MILLION)
    seen["million"] = [million.num_rows, million.num_columns, compute.sum(million["v"]).as_py()]
    del million
    # A client that stops reading cancels the call.
    seen["cancelled"] = [client.begun and client.begun(MILLION), client.ask("SELECT 1 AS one").num_rows]
    client.close()
    seen["deadline"] = late(lambda s: kind(order, order["token"], s)) if kind is not Sqlalchemy else None
    return seen


def cases(order):
    """Returns the results or the error of each client."""
    seen = {}
    for name, kind in CLIENTS.items():
        try:
            seen[name] = cases_of(kind, order)
        except Exception as error:  # noqa: BLE001 - clients raise many kinds of errors
            seen[name] = {"error": str(error)}
    return seen


def restarted(order):
    """Queries with all clients before, during and after a restart of the server."""
    clients = {name: kind(order, order["token"], PATIENCE_S) for name, kind in CLIENTS.items()}
    seen = {name: [client.ask("SELECT 1 AS one").num_rows] for name, client in clients.items()}
    for word in ("away", "back"):
        print(word, flush=True)
        input()
        for name, client in clients.items():
            said = failure(lambda client=client: seen[name].append(client.ask("SELECT 1 AS one").num_rows))
            if said:
                seen[name].append(said)
    return seen


if __name__ == "__main__":
    carry_out({"cases": cases, "restarted": restarted})
