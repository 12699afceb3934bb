"""Makes calls of Arrow Flight with the unmodified pyarrow."""

import pyarrow.flight as flight
from flight_server import table
from order import carry_out

ROWS = 20_000


def failure(act):
    """Returns the class and the text of the error that `act` raises, or None."""
    try:
        act()
    except Exception as error:  # noqa: BLE001 - the test compares every kind of error
        return [type(error).__name__, str(error)]
    return None


def read(client, asked, options=None):
    return client.do_get(flight.Ticket(asked.encode()), options).read_all()


def counted(client, asked, rows):
    """Appends the number of rows of each batch to `rows`, until an error."""
    for chunk in client.do_get(flight.Ticket(asked.encode())):
        rows.append(chunk.data.num_rows)


def exchange(client):
    """Sends three batches, and reads the response to each batch before it sends the next."""
    descriptor = flight.FlightDescriptor.for_path("both")
    writer, reader = client.do_exchange(descriptor)
    heard = []
    with writer:
        writer.begin(table(1).schema)
        for rows in (1, 2, 3):
            writer.write_table(table(rows))
            heard.append(reader.read_chunk().data.num_rows)
        writer.done_writing()
    return heard


def put(client):
    """Uploads a table. Returns the number of rows that the server reported, and whether the stored table is equal."""
    rows = table(ROWS)
    descriptor = flight.FlightDescriptor.for_path("kept")
    writer, told = client.do_put(descriptor, rows.schema)
    with writer:
        writer.write_table(rows, max_chunksize=5_000)
        writer.done_writing()
        said = [int(told.read().to_pybytes()) for _ in range(ROWS // 5_000)]
    return [sum(said), read(client, "kept").equals(rows)]


def cancelled(client):
    reader = client.do_get(flight.Ticket(b"forever"))
    reader.read_chunk()
    reader.cancel()
    return failure(lambda: [chunk for chunk in reader])


def tour(order):
    client = flight.connect(order["url"], **order.get("tls", {}))
    headers = flight.FlightCallOptions(headers=[(b"database", b"db"), (b"some-bin", b"\x00\xff")])
    info = client.get_flight_info(flight.FlightDescriptor.for_command(b"7"))
    begun = []
    return {
        "same": read(client, str(ROWS)).equals(table(ROWS)),
        "none": [read(client, "0").num_rows, read(client, "0").schema.equals(table(0).schema)],
        "handshake": [part.decode() for part in client.authenticate_basic_token("user", "word")],
        "headers": next(client.do_action(flight.Action("headers", b""), headers)).body.to_pybytes().decode(),
        "twice": [bytes(one.body.to_pybytes()).decode() for one in client.do_action(flight.Action("echo", b"x"))],
        "info": [len(info.endpoints), read(client, info.endpoints[0].ticket.ticket.decode()).num_rows],
        "listed": len(list(client.list_flights())),
        "put": put(client),
        "exchange": exchange(client),
        "fails": failure(lambda: read(client, "fails")),
        "breaks": [failure(lambda: counted(client, "breaks", begun)), begun],
        "cancelled": cancelled(client),
        "late": failure(lambda: read(client, "forever", flight.FlightCallOptions(timeout=0.5))),
    }


def cut(order):
    """Returns the error for each ticket, and the rows before the error."""
    client = flight.connect(order["url"])
    seen = []
    for ticket in order["tickets"]:
        rows = []
        seen.append({"failure": failure(lambda: counted(client, ticket, rows)), "rows": rows})
    return {"seen": seen}


if __name__ == "__main__":
    carry_out({"tour": tour, "cut": cut})
