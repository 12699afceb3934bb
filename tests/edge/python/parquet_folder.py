"""Reads a folder that `tidemark export --format parquet` wrote, according to its manifest, with pyarrow, pandas and DuckDB."""

import hashlib
import json
import pathlib

import duckdb
import pandas
import pyarrow.parquet

import order as given


def read(order):
    folder = pathlib.Path(order["folder"])
    manifest = json.loads((folder / "manifest.json").read_text())
    files = []
    for file in manifest["files"]:
        path = folder / file["path"]
        bytes_of = path.read_bytes()
        assert hashlib.sha256(bytes_of).hexdigest() == file["sha256"], file
        assert len(bytes_of) == file["bytes"], file
        table = pyarrow.parquet.read_table(path)
        assert table.num_rows == file["rows"], file
        frame = pandas.read_parquet(path)
        assert len(frame) == file["rows"], file
        times = frame["time"]
        assert {str(time)[:10] for time in times} == {file["day"]}, file
        assert times.min() == pandas.Timestamp(file["from"]) and times.max() == pandas.Timestamp(file["until"]), file
        files.append([file["measurement"], file["day"], file["rows"]])
    sums = {}
    for name in order["measurements"]:
        pattern = str(folder / order["folders"][name] / "*.parquet")
        query = f"SELECT count(*), sum(i), sum(f) FROM read_parquet('{pattern}', union_by_name = true)"
        [(rows, whole, real)] = duckdb.sql(query).fetchall()
        sums[name] = [rows, int(whole), float(real)]
    return {"files": files, "sums": sums}


given.carry_out({"read": read})
