//! Spans of time on the command line: `90s`, `30min`, `1h30min`, `2d`.

use lifeboat_model::{Seconds, time::MAX_SECONDS};

/// Reads a span.
///
/// # Errors
/// What a span looks like, when this is none.
pub fn parse(text: &str) -> Result<Seconds, String> {
    let wrong = || format!("`{text}` is no span of time: write 90s, 30min, 2h, 1d or 1h30min");
    let (mut rest, mut sum) = (text.trim(), 0_u64);
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = rest[digits..].trim_start();
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let unit = match &rest[..letters] {
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        rest = rest[letters..].trim_start();
        sum = number.checked_mul(unit).and_then(|more| sum.checked_add(more)).ok_or_else(wrong)?;
    }
    match sum {
        0 => Err("a span of no time is none".to_owned()),
        1..=MAX_SECONDS => Ok(Seconds::new(sum)),
        _ => Err(format!("`{text}` is more than ten years")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_numbers_with_units() {
        for (text, seconds) in
            [("90s", 90), ("30min", 1800), ("5m", 300), ("2h", 7200), ("1d", 86_400), ("1h 30min", 5400)]
        {
            assert_eq!(parse(text), Ok(Seconds::new(seconds)), "{text}");
        }
        for bad in ["", "2", "h", "-1h", "1.5h", "2 weeks", "0s", "99999999d", "9999999999999999999999h", "1h30"] {
            assert!(parse(bad).is_err(), "{bad:?} was taken for a span");
        }
    }
}
