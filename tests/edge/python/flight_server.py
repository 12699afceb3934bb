"""Runs pyarrow's server of Arrow Flight. Prints its port, and runs until its input ends."""

import sys
import threading

import pyarrow
import pyarrow.flight as flight


def table(rows):
    """Returns a table with `rows` rows and five columns of different types."""
    numbers = pyarrow.array(range(rows), pyarrow.int64())
    return pyarrow.table({
        "time": numbers.cast(pyarrow.timestamp("ns")),
        "host": pyarrow.array([f"host-{i % 100}" for i in range(rows)]),
        "usage": numbers.cast(pyarrow.float64()),
        "count": numbers,
        "up": pyarrow.array([i % 3 == 0 for i in range(rows)]),
    })


class Headers(flight.ServerMiddlewareFactory):
    """Records the headers of calls, and responds to a password with a token."""

    def start_call(self, info, headers):
        return Header(headers)


class Header(flight.ServerMiddleware):
    def __init__(self, headers):
        self.headers = headers

    def sending_headers(self):
        given = self.headers.get("authorization", [""])[0]
        return {"authorization": "Bearer of-the-server"} if given.startswith("Basic ") else {}

    def call_completed(self, exception):
        """Does nothing."""


class Server(flight.FlightServerBase):
    """Stores an uploaded table, and returns tables."""

    kept = None

    def do_get(self, context, ticket):
        """Returns the number of rows in the ticket, or the stream that the ticket names."""
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
        yield table(10)
        yield table(10)
        raise flight.FlightInternalError("in the middle")

    def endless(self):
        while True:
            yield table(1_000)

    def do_put(self, context, descriptor, reader, writer):
        batches = []
        for chunk in reader:
            batches.append(chunk.data)
            writer.write(str(chunk.data.num_rows).encode())
        Server.kept = pyarrow.Table.from_batches(batches, reader.schema)

    def do_exchange(self, context, descriptor, reader, writer):
        writer.begin(reader.schema)
        for chunk in reader:
            writer.write_batch(chunk.data)

    def do_action(self, context, action):
        """Returns the headers of the call, or the body of the action twice."""
        if action.type == "headers":
            headers = context.get_middleware("headers").headers
            return [flight.Result(str(sorted(headers.items())).encode())]
        return [flight.Result(action.body.to_pybytes())] * 2

    def get_flight_info(self, context, descriptor):
        """Returns a FlightInfo with one endpoint."""
        endpoint = flight.FlightEndpoint(descriptor.command, [])
        return flight.FlightInfo(table(1).schema, descriptor, [endpoint], -1, -1)

    def list_flights(self, context, criteria):
        """Returns an empty list."""
        return iter([])


class PasswordsOfNobody(flight.ServerAuthHandler):
    def authenticate(self, outgoing, incoming):
        """Accepts any handshake."""

    def is_valid(self, token):
        return "somebody"


def main():
    middleware = {"headers": Headers()}
    server = Server("grpc://127.0.0.1:0", auth_handler=PasswordsOfNobody(), middleware=middleware)
    print(server.port, flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve()


if __name__ == "__main__":
    main()
