use super::*;
use crate::api::params::WritePrecision;
use crate::coordinator::write::rejections::{LineRefusal, RejectedLine, Rejections};
use crate::line_protocol::{Cause, LineError};
use crate::model::time::Precision;
use crate::protocol::database::RegisterRefusal;

fn unparsed(lines: &[u32], count: u64) -> Rejected {
    let error = |&line: &u32| LineError { line, column: 4, cause: Cause::MissingFields };
    Rejected { count, named: lines.iter().map(error).collect(), without_time: 0 }
}

fn outcome(points_written: u64, lines: &[u32], outside_retention: u64) -> WriteOutcome {
    let refused = |&line: &u32| RejectedLine {
        line,
        cause: LineRefusal::Columns(RegisterRefusal::TooLarge { measurement: "m".into() }),
    };
    let named: Vec<_> = lines.iter().map(refused).collect();
    let total = named.len() as u64;
    let rejected = Rejections { named, total, outside_retention, retention: None };
    WriteOutcome { points_written, rejected, created: None }
}

fn refused(unparsed: &Rejected, outcome: &WriteOutcome, text: &[u8]) -> RejectedLines {
    let precision = WritePrecision::Fixed(Precision::Nanosecond);
    let to = Destination { database: "d", precision, all_or_nothing: false };
    RejectedLines::new(to, unparsed, outcome, text)
}

#[test]
fn rejection_body_matches_each_route() {
    let excerpt = Some("m v=".to_owned());
    let rejected = RejectedLines {
        message: "a \"b\"\nc".to_owned(),
        lines: vec![rejected_lines::RejectedLine { line: 3, excerpt, cause: "why".into() }],
        all_or_nothing: false,
        all_outside_retention: false,
        created: None,
    };
    for (shape, body) in [
        (
            ErrorShape::WriteV1,
            "{\"code\":\"invalid\",\"message\":\"a \\\"b\\\"\\nc\",\
             \"error\":\"a \\\"b\\\"\\nc\",\"line\":3}\n",
        ),
        (
            ErrorShape::WriteV2,
            "{\"code\":\"invalid\",\"message\":\"a \\\"b\\\"\\nc\",\"line\":3}\n",
        ),
        (
            ErrorShape::WriteV3,
            "{\"code\":\"invalid\",\"message\":\"a \\\"b\\\"\\nc\",\
             \"error\":\"partial write of line protocol occurred\",\"data\":[{\
             \"original_line\":\"m v=\",\"line_number\":3,\"error_message\":\"why\"}],\"line\":3}\n",
        ),
    ] {
        let response = rejected.response(shape, false);
        assert_eq!(String::from_utf8_lossy(&response.body), body);
    }
}

#[test]
fn rejected_lines_are_listed_in_order() {
    let body = b"a\nm v= 1\n\nm v=\"twenty bytes and more\"\r\n\n\n\n\n\xc3\xbc v";
    let rejected = refused(&unparsed(&[2, 9], 2), &outcome(5, &[4], 0), body);
    let text = &rejected.message;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "partial write has occurred, errors encountered on line(s):");
    assert!(lines[1].starts_with("error parsing line 2 (1-based): missing fields"), "{text}");
    assert!(
        lines[2].starts_with("error writing line 4 (1-based): the column names of measurement"),
        "{text}"
    );
    assert!(lines[3].starts_with("error parsing line 9 (1-based): "), "{text}");
    assert_eq!(lines[4], "5 points written, 3 lines rejected");
    assert!(!rejected.all_or_nothing && !rejected.all_outside_retention);
    let excerpts: Vec<_> = rejected.lines.iter().map(|l| (l.line, l.excerpt.as_deref())).collect();
    let fourth = Some("m v=\"twenty bytes an");
    assert_eq!(excerpts, [(2, Some("m v= 1")), (4, fourth), (9, Some("ü v"))]);
}

#[test]
fn listed_rejections_are_limited() {
    let lines: Vec<u32> = (1..=100).collect();
    let text = refused(&unparsed(&lines, 250), &outcome(0, &[300], 0), b"").message;
    assert!(text.starts_with("no data written, errors encountered on line(s):\n"), "{text}");
    assert_eq!(text.matches("\nerror parsing").count(), 100);
    assert!(text.ends_with("\nand 151 more\n0 points written, 251 lines rejected"), "{text}");
}

#[test]
fn only_fully_expired_write_returns_422() {
    let status = |rejected: RejectedLines| rejected.status();
    let refusal = |parsing, outcome| refused(&parsing, &outcome, b"");
    assert_eq!(status(refusal(unparsed(&[], 0), outcome(0, &[1, 2], 2))), 422);
    assert_eq!(status(refusal(unparsed(&[3], 1), outcome(0, &[1, 2], 2))), 400);
    assert_eq!(status(refusal(unparsed(&[], 0), outcome(1, &[2], 1))), 400);
}
