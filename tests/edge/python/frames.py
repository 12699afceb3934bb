"""Runs the DataFrameClient of the PyPI package influxdb, which does not escape strings."""

from urllib.parse import urlsplit

import numpy as np
import pandas as pd
from influxdb import DataFrameClient

import order as given


def index_of(count):
    seconds = given.FIRST_SECOND + np.arange(count)
    return pd.to_datetime(seconds, unit="s", utc=True)


def frames(order):
    """Writes each string in a separate frame, and returns the stored string or the error. Then writes missing values."""
    address = urlsplit(order["url"])
    client = DataFrameClient(
        host=address.hostname,
        port=address.port,
        username="any",
        password=order["token"],
        database=order["database"],
    )
    found = []
    for number, text in enumerate(order["strings"]):
        measurement = f"m{number}"
        frame = pd.DataFrame({"s": [text], "f": [1.5]}, index=index_of(1))
        try:
            client.write_points(frame, measurement)
            rows = client.query(f"SELECT s, f FROM {measurement}")[measurement]
            assert rows["f"].tolist() == [1.5]
            found.append(rows["s"].tolist())
        except Exception as error:  # noqa: BLE001 - the test compares every kind of error
            found.append(str(error))
    absent = {"s": ['a "b" c', np.nan, None, "NaN"], "f": [1.5, 2.0, 2.5, np.nan]}
    frame = pd.DataFrame({**absent, "t": ["x y", "x,y", "x=y", "x"]}, index=index_of(4))
    client.write_points(frame, "absent", tag_columns=["t"])
    rows = client.query("SELECT s, f, t FROM absent")["absent"]
    rows = rows.astype(object).where(rows.notna(), None)
    return {"found": found, "absent": rows[["s", "f", "t"]].values.tolist()}


given.carry_out({"frames": frames})
