"""Runs the statements of the SQL scripts (sql/tests/data) with PyPI's datafusion and with DuckDB over the same rows.

The order names the folder of the scripts. The report contains the number of equal tables, the different tables, and
the number of statements that a peer cannot run because of InfluxDB's functions or DataFusion's dialect.
"""

import datetime
import math
import re
from pathlib import Path

import datafusion
import duckdb
import pyarrow

import order as given

# Replacements for expressions that have a different meaning in the other engines.
DIALECT = [
    # The clock of the scripts is constant.
    (r"\bnow\(\)", "timestamp '2022-01-02T00:00:00'"),
    (r"\bcurrent_date\b", "date '2022-01-02'"),
    # In Tidemark a whole number means nanoseconds, as in InfluxDB. In DataFusion it means seconds.
    (r"to_timestamp\(n\)", "to_timestamp_nanos(n)"),
    # In Tidemark a number that is too large for seconds means nanoseconds.
    (r"from_unixtime\((\d{16,})\)", r"to_timestamp_nanos(\1)"),
]
# If an inner and an outer query use the same table without an alias, DataFusion 55 resolves a
# column of the inner table to the outer table.
ALIASED = (r"((?:ALL|ANY) \(SELECT) (\w+) FROM home", r"\1 inner_home.\2 FROM home AS inner_home")
ALIASED_WHERE = (r"(AS inner_home WHERE) (\w+)", r"\1 inner_home.\2")
# Matches statements about plans or about the names in a catalog, which do not return rows of tables,
# and statements that read the clock, because the scripts run at a fixed time.
OTHERS = re.compile(r"^(SHOW|DESCRIBE|EXPLAIN)|information_schema|system\.|\b(now|today)\(\)", re.IGNORECASE)


def split_unescaped(text, mark, once=False):
    """Splits line protocol at each `mark` that is neither escaped nor inside a string."""
    parts, part, quoted, at = [], "", False, 0
    while at < len(text):
        letter = text[at]
        if letter == "\\" and at + 1 < len(text):
            part += text[at : at + 2]
            at += 2
            continue
        if letter == '"':
            quoted = not quoted
        if letter == mark and not quoted and not (once and parts):
            parts.append(part)
            part = ""
        else:
            part += letter
        at += 1
    return [*parts, part]


def plain(text):
    return re.sub(r"\\([, =\\])", r"\1", text)


def field(text):
    """Returns the type of a field's value, and the value."""
    if text.startswith('"'):
        return "string", re.sub(r'\\(["\\])', r"\1", text[1:-1])
    if text.lower() in ("t", "true", "f", "false"):
        return "boolean", text.lower().startswith("t")
    if text.endswith("i"):
        return "integer", int(text[:-1])
    if text.endswith("u"):
        return "unsigned", int(text[:-1])
    return "float", float(text)


TYPES = {
    "tag": pyarrow.utf8(),
    "string": pyarrow.utf8(),
    "integer": pyarrow.int64(),
    "unsigned": pyarrow.uint64(),
    "float": pyarrow.float64(),
    "boolean": pyarrow.bool_(),
}


class Tables:
    """The written rows, with the last value of each field for a series and time."""

    def __init__(self):
        self.rows, self.kinds = {}, {}

    def write(self, line):
        key, fields, time = split_unescaped(line, " ")
        name, *tags = split_unescaped(key, ",")
        kinds = self.kinds.setdefault(plain(name), {})
        tags = [split_unescaped(pair, "=", True) for pair in tags]
        series = tuple(sorted((plain(key), plain(value)) for key, value in tags))
        kinds.update((key, "tag") for key, _ in series)
        values = self.rows.setdefault(plain(name), {}).setdefault((series, int(time)), {})
        for pair in split_unescaped(fields, ","):
            key, value = split_unescaped(pair, "=", True)
            kinds[plain(key)], values[plain(key)] = field(value)

    def arrow(self, name, with_dictionaries):
        columns = {}
        for column in sorted([*self.kinds[name], "time"]):
            kind, rows = self.kinds[name].get(column), self.rows[name].items()
            if kind is None:
                columns[column] = pyarrow.array([key[1] for key, _ in rows], pyarrow.timestamp("ns"))
                continue
            cells = [dict(key[0]).get(column) if kind == "tag" else values.get(column) for key, values in rows]
            columns[column] = pyarrow.array(cells, TYPES[kind])
            if kind == "tag" and with_dictionaries:
                columns[column] = columns[column].cast(pyarrow.dictionary(pyarrow.int32(), pyarrow.utf8()))
        return pyarrow.table(columns)


