//! Simulates the requests of Grafana's InfluxQL data source: the health check, variables, the
//! suggestions in the editor, and panels. The requests use GET and POST, with the token as the
//! Basic password.

use base64::Engine;
use serde_json::{Value, json};
use tidemark_server::http::RequestHead;

use crate::product::{Product, TOKEN, form};

struct Grafana {
    product: Product,
    post: bool,
}

impl Grafana {
    fn new(post: bool) -> Self {
        let mut product = Product::with(&[]);
        product.ask("POST", "/query", "q=CREATE+DATABASE+telegraf+WITH+DURATION+INF", &[], "");
        // The Unix time 1699999200 is 2023-11-14T22:00:00Z.
        let lines: String = (0..6_i64)
            .map(|i| {
                let at = 1_699_999_200 + 20 * i;
                format!("cpu,host=a,dc=x usage={i} {at}\ncpu,host=b usage={} {at}\n", 10 * i)
            })
            .collect();
        product.write("telegraf", &lines);
        Self { product, post }
    }

    fn ask(&mut self, q: &str) -> Value {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("grafana:{TOKEN}"));
        let mut headers = vec![("authorization".to_owned(), format!("Basic {basic}"))];
        let (method, query, body) = if self.post {
            let content = "application/x-www-form-urlencoded".to_owned();
            headers.push(("content-type".to_owned(), content));
            ("POST", form(&[("db", "telegraf"), ("epoch", "ms")]), form(&[("q", q)]))
        } else {
            ("GET", form(&[("db", "telegraf"), ("epoch", "ms"), ("q", q)]), String::new())
        };
        let (method, path) = (method.to_owned(), "/query".to_owned());
        let head = RequestHead { method, path, query, headers };
        let response = self.product.request(head, body.into());
        let text = String::from_utf8(response.body).unwrap();
        assert_eq!(response.status, 200, "{q}: {text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["results"].as_array().map(Vec::len), Some(1), "{q}: {text}");
        answer["results"][0].clone()
    }

    fn values(&mut self, q: &str) -> Value {
        self.ask(q)["series"][0]["values"].clone()
    }
}

fn act(post: bool) {
    let mut grafana = Grafana::new(post);
    assert_eq!(grafana.values("SHOW measurements"), json!([["cpu"]]));

    let policies = grafana.values(r#"SHOW RETENTION POLICIES on "telegraf""#);
    assert_eq!(policies[0][0], "autogen");
    let suggested = "SHOW MEASUREMENTS WITH MEASUREMENT =~ /(?i)CP/ LIMIT 100";
    assert_eq!(grafana.values(suggested), json!([["cpu"]]));
    assert_eq!(grafana.values(r#"SHOW TAG KEYS FROM "cpu""#), json!([["dc"], ["host"]]));
    let keyed = r#"SHOW TAG VALUES FROM "cpu" WITH KEY = "host" WHERE "dc" = 'x'"#;
    assert_eq!(grafana.values(keyed), json!([["host", "a"]]));
    assert_eq!(grafana.values(r#"SHOW FIELD KEYS FROM "cpu""#), json!([["usage", "float"]]));

    // The queries of a variable, and of a panel in which $timeFilter and $__interval are replaced.
    let variable = r#"SHOW TAG VALUES WITH KEY = "host""#;
    assert_eq!(grafana.values(variable), json!([["host", "a"], ["host", "b"]]));
    let filter = "time >= 1699999200000ms and time <= 1699999319000ms";
    let panel = format!(
        r#"SELECT mean("usage") FROM "cpu" WHERE ("host"::tag =~ /^(a|b)$/) AND {filter} GROUP BY time(1m), "host"::tag fill(null)"#
    );
    let series = |host: &str, first: f64, second: f64| {
        json!({
            "name": "cpu", "tags": { "host": host }, "columns": ["time", "mean"],
            "values": [[1_699_999_200_000_i64, first], [1_699_999_260_000_i64, second]],
        })
    };
    let mut answer = grafana.ask(&panel);
    for value in answer.pointer_mut("/series").and_then(Value::as_array_mut).unwrap() {
        for row in value["values"].as_array_mut().unwrap() {
            row[1] = json!(row[1].as_f64());
        }
    }
    assert_eq!(answer["series"], json!([series("a", 1.0, 4.0), series("b", 10.0, 40.0)]));

    // The data source requires that an empty response contains one result.
    assert_eq!(grafana.ask("SELECT x FROM nothing"), json!({ "statement_id": 0 }));
}

#[test]
fn grafana_queries_work_over_get() {
    act(false);
}

#[test]
fn grafana_queries_work_over_post() {
    act(true);
}
