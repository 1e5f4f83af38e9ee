//! Which paths a file writes out, `use` trees taken apart and `super` resolved. It knows no rule.

use super::lexer::{Kind, Token};

/// The crate's own name, by which the binary and doc examples call the library.
const CRATE: &str = "sidegate";

/// A path as its segments; one within the crate begins with `crate`. A glob ends with `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub segments: Vec<String>,
    pub line: usize,
}

impl Path {
    /// The room it leads to: the first segment behind `crate`.
    pub fn room(&self) -> Option<&str> {
        match self.segments.as_slice() {
            [root, room, ..] if root == "crate" => Some(room),
            _ => None,
        }
    }

    pub fn begins(&self, segments: &[&str]) -> bool {
        self.segments.len() >= segments.len() && self.segments.iter().zip(segments).all(|(a, b)| a == b)
    }
}

/// The module that a file is: `src/psa/alga/db.rs` is `[psa, alga, db]`, `src/lib.rs` is `[]`.
pub fn module_of(file: &str) -> Vec<String> {
    let inner = file.strip_prefix("src/").unwrap_or(file);
    let inner = inner.strip_suffix(".rs").unwrap_or(inner);
    let inner = inner.strip_suffix("/mod").unwrap_or(inner);
    if matches!(inner, "lib" | "main") {
        return Vec::new();
    }
    inner.split('/').map(str::to_owned).collect()
}

/// Every path of two segments or more in `tokens`, which are those of `file`.
pub fn paths(file: &str, tokens: &[Token]) -> Vec<Path> {
    Walk { tokens, at: 0, module: module_of(file), inline: Vec::new(), depth: 0, found: Vec::new() }.run()
}

struct Walk<'a> {
    tokens: &'a [Token],
    at: usize,
    module: Vec<String>,
    /// Depths of braces at which inline modules began.
    inline: Vec<usize>,
    depth: usize,
    found: Vec<Path>,
}

impl Walk<'_> {
    fn run(mut self) -> Vec<Path> {
        while let Some(token) = self.tokens.get(self.at) {
            if token.is("use") || self.is_path(self.at) {
                // A bare name in a `use` is a path too: `use tokio as runtime;`.
                let using = token.is("use");
                self.at += usize::from(using);
                self.tree(&[], using);
                continue;
            }
            if token.kind == Kind::Text && token.text.starts_with("crate::") {
                // An attribute may name a path in a text: `#[serde(with = "crate::a::b")]`.
                let segments = token.text.split("::").map(str::to_owned).collect();
                self.found.push(Path { segments, line: token.line });
            }
            match token.text.as_str() {
                "mod" if self.opens_module() => {
                    self.module.push(self.tokens[self.at + 1].text.clone());
                    self.inline.push(self.depth);
                }
                "{" if token.kind == Kind::Sign => self.depth += 1,
                "}" if token.kind == Kind::Sign => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.inline.last() == Some(&self.depth) {
                        self.inline.pop();
                        self.module.pop();
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        self.found
    }

    fn sign(&self, at: usize, text: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is(text))
    }

    fn word(&self, at: usize) -> bool {
        self.tokens.get(at).is_some_and(|token| token.kind == Kind::Word)
    }

    fn opens_module(&self) -> bool {
        self.tokens[self.at].kind == Kind::Word && self.word(self.at + 1) && self.sign(self.at + 2, "{")
    }

    /// True where a path begins: `a::b`, `::a`; not in its middle.
    fn is_path(&self, at: usize) -> bool {
        let first = self.word(at) && self.sign(at + 1, "::");
        let absolute = self.sign(at, "::") && self.word(at + 1);
        first || absolute
    }

    /// A path or `use` tree from here on, behind `prefix`.
    fn tree(&mut self, prefix: &[String], using: bool) {
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        let mut segments = prefix.to_vec();
        loop {
            if self.sign(self.at, "::") {
                self.at += 1;
            } else if self.word(self.at) && !self.sign(self.at, "as") {
                segments.push(self.tokens[self.at].text.clone());
                self.at += 1;
                if !self.sign(self.at, "::") {
                    break;
                }
            } else if self.sign(self.at, "{") {
                self.group(&segments);
                return;
            } else {
                if self.sign(self.at, "*") {
                    segments.push("*".to_owned());
                    self.at += 1;
                }
                break;
            }
        }
        if using && self.sign(self.at, "as") {
            segments.push("as".to_owned());
            self.at += 2;
        }
        self.push(segments, line);
    }

    fn group(&mut self, prefix: &[String]) {
        self.at += 1;
        while self.at < self.tokens.len() && !self.sign(self.at, "}") {
            let before = self.at;
            if self.sign(self.at, ",") {
                self.at += 1;
            } else {
                self.tree(prefix, true);
            }
            // Not a `use` tree after all: leave it to the walk.
            if self.at == before {
                return;
            }
        }
        self.at += 1;
    }

    fn push(&mut self, segments: Vec<String>, line: usize) {
        let mut rest = segments.as_slice();
        let mut root = match rest.first().map(String::as_str) {
            Some("crate" | CRATE) => Vec::new(),
            Some("self" | "super") => self.module.clone(),
            Some(_) => {
                self.found.push(Path { segments, line });
                return;
            }
            None => return,
        };
        if rest[0] != "super" {
            rest = &rest[1..];
        }
        while rest.first().is_some_and(|segment| segment == "super") {
            root.pop();
            rest = &rest[1..];
        }
        let inner = root.into_iter().chain(rest.iter().cloned());
        let segments = std::iter::once("crate".to_owned()).chain(inner).collect();
        self.found.push(Path { segments, line });
    }
}
