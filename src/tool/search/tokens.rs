//! The words of a query as they were meant: slips corrected, words run together or apart put right.
//!
//! Knows which words there are, not what they mean.

use super::index::Index;
use super::spelling::Meant;
use super::words::{Word, is_stop, stem};

/// One word of a query, its spelling corrected.
pub(super) struct Token {
    pub(super) word: Word,
    pub(super) stem: String,
    /// 1, or less where the spelling was corrected.
    pub(super) sure: f32,
}

/// Corrects the spelling where a word is known neither to the catalogue nor to the vocabulary.
pub(super) fn tokens(index: &Index, written: Vec<Word>) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::with_capacity(written.len());
    let shouted = written.iter().skip(1).all(|word| word.capital);
    for mut word in written {
        word.capital &= !shouted;
        let stem_of = stem(&word.text);
        let known = is_stop(&word.text) || is_known(index, &stem_of) || index.spelling.knows(&word.text);
        // `check list` where there are checklists.
        if let Some(last) = tokens.last_mut()
            && !is_stop(&last.word.text)
            && !is_stop(&word.text)
        {
            let joined = format!("{}{}", last.word.text, word.text);
            if index.term(&stem(&joined)).is_some_and(|term| index.is_strong(term)) {
                *last = Token {
                    stem: stem(&joined),
                    word: Word { text: joined, ..last.word.clone() },
                    sure: 1.0,
                };
                continue;
            }
        }
        if known || word.capital {
            tokens.push(Token { word, stem: stem_of, sure: 1.0 });
            continue;
        }
        let sure = index.weights.corrected;
        match index.spelling.meant(&word.text) {
            Some(Meant::One(meant)) => {
                tokens.push(Token { stem: stem(meant), word: Word { text: meant.to_owned(), ..word }, sure });
            }
            Some(Meant::Two(first, second)) => {
                for (part, text) in [first, second].into_iter().enumerate() {
                    let word = Word { text: text.to_owned(), first: word.first && part == 0, capital: false };
                    tokens.push(Token { stem: stem(text), word, sure: 1.0 });
                }
            }
            None => {
                tokens.push(Token { word, stem: stem_of, sure: 1.0 });
            }
        }
    }
    tokens
}

fn is_known(index: &Index, stem: &str) -> bool {
    index.senses.contains_key(stem) || index.term(stem).is_some_and(|term| index.is_strong(term))
}
