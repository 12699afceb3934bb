"""What programs ask by Arrow Flight and Flight SQL, each with its own package, unmodified."""

import json
import threading

import adbc_driver_flightsql.dbapi as adbc
import flightsql.sqlalchemy  # noqa: F401 - it tells SQLAlchemy of its dialect
import pyarrow.flight as flight
from adbc_driver_flightsql import DatabaseOptions
from flightsql import FlightSQLClient
from influxdb_client_3 import InfluxDBClient3
from sqlalchemy import create_engine, inspect, text

from flight import failure
from order import carry_out

SCHEMA = "SELECT * FROM types ORDER BY time"


def plain(table):
    """Columns with their types, and rows."""
    columns = [[field.name, str(field.type)] for field in table.schema]
    return [columns, json.loads(json.dumps(table.to_pylist(), default=str))]


def influxdb3(order, database=None, token=None):
    return InfluxDBClient3(
        host="http://127.0.0.1",
        token=token or order["token"],
        database=database or order["database"],
        query_port_overwrite=order["port"],
    )


def of_influxdb3(order):
    """influxdb3-python: tickets of JSON."""
    with influxdb3(order) as client:
        influxql = {"language": "influxql"}
        bound = client.query("SELECT i FROM types WHERE host = $host", query_parameters={"host": "b"})
        return {
            "types": plain(client.query(SCHEMA)),
            "influxql": plain(client.query("SELECT f, i FROM types GROUP BY host", **influxql)),
            "influxql_pandas": len(client.query("SELECT * FROM many", mode="pandas", **influxql)),
            "pandas": client.query("SELECT count(*) AS n FROM many", mode="pandas")["n"].tolist(),
            "polars": client.query("SELECT sum(v) AS v FROM many", mode="polars")["v"].to_list(),
            "chunks": sum(c.data.num_rows for c in client.query("SELECT v FROM many", mode="chunk")),
            "bound": bound.to_pylist(),
            "empty": plain(client.query("SELECT f, host FROM types WHERE i > 1000")),
            "wrong": failure(lambda: client.query("SELEC 1")),
            "unknown": failure(lambda: client.query("SELECT * FROM nothing")),
            "unknown_influxql": client.query("SELECT v FROM nothing", **influxql).num_rows,
            "token": failure(lambda: influxdb3(order, token="wrong").query("SELECT 1")),
            "other": failure(lambda: influxdb3(order, token=order["other"]).query("SELECT 1")),
            "database": failure(lambda: influxdb3(order, database="none").query("SELECT 1")),
        }


def ticket(order, q, **more):
    return flight.Ticket(json.dumps({"database": order["database"], "sql_query": q, **more}))


