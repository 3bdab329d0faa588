//! Reading JSON documents, with errors that say where in few words.

use serde::de::DeserializeOwned;

/// The most that an error says of a document, in characters: its own words may be as long as the document.
const SAID: usize = 300;

/// Reads a document.
///
/// # Errors
/// What is wrong, and at which field, line and column.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| {
        // Only now the slower way, which knows the field.
        let mut reader = serde_json::Deserializer::from_str(text);
        match serde_path_to_error::deserialize::<_, T>(&mut reader) {
            Err(found) if found.path().iter().len() > 0 => {
                format!("{}: {}", shorten(&found.path().to_string()), shorten(&error.to_string()))
            }
            _ => shorten(&error.to_string()),
        }
    })
}

/// A text with its middle left out where it is long: the end of an error says where it is.
pub(crate) fn shorten(text: &str) -> String {
    let count = text.chars().count();
    if count <= SAID {
        return text.to_owned();
    }
    let head: String = text.chars().take(SAID / 2).collect();
    let tail: String = text.chars().skip(count - SAID / 2).collect();
    format!("{head} … {tail}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::read;

    #[test]
    fn an_error_says_at_which_field_it_is() {
        let said = read::<BTreeMap<String, Vec<u64>>>(r#"{"a": [1, 2], "b": [3, -4]}"#).expect_err("no u64");
        assert_eq!(said, "b[1]: invalid value: integer `-4`, expected u64 at line 1 column 25");
    }

    #[test]
    fn an_error_is_short_however_long_the_document_is() {
        let said = read::<u64>(&format!("\"{}\"", "é".repeat(1 << 20))).expect_err("no u64");
        assert!(said.starts_with("invalid type: string") && said.ends_with("line 1 column 2097154"), "{said}");
        assert!(said.len() < 1_000);
    }
}
