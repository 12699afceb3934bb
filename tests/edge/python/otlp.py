"""Sends metrics with OpenTelemetry's exporter for OTLP over HTTP."""

import importlib.metadata
import json
import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

what = json.loads(sys.argv[1])
results = []


class Recording(OTLPMetricExporter):
    def export(self, *args, **kwargs):
        result = super().export(*args, **kwargs)
        results.append(result is MetricExportResult.SUCCESS)
        return result


exporter = Recording(
    endpoint=what["url"],
    headers={"Authorization": f"Bearer {what['token']}"},
    compression=Compression.Gzip,
)
reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
resource = Resource({"service.name": "shop", "service.instance.id": "python"})
provider = MeterProvider(metric_readers=[reader], resource=resource)
meter = provider.get_meter("trial", "1.0")
counter = meter.create_counter("requests", unit="1")
counter.add(3, {"http.method": "GET"})
counter.add(4, {"http.method": "PUT"})
meter.create_up_down_counter("queue.size").add(-2)
histogram = meter.create_histogram("latency", unit="s")
for value in [0.1, 7, 20_000]:
    histogram.record(value)
provider.force_flush()
provider.shutdown()
version = importlib.metadata.version("opentelemetry-exporter-otlp-proto-http")
print(json.dumps({"results": results, "version": version}))
