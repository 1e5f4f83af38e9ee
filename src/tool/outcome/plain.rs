//! HTML as plain text: paragraphs, list items and links stay readable, all other markup goes.
//!
//! For reading, not for showing in a page: what comes out is not safe HTML, it is none.

/// Tags by which a text is known for HTML.
const TELLING: [&str; 30] = [
    "a",
    "b",
    "blockquote",
    "br",
    "code",
    "div",
    "em",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "hr",
    "html",
    "i",
    "img",
    "li",
    "mark",
    "ol",
    "p",
    "pre",
    "section",
    "span",
    "strong",
    "table",
    "td",
    "tr",
    "u",
    "ul",
    "body",
];
/// Elements that begin a new line.
const BLOCKS: [&str; 25] = [
    "address",
    "article",
    "blockquote",
    "body",
    "div",
    "dd",
    "dl",
    "dt",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "html",
    "ol",
    "pre",
    "section",
    "table",
    "tr",
    "ul",
    "figure",
];
/// Elements whose content is no text.
const UNSEEN: [&str; 6] = ["head", "noscript", "script", "style", "template", "title"];
/// The character references that texts of helpdesks have (HTML, section 13.5), beside numeric ones.
#[rustfmt::skip]
const ENTITIES: [(&str, &str); 42] = [
    ("amp", "&"), ("lt", "<"), ("gt", ">"), ("quot", "\""), ("apos", "'"), ("nbsp", " "), ("ensp", " "),
    ("emsp", " "), ("thinsp", " "), ("zwnj", ""), ("zwj", ""), ("shy", ""), ("ndash", "–"), ("mdash", "—"),
    ("lsquo", "‘"), ("rsquo", "’"), ("sbquo", "‚"), ("ldquo", "“"), ("rdquo", "”"), ("bdquo", "„"),
    ("laquo", "«"), ("raquo", "»"), ("bull", "•"), ("middot", "·"), ("hellip", "…"), ("copy", "©"),
    ("reg", "®"), ("trade", "™"), ("euro", "€"), ("pound", "£"), ("deg", "°"), ("plusmn", "±"),
    ("times", "×"), ("sect", "§"), ("auml", "ä"), ("ouml", "ö"), ("uuml", "ü"), ("Auml", "Ä"), ("Ouml", "Ö"),
    ("Uuml", "Ü"), ("szlig", "ß"), ("eacute", "é"),
];

/// The text of `html`; None where it does not look like HTML.
pub(super) fn plain(html: &str) -> Option<String> {
    is_html(html).then(|| Writer::default().write(html))
}

/// True where there is a tag that HTML texts have; `a < b` and `<name@example.com>` are none.
fn is_html(text: &str) -> bool {
    text.match_indices('<').any(|(at, _)| {
        tag(text.get(at..).unwrap_or_default()).is_some_and(|tag| TELLING.contains(&tag.name.as_str()))
    })
}

struct Tag<'a> {
    /// Lower case.
    name: String,
    closing: bool,
    attributes: &'a str,
    /// In bytes, with its brackets.
    length: usize,
}

/// The tag that `text` begins with.
fn tag(text: &str) -> Option<Tag<'_>> {
    let inner = text.strip_prefix('<')?;
    let (closing, inner) = match inner.strip_prefix('/') {
        Some(inner) => (true, inner),
        None => (false, inner),
    };
    let end = inner.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inner.len());
    let (name, rest) = inner.split_at(end);
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !begins || !rest.starts_with(|c: char| c == '>' || c == '/' || c.is_ascii_whitespace()) {
        return None;
    }
    // A bracket may stand within quotation marks.
    let mut mark = None;
    let close = rest.char_indices().find(|(_, c)| {
        match (mark, c) {
            (None, '"' | '\'') => mark = Some(*c),
            (Some(open), c) if open == *c => mark = None,
            _ => {}
        }
        mark.is_none() && *c == '>'
    });
    let close = close.map(|(at, _)| at).or_else(|| rest.find('>'))?;
    Some(Tag {
        name: name.to_ascii_lowercase(),
        closing,
        attributes: rest.get(..close).unwrap_or_default(),
        length: text.len() - rest.len() + close + 1,
    })
}

