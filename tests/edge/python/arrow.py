"""Reads a table with pyarrow. Reports the contents of the stream and of the data frame."""

from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pyarrow as pa

import order as given


def read(order):
    query = urlencode({"db": order["database"], "q": order["q"], "format": "arrow"})
    headers = {"Authorization": f"Bearer {order['token']}"}
    with urlopen(Request(f"{order['url']}/api/v3/query_influxql?{query}", headers=headers)) as body:
        with pa.ipc.open_stream(body) as reader:
            batches = list(reader)
            table = pa.Table.from_batches(batches, reader.schema)
    frame = table.to_pandas()
    return {
        "rows": len(frame),
        "batches": len(batches),
        "types": [str(field.type) for field in table.schema],
        "first": str(frame["time"].iloc[0].value),
        "sum": str(frame["i"].sum()),
        "nulls": {name: int(frame[name].isna().sum()) for name in ("s", "u", "f")},
    }


given.carry_out({"read": read})
