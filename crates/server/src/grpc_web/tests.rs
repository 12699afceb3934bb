use super::*;

fn form(content_type: &str) -> Option<Form> {
    Form::of_request(&RequestHead::with_headers(&[("content-type", content_type)]))
}

fn framed(messages: &[&[u8]]) -> Vec<u8> {
    let mut frames = Vec::new();
    for one in messages {
        message(&mut frames, one).unwrap();
    }
    frames
}

#[test]
fn grpc_web_keeps_request_content_type() {
    for kind in ["", "+proto", "-text", "-text+proto"] {
        let content_type = format!("application/grpc-web{kind}");
        assert_eq!(form(&content_type).unwrap().content_type, content_type);
    }
    assert_eq!(
        form("Application/gRPC-Web+proto; charset=utf-8").map(|form| form.content_type),
        Some("application/grpc-web+proto")
    );
    for other in ["", "application/grpc", "application/grpc-webx", "application/json"] {
        assert_eq!(form(other), None, "{other}");
    }
}

#[test]
fn grpc_web_messages_round_trip() {
    let binary = form("application/grpc-web").unwrap();
    let text = form("application/grpc-web-text").unwrap();
    let messages: [&[u8]; 4] = [b"", b"a", b"bc", &[0xff; 300]];
    let frames = framed(&messages);
    assert_eq!(binary.messages(&frames).unwrap(), messages);
    assert_eq!(binary.messages(b""), Ok(Vec::new()));
    // One text, or one padded text for each frame.
    assert_eq!(text.messages(&text.encode(frames)).unwrap(), messages);
    let pieces = messages.iter().flat_map(|one| text.encode(framed(&[one])));
    assert_eq!(text.messages(&pieces.collect::<Vec<_>>()).unwrap(), messages);
}

#[test]
fn grpc_trailer_escapes_its_message() {
    let mut frames = Vec::new();
    end(&mut frames, Code::NotFound, "100 % „fehlt“\r\n");
    let text = String::from_utf8(frames[5..].to_vec()).unwrap();
    let says = "100 %25 %E2%80%9Efehlt%E2%80%9C%0D%0A";
    assert_eq!(text, format!("grpc-status:5\r\ngrpc-message:{says}\r\n"));
    assert_eq!(frames[..5], [0x80, 0, 0, 0, u8::try_from(text.len()).unwrap()]);
    let mut long = Vec::new();
    end(&mut long, Code::Ok, &"é".repeat(100_000));
    assert!((5_900..6_100).contains(&long.len()), "{}", long.len());
    assert!(long.ends_with(b"%C3%A9\r\n"));
}
