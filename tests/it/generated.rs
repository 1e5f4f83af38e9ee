//! Generated input against the pure rooms: what an oracle, written without their code, allows is all that may come out.
//!
//! `SIDEGATE_CASES` says how many cases of each property, `SIDEGATE_SEED` where they begin. The default seed is always
//! the same, so that a change is judged by the cases it was judged by before; `tests/long.sh` takes a new one.

mod bearer;
mod inputs;
mod messages;
mod rewrite;
mod tokens;

use std::cell::Cell;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

/// Cases of each property where nobody says otherwise: all of them in less than a minute, unoptimised.
const CASES: u32 = 2_000;
const SEED: u64 = 0x51de_9a7e;

/// Cases that share a seed: a failure is repeated with no more than these.
const BLOCK: u32 = 500;

type Judged = Result<Verdict, TestCaseError>;

/// What became of one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
}

/// Runs `property` and fails with the smallest input found, and with how to repeat it. A property of which nearly all
/// cases end one way shows nothing: at least one in twenty must end each way.
fn check<S: Strategy>(name: &str, strategy: &S, property: impl Fn(S::Value) -> Judged) {
    let (cases, seed) = (number("SIDEGATE_CASES", CASES.into()), number("SIDEGATE_SEED", SEED));
    let (accepted, run) = (Cell::new(0_u64), Cell::new(0_u64));
    for block in 0..cases.div_ceil(BLOCK.into()) {
        let seed = seed.wrapping_add(block);
        let config = Config {
            cases: BLOCK,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(seed),
            max_shrink_iters: 20_000,
            ..Config::default()
        };
        let outcome = TestRunner::new(config).run(strategy, |input| {
            let verdict = property(input)?;
            run.set(run.get() + 1);
            accepted.set(accepted.get() + u64::from(verdict == Verdict::Accepted));
            Ok(())
        });
        let again = format!("repeat with SIDEGATE_SEED={seed} SIDEGATE_CASES={BLOCK}");
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(reason, input)) => panic!("{name}: {reason}\n{input:#?}\n{again}"),
            Err(TestError::Abort(reason)) => panic!("{name} was not run: {reason}\n{again}"),
        }
    }
    let (accepted, run) = (accepted.get(), run.get());
    println!("{name}: {run} cases, {accepted} accepted");
    assert!(accepted * 20 >= run && (run - accepted) * 20 >= run, "{name}: {accepted} of {run} accepted");
}

#[allow(clippy::disallowed_methods, reason = "the runner tells the tests, not the program under test")]
fn number(variable: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(variable) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{variable} must be a whole number"))
}
