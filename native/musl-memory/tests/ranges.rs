//! The functions of `musl-memory` return the same as those of the standard library, for all short
//! lengths, alignments and overlaps.

#![cfg(target_arch = "x86_64")]

/// Beyond this, all lengths take the same branch.
const LENGTH_MAX: usize = 400;

#[test]
fn copies_equal_those_of_slices() {
    let text: Vec<u8> = (0..3 * LENGTH_MAX).map(|at| (at * 31 % 251) as u8).collect();
    for length in 0..LENGTH_MAX {
        for from in (0..17).chain([100, length]) {
            let far = [length, from + length - length.min(1), from + length];
            for to in (0..34).chain(far) {
                let mut expected = text.clone();
                expected.copy_within(from..from + length, to);
                let mut copied = text.clone();
                let start = copied.as_mut_ptr();
                // SAFETY: Both ranges are inside of `copied`.
                unsafe { musl_memory::copy(start.add(to), start.add(from), length) };
                assert!(copied == expected, "{length} bytes from {from} to {to}");
            }
        }
    }
}

#[test]
fn comparisons_equal_those_of_slices() {
    let left: Vec<u8> = (0..LENGTH_MAX).map(|at| (at * 31 % 251) as u8).collect();
    for length in 0..100 {
        for start in 0..17 {
            for at in 0..=length {
                for byte in [0, 127, 128, 255] {
                    let mut right = left.clone();
                    right[start + at] = byte;
                    // Only the first difference counts.
                    right[start + at + 1] = !byte;
                    let range = start..start + length;
                    let expected = left[range.clone()].cmp(&right[range.clone()]);
                    // SAFETY: Both ranges are inside of their vectors.
                    let found = unsafe {
                        musl_memory::compare(
                            left[range.clone()].as_ptr(),
                            right[range].as_ptr(),
                            length,
                        )
                    };
                    assert_eq!(
                        found.cmp(&0),
                        expected,
                        "{length} bytes from {start}, {byte} at {at}"
                    );
                }
            }
        }
    }
}
