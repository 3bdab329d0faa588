//! Sentences on lines of a terminal.

use unicode_width::UnicodeWidthStr as _;

use super::Look;

/// How many columns a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Begins each line but the first, which begins with `first`, with blanks of the same width, and breaks lines where the
/// terminal ends.
pub fn hanging(first: &str, text: &str, look: &Look) -> String {
    let indent = width(first);
    let room = look.width.map_or(usize::MAX, |columns| columns.saturating_sub(indent).max(20));
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        if at == 0 {
            out.push_str(first);
        } else {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// The text cut to so many columns, with `…` where something was cut.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    for character in text.chars() {
        if width(&out) + width(character.encode_utf8(&mut [0; 4])) + 1 > columns {
            break;
        }
        out.push(character);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_sentence_hangs_below_its_first_word() {
        let look = Look { width: Some(24), colour: false, zone: TimeZone::UTC };
        assert_eq!(hanging(" - ", "one two three four five six", &look), " - one two three four\n   five six\n");
        let wide = Look { width: None, ..look };
        assert_eq!(hanging(" - ", "one  two\nthree", &wide), " - one two three\n");
    }

    #[test]
    fn a_cut_is_seen() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "long…");
        assert_eq!(cut("größer", 4), "grö…");
    }
}
