//! What a client is told when the PSA was not asked, or did not answer. Pure.

use pingora::{Error, ErrorSource, ErrorType};

/// A status and what stands in its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status.
    pub status: u16,
    /// A short name.
    pub code: &'static str,
    /// What to do.
    pub message: &'static str,
}

const UNREACHABLE: Failure = Failure {
    status: 502,
    code: "psa_unreachable",
    message: "the PSA takes no connection; try again shortly, and ask the administrator whether it runs",
};
const SILENT: Failure = Failure {
    status: 504,
    code: "psa_timeout",
    message: "the PSA did not answer in time; what was asked of it may have been done",
};
const BROKEN: Failure = Failure {
    status: 502,
    code: "psa_broken_answer",
    message: "the PSA ended the connection or its answer cannot be read; what was asked of it may have been done",
};
const STALLED: Failure =
    Failure { status: 408, code: "request_timeout", message: "the request body did not arrive in time" };
const OURS: Failure =
    Failure { status: 500, code: "internal_error", message: "the request could not be passed on" };

impl Failure {
    /// The request's form.
    pub const MALFORMED: Self = Self {
        status: 400,
        code: "malformed_request",
        message: "the request cannot be read in one way only",
    };
    /// The request's method.
    pub const METHOD: Self =
        Self { status: 405, code: "method_not_allowed", message: "this method is not passed on" };

    /// A target that can be read in several ways; `message` says how to write it.
    pub fn unclear(message: &'static str) -> Self {
        Self { status: 400, code: "unclear_target", message }
    }

    /// What `error` means to the client; none where the client has left. `owes`: the client has not sent
    /// all of its body, so that a PSA that says nothing is waiting for it.
    pub fn of(error: &Error, owes: bool) -> Option<Self> {
        use ErrorType::*;
        let etype = error.etype();
        Some(match error.esource() {
            ErrorSource::Upstream => match etype {
                ReadTimedout if owes => STALLED,
                ConnectTimedout | TLSHandshakeTimedout | ReadTimedout | WriteTimedout => SILENT,
                ConnectRefused | ConnectNoRoute | ConnectError | ConnectProxyFailure | BindError
                | SocketError | TLSHandshakeFailure | TLSWantX509Lookup | InvalidCert | HandshakeError => {
                    UNREACHABLE
                }
                _ => BROKEN,
            },
            ErrorSource::Downstream => match etype {
                WriteError | ReadError | ConnectionClosed | WriteTimedout | H2Error => return None,
                ReadTimedout => STALLED,
                _ => Self::MALFORMED,
            },
            ErrorSource::Internal | ErrorSource::Unset => OURS,
        })
    }

    /// The body.
    pub fn body(&self) -> String {
        serde_json::json!({"error": self.code, "error_description": self.message}).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_status() {
        let of = |etype: ErrorType, place: fn(Box<Error>) -> Box<Error>| {
            Failure::of(&place(Error::new(etype)), false).map(|failure| failure.status)
        };
        assert_eq!(of(ErrorType::ConnectRefused, Error::into_up), Some(502));
        assert_eq!(of(ErrorType::InvalidCert, Error::into_up), Some(502));
        assert_eq!(of(ErrorType::ConnectTimedout, Error::into_up), Some(504));
        assert_eq!(of(ErrorType::ReadTimedout, Error::into_up), Some(504));
        assert_eq!(of(ErrorType::ConnectionClosed, Error::into_up), Some(502));
        assert_eq!(of(ErrorType::ReadTimedout, Error::into_down), Some(408));
        assert_eq!(of(ErrorType::InvalidHTTPHeader, Error::into_down), Some(400));
        assert_eq!(of(ErrorType::ConnectionClosed, Error::into_down), None);
        assert_eq!(of(ErrorType::InternalError, Error::into_in), Some(500));
    }

    #[test]
    fn a_psa_that_waits_for_the_clients_body_is_not_the_silent_one() {
        let of =
            |etype: ErrorType| Failure::of(&Error::new(etype).into_up(), true).map(|failure| failure.status);
        assert_eq!(of(ErrorType::ReadTimedout), Some(408));
        assert_eq!(of(ErrorType::WriteTimedout), Some(504), "it does not take what is sent");
        assert_eq!(of(ErrorType::ConnectTimedout), Some(504));
    }
}
