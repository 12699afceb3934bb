"""Queries rows with SQL and reads them as Parquet: pandas from the server's address, DuckDB and
Polars from a file. The server supports SQL after `npm run sql`.

    pip install pandas pyarrow duckdb polars && python parquet.py
"""

import os
import tempfile
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import duckdb
import pandas
import polars

url = os.environ.get("TIDEMARK_URL", "http://127.0.0.1:8787")
token = {"Authorization": f"Bearer {os.environ['TIDEMARK_TOKEN']}"}


def post(path, body):
    with urlopen(Request(f"{url}{path}", body.encode(), token)) as response:
        return response.read()


# This database keeps points permanently. A database that a write creates keeps points for three days.
post("/query", urlencode({"q": "CREATE DATABASE demo"}))
hours = range(3)
post(
    "/write?db=demo&precision=s",
    "\n".join(f"tide,harbour=Bergen level={1.5 + hour} {1_700_000_000 + hour * 3600}" for hour in hours),
)

asked = {"db": "demo", "q": "SELECT time, level FROM tide ORDER BY time", "format": "parquet"}
address = f"{url}/api/v3/query_sql?{urlencode(asked)}"

frame = pandas.read_parquet(address, storage_options=token)
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder, "tide.parquet")
    with urlopen(Request(address, headers=token)) as response:
        file.write_bytes(response.read())
    [(total,)] = duckdb.sql(f"SELECT sum(level) FROM '{file}'").fetchall()
    same = polars.read_parquet(file)
assert total == same["level"].sum() == frame["level"].sum()

for time, level in zip(frame["time"], frame["level"]):
    print(int(time.timestamp()), level)
