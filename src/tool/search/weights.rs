//! Every number the ranking is tuned by, in one place.
//!
//! What each is worth is measured in `deploy/search.md`.

/// How much a word counts by where it stands in an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    pub(super) path: f32,
    pub(super) name: f32,
    pub(super) summary: f32,
    pub(super) tag: f32,
    /// The first sentence of the description, on top of `description`.
    pub(super) opening: f32,
    pub(super) description: f32,
    pub(super) param: f32,
    pub(super) member: f32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Weights {
    pub(super) fields: Fields,
    /// The weight at which a word is half of what it can be.
    pub(super) saturation: f32,
    /// How far rare words count like frequent ones: 0 by rarity alone, 1 all the same.
    pub(super) evenness: f32,
    /// What a plain act (`create`) counts as a word, beside what it says of the endpoint's kind.
    pub(super) act_word: f32,
    /// What a verb of its own (`approve`) counts as a word.
    pub(super) verb_word: f32,
    /// How much it matters that an endpoint is about nothing else than what is asked for.
    pub(super) nothing_else: f32,
    /// How much it matters that the endpoint's last thing is the one that is asked for.
    pub(super) head: f32,
    /// How far the kind of the endpoint decides: 0 not at all, 1 by the table.
    pub(super) kind: f32,
    /// What an entry keeps that says of itself that it is not meant to be used.
    pub(super) lesser: f32,
    /// What an act of its own (`approve`) is worth where it is asked for.
    pub(super) deed: f32,
    /// What is left of an entry that does something else than what is asked for.
    pub(super) other_deed: f32,
    /// How far the words count that a verb implies, and the thing that it makes.
    pub(super) implied: f32,
    pub(super) made: f32,
    /// What a participle counts (`closed` tickets).
    pub(super) participle: f32,
    /// What a word counts that only occurs in small print.
    pub(super) small_print: f32,
    /// What a word counts whose spelling was corrected.
    pub(super) corrected: f32,
    /// What an unknown word counts against an answer, and an unknown name or number.
    pub(super) unknown: f32,
    pub(super) unknown_name: f32,
    /// What it counts against an answer beside that, where what is asked for is unknown.
    pub(super) stranger: f32,
    /// The share of the query that must be found.
    pub(super) least: f32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            fields: Fields {
                path: 3.0,
                name: 3.0,
                summary: 2.0,
                tag: 1.0,
                opening: 0.5,
                description: 0.3,
                param: 0.2,
                member: 0.3,
            },
            saturation: 1.5,
            evenness: 0.35,
            act_word: 0.3,
            verb_word: 0.6,
            nothing_else: 0.42,
            head: 0.27,
            kind: 1.5,
            lesser: 0.7,
            deed: 1.3,
            other_deed: 0.8,
            implied: 0.7,
            made: 0.9,
            participle: 0.25,
            small_print: 0.4,
            corrected: 0.9,
            unknown: 0.7,
            unknown_name: 0.15,
            stranger: 1.2,
            least: 0.335,
        }
    }
}
