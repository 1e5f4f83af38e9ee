//! How many files the process may have open: every connection is one.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit as far as the system lets us and says what it is; None where there is none.
pub fn allow_many() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let soft = limit.current;
        limit.current = limit.maximum;
        if setrlimit(Resource::Nofile, limit).is_err() {
            limit.current = soft;
        }
    }
    limit.current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_as_high_as_the_system_lets_it_be() {
        let allowed = allow_many();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!((allowed, limit.current), (limit.maximum, limit.maximum));
    }
}
