//! Measures how long a request waits for its body and for calls to objects. Only waiting is
//! measured, because the platform's clock does not advance while code runs.

use crate::model::time::MS_NS;

/// The reason why a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The rest of the request's body.
    Body,
    /// The reply to a call.
    Objects,
}

/// The accumulated waiting times of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    started_ns: i64,
    now_ns: i64,
    body_ns: i64,
    objects_ns: i64,
    waiting: Option<Wait>,
}

impl Spans {
    /// Creates the spans of a new request.
    pub fn new(started_ns: i64) -> Self {
        Self { started_ns, now_ns: started_ns, ..Self::default() }
    }

    /// Sets the next reason for waiting, if any.
    pub fn wait(&mut self, next: Option<Wait>) {
        self.waiting = next;
    }

    /// Ends the current wait.
    pub fn end_wait(&mut self, now_ns: i64) {
        let waited_ns = now_ns.saturating_sub(self.now_ns).max(0);
        match self.waiting.take() {
            Some(Wait::Body) => self.body_ns = self.body_ns.saturating_add(waited_ns),
            Some(Wait::Objects) => self.objects_ns = self.objects_ns.saturating_add(waited_ns),
            None => {}
        }
        self.now_ns = now_ns;
    }

    /// Returns the value of `Server-Timing`, in milliseconds with three decimal places.
    pub fn server_timing(&self) -> String {
        let ms = |ns: i64| {
            let (whole, rest) = (ns / MS_NS, ns % MS_NS / 1_000);
            format!("{whole}.{rest:03}")
        };
        let (body, objects) = (ms(self.body_ns), ms(self.objects_ns));
        let total = ms(self.now_ns.saturating_sub(self.started_ns).max(0));
        format!("body;dur={body}, objects;dur={objects}, total;dur={total}")
    }
}

/// Returns the trace id of `traceparent` (W3C Trace Context): 32 digits that are not all zero.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut fields = traceparent.split('-');
    let (version, trace) = (fields.next()?, fields.next()?);
    let (parent, flags) = (fields.next()?, fields.next()?);
    let widths = [(version, 2), (trace, 32), (parent, 16), (flags, 2)];
    // Later versions may have more fields. Version ff is invalid.
    let is_whole = widths.iter().all(|&(field, width)| field.len() == width && is_hex(field))
        && version != "ff"
        && (version != "00" || fields.next().is_none());
    let has_digit = |field: &str| field.bytes().any(|b| b != b'0');
    (is_whole && has_digit(trace) && has_digit(parent)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_sum_waits_by_kind() {
        let mut spans = Spans::new(MS_NS);
        for (wait, until_ms) in [
            (None, 2),
            (Some(Wait::Objects), 3),
            (Some(Wait::Body), 10),
            (Some(Wait::Objects), 11),
            (Some(Wait::Objects), 15),
            (None, 40),
        ] {
            spans.wait(wait);
            spans.end_wait(until_ms * MS_NS);
        }
        spans.end_wait(42 * MS_NS + 2_300);
        let timing = "body;dur=7.000, objects;dur=6.000, total;dur=41.002";
        assert_eq!(spans.server_timing(), timing);
        spans.wait(Some(Wait::Body));
        spans.end_wait(0);
        let timing = "body;dur=7.000, objects;dur=6.000, total;dur=0.000";
        assert_eq!(spans.server_timing(), timing);
    }

    #[test]
    fn trace_id_needs_valid_traceparent() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let header = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(trace_id(&header), Some(trace));
        assert_eq!(trace_id(&format!("{header}-more").replacen("00", "01", 1)), Some(trace));
        for bad in [
            String::new(),
            "00-secret-00f067aa0ba902b7-01".into(),
            format!("{header}-more"),
            header.replacen("00", "ff", 1),
            header.to_uppercase(),
            header.replace(trace, &"0".repeat(32)),
            header.replace("00f067aa0ba902b7", &"0".repeat(16)),
            header.replace("-01", ""),
        ] {
            assert_eq!(trace_id(&bad), None, "{bad}");
        }
    }
}
