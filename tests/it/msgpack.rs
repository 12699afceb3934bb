//! Compares MessagePack responses with the responses of InfluxDB 1.6.7. Every byte must be equal.

use std::iter;
use std::rc::Rc;

use tidemark_engine::batch::string_column::StringColumn;
use tidemark_model::time::Precision;
use tidemark_query::result::{ResultColumn, SeriesChunk, Values};
use tidemark_response::{Ending, Format, Options, writer};
use tidemark_server::http::Response;

use crate::allocator::{live, peak_since};
use crate::product::{AUTHORIZATION, Product, header};

fn ask(product: &mut Product, query: &str) -> Response {
    let headers = [AUTHORIZATION, ("accept", "application/x-msgpack")];
    product.send("POST", &format!("/query?{query}"), &headers, "")
}

fn hex(product: &mut Product, query: &str) -> String {
    let response = ask(product, query);
    assert_eq!(response.status, 200);
    assert_eq!(header(&response, "Content-Type"), Some("application/x-msgpack"));
    response.body.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn filled() -> Product {
    let mut product = Product::with(&[]);
    ask(&mut product, "q=CREATE+DATABASE+d+WITH+DURATION+INF");
    let lines = "m,h=a f=1.5,i=200i,s=\"x\",b=true 1\nm,h=a i=-40i 1500000000\n\
                 m,h=b i=-5000000000i,f=2 2000000000\nm,h=b i=40000i 3000000000";
    assert_eq!(product.post("/write?db=d", lines).status, 204);
    product
}

#[test]
fn msgpack_types_match_influxdb_1() {
    let expected = "81a7726573756c74739182ac73746174656d656e745f696400a67365726965739284a46e616d65\
        a16da47461677381a168a161a7636f6c756d6e7395a474696d65a166a169a173a162a676616c7565739295c70c\
        05000000000000000000000001cb3ff8000000000000d100c8a178c395c70c0500000000000000011dcd6500c0\
        d0d8c0c084a46e616d65a16da47461677381a168a162a7636f6c756d6e7395a474696d65a166a169a173a162a6\
        76616c7565739295c70c05000000000000000200000000cb4000000000000000d3fffffffed5fa0e00c0c095c7\
        0c05000000000000000300000000c0d200009c40c0c0";
    assert_eq!(hex(&mut filled(), "db=d&q=SELECT+f,i,s,b+FROM+m+GROUP+BY+h"), expected);
    let empty = "81a7726573756c74739282ac73746174656d656e745f696400a67365726965739082ac7374617465\
        6d656e745f696401a673657269657390";
    assert_eq!(hex(&mut filled(), "db=d&q=SELECT+x+FROM+n;CREATE+DATABASE+e"), empty);
}

#[test]
fn msgpack_chunks_mark_partial_results() {
    let expected = "81a7726573756c74739183ac73746174656d656e745f696400a67365726965739185a46e616d65\
        a16da47461677381a168a161a7636f6c756d6e7392a474696d65a169a676616c756573919200d100c8a7706172\
        7469616cc3a77061727469616cc381a7726573756c74739183ac73746174656d656e745f696400a67365726965\
        739184a46e616d65a16da47461677381a168a161a7636f6c756d6e7392a474696d65a169a676616c7565739192\
        01d0d8a77061727469616cc381a7726573756c74739183ac73746174656d656e745f696400a673657269657391\
        85a46e616d65a16da47461677381a168a162a7636f6c756d6e7392a474696d65a169a676616c756573919202d3\
        fffffffed5fa0e00a77061727469616cc3a77061727469616cc381a7726573756c74739182ac73746174656d65\
        6e745f696400a67365726965739184a46e616d65a16da47461677381a168a162a7636f6c756d6e7392a474696d\
        65a169a676616c756573919203d200009c40";
    let query = "db=d&epoch=s&chunked=true&chunk_size=1&q=SELECT+i+FROM+m+GROUP+BY+h";
    assert_eq!(hex(&mut filled(), query), expected);
}

#[test]
fn influxdb_python_receives_json_chunks() {
    let (msgpack, json, csv) = ("application/x-msgpack", "application/json", "text/csv");
    let mut product = filled();
    // Only the library influxdb-python gets JSON instead of MessagePack. Other requests receive the
    // format that they request.
    for (sent_type, accept, chunked, content_type) in [
        (json, msgpack, "false", msgpack),
        (json, msgpack, "true", json),
        ("", msgpack, "true", msgpack),
        (json, csv, "true", csv),
    ] {
        let headers = [
            AUTHORIZATION,
            ("accept", accept),
            ("content-type", sent_type),
            ("user-agent", "python-requests/2.32.3"),
        ];
        let target = format!("/query?db=d&chunked={chunked}&q=SELECT+i+FROM+m+GROUP+BY+h");
        let response = product.send("POST", &target, &headers, "");
        assert_eq!(header(&response, "Content-Type"), Some(content_type));
    }
}

#[test]
fn msgpack_error_replaces_result() {
    // {"results":[{"error":"undefined function foo()"},{"error":"not executed"}]}
    let expected = "81a7726573756c74739281a56572726f72b8756e646566696e65642066756e6374696f6e20666f\
        6f282981a56572726f72ac6e6f74206578656375746564";
    let query = "db=d&q=SELECT+foo(f)+FROM+m;SELECT+f+FROM+m";
    assert_eq!(hex(&mut filled(), query), expected);
}

#[test]
fn large_msgpack_document_is_chunked() {
    let (rows, text) = (2_000, "x".repeat(300));
    let strings = (0..rows).map(|_| text.as_str()).collect::<StringColumn>();
    let chunk = |partial| SeriesChunk {
        name: Some(Rc::from("m")),
        tags: Rc::from([]),
        columns: Rc::from(["time".to_owned(), "s".to_owned()]),
        values: vec![
            ResultColumn::Time(vec![0; rows]),
            ResultColumn::full(Values::String(strings.clone())),
        ],
        rows,
        partial,
        zone: Rc::from([]),
    };
    let chunks: Vec<SeriesChunk> = (1..=25).map(|number| chunk(number < 25)).collect();
    let row = [&[0x92, 0, 0xda, 1, 44], text.as_bytes()].concat();
    let mut expected = b"\x81\xa7results\x91\x82\xacstatement_id\0\xa6series\x91\x83\xa4name\xa1m\
        \xa7columns\x92\xa4time\xa1s\xa6values\xdc\xc3\x50"
        .to_vec();
    for _ in 0..25 * rows {
        expected.extend_from_slice(&row);
    }

    let epoch = Some(Precision::Nanosecond);
    let mut writer = writer(Options { format: Format::MessagePack, epoch, ..Options::default() });
    let before = live();
    writer.statement_begin(0);
    for chunk in &chunks {
        let mut next = 0;
        while next < rows {
            next = writer.series(chunk, next..rows).expect("the document is below the limit");
        }
    }
    writer.statement_end(Ending::Done);
    writer.finish();
    let most = (peak_since() - before) as usize;
    assert!(most < expected.len() + 1_500_000, "{most} bytes for a document of {}", expected.len());
    let pieces: Vec<Vec<u8>> =
        iter::from_fn(|| Some(writer.take_bytes())).take_while(|piece| !piece.is_empty()).collect();
    assert!(pieces.len() > 10 && pieces.concat() == expected, "{} pieces", pieces.len());
}
