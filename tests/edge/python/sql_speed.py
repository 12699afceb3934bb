"""Measures the median milliseconds of statements over one Parquet file with PyPI's datafusion and DuckDB."""

import statistics
import time

import datafusion
import duckdb

import order as given


def median_ms(run, texts):
    """Returns the median for each list of statements. The first statement of a list also runs as a warm-up."""
    medians = []
    for of_type in texts:
        run(of_type[0])
        times = []
        for text in of_type:
            start = time.perf_counter()
            run(text)
            times.append((time.perf_counter() - start) * 1000)
        medians.append(statistics.median(times))
    return medians


def measure(order):
    context = datafusion.SessionContext()
    context.register_parquet("cpu", order["file"])
    connection = duckdb.connect()
    connection.execute(f"CREATE VIEW cpu AS SELECT * FROM '{order['file']}'")

    def duck(text):
        # DuckDB has another name for date_bin.
        connection.execute(text.replace("date_bin(", "time_bucket(")).fetchall()

    return {
        "datafusion": median_ms(lambda text: context.sql(text).collect(), order["texts"]),
        "duckdb": median_ms(duck, order["texts"]),
    }


given.carry_out({"measure": measure})
