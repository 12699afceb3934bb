//! Tells Linux how to share the processors among the threads of this program.

/// Sets the time after which another thread may take the processor from this thread. The threads
/// that this thread starts later get the same time. `None` restores the system's default of
/// 1 to 3 ms, depending on the number of processors.
///
/// A request needs up to four threads one after another. With the default, each of them may wait
/// until a thread that computes has used up its time. Linux before 6.12 ignores the time, and a
/// sandbox may refuse the change. The program then works with the default.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no library offers this system call")]
pub fn set_slice(slice: Option<std::time::Duration>) {
    const SIZE: u32 = size_of::<libc::sched_attr>() as u32;
    const THIS_THREAD: libc::c_int = 0;
    let mut attributes = libc::sched_attr {
        size: SIZE,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: `attributes` has space for `SIZE` bytes, and every value of its fields is valid.
    let found = unsafe {
        libc::syscall(libc::SYS_sched_getattr, THIS_THREAD, &raw mut attributes, SIZE, 0)
    };
    // A user may have chosen another policy, for which the time has another meaning.
    if found != 0 || attributes.sched_policy != libc::SCHED_OTHER as u32 {
        return;
    }
    attributes.sched_runtime = slice.map_or(0, |slice| slice.as_nanos() as u64);
    // SAFETY: the call only reads `attributes`.
    unsafe { libc::syscall(libc::SYS_sched_setattr, THIS_THREAD, &raw const attributes, 0) };
}

#[cfg(not(target_os = "linux"))]
pub fn set_slice(_: Option<std::time::Duration>) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Returns whether Linux has version 6.12 or newer.
    fn has_slices() -> bool {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut numbers = release.split(['.', '-']).map_while(|number| number.parse().ok());
        (numbers.next(), numbers.next()) >= (Some(6_u32), Some(12))
    }

    /// Reads the scheduler's time slice from a file that Linux provides only if it was built with
    /// debugging of the scheduler.
    fn slice_ns() -> Option<u64> {
        let shown = std::fs::read_to_string("/proc/thread-self/sched").ok()?;
        let line = shown.lines().find(|line| line.starts_with("se.slice"))?;
        line.split(':').nth(1)?.trim().parse().ok()
    }

    #[test]
    fn slice_is_inherited_and_restored() {
        let Some(default_ns) = slice_ns().filter(|_| has_slices()) else { return };
        std::thread::spawn(move || {
            set_slice(Some(Duration::from_micros(300)));
            assert_eq!(slice_ns(), Some(300_000));
            let of_thread = std::thread::spawn(slice_ns).join().unwrap();
            assert_eq!(of_thread, Some(300_000));
            set_slice(None);
            assert_eq!(slice_ns(), Some(default_ns));
        })
        .join()
        .unwrap();
    }
}
