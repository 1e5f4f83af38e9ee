//! Trace context (W3C Trace Context, level 1): read strictly, continued, written. Pure: ids are handed in, and no
//! transport is known.

use std::num::{NonZeroU64, NonZeroU128};
use std::sync::Arc;

/// Bytes of a `tracestate` that travels on (section 3.3.1.5).
const STATE: usize = 512;
/// Its members (section 3.3.1.1).
const MEMBERS: usize = 32;
/// Bytes of a member that goes first where there is too much.
const LARGE: usize = 128;

/// Names a trace.
pub type TraceId = NonZeroU128;
/// Names a span within its trace.
pub type SpanId = NonZeroU64;

/// Where in its trace a caller is, as its `traceparent` and `tracestate` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    trace: TraceId,
    span: SpanId,
    sampled: bool,
    state: Option<Arc<str>>,
}

impl Parent {
    /// None where `traceparent` is absent or not right; a `tracestate` that is not right is left out.
    pub fn read(traceparent: Option<&str>, tracestate: Option<&str>) -> Option<Self> {
        let (trace, span, sampled) = read_parent(traceparent?)?;
        Some(Self { trace, span, sampled, state: tracestate.and_then(read_state) })
    }
}

/// A span of ours in its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace, which may be the caller's.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// Whose child it is, if anybody's.
    pub parent: Option<SpanId>,
    /// Whether the parent is another process's.
    pub remote: bool,
    /// Whether it is to be recorded.
    pub sampled: bool,
    state: Option<Arc<str>>,
}

impl Context {
    /// The first of its trace.
    pub fn begun(trace: TraceId, span: SpanId, sampled: bool) -> Self {
        Self { trace, span, parent: None, remote: false, sampled, state: None }
    }

    /// The caller's next; whether it is recorded, the caller has decided.
    pub fn continued(parent: &Parent, span: SpanId) -> Self {
        let Parent { trace, span: above, sampled, state } = parent.clone();
        Self { trace, span, parent: Some(above), remote: true, sampled, state }
    }

    /// A child of this one.
    pub fn child(&self, span: SpanId) -> Self {
        Self { span, parent: Some(self.span), remote: false, ..self.clone() }
    }

    /// 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The header value for whom this span calls.
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }

    /// The same of `tracestate`: the caller's, to which we add nothing.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

/// Trace, span and whether it is sampled (section 3.2).
fn read_parent(text: &str) -> Option<(TraceId, SpanId, bool)> {
    let mut fields = text.splitn(5, '-');
    let mut field = |digits| hex(fields.next()?, digits);
    let version = field(2)?;
    let (trace, span) = (TraceId::new(field(32)?)?, SpanId::new(u64::try_from(field(16)?).ok()?)?);
    let sampled = field(2)? & 1 == 1;
    // A later version may say more after what this one knows; 255 is none.
    let more = fields.next().is_some();
    (version != 0xff && (version > 0 || !more)).then_some((trace, span, sampled))
}

/// Exactly so many lower-case digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let well = text.len() == digits && text.bytes().all(lower);
    well.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// The members in their order (section 3.3), without those for which there is no room.
fn read_state(text: &str) -> Option<Arc<str>> {
    let mut members: Vec<(&str, &str)> = Vec::new();
    for member in text.split(',').map(|member| member.trim_matches([' ', '\t'])) {
        if member.is_empty() {
            continue;
        }
        let (key, value) = member.split_once('=')?;
        let again = members.iter().any(|(have, _)| *have == key);
        if again || members.len() == MEMBERS || !is_key(key) || !is_value(value) {
            return None;
        }
        members.push((key, member));
    }
    let bytes = |members: &[(&str, &str)]| {
        members.iter().map(|(_, member)| member.len() + 1).sum::<usize>().saturating_sub(1)
    };
    if bytes(&members) > STATE {
        members.retain(|(_, member)| member.len() <= LARGE);
    }
    while bytes(&members) > STATE {
        members.pop();
    }
    let members: Vec<_> = members.into_iter().map(|(_, member)| member).collect();
    (!members.is_empty()).then(|| members.join(",").into())
}

fn is_key(key: &str) -> bool {
    let part = |text: &str, digit_first: bool, most: usize| {
        let first = text.bytes().next();
        let begins =
            first.is_some_and(|byte| byte.is_ascii_lowercase() || (digit_first && byte.is_ascii_digit()));
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(&byte);
        begins && text.len() <= most && text.bytes().all(plain)
    };
    match key.split_once('@') {
        Some((tenant, system)) => part(tenant, true, 241) && part(system, false, 14),
        None => part(key, false, 256),
    }
}

