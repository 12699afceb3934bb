//! Invalid bytes must cause an error, and never a panic, an endless loop or high memory use.

use super::*;
use crate::codec::crc::crc32c;
use crate::merge::cursor::PageColumn;
use crate::part::directory::PartGroup;
use crate::test_seeds::seeds;

fn read_all(bytes: Bytes, part: u64, direction: Direction) -> Result<usize, ReadError> {
    let mut cursor = PartCursor::new(bytes, part, direction, None)?;
    let mut rows = 0;
    while cursor.key().is_some() && rows < 100_000 {
        while let Some(page) = cursor.page(TimeRange::ALL)? {
            rows += page.times_ns().len();
            for &(id, _) in page.columns().iter() {
                let column = cursor.column(&page, id)?.map(PageColumn::into_column);
                let is_whole = column.is_none_or(|of| of.len() == page.page_rows() as usize);
                assert!(is_whole, "a column is shorter than its times");
            }
        }
        cursor.step()?;
    }
    Ok(rows)
}

fn made(rng: &mut Rng) -> (Bytes, Written, usize) {
    loop {
        let story = story(rng, TIMES);
        let (values, mut parts) = write(&story, 1_000, TIMES, small(rng), rng);
        if values.len() > 1 && story.len() > 20 {
            return (Bytes::new(&values), parts.remove(0), story.len());
        }
    }
}

#[test]
fn part_reader_detects_flips_and_truncation() {
    for seed in 0..3 {
        let mut rng = Rng::with_seed(seed);
        let (bytes, part, rows) = made(&mut rng);
        let read = |values: Vec<(Vec<u8>, Vec<u8>)>| {
            read_all(
                Bytes { values: Rc::new(values), of: bytes.of.clone() },
                part.id,
                Direction::Ascending,
            )
        };
        assert_eq!(read(bytes.values.to_vec()), Ok(rows));
        for at in 0..bytes.values.len() {
            let (head, body) = &bytes.values[at];
            let with = |head: Vec<u8>, body: Vec<u8>| {
                let found = Directory::decode(&head).and_then(|(_, head)| head.check(&body));
                assert!(found.is_err(), "{seed} {at}");
                let mut values = bytes.values.to_vec();
                values[at] = (head, body);
                let read = read(values);
                assert!(read == Ok(rows) || matches!(read, Err(ReadError::Damaged { .. })));
            };
            assert_eq!(Directory::decode(head).and_then(|(_, head)| head.check(body)), Ok(()));
            for byte in 0..head.len() {
                let mut bad = head.clone();
                bad[byte] ^= 1 << rng.u32(..8);
                with(bad, body.clone());
                with(head[..byte].to_vec(), body.clone());
            }
            for byte in 0..body.len() {
                let mut bad = body.clone();
                bad[byte] ^= 1 << rng.u32(..8);
                with(head.clone(), bad);
            }
            if !body.is_empty() {
                with(head.clone(), body[..body.len() - 1].to_vec());
            }
        }
    }
}

/// A malicious writer can compute valid checksums.
#[test]
fn forged_checksum_never_panics_part_reader() {
    let (mut refused, mut answered) = (0, 0);
    let made: Vec<_> = (0..50).map(|seed| made(&mut Rng::with_seed(seed))).collect();
    for seed in seeds(1_250) {
        let mut rng = Rng::with_seed(seed);
        let (bytes, part, _) = &made[rng.usize(..made.len())];
        let mut values = bytes.values.to_vec();
        let at = rng.usize(..values.len());
        let (head, body) = &mut values[at];
        let is_head = rng.bool() || body.is_empty();
        if is_head {
            let end = head.len() - 4;
            for _ in 0..rng.usize(1..4) {
                head[rng.usize(1..end)] = rng.u8(..);
            }
            let crc = crc32c(&head[..end]).to_le_bytes();
            head[end..].copy_from_slice(&crc);
        } else {
            let directory = Directory::decode(head).unwrap().1;
            let mut blocks: Vec<Range<u32>> = directory.blocks().collect();
            blocks.retain(|block| block.len() > 4);
            let block = blocks[rng.usize(..blocks.len())].clone();
            let (start, end) = (block.start as usize, block.end as usize - 4);
            for _ in 0..rng.usize(1..4) {
                body[rng.usize(start..end)] = rng.u8(..);
            }
            let crc = crc32c(&body[start..end]).to_le_bytes();
            body[end..end + 4].copy_from_slice(&crc);
        }
        let mut bytes = Bytes { values: Rc::new(values), of: bytes.of.clone() };
        let resumed = PartWriter::resume(Limits::default(), SEED, &mut bytes);
        resumed.iter().for_each(|resumed| assert!(resumed.values <= bytes.count()));
        match read_all(bytes, part.id, any_direction(&mut rng)) {
            Ok(_) => answered += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 125 && answered > 12, "{refused} {answered}");
}

#[test]
fn contradicting_directory_counts_are_damage() {
    let changes: [fn(&mut PartGroup, usize); 3] = [
        |group, page| group.pages[page].rows += 1,
        |group, page| group.pages[page].rows -= 1,
        |group, page| group.pages[page].series += 1,
    ];
    for seed in 0..10 {
        let (bytes, part, rows) = made(&mut Rng::with_seed(seed));
        let read = |at: usize, directory: &Directory, body: Vec<u8>| {
            let mut values = bytes.values.to_vec();
            values[at] = (directory.encode(100 + at as u64), body);
            let bytes = Bytes { values: Rc::new(values), of: bytes.of.clone() };
            read_all(bytes, part.id, Direction::Ascending)
        };
        for (at, (head, body)) in bytes.values.iter().enumerate() {
            let directory = Directory::decode(head).unwrap().1;
            for number in 0..directory.groups.len() {
                let group = &directory.groups[number];
                for page in 0..group.pages.len() {
                    for change in changes {
                        let mut wrong = directory.clone();
                        change(&mut wrong.groups[number], page);
                        let read = read(at, &wrong, body.clone());
                        let is_unused = group.continues_columns() && read == Ok(rows);
                        assert!(matches!(read, Err(ReadError::Damaged { .. })) || is_unused);
                    }
                    // If a page is missing, the offsets of the later blocks are wrong. If the last
                    // page is missing, the blocks do not fill the body. The check must detect both.
                    let mut wrong = directory.clone();
                    wrong.groups[number].pages.remove(page);
                    let head = wrong.encode(100 + at as u64);
                    let check = Directory::decode(&head).and_then(|(_, wrong)| wrong.check(body));
                    assert!(check.is_err());
                }
            }
        }
    }
}
