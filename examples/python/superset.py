"""Uses Superset's connection string with SQLAlchemy. It connects to `tidemark flight`, or with FLIGHT_PORT=8787 to the native
program. The server supports SQL after `npm run sql`, and the native program includes SQL.

    pip install 'SQLAlchemy<2' flightsql-dbapi && python superset.py

In Superset, enter this connection string in Settings, Database Connections, + Database, Other. If
`tidemark flight` uses TLS, omit `insecure=True`.
"""

import os
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import flightsql.sqlalchemy  # noqa: F401 - registers the dialect with SQLAlchemy
from sqlalchemy import create_engine, inspect, text

url = os.environ.get("TIDEMARK_URL", "http://127.0.0.1:8787")
flight_port = int(os.environ.get("FLIGHT_PORT", "8788"))
token = os.environ["TIDEMARK_TOKEN"]


def post(path, body):
    urlopen(Request(f"{url}{path}", body.encode(), {"Authorization": f"Bearer {token}"})).close()


# This database keeps points permanently. A database that a write creates keeps points for three days.
post("/query", urlencode({"q": "CREATE DATABASE demo"}))
hours = range(3)
post(
    "/write?db=demo&precision=s",
    "\n".join(f"tide,harbour=Bergen level={1.5 + hour} {1_700_000_000 + hour * 3600}" for hour in hours),
)

place = f"127.0.0.1:{flight_port}"
engine = create_engine(f"datafusion+flightsql://{place}?database=demo&token={quote(token)}&insecure=True")
assert inspect(engine).get_table_names("iox") == ["tide"]
with engine.connect() as connection:
    for time, level in connection.execute(text("SELECT time, level FROM iox.tide ORDER BY time")):
        print(int(time.timestamp()), level)