fn is_value(value: &str) -> bool {
    let plain = |byte: u8| matches!(byte, 0x20..=0x7e) && !b",=".contains(&byte);
    (1..=256).contains(&value.len()) && value.bytes().all(plain) && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parent(traceparent: &str) -> Option<Parent> {
        Parent::read(Some(traceparent), None)
    }

    fn ours() -> SpanId {
        SpanId::new(0x1f).unwrap()
    }

    #[test]
    fn a_trace_is_continued_under_a_span_of_ours_and_the_callers_decision_is_kept() {
        for (flags, ours_then) in [("00", "00"), ("01", "01"), ("03", "01"), ("fe", "00"), ("ff", "01")] {
            let parent = parent(&format!("00-{TRACE}-00f067aa0ba902b7-{flags}")).unwrap();
            let context = Context::continued(&parent, ours());
            assert_eq!(context.trace_id(), TRACE);
            assert_eq!(context.traceparent(), format!("00-{TRACE}-000000000000001f-{ours_then}"));
            assert_eq!((context.parent, context.remote), (SpanId::new(0x00f0_67aa_0ba9_02b7), true));
            let child = context.child(SpanId::MIN);
            assert_eq!(child.traceparent(), format!("00-{TRACE}-0000000000000001-{ours_then}"));
            assert_eq!((child.parent, child.remote), (Some(ours()), false));
        }
    }

    #[test]
    fn what_is_not_exactly_a_traceparent_is_none() {
        let bad = [
            String::new(),
            TRACE.to_owned(),
            GOOD.to_uppercase(),
            format!(" {GOOD}"),
            format!("{GOOD} "),
            format!("{GOOD}-"),
            format!("{GOOD}-more"),
            format!("{GOOD}, {GOOD}"),
            format!("ff{}", &GOOD[2..]),
            format!("0{}", &GOOD[1..].replacen('0', "", 1)),
            format!("00-{TRACE}0-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", &TRACE[1..]),
            format!("00-{TRACE}-0f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-1"),
            format!("00-{TRACE}-00f067aa0ba902b7-0g"),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-+{}-00f067aa0ba902b7-01", &TRACE[1..]),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00_{TRACE}_00f067aa0ba902b7_01"),
            format!("01{}more", &GOOD[2..]),
            "é".repeat(28),
        ];
        for bad in bad {
            assert_eq!(parent(&bad), None, "{bad:?}");
        }
        assert_eq!(Parent::read(None, Some("a=1")), None);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_this_one_goes() {
        let known = parent(GOOD).unwrap();
        for later in [format!("01{}", &GOOD[2..]), format!("cc{}-more-of-it", &GOOD[2..])] {
            assert_eq!(parent(&later), Some(known.clone()), "{later}");
        }
    }

    fn state(text: &str) -> Option<String> {
        let parent = Parent::read(Some(GOOD), Some(text)).unwrap();
        Context::continued(&parent, ours()).tracestate().map(str::to_owned)
    }

    #[test]
    fn a_tracestate_travels_in_its_order_and_a_bad_one_does_not() {
        for (given, kept) in [
            ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
            (" a=1 ,\tb= 2 x,, ", "a=1,b= 2 x"),
            ("0tenant@system=1", "0tenant@system=1"),
            ("a*-_/9=~!", "a*-_/9=~!"),
        ] {
            assert_eq!(state(given).as_deref(), Some(kept), "{given:?}");
        }
        let (long_key, long_value) = (format!("{}=1", "k".repeat(257)), format!("k={}", "v".repeat(257)));
        let many: Vec<_> = (0..33).map(|number| format!("k{number}=1")).collect();
        let bad = [
            "",
            ",",
            "a",
            "a=",
            "=1",
            "A=1",
            "0a=1",
            "a=1,a=2",
            "a=1=2",
            "a=\u{e9}",
            "a=1\r\nx: y",
            "a@0system=1",
            "a@=1",
            "a@b@c=1",
            &long_key,
            &long_value,
            &many.join(","),
        ];
        for bad in bad {
            assert_eq!(state(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn of_a_tracestate_that_is_too_long_large_members_go_first_and_then_the_last() {
        let member = |key: &str, bytes: usize| format!("{key}={}", "v".repeat(bytes - key.len() - 1));
        let (large, small) = (member("large", 129), member("small", 128));
        let four: Vec<_> = ["a", "b", "c", "d"].map(|key| member(key, 127)).into();
        let whole = four.join(",");
        assert_eq!(whole.len(), 511);
        assert_eq!(state(&whole), Some(whole.clone()));
        assert_eq!(state(&format!("{large},{whole}")), Some(whole.clone()));
        let kept = [&small, &four[0], &four[1], &four[2]].map(String::as_str).join(",");
        assert_eq!(state(&format!("{small},{whole}")), Some(kept));
    }
}