def of_pyarrow(order):
    """pyarrow.flight as it is: handshake, cancelled, late, two at once."""
    client = flight.connect(f"grpc://127.0.0.1:{order['port']}")
    bearer = client.authenticate_basic_token("", order["token"])
    options = flight.FlightCallOptions(headers=[bearer])

    def read(q, **more):
        return client.do_get(ticket(order, q, **more), options).read_all()

    reader = client.do_get(ticket(order, "SELECT * FROM many"), options)
    first = reader.read_chunk().data.num_rows
    reader.cancel()
    cancelled = failure(lambda: [chunk for chunk in reader])
    two = [None, None]

    def ask(n):
        two[n] = read(f"SELECT v FROM many WHERE v >= {n * 1000}").num_rows

    threads = [threading.Thread(target=ask, args=(n,)) for n in (0, 1)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    late = flight.FlightCallOptions(headers=[bearer], timeout=0.001)
    return {
        "bearer": bearer[1].decode() == f"Bearer {order['token']}",
        "refused": failure(lambda: client.authenticate_basic_token("", "wrong")),
        "rows": read("SELECT v FROM many").num_rows,
        "cancelled": [first > 0, cancelled and cancelled[0]],
        "after": read("SELECT 1 AS one").to_pylist(),
        "two": two,
        "late": failure(lambda: client.do_get(ticket(order, "SELECT * FROM many"), late).read_all())[0],
        "unknown": failure(lambda: list(client.list_flights(options=options)))[0],
        "nonsense": failure(lambda: client.do_get(flight.Ticket(b"nonsense"), options).read_all()),
    }


def of_adbc(order):
    """adbc-driver-flightsql: FlightInfo, prepared statements, objects."""
    options = {
        DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {order['token']}",
        f"{DatabaseOptions.RPC_CALL_HEADER_PREFIX.value}database": order["database"],
    }
    uri = f"grpc://127.0.0.1:{order['port']}"
    with adbc.connect(uri, db_kwargs=options) as connection, connection.cursor() as cursor:

        def asked(q, parameters=None):
            cursor.execute(q, parameters)
            return cursor.fetch_arrow_table()

        wrong = {**options, DatabaseOptions.AUTHORIZATION_HEADER.value: "Bearer wrong"}

        def unauthorised():
            with adbc.connect(uri, db_kwargs=wrong) as other, other.cursor() as asking:
                asking.execute("SELECT 1")

        objects = connection.adbc_get_objects(depth="columns", db_schema_filter="iox").read_all().to_pylist()
        tables = [table for schema in objects[0]["catalog_db_schemas"] for table in schema["db_schema_tables"]]
        return {
            "types": plain(asked(SCHEMA)),
            "rows": asked("SELECT v FROM many").num_rows,
            "empty": plain(asked("SELECT f, host FROM types WHERE i > 1000")),
            "bound": asked("SELECT i, f FROM types WHERE host = ? AND f > ?", ("b", 0.5)).to_pylist(),
            "numbered": asked("SELECT i FROM types WHERE i > $2 AND host = $1", ("a", 0)).to_pylist(),
            "times": asked("SELECT i FROM types WHERE time = $1 AND b = $2", (order["time"], True)).to_pylist(),
            "null": asked("SELECT count(*) AS n FROM types WHERE s IS NOT DISTINCT FROM $1", (None,)).to_pylist(),
            "explain": asked("EXPLAIN SELECT 1").num_rows > 0,
            "types_of_tables": sorted(connection.adbc_get_table_types()),
            "tables": [
                [table["table_name"], [[c["column_name"], c["xdbc_type_name"]] for c in table["table_columns"]]]
                for table in tables
            ],
            "schema": [[f.name, str(f.type)] for f in connection.adbc_get_table_schema("types")],
            "wrong": failure(lambda: asked("SELEC 1")),
            "unknown": failure(lambda: asked("SELECT * FROM nothing")),
            "few": failure(lambda: asked("SELECT ? + ?", (1,))),
            "token": failure(unauthorised),
            "info": connection.adbc_get_info(),
        }


def of_dbapi(order):
    """flightsql-dbapi: its client, and SQLAlchemy's inspection as Superset has it."""
    client = FlightSQLClient(
        host="127.0.0.1",
        port=order["port"],
        insecure=True,
        token=order["token"],
        metadata={"database": order["database"]},
    )

    def read(info):
        return client.do_get(info.endpoints[0].ticket).read_all()

    with client.prepare("SELECT i FROM types WHERE host = 'b'") as prepared:
        prepared_rows = read(prepared.execute(None)).num_rows
    url = (
        f"datafusion+flightsql://127.0.0.1:{order['port']}"
        f"?database={order['database']}&token={order['token']}&insecure=True"
    )
    engine = create_engine(url)
    inspector = inspect(engine)
    with engine.connect() as connection:
        rows = [list(row) for row in connection.execute(text("SELECT host, i FROM types ORDER BY time"))]
    return {
        "types": plain(read(client.execute(SCHEMA))),
        "prepared": prepared_rows,
        "schemas": [row["db_schema_name"] for row in read(client.get_db_schemas()).to_pylist()],
        "catalogs": read(client.get_catalogs()).to_pylist(),
        "tables": [row["table_name"] for row in read(client.get_tables(db_schema_filter_pattern="iox")).to_pylist()],
        "table_types": [row["table_type"] for row in read(client.get_table_types()).to_pylist()],
        "inspected": inspector.get_table_names("iox"),
        "columns": [[column["name"], str(column["type"])] for column in inspector.get_columns("a_b", "iox")],
        "rows": rows,
        "wrong": failure(lambda: client.execute("SELEC 1")),
    }


carry_out({"influxdb3": of_influxdb3, "pyarrow": of_pyarrow, "adbc": of_adbc, "dbapi": of_dbapi})
