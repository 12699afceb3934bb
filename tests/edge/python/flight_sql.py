"""Uses Arrow Flight and Flight SQL with several unmodified packages, each with its own features. flight_matrix.py has the
cases that all packages share."""

import asyncio
import json
from datetime import date

import adbc_driver_flightsql.dbapi as adbc
import flightsql.sqlalchemy  # noqa: F401 - registers the dialect in SQLAlchemy
import polars
import pyarrow
import pyarrow.flight as flight
from adbc_driver_flightsql import DatabaseOptions
from flightsql import FlightSQLClient
from influxdb_client_3 import InfluxDBClient3, Point
from sqlalchemy import MetaData, Table, create_engine, func, inspect, select, text

from flight import failure
from order import carry_out


def plain(table):
    """Returns the columns with their types, and the rows."""
    columns = [[field.name, str(field.type)] for field in table.schema]
    return [columns, json.loads(json.dumps(table.to_pylist(), default=str))]


def influxdb3(order, database=None):
    return InfluxDBClient3(
        host="http://127.0.0.1",
        token=order["token"],
        database=database or order["database"],
        query_port_overwrite=order["port"],
        write_port_overwrite=order["http"],
    )


OF_ALL_TYPES = "SELECT count(*) AS n FROM types WHERE host = $host AND i = $i AND f > $f AND b = $b AND time >= $time"


def written(client):
    """Writes points in several ways, and returns them from a query."""
    client.write(record="written,room=hall v=1.5 1700000000000000000")
    client.write(record=[Point("written").tag("room", "attic").field("v", 2.5).time(1700000001000000000)])
    frame = polars.DataFrame({"room": ["cellar"], "v": [3.5], "time": [1700000002000000000]})
    frame = frame.with_columns(polars.col("time").cast(polars.Datetime("ns")))
    client.write_dataframe(frame, "written", "time", ["room"])
    return client.query("SELECT room, v FROM written ORDER BY time").to_pylist()


async def at_once(client):
    asked = (client.query_async("SELECT count(*) AS n FROM many"), client.query_async("SELECT 2 AS n", mode="pandas"))
    first, second = await asyncio.gather(*asked)
    return [first["n"].to_pylist(), second["n"].tolist()]


def of_influxdb3(order):
    with influxdb3(order) as client:
        influxql = {"language": "influxql"}
        bound = client.query("SELECT i FROM types WHERE host = $host", query_parameters={"host": "b"})
        values = {"host": "a", "i": 1, "f": 0.5, "b": True, "time": order["time"]}
        null = "SELECT count(*) AS n FROM types WHERE s IS NOT DISTINCT FROM $s"
        many = "SELECT v FROM many"
        return {
            "influxql": plain(client.query("SELECT f, i FROM types GROUP BY host", **influxql)),
            "influxql_pandas": len(client.query("SELECT * FROM many", mode="pandas", **influxql)),
            "influxql_bound": client.query("SELECT f FROM types WHERE i < $i", query_parameters={"i": 0}, **influxql).num_rows,
            "pandas": client.query("SELECT count(*) AS n FROM many", mode="pandas")["n"].tolist(),
            "polars": client.query("SELECT sum(v) AS v FROM many", mode="polars")["v"].to_list(),
            "chunks": sum(c.data.num_rows for c in client.query(many, mode="chunk")),
            "reader": sum(batch.num_rows for batch in client.query(many, mode="reader")),
            "schema": str(client.query(many, mode="schema").field("v").type),
            "frames": [len(client.query_dataframe(many, frame_type=kind)) for kind in ("pandas", "polars")],
            "bound": bound.to_pylist(),
            "types": client.query(OF_ALL_TYPES, query_parameters=values)["n"].to_pylist(),
            "null": client.query(null, query_parameters={"s": None})["n"].to_pylist(),
            "written": written(client),
            "async": asyncio.run(at_once(client)),
            "unknown_influxql": client.query("SELECT v FROM nothing", **influxql).num_rows,
            "database": failure(lambda: influxdb3(order, database="none").query("SELECT 1")),
        }


def ticket(order, q, **more):
    return flight.Ticket(json.dumps({"database": order["database"], "sql_query": q, **more}))


