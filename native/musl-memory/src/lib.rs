//! Fast `memcpy`, `memmove`, `memcmp` and `bcmp` for programs that are linked with musl on x86-64.
//!
//! musl copies with `rep movsq`, which takes about 30 cycles to start, and compares single bytes.
//! Most copies of the program are short: a key, or a number in a result. With musl's functions,
//! Arrow's JSON encoder took three to five times as long as with these functions or glibc.
//!
//! The linker prefers these functions to those of musl. With other C libraries, this crate has no
//! effect.

#![cfg(target_arch = "x86_64")]
// Otherwise the compiler might replace the loops with calls of `memcpy`, which would never return.
#![no_builtins]
#![no_std]

use core::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_storeu_si128,
};

/// Copies `length` bytes. The ranges may overlap: up to 128 bytes are loaded before the first
/// store, and a longer range is copied in the direction that overwrites no byte before it is
/// loaded.
///
/// # Safety
/// `from` must be readable, and `to` writable, for `length` bytes.
#[inline(always)]
pub unsafe fn copy(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: No access is outside of the two ranges, see each branch.
    unsafe {
        if length <= 16 {
            if length >= 8 {
                copy_ends::<u64>(to, from, length);
            } else if length >= 4 {
                copy_ends::<u32>(to, from, length);
            } else if length >= 2 {
                copy_ends::<u16>(to, from, length);
            } else if length == 1 {
                *to = *from;
            }
        } else if length <= 32 {
            copy_ends::<__m128i>(to, from, length);
        } else if length <= 64 {
            let (a, b) = (load(from), load(from.add(16)));
            let (c, d) = (load(from.add(length - 32)), load(from.add(length - 16)));
            store(to, a);
            store(to.add(16), b);
            store(to.add(length - 32), c);
            store(to.add(length - 16), d);
        } else if length <= 2 * BLOCK {
            let (first, last) = (load_block(from), load_block(from.add(length - BLOCK)));
            store_block(to, first);
            store_block(to.add(length - BLOCK), last);
        } else if (to as usize).wrapping_sub(from as usize) >= length {
            copy_forward(to, from, length);
        } else {
            copy_backward(to, from, length);
        }
    }
}

/// Copies the first and the last bytes of a range that is at most twice as long as `T`.
///
/// # Safety
/// `length` must be at least the size of `T`, and the ranges accessible.
#[inline(always)]
unsafe fn copy_ends<T>(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: Both accesses start and end within the range.
    unsafe {
        let last = length - size_of::<T>();
        let first_value = from.cast::<T>().read_unaligned();
        let last_value = from.add(last).cast::<T>().read_unaligned();
        to.cast::<T>().write_unaligned(first_value);
        to.add(last).cast::<T>().write_unaligned(last_value);
    }
}

const BLOCK: usize = 64;

#[inline(always)]
unsafe fn load(from: *const u8) -> __m128i {
    // SAFETY: The caller checks the range.
    unsafe { _mm_loadu_si128(from.cast()) }
}

#[inline(always)]
unsafe fn store(to: *mut u8, bytes: __m128i) {
    // SAFETY: The caller checks the range.
    unsafe { _mm_storeu_si128(to.cast(), bytes) }
}

#[inline(always)]
unsafe fn load_block(from: *const u8) -> [__m128i; 4] {
    // SAFETY: The caller checks the range.
    unsafe { [load(from), load(from.add(16)), load(from.add(32)), load(from.add(48))] }
}

#[inline(always)]
unsafe fn store_block(to: *mut u8, [a, b, c, d]: [__m128i; 4]) {
    // SAFETY: The caller checks the range.
    unsafe {
        store(to, a);
        store(to.add(16), b);
        store(to.add(32), c);
        store(to.add(48), d);
    }
}

/// Copies more than 128 bytes to a lower address, or to a range that does not overlap.
unsafe fn copy_forward(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: `at + BLOCK < length` in the loop, and the first and the last block are within the
    // range.
    unsafe {
        let first = load(from);
        let last = load_block(from.add(length - BLOCK));
        // The stores of the loop are aligned.
        let mut at = 16 - to as usize % 16;
        while at + BLOCK < length {
            store_block(to.add(at), load_block(from.add(at)));
            at += BLOCK;
        }
        store_block(to.add(length - BLOCK), last);
        store(to, first);
    }
}

/// Copies more than 128 bytes to a higher address that overlaps.
unsafe fn copy_backward(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: `at > BLOCK` in the loop, and the first and the last block are within the range.
    unsafe {
        let first = load_block(from);
        let last = load(from.add(length - 16));
        // The stores of the loop are aligned.
        let mut at = length - (to as usize + length) % 16;
        while at > BLOCK {
            at -= BLOCK;
            store_block(to.add(at), load_block(from.add(at)));
        }
        store_block(to, first);
        store(to.add(length - 16), last);
    }
}

/// Compares two ranges as strings of unsigned bytes. The result is negative, 0 or positive.
///
/// # Safety
/// Both ranges must be readable for `length` bytes.
#[inline(always)]
pub unsafe fn compare(left: *const u8, right: *const u8, length: usize) -> i32 {
    // SAFETY: `at + 16 <= length`, or `at < length` for single bytes.
    unsafe {
        let mut at = 0;
        while at + 16 <= length {
            let equal = _mm_movemask_epi8(_mm_cmpeq_epi8(load(left.add(at)), load(right.add(at))));
            if equal != 0xffff {
                return difference(left, right, at + equal.trailing_ones() as usize);
            }
            at += 16;
        }
        if at + 8 <= length {
            let (a, b) = (load_u64(left.add(at)), load_u64(right.add(at)));
            if a != b {
                return difference(left, right, at + (a ^ b).trailing_zeros() as usize / 8);
            }
            at += 8;
        }
        while at < length {
            if *left.add(at) != *right.add(at) {
                return difference(left, right, at);
            }
            at += 1;
        }
        0
    }
}

#[inline(always)]
unsafe fn load_u64(from: *const u8) -> u64 {
    // SAFETY: The caller checks the range.
    unsafe { from.cast::<u64>().read_unaligned() }
}

#[inline(always)]
unsafe fn difference(left: *const u8, right: *const u8, at: usize) -> i32 {
    // SAFETY: The caller checks the range.
    unsafe { i32::from(*left.add(at)) - i32::from(*right.add(at)) }
}

/// The functions with the names and the contracts of the C library.
#[cfg(target_env = "musl")]
mod c {
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
        // SAFETY: The caller keeps the contract of C.
        unsafe { super::copy(to, from, length) };
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
        // SAFETY: The caller keeps the contract of C.
        unsafe { super::copy(to, from, length) };
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
        // SAFETY: The caller keeps the contract of C.
        unsafe { super::compare(left, right, length) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
        // SAFETY: The caller keeps the contract of C.
        unsafe { super::compare(left, right, length) }
    }
}
