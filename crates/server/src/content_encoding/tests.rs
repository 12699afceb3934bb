use super::*;
use crate::body_parser::BodyParser;
use crate::http::Parameters;
use crate::params::{Dialect, WriteParams};
use tidemark_model::configurable_limits::Limits;
use tidemark_model::limits::{PARSED_PIECE_BYTES, RETAINED_TEXT_BYTES_MAX};
use tidemark_query::admission::Admission;

const LIMIT: usize = 1 << 20;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 255, b'a', 0];
    out.extend(miniz_oxide::deflate::compress_to_vec(plain, 6));
    out.extend(crc32fast::hash(plain).to_le_bytes());
    out.extend((plain.len() as u32).to_le_bytes());
    out
}

fn body_parser(admission: &Admission, dialect: Dialect) -> BodyParser {
    let url = Parameters::parse(b"db=d").unwrap();
    let params = WriteParams::parse(dialect, &url).unwrap();
    BodyParser::new(dialect, params.precision, admission.permit_for("d"), 0, 1, Limits::default())
}

const CEILING: Ceiling = Ceiling { limit: Limit::BodyBytes, bytes: LIMIT };
const LARGE: Ceiling = Ceiling { limit: Limit::BodyBytes, bytes: 64 << 20 };

fn inflate(compressed: &[u8], ceiling: Ceiling, sink: &mut InflatedSink<'_>) -> ApiResult<Vec<u8>> {
    let mut inflation = Inflation::new(compressed.to_vec(), ceiling);
    while !inflation.step(sink)? {}
    Ok(inflation.into_rest())
}

fn inflated(compressed: &[u8]) -> Result<Vec<u8>, ApiError> {
    let admission = Admission::new(4 << 20, 4 << 20);
    let mut permit = admission.permit_for("d");
    let taken =
        inflate(compressed, CEILING, &mut |_, _, held| Ok(permit.grow_to(held).map(|()| 0)?));
    let mut body_parser = body_parser(&admission, Dialect::V3);
    let left = inflate(compressed, CEILING, &mut |a, b, c| body_parser.parse(a, b, c));
    assert_eq!(taken, left);
    left
}

#[test]
fn gzip_members_form_one_body() {
    let mut two = gzip(b"cpu v=1\n");
    two.extend(gzip(b"cpu v=2\n"));
    assert_eq!(inflated(&two).unwrap(), b"cpu v=1\ncpu v=2\n");
    assert_eq!(inflated(b"").unwrap(), b"");
}

#[test]
fn truncated_gzip_is_an_error() {
    let whole = gzip(&b"cpu,host=a usage=1.5 1700000000000000000\n".repeat(50));
    for end in 1..whole.len() {
        let fault = inflated(&whole[..end]).unwrap_err();
        assert_eq!(fault, GzipFault::Truncated.into(), "cut at {end}");
    }
}

#[test]
fn gzip_detects_flipped_bits() {
    let whole = gzip(&b"cpu,host=a usage=1.5 1700000000000000000\n".repeat(50));
    // The header's time, system and name fields are not checked.
    for at in (0..3).chain(12..whole.len()) {
        let mut broken = whole.clone();
        broken[at] ^= 4;
        assert!(inflated(&broken).is_err(), "flip at {at}");
    }
}

#[test]
fn gzip_bomb_stops_at_budget() {
    let bomb = gzip(&vec![0; 32 << 20]);
    let mut body_parser = body_parser(&Admission::new(400_000 + bomb.len(), 0), Dialect::V1);
    let fault = inflate(&bomb, LARGE, &mut |a, b, c| body_parser.parse(a, b, c))
        .map(|b| b.len())
        .unwrap_err();
    assert!(matches!(fault, ApiError::Overloaded(_)), "{fault}");
}

#[test]
fn compressed_body_parses_like_plain_body() {
    let line = |n: u64| {
        let noise = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
        format!("cpu,host=h{} v={n}i,s=\"é{noise} \n\" {n}\n", n % 97)
    };
    let text: String = (0..40_000).map(line).collect::<String>() + "bad\ncpu v=1i";
    let admission = Admission::new(40_000_000, 40_000_000);
    let plain = body_parser(&admission, Dialect::V1).finish(text.clone().into_bytes()).unwrap();
    assert_eq!((plain.batch.measurements[0].block.rows(), plain.rejected.count), (40_001, 1));
    let (first, second) = text.as_bytes().split_at(text.len() / 3);
    for zipped in [gzip(text.as_bytes()), [gzip(first), gzip(second)].concat()] {
        let mut body_parser = body_parser(&admission, Dialect::V1);
        let left = inflate(&zipped, LARGE, &mut |a, b, c| body_parser.parse(a, b, c)).unwrap();
        assert!(left.len() < text.len() / 2, "{} of {} bytes waited", left.len(), text.len());
        let read = body_parser.finish(left).unwrap();
        assert!(read.batch == plain.batch);
        assert_eq!(read.rejected, plain.rejected);
    }
}

