"""Superset's connection string, by SQLAlchemy as Superset uses it. It asks at `tidemark flight`, or at the port that
FLIGHT_PORT opens beside `npm start`; the server speaks SQL once `npm run sql` has built it.

    pip install 'SQLAlchemy<2' flightsql-dbapi && python superset.py

In Superset the same string is the URI of Settings, Database Connections, + Database, Other. With TLS before
`tidemark flight`, `insecure=True` is left out.
"""

import os
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import flightsql.sqlalchemy  # noqa: F401 - it tells SQLAlchemy of its dialect
from sqlalchemy import create_engine, inspect, text

url = os.environ.get("TIDEMARK_URL", "http://127.0.0.1:8787")
flight_port = int(os.environ.get("FLIGHT_PORT", "8788"))
token = os.environ["TIDEMARK_TOKEN"]


def post(path, body):
    urlopen(Request(f"{url}{path}", body.encode(), {"Authorization": f"Bearer {token}"})).close()


# A database that a write creates keeps its points for three days; this one keeps them for ever.
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