def ask_datafusion(tables, statement):
    statement = re.sub(*ALIASED_WHERE, re.sub(*ALIASED, statement))
    context = datafusion.SessionContext()
    for name in tables.rows:
        context.from_arrow(tables.arrow(name, True), name=name)
    return context.sql(statement).to_arrow_table()


def ask_duckdb(tables, statement):
    connection = duckdb.connect()
    connection.execute("SET TimeZone='UTC'")
    for name in tables.rows:
        connection.register(f"arrow_{name}", tables.arrow(name, False))
        connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM "arrow_{name}"')
    return connection.sql(statement).to_arrow_table()


PEERS = {"datafusion": ask_datafusion, "duckdb": ask_duckdb}


def shown(value):
    """Returns a value in the notation of the scripts."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(of)}" for key, of in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return str(value)


def stamp(time_ns):
    seconds, rest_ns = divmod(time_ns, 10**9)
    time = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return time.isoformat() + (f".{rest_ns:09d}".rstrip("0") if rest_ns else "")


def texts(column):
    column = column.combine_chunks()
    if pyarrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pyarrow.types.is_timestamp(column.type):
        times_ns = column.cast(pyarrow.timestamp("ns", column.type.tz)).cast(pyarrow.int64())
        return ["" if time_ns is None else stamp(time_ns) for time_ns in times_ns.to_pylist()]
    if pyarrow.types.is_duration(column.type):
        spans_ns = column.cast(pyarrow.duration("ns")).cast(pyarrow.int64()).to_pylist()
        return ["" if span_ns is None else f"PT{span_ns // 10**9}S" for span_ns in spans_ns]
    if pyarrow.types.is_interval(column.type):
        return ["" if span is None else f"PT{span.nanoseconds // 10**9}S" for span in column.to_pylist()]
    return [shown(value) for value in column.to_pylist()]


def as_utc(text):
    """Converts a time with an offset or with Z to UTC. Returns any other text unchanged."""
    if not re.search(r"T\d\d:\d\d:\d\d.*(Z|[+-]\d\d:\d\d)$", text):
        return text
    time = datetime.datetime.fromisoformat(text).astimezone(datetime.timezone.utc)
    return time.replace(tzinfo=None).isoformat()


def is_same(cell, other):
    cell, other = as_utc(cell), as_utc(other)
    if cell == other:
        return True
    try:
        number, other_number = float(cell), float(other)
        if math.isnan(number):
            return math.isnan(other_number)
        return math.isclose(number, other_number, rel_tol=1e-12)
    except ValueError:
        return False


def are_same(rows, others):
    alike = lambda row, other: len(row) == len(other) and all(map(is_same, row, other))
    return len(rows) == len(others) and all(map(alike, rows, others))


def statements(folder):
    """Yields the rows written so far, each statement that returns a table, and its rows."""
    for file in sorted(Path(folder).glob("*.test")):
        tables = Tables()
        for block in file.read_text().split("\n\n"):
            lines = [line for line in block.split("\n") if line and not line.startswith("#")]
            if not lines:
                continue
            if lines[0] == "write":
                for line in lines[1:]:
                    tables.write(line)
                continue
            head = [lines.pop(0)]
            while lines and lines[0].startswith("  "):
                head.append(lines.pop(0))
            form, _, statement = "\n".join(head).partition(" ")
            if form == "sql" and not OTHERS.search(statement):
                table = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines if line.startswith("|")]
                yield tables, statement, table[1:]


def compare(order):
    found = {peer: {"same": 0, "cannot": 0, "differ": []} for peer in PEERS}
    for tables, statement, expected in statements(order["folder"]):
        for peer, ask in PEERS.items():
            asked = statement
            for here, there in DIALECT:
                asked = re.sub(here, there, asked)
            try:
                table = ask(tables, asked)
            except Exception:  # noqa: BLE001: each engine has its own errors for unsupported statements
                found[peer]["cannot"] += 1
                continue
            made = [list(row) for row in zip(*map(texts, table.columns))]
            rows, others = (expected, made) if "ORDER BY" in statement else (sorted(expected), sorted(made))
            if are_same(rows, others):
                found[peer]["same"] += 1
            else:
                found[peer]["differ"].append([statement, rows, others])
    return found


given.carry_out({"compare": compare})