#[derive(Default)]
struct Writer {
    out: String,
    /// Line feeds that come before the next text.
    due: usize,
    /// Whether a blank does.
    blank: bool,
    /// Where an open link leads, and where its text begins in `out`.
    link: Option<(String, usize)>,
    kept: usize,
}

impl Writer {
    fn write(mut self, html: &str) -> String {
        let mut rest = html;
        while !rest.is_empty() {
            if let Some(comment) = rest.strip_prefix("<!--") {
                rest = comment.split_once("-->").map_or("", |(_, after)| after);
            } else if rest.starts_with("<!") || rest.starts_with("<?") {
                rest = rest.split_once('>').map_or("", |(_, after)| after);
            } else if let Some(tag) = tag(rest) {
                rest = rest.get(tag.length..).unwrap_or_default();
                if !tag.closing && UNSEEN.contains(&tag.name.as_str()) {
                    rest = after_closing(rest, &tag.name);
                } else {
                    self.tag(&tag);
                }
            } else {
                let end =
                    rest.char_indices().skip(1).find(|(_, c)| *c == '<').map_or(rest.len(), |(at, _)| at);
                let (text, after) = rest.split_at(end);
                self.text(&references(text));
                rest = after;
            }
        }
        self.end_link();
        self.out
    }

    fn tag(&mut self, tag: &Tag<'_>) {
        match tag.name.as_str() {
            "br" => self.due = self.due.saturating_add(1).min(2),
            "p" => self.due = 2,
            "li" if !tag.closing => {
                self.due = self.due.max(1);
                self.say("- ");
            }
            "td" | "th" if tag.closing => self.text("  "),
            "a" if tag.closing => self.end_link(),
            "a" => {
                self.end_link();
                let whither = attribute(tag.attributes, "href").unwrap_or_default();
                self.link = Some((whither, self.out.len()));
            }
            "img" => {
                if let Some(alt) = attribute(tag.attributes, "alt").filter(|alt| !alt.trim().is_empty()) {
                    self.text(&format!("[{}]", alt.trim()));
                }
            }
            "pre" => {
                self.due = self.due.max(1);
                self.kept = if tag.closing { self.kept.saturating_sub(1) } else { self.kept + 1 };
            }
            name if BLOCKS.contains(&name) => self.due = self.due.max(1),
            _ => {}
        }
    }

    /// Text in which white space is one blank, as browsers show it.
    fn text(&mut self, text: &str) {
        if self.kept > 0 {
            return self.say(text);
        }
        self.blank |= text.starts_with(char::is_whitespace);
        for word in text.split_whitespace() {
            let blank = std::mem::take(&mut self.blank);
            if blank && self.due == 0 && !self.out.is_empty() && !self.out.ends_with([' ', '\n']) {
                self.out.push(' ');
            }
            self.say(word);
            self.blank = true;
        }
        self.blank = text.ends_with(char::is_whitespace);
    }

    fn say(&mut self, text: &str) {
        let due = std::mem::take(&mut self.due);
        if !self.out.is_empty() && due > 0 {
            self.out.truncate(self.out.trim_end_matches(' ').len());
            self.out.extend(std::iter::repeat_n('\n', due));
        }
        self.out.push_str(text);
    }

    fn end_link(&mut self) {
        let Some((whither, start)) = self.link.take() else { return };
        let shown = self.out.get(start..).unwrap_or_default().trim();
        let leads =
            ["http://", "https://", "mailto:", "tel:", "/"].iter().any(|with| whither.starts_with(with));
        let bare = whither.trim_start_matches("mailto:").trim_start_matches("tel:");
        if leads && shown != bare && shown != whither {
            let blank = if shown.is_empty() { "" } else { " " };
            self.out.push_str(&format!("{blank}({whither})"));
        }
    }
}