#[test]
fn large_body_is_inflated_in_steps() {
    let repeated = b"cpu,host=a usage=1.5 1700000000000000000\n".repeat(150_000);
    let mut rng = fastrand::Rng::with_seed(1);
    let kilobytes = (0..8 << 10).map(|_| {
        let mut bytes = vec![b' '; 1 << 10];
        rng.fill(&mut bytes[..150]);
        bytes
    });
    let mixed: Vec<u8> = kilobytes.flatten().collect();
    for (plain, ratios) in [(repeated, 50..2_000), (mixed, 5..10)] {
        let body = gzip(&plain);
        assert!(ratios.contains(&(plain.len() / body.len())), "{} bytes", body.len());
        let mut inflation = Inflation::new(body, LARGE);
        let mut taken = 0;
        let mut steps = 1;
        while !inflation
            .step(&mut |waiting, _, _| {
                taken += waiting.len();
                Ok(waiting.len())
            })
            .unwrap()
        {
            steps += 1;
        }
        assert_eq!(taken + inflation.into_rest().len(), plain.len());
        // The last call of the decompressor in a step can exceed the step's size.
        let at_least = plain.len().div_ceil(STEP_BYTES + ROOM_BYTES);
        assert!((at_least..=plain.len() / STEP_BYTES + 1).contains(&steps), "{steps}");
    }
}

/// Empty blocks and members take time, although they inflate to nothing.
#[test]
fn empty_blocks_and_members_are_inflated_in_steps() {
    let mut blocks = gzip(b"");
    blocks.truncate(12);
    let header = blocks.clone();
    for _ in 0..200_000 {
        blocks.extend([0, 0, 0, 0xff, 0xff]);
    }
    let unfinished = blocks.clone();
    blocks.extend([1, 0, 0, 0xff, 0xff]);
    blocks.extend([0; 8]);
    let members = gzip(b"").repeat(GZIP_MEMBERS_MAX);
    for body in [blocks, members] {
        let mut inflation = Inflation::new(body, LARGE);
        let (mut is_done, mut read, mut members) = (false, 0, 0);
        while !is_done {
            is_done = inflation.step(&mut |_, _, _| Ok(0)).unwrap();
            assert!(inflation.read - read <= STEP_INPUT_BYTES + INPUT_BYTES);
            assert!(inflation.members - members <= STEP_MEMBERS);
            (read, members) = (inflation.read, inflation.members);
        }
        assert!(inflation.into_rest().is_empty());
    }
    for body in [header, unfinished] {
        assert_eq!(inflate(&body, LARGE, &mut |_, _, _| Ok(0)), Err(GzipFault::Truncated.into()));
    }
}

/// The lines of a v3 body are parsed while the body arrives, although the response may quote them.
#[test]
fn v3_body_is_parsed_before_its_end() {
    let admission = Admission::new(40_000_000, 40_000_000);
    for lines in [50_000, 150_000] {
        let text = "cpu v=1i\n".repeat(lines) + "bad\n";
        let is_kept = text.len() <= RETAINED_TEXT_BYTES_MAX;
        let mut parser = body_parser(&admission, Dialect::V3);
        let free_bytes = admission.free_bytes();
        let mut held = Vec::new();
        for piece in text.as_bytes().chunks(PARSED_PIECE_BYTES) {
            held.extend_from_slice(piece);
            let used = parser.parse(&held, text.len(), 0).unwrap();
            held.drain(..used);
        }
        assert!(admission.free_bytes() < free_bytes);
        let parsed = parser.finish(held).unwrap();
        assert_eq!(parsed.batch.measurements[0].block.rows(), lines);
        assert_eq!(parsed.rejected.named[0].line as usize, lines + 1);
        assert!(parsed.text == if is_kept { text.into_bytes() } else { Vec::new() });
    }
}

/// A piece may end at any byte of an indented line.
#[test]
fn columns_of_v3_errors_include_indents_of_earlier_pieces() {
    let admission = Admission::new(40_000_000, 40_000_000);
    let comment = format!("#{}\n", "x".repeat(998));
    let before = "cpu v=1i\n".to_owned() + &comment.repeat(PARSED_PIECE_BYTES / comment.len() + 1);
    let lines = "\n \r\n  \t bad\n# note\n \t  cpu v=x\n   cpu v=1i,time=5i\n    é v=1i,=2i\n";
    let text = before.clone() + lines;
    let whole = body_parser(&admission, Dialect::V3).finish(text.clone().into_bytes()).unwrap();
    let columns: Vec<u32> = whole.rejected.named.iter().map(|error| error.column).collect();
    assert_eq!(columns, [8, 11, 18, 12]);
    for cut in before.len()..=text.len() {
        let mut parser = body_parser(&admission, Dialect::V3);
        assert_eq!(parser.parse(&text.as_bytes()[..cut], text.len(), 0), Ok(0));
        let parsed = parser.finish(text.clone().into_bytes()).unwrap();
        assert_eq!(parsed.rejected, whole.rejected, "{cut}");
    }
}

/// A member may end where a step ends.
#[test]
fn members_may_end_between_steps() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut member = || {
        let lines = std::iter::repeat_with(|| format!("cpu v={}\n", rng.u64(..)));
        let mut text: Vec<u8> = lines.take(50_000).flat_map(String::into_bytes).collect();
        text.truncate(1 << 20);
        text
    };
    let members: Vec<Vec<u8>> = (0..8).map(|_| member()).collect();
    let body: Vec<u8> = members.iter().flat_map(|member| gzip(member)).collect();
    let mut taken = Vec::new();
    let rest = inflate(&body, LARGE, &mut |waiting, _, _| {
        taken.extend_from_slice(waiting);
        Ok(waiting.len())
    });
    taken.extend(rest.unwrap());
    assert!(taken == members.concat());
}
