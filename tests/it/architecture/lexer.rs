//! Rust source as words: just enough to find paths and texts without being misled by comments,
//! strings or test code. It knows no rule.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An identifier or keyword, without `r#`.
    Word,
    /// The contents of a string literal, escapes as written.
    Text,
    /// One character of punctuation, or `::`.
    Sign,
    /// A number, character or lifetime: nothing a rule looks at.
    Other,
}

/// One token and the line it begins on, from 1.
#[derive(Clone, Debug)]
pub struct Token {
    pub kind: Kind,
    pub text: String,
    pub line: usize,
}

impl Token {
    pub fn is(&self, text: &str) -> bool {
        self.text == text && matches!(self.kind, Kind::Word | Kind::Sign)
    }
}

/// All tokens of `source`; comments are left out.
pub fn tokens(source: &str) -> Vec<Token> {
    Lexer { chars: source.chars().collect(), at: 0, line: 1, found: Vec::new() }.run()
}

/// The tokens without the items that are compiled for tests only, and the names of modules among
/// those that live in files of their own.
pub fn without_tests(tokens: Vec<Token>) -> (Vec<Token>, Vec<String>) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut modules = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let marked = MARK.iter().enumerate().all(|(n, text)| tokens.get(at + n).is_some_and(|t| t.is(text)));
        if !marked {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let end = item_end(&tokens, at + MARK.len());
        let item = &tokens[at..end];
        if let [.., module, name, semicolon] = item
            && module.is("mod")
            && semicolon.is(";")
        {
            modules.push(name.text.clone());
        }
        at = end;
    }
    (kept, modules)
}

/// Where the item that begins at `at` ends: behind its `;` or its closing brace.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    let mut depth = 0_i32;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.text.as_str() {
            _ if token.kind != Kind::Sign => {}
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                // `use a::{b, c};` has a brace before its end.
                if depth == 0 && !tokens.get(at).is_some_and(|next| next.is(";")) {
                    return at;
                }
            }
            ";" if depth == 0 => return at,
            _ => {}
        }
    }
    tokens.len()
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    found: Vec<Token>,
}

impl Lexer {
    fn run(mut self) -> Vec<Token> {
        while let Some(char) = self.peek(0) {
            let line = self.line;
            let start = self.at;
            match char {
                '/' if self.peek(1) == Some('/') => self.skip_while(|char| char != '\n'),
                '/' if self.peek(1) == Some('*') => self.block_comment(),
                '"' => self.string(line, 0, false),
                '\'' => self.quote(line),
                _ if char.is_alphabetic() || char == '_' => self.word(line),
                _ if char.is_ascii_digit() => {
                    self.skip_while(|char| char.is_alphanumeric() || char == '_');
                    self.push(Kind::Other, start, self.at, line);
                }
                _ if char.is_whitespace() => self.bump(),
                _ => {
                    self.bump();
                    if char == ':' && self.peek(0) == Some(':') {
                        self.bump();
                    }
                    self.push(Kind::Sign, start, self.at, line);
                }
            }
        }
        self.found
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn bump(&mut self) {
        if self.peek(0) == Some('\n') {
            self.line += 1;
        }
        self.at += 1;
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&wanted) {
            self.bump();
        }
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize, line: usize) {
        let end = end.min(self.chars.len());
        let text = self.chars[start.min(end)..end].iter().collect();
        self.found.push(Token { kind, text, line });
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while let Some(char) = self.peek(0) {
            match (char, self.peek(1)) {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth -= 1,
                _ => {
                    self.bump();
                    continue;
                }
            }
            self.bump();
            self.bump();
            if depth == 0 {
                return;
            }
        }
    }

    /// An identifier, or the prefix of a string: `r"`, `br#"`, `c"`, and `r#word`.
    fn word(&mut self, line: usize) {
        let start = self.at;
        self.skip_while(|char| char.is_alphanumeric() || char == '_');
        let word: String = self.chars[start..self.at].iter().collect();
        let hashes = (0..).take_while(|n| self.peek(*n) == Some('#')).count();
        let raw = matches!(word.as_str(), "r" | "br" | "cr");
        if raw && self.peek(hashes) == Some('"') {
            (0..hashes).for_each(|_| self.bump());
            self.string(line, hashes, true);
        } else if matches!(word.as_str(), "b" | "c") && self.peek(0) == Some('"') {
            self.string(line, 0, false);
        } else if word == "b" && self.peek(0) == Some('\'') {
            self.quote(line);
        } else if word == "r" && hashes == 1 {
            self.bump();
            self.word(line);
        } else {
            self.push(Kind::Word, start, self.at, line);
        }
    }

    /// A string from its opening quote on; a raw one ends at a quote with as many hashes.
    fn string(&mut self, line: usize, hashes: usize, raw: bool) {
        self.bump();
        let start = self.at;
        while let Some(char) = self.peek(0) {
            if char == '\\' && !raw {
                self.bump();
            } else if char == '"' && (1..=hashes).all(|n| self.peek(n) == Some('#')) {
                break;
            }
            self.bump();
        }
        self.push(Kind::Text, start, self.at, line);
        (0..=hashes).for_each(|_| self.bump());
    }

    /// A character literal or a lifetime.
    fn quote(&mut self, line: usize) {
        let start = self.at;
        self.bump();
        if self.peek(0) == Some('\\') {
            self.bump();
            self.bump();
            self.skip_while(|char| char != '\'' && char != '\n');
            self.bump();
        } else if self.peek(1) == Some('\'') {
            self.bump();
            self.bump();
        } else {
            self.skip_while(|char| char.is_alphanumeric() || char == '_');
        }
        self.push(Kind::Other, start, self.at, line);
    }
}
