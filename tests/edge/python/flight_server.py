"""A server of Arrow Flight, as pyarrow has it: prints its port, and runs until its input ends."""

import sys
import threading

import pyarrow
import pyarrow.flight as flight


def table(rows):
    """`rows` rows of five columns of different types."""
    numbers = pyarrow.array(range(rows), pyarrow.int64())
    return pyarrow.table({
        "time": numbers.cast(pyarrow.timestamp("ns")),
        "host": pyarrow.array([f"host-{i % 100}" for i in range(rows)]),
        "usage": numbers.cast(pyarrow.float64()),
        "count": numbers,
        "up": pyarrow.array([i % 3 == 0 for i in range(rows)]),
    })


class Headers(flight.ServerMiddlewareFactory):
    """Tells what came with a call, and lets in by a password once, by a token afterwards."""

    def start_call(self, info, headers):
        """What each call begins with."""
        return Header(headers)


class Header(flight.ServerMiddleware):
    """The headers of one call."""

    def __init__(self, headers):
        self.headers = headers

    def sending_headers(self):
        """What goes before an answer."""
        given = self.headers.get("authorization", [""])[0]
        return {"authorization": "Bearer of-the-server"} if given.startswith("Basic ") else {}

    def call_completed(self, exception):
        """Nothing."""


class Server(flight.FlightServerBase):
    """Keeps what it is given, and answers with tables."""

    kept = None

    def do_get(self, context, ticket):
        """Rows, as many as the ticket says; or what it names."""
        asked = ticket.ticket.decode()
        if asked == "kept":
            return flight.RecordBatchStream(self.kept)
        if asked == "fails":
            raise flight.FlightUnauthorizedError("no: nicht möglich, 100 %")
        if asked == "breaks":
            return flight.GeneratorStream(table(1).schema, self.broken())
        if asked == "forever":
            return flight.GeneratorStream(table(1).schema, self.endless())
        rows = table(int(asked))
        return flight.GeneratorStream(rows.schema, iter(rows.to_batches(max_chunksize=10_000)))

    def broken(self):
        """Two batches, and an error."""
        yield table(10)
        yield table(10)
        raise flight.FlightInternalError("in the middle")

    def endless(self):
        """Batches without an end."""
        while True:
            yield table(1_000)

    def do_put(self, context, descriptor, reader, writer):
        """Keeps a table, and tells of each batch."""
        batches = []
        for chunk in reader:
            batches.append(chunk.data)
            writer.write(str(chunk.data.num_rows).encode())
        Server.kept = pyarrow.Table.from_batches(batches, reader.schema)

    def do_exchange(self, context, descriptor, reader, writer):
        """Each batch as it came, and in turn."""
        writer.begin(reader.schema)
        for chunk in reader:
            writer.write_batch(chunk.data)

    def do_action(self, context, action):
        """The headers of the call, or its own body twice."""
        if action.type == "headers":
            headers = context.get_middleware("headers").headers
            return [flight.Result(str(sorted(headers.items())).encode())]
        return [flight.Result(action.body.to_pybytes())] * 2

    def get_flight_info(self, context, descriptor):
        """One endpoint."""
        endpoint = flight.FlightEndpoint(descriptor.command, [])
        return flight.FlightInfo(table(1).schema, descriptor, [endpoint], -1, -1)

    def list_flights(self, context, criteria):
        """Nothing."""
        return iter([])


class PasswordsOfNobody(flight.ServerAuthHandler):
    """Lets everybody in."""

    def authenticate(self, outgoing, incoming):
        """Reads nothing."""

    def is_valid(self, token):
        """Whoever it is."""
        return "somebody"


def main():
    """Serves until the input ends."""
    middleware = {"headers": Headers()}
    server = Server("grpc://127.0.0.1:0", auth_handler=PasswordsOfNobody(), middleware=middleware)
    print(server.port, flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve()


if __name__ == "__main__":
    main()
