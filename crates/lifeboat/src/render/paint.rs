//! Colour, where it says something.

use super::Look;

/// What a stretch of text says by its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// It is as it should be.
    Good,
    /// It is on its way, or wants a look.
    Busy,
    /// It is not as it should be.
    Bad,
    /// It matters less than the rest.
    Faint,
    /// It matters more.
    Strong,
}

impl Look {
    /// The text in the colour of its tone, or as it is where there are no colours.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Busy => "33",
            Tone::Bad => "1;31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