/// What follows `</name>`.
fn after_closing<'a>(html: &'a str, name: &str) -> &'a str {
    let ends = html.match_indices("</").find_map(|(at, _)| {
        let rest = html.get(at..)?;
        tag(rest).filter(|tag| tag.name == name).and_then(|tag| rest.get(tag.length..))
    });
    ends.unwrap_or_default()
}

fn attribute(attributes: &str, name: &str) -> Option<String> {
    let lower = attributes.to_ascii_lowercase();
    let at = lower.match_indices(name).map(|(at, _)| at).find(|at| {
        let before = lower.get(..*at).unwrap_or_default();
        let after = lower.get(at + name.len()..).unwrap_or_default().trim_start();
        before.ends_with(|c: char| c.is_ascii_whitespace() || c == '"' || c == '\'') && after.starts_with('=')
    })?;
    let value = attributes.get(at + name.len()..)?.trim_start().strip_prefix('=')?.trim_start();
    let value = match value.chars().next()? {
        mark @ ('"' | '\'') => value.get(1..)?.split(mark).next()?,
        _ => value.split(|c: char| c.is_ascii_whitespace()).next()?,
    };
    Some(references(value))
}

/// Character references resolved, each once.
fn references(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let end = after.find(';').filter(|end| *end <= 10);
        match end.and_then(|end| Some((reference(after.get(..end)?)?, end))) {
            Some((meant, end)) => {
                out.push_str(&meant);
                rest = after.get(end + 1..).unwrap_or_default();
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn reference(name: &str) -> Option<String> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|c| !c.is_control() || *c == '\n').map(String::from);
    }
    ENTITIES.iter().find(|(known, _)| *known == name).map(|(_, meant)| (*meant).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_lists_and_links_stay_readable() {
        let html = "<!DOCTYPE html><html><head><title>t</title><style>p{}</style></head><body>\n<p>The  <b>printer</b>\n is \
                    <i>down</i>.</p><p>See <a href=\"https://example.com/x?a=1&amp;b=2\">the page</a> or \
                    <a href='https://example.com'>https://example.com</a>.<br>Thanks</p><ul><li>one</li><li>two &amp; \
                    three</li></ul><!-- <p>no</p> --><script>alert(\"<p>\")</script><div>end</div></body></html>";
        let text = "The printer is down.\n\nSee the page (https://example.com/x?a=1&b=2) or https://example.com.\nThanks\n\n- one\n- two & three\nend";
        assert_eq!(plain(html).unwrap(), text);
    }

    #[test]
    fn what_is_no_html_is_left_alone() {
        for text in [
            "a < b and c > d",
            "mail <anna@example.com>",
            "1 &lt; 2",
            "",
            "<",
            "List<String>",
            "if (a<b) {c}",
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
    }

    #[test]
    fn references_are_resolved_once_and_unknown_ones_stay() {
        let html = "<p>&amp;lt; &#252;&#xFC; &euro;5 &unknown; &#0; AT&T &#x110000;</p>";
        assert_eq!(plain(html).unwrap(), "&lt; üü €5 &unknown; &#0; AT&T &#x110000;");
    }

    #[test]
    fn broken_markup_ends_and_loses_no_text() {
        for (html, text) in [
            ("<p>open <b>never closed", "open never closed"),
            ("<b>x</b> a < b", "x a < b"),
            ("<p title=\"a>b\">x</p>", "x"),
            ("<br><a href=\"javascript:alert(1)\">x</a>", "x"),
            ("<b>x</b><script>no end", "x"),
            ("<pre>a\n  b</pre><p>c", "a\n  b\n\nc"),
            ("<mark>prin</mark>ter", "printer"),
            ("<td>a</td><td>b</td>", "a b"),
            ("<p>", ""),
        ] {
            assert_eq!(plain(html).unwrap(), text, "{html}");
        }
    }
}