def of_pyarrow(order):
    client = flight.connect(f"grpc://127.0.0.1:{order['port']}")
    bearer = client.authenticate_basic_token("", order["token"])
    options = flight.FlightCallOptions(headers=[bearer])
    reader = client.do_get(ticket(order, "SELECT v FROM many"), options)
    reader.read_chunk()
    reader.cancel()
    cancelled = failure(lambda: [chunk for chunk in reader])
    return {
        "bearer": bearer[1].decode() == f"Bearer {order['token']}",
        "refused": failure(lambda: client.authenticate_basic_token("", "wrong")),
        "cancelled": cancelled and cancelled[0],
        "unknown": failure(lambda: list(client.list_flights(options=options)))[0],
        "nonsense": failure(lambda: client.do_get(flight.Ticket(b"nonsense"), options).read_all()),
    }


def adbc_options(order):
    return {
        DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {order['token']}",
        f"{DatabaseOptions.RPC_CALL_HEADER_PREFIX.value}database": order["database"],
    }


def every_parameter():
    """Returns a value of each Arrow type that can be bound, a condition for it, and the number of matching rows."""
    time_s = 1_700_000_000
    times = [pyarrow.scalar(time_s * 1000**n, pyarrow.timestamp(unit)) for n, unit in enumerate(("s", "ms", "us", "ns"))]
    return [
        *[(pyarrow.scalar(1, kind()), "i =", 1) for kind in INTEGERS],
        *[(pyarrow.scalar(1.5, kind()), "f =", 1) for kind in (pyarrow.float32, pyarrow.float64)],
        *[(pyarrow.scalar("a", kind()), "host =", 1) for kind in (pyarrow.utf8, pyarrow.large_utf8)],
        *[(time, "time =", 1) for time in times],
        *[(pyarrow.scalar(date(2023, 11, 14), kind()), "time >", 3) for kind in (pyarrow.date32, pyarrow.date64)],
        *[(pyarrow.scalar(date(2023, 11, 15), kind()), "time <", 3) for kind in (pyarrow.date32, pyarrow.date64)],
        (pyarrow.scalar(True), "b =", 1),
        (pyarrow.scalar(2**64 - 1, pyarrow.uint64()), "u =", 1),
        (pyarrow.scalar(None, pyarrow.null()), "s IS NOT DISTINCT FROM", 1),
    ]


INTEGERS = [getattr(pyarrow, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)]


# The planner can simplify these columns, because they are constant. The announced columns must
# still be correct.
CONSTANT = [
    "SELECT version(), abs(-1), repeat('x', 3) AS r",
    "SELECT CASE WHEN 1 = 1 THEN 'a' END AS x, [1, 2] AS l",
    "SELECT host, to_timestamp('2020-01-01T00:00:00Z') FROM types",
]


def of_adbc(order):
    """Tests adbc-driver-flightsql: FlightInfo, prepared statements, and lists of objects."""
    uri = f"grpc://127.0.0.1:{order['port']}"
    with adbc.connect(uri, db_kwargs=adbc_options(order)) as connection, connection.cursor() as cursor:

        def asked(q, parameters=None):
            cursor.execute(q, parameters)
            return cursor.fetch_arrow_table()

        def counted(scalar, condition):
            """Returns the number of rows that satisfy the condition with a value of an Arrow type."""
            values = pyarrow.RecordBatch.from_arrays([pyarrow.array([scalar.as_py()], scalar.type)], ["0"])
            return asked(f"SELECT count(*) AS n FROM types WHERE {condition} ?", values)["n"][0].as_py()

        # With a name and a password, the client first makes a handshake, as Grafana's plug-in does.
        database = {f"{DatabaseOptions.RPC_CALL_HEADER_PREFIX.value}database": order["database"]}
        password = {**database, "username": "", "password": order["token"]}
        with adbc.connect(uri, db_kwargs=password) as other, other.cursor() as asking:
            asking.execute("SELECT 1 AS one")
            shaken = asking.fetchall()

        def tables_at(depth):
            objects = connection.adbc_get_objects(depth=depth, db_schema_filter="iox").read_all().to_pylist()
            return [table for schema in objects[0]["catalog_db_schemas"] for table in schema["db_schema_tables"]]

        tables = tables_at("columns")
        return {
            "shaken": [list(row) for row in shaken],
            "rows": asked("SELECT v FROM many").num_rows,
            "bound": asked("SELECT i, f FROM types WHERE host = ? AND f > ?", ("b", 0.5)).to_pylist(),
            "numbered": asked("SELECT i FROM types WHERE i > $2 AND host = $1", ("a", 0)).to_pylist(),
            "times": asked("SELECT i FROM types WHERE time = $1 AND b = $2", (order["time"], True)).to_pylist(),
            "null": asked("SELECT count(*) AS n FROM types WHERE s IS NOT DISTINCT FROM $1", (None,)).to_pylist(),
            "every": [[str(of.type), counted(of, condition), count] for of, condition, count in every_parameter()],
            "explain": asked("EXPLAIN SELECT 1").num_rows > 0,
            "types_of_tables": sorted(connection.adbc_get_table_types()),
            "names_of_tables": [table["table_name"] for table in tables_at("tables")],
            "tables": [
                [table["table_name"], [[c["column_name"], c["xdbc_type_name"]] for c in table["table_columns"]]]
                for table in tables
            ],
            "schema": [[f.name, str(f.type)] for f in connection.adbc_get_table_schema("types")],
            "few": failure(lambda: asked("SELECT ? + ?", (1,))),
            # The client compares the announced columns with the columns of the rows.
            "constant": [asked(q).num_rows for q in CONSTANT],
            "nested": str(asked("SELECT [host] AS l, map(['a'], [host]) AS m FROM types").schema),
            "info": connection.adbc_get_info(),
        }


