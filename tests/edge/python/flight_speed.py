"""Measures how long pyarrow needs to read all rows of a statement, and the size of the rows."""

import json
import time

import pyarrow.flight as flight

from order import carry_out


def read(order):
    """Returns the seconds, the bytes of the columns, and the number of rows."""
    client = flight.connect(f"grpc://127.0.0.1:{order['port']}")
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {order['token']}".encode())])
    ticket = flight.Ticket(json.dumps({"database": order["database"], "sql_query": order["q"]}))
    start = time.perf_counter()
    table = client.do_get(ticket, options).read_all()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "bytes": table.nbytes, "rows": table.num_rows}


if __name__ == "__main__":
    carry_out({"read": read})
