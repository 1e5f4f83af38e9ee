//! Which scopes a call needs and whether a token has them: the effect classes are ordered, and
//! so are the lists of scopes. Pure.

use crate::identity::scopes::RequiredScopes;
use crate::identity::trust::Caller;
use crate::tool::effect::Effect;

const EFFECTS: [Effect; 3] = [Effect::Read, Effect::Write, Effect::Destroy];

/// Why a token's scopes are not enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// What the call does.
    pub effect: Effect,
    /// All that a call of this effect needs, what the token has included.
    pub scopes: Vec<String>,
}

/// The scopes of an effect: its own list, or where that is empty the next lower one that is not.
/// So whoever asks for scopes for reading asks for no less for writing.
pub fn needed(required: &RequiredScopes, effect: Effect) -> &[String] {
    let lists = [&required.destroy, &required.write, &required.read];
    let from = match effect {
        Effect::Destroy => 0,
        Effect::Write => 1,
        Effect::Read => 2,
    };
    lists.into_iter().skip(from).find(|list| !list.is_empty()).map_or(&[], Vec::as_slice)
}

/// True where `granted` has all scopes of `effect` or of a graver one: who may destroy may write,
/// and who may write may read.
pub fn suffices(required: &RequiredScopes, granted: &[String], effect: Effect) -> bool {
    EFFECTS
        .into_iter()
        .filter(|class| *class >= effect)
        .any(|class| needed(required, class).iter().all(|scope| granted.contains(scope)))
}

/// Whether `caller`'s token has the scopes that its issuer's tokens need for `effect`.
///
/// # Errors
/// [`Lacking`]: all scopes of the effect, for one challenge.
pub fn scoped(caller: &Caller, effect: Effect) -> Result<(), Lacking> {
    let required = caller.required_scopes();
    if suffices(required, caller.scopes(), effect) {
        return Ok(());
    }
    Err(Lacking { effect, scopes: needed(required, effect).to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::caller_with;

    fn words(text: &str) -> Vec<String> {
        text.split_ascii_whitespace().map(str::to_owned).collect()
    }

    /// What an issuer asks for, as `read | write | destroy`.
    fn required(lists: &str) -> RequiredScopes {
        let lists: Vec<_> = lists.split('|').map(words).collect();
        let [read, write, destroy] = lists.try_into().unwrap();
        RequiredScopes { read, write, destroy }
    }

    #[test]
    fn an_effect_without_a_list_needs_what_the_next_lower_one_needs() {
        for (lists, read, write, destroy) in [
            ("| |", "", "", ""),
            ("r | w | d", "r", "w", "d"),
            ("r | |", "r", "r", "r"),
            ("r | | d", "r", "r", "d"),
            ("r | w |", "r", "w", "w"),
            ("| w |", "", "w", "w"),
            ("| | d", "", "", "d"),
            ("| w | d", "", "w", "d"),
        ] {
            for (effect, expected) in EFFECTS.into_iter().zip([read, write, destroy]) {
                assert_eq!(needed(&required(lists), effect).join(" "), expected, "{lists}: {effect}");
            }
        }
    }

    #[test]
    fn the_scopes_of_a_graver_effect_do_for_the_lighter_ones_and_never_the_reverse() {
        // What is asked for, what is held, and what that is enough for.
        for (lists, held, enough) in [
            ("| |", "", "read write destroy"),
            ("| |", "anything", "read write destroy"),
            ("r | w | d", "", ""),
            ("r | w | d", "r", "read"),
            ("r | w | d", "w", "read write"),
            ("r | w | d", "d", "read write destroy"),
            ("r | w | d", "R W D", ""),
            ("r | w | d", "r.all", ""),
            ("r1 r2 | w1 w2 | d", "r1", ""),
            ("r1 r2 | w1 w2 | d", "r2 r1", "read"),
            ("r1 r2 | w1 w2 | d", "r1 w1", ""),
            ("r1 r2 | w1 w2 | d", "r1 w1 w2", "read write"),
            // A list that is missing is never a way round the lower one.
            ("r | |", "", ""),
            ("r | |", "r", "read write destroy"),
            ("r | | d", "r", "read write"),
            ("r | | d", "d", "read write destroy"),
            ("r | w |", "r", "read"),
            ("r | w |", "w", "read write destroy"),
            ("| w |", "", "read"),
            ("| w |", "w", "read write destroy"),
            ("| | d", "", "read write"),
            ("| | d", "d", "read write destroy"),
            // One scope for two effects.
            ("a | a b |", "a", "read"),
            ("a | a b |", "a b", "read write destroy"),
        ] {
            let (required, held) = (required(lists), words(held));
            let found: Vec<_> =
                EFFECTS.into_iter().filter(|effect| suffices(&required, &held, *effect)).collect();
            let found: Vec<_> = found.into_iter().map(Effect::as_str).collect();
            assert_eq!(found.join(" "), enough, "{lists}: {held:?}");
        }
    }

    #[test]
    fn what_is_lacking_is_told_with_all_that_the_effect_needs() {
        let required = required("r | w1 w2 |");
        let lacking = |scope: &str, effect| scoped(&caller_with(&required, scope), effect);
        assert_eq!(lacking("w2 w1", Effect::Destroy), Ok(()));
        let all = |effect, scopes: &str| Err(Lacking { effect, scopes: words(scopes) });
        assert_eq!(lacking("r w1", Effect::Write), all(Effect::Write, "w1 w2"));
        assert_eq!(lacking("r w1", Effect::Destroy), all(Effect::Destroy, "w1 w2"));
        assert_eq!(lacking("w1", Effect::Read), all(Effect::Read, "r"));
    }
}