def known(row):
    """Replaces NaN by None in a row of flightsql-dbapi, in which pandas represents null as NaN."""
    return [None if value != value else value for value in row]


def superset(engine):
    """Runs the queries that Superset sends for a database and a dataset: the inspection, then the charts."""
    inspector = inspect(engine)
    types = Table("types", MetaData(), autoload_with=engine, schema="iox")
    connection = engine.raw_connection()
    cursor = connection.cursor()

    def chart(statement):
        cursor.execute(str(statement.compile(engine, compile_kwargs={"literal_binds": True})))
        return [[column[0] for column in cursor.description], [known(row) for row in cursor.fetchall()]]

    since = text("time >= '2023-11-14 22:13:20.000000' AND time < '2023-11-15 00:00:00.000000'")
    dataset = text("SELECT host, i FROM types").columns().subquery("virtual_table")
    return {
        "schemas": inspector.get_schema_names(),
        "tables": inspector.get_table_names("iox"),
        "views": inspector.get_view_names("iox"),
        "columns": [[column["name"], str(column["type"])] for column in inspector.get_columns("a_b", "iox")],
        "keys": [inspector.get_pk_constraint("types", "iox"), inspector.get_foreign_keys("types", "iox")],
        "indexes": inspector.get_indexes("types", "iox"),
        "has": [inspector.has_table(name, "iox") for name in ("types", "nothing")],
        "ping": engine.dialect.do_ping(connection.connection),
        "samples": chart(select(types.c.host, types.c.f).where(since).order_by(types.c.time).limit(2)),
        "chart": chart(
            select(types.c.host, func.sum(types.c.f).label("SUM(f)")).where(since)
            .group_by(types.c.host).order_by(text('"SUM(f)" DESC')).limit(2)
        ),
        "virtual": chart(select(text("*")).select_from(dataset).limit(3))[0],
    }


def of_dbapi(order):
    """Tests the client of flightsql-dbapi, and SQLAlchemy's inspection as in Superset."""
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

    def bound(more=""):
        with create_engine(url + more).connect() as connection:
            # The dialect inserts the values into the text of the statement, so it must support
            # their types.
            asked = text("SELECT i FROM types WHERE host = :host").bindparams(host="b")
            rows = connection.execute(asked)
            return [known(row) for row in rows]

    return {
        "prepared": prepared_rows,
        "bound": bound(),
        # The client uses the handle that it got before it bound the values.
        "prepared_bound": failure(lambda: bound("&feature-sqlalchemy-prepared-statements=on")),
        "catalogs": read(client.get_catalogs()).to_pylist(),
        "schemas": [row["db_schema_name"] for row in read(client.get_db_schemas()).to_pylist()],
        "tables": [row["table_name"] for row in read(client.get_tables(db_schema_filter_pattern="iox")).to_pylist()],
        "table_types": [row["table_type"] for row in read(client.get_table_types()).to_pylist()],
        "superset": superset(create_engine(url)),
    }


if __name__ == "__main__":
    carry_out({"influxdb3": of_influxdb3, "pyarrow": of_pyarrow, "adbc": of_adbc, "dbapi": of_dbapi})
