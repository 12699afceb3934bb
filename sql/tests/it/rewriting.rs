//! Tests InfluxQL results in formats that only the SQL crate can write.

use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidemark_sql::output::{Format, Writer};

use super::product::Product;

/// Returns the response of `/api/v3/query_influxql`.
fn query(product: &mut Product, text: &str, format: &str) -> (u16, Vec<u8>) {
    let body = serde_json::json!({ "db": "d", "q": text, "format": format }).to_string();
    product.bytes("POST", "/api/v3/query_influxql", "", &body)
}

/// Returns the rows of a Parquet file as text.
fn read(file: Vec<u8>) -> String {
    let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap();
    let mut writer = Writer::new(Format::Csv, builder.schema()).unwrap();
    let mut text = Vec::new();
    for batch in builder.build().unwrap() {
        writer.write(&batch.unwrap()).unwrap();
    }
    text.extend(writer.finish().unwrap());
    String::from_utf8(text).unwrap()
}

#[test]
fn influxql_parquet_equals_csv() {
    let mut product = Product::new(3);
    let lines: Vec<String> = (0..60_000)
        .map(|n| format!("m,t=t{} f={},i={n}i,s=\"s{n}\",b={} {n}", n % 9, n / 4, n % 3 == 0))
        .collect();
    for lines in lines.chunks(20_000) {
        product.write(&lines.join("\n"));
    }
    for text in [
        "SELECT * FROM m",
        "SELECT mean(f), last(s) FROM m WHERE time < 100s GROUP BY time(10s), t",
        "SELECT f FROM m WHERE t = 'none'",
        "SHOW TAG VALUES WITH KEY = t",
    ] {
        let (status, csv) = query(&mut product, text, "csv");
        assert_eq!(status, 200, "{text}");
        let (status, file) = query(&mut product, text, "parquet");
        assert_eq!(status, 200, "{text}: {}", String::from_utf8_lossy(&file));
        assert_eq!(read(file), String::from_utf8(csv).unwrap(), "{text}");
    }
    let (status, body) = query(&mut product, "SELECT f FROM", "parquet");
    assert_eq!(status, 400, "{}", String::from_utf8_lossy(&body));
}
