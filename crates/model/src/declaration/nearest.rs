//! What an operator may have meant.

/// The candidate that is nearest to a mistyped word; none when none is near enough to be meant.
///
/// Near is an edit distance (a swap of neighbours counts once) of at most a third of the word's length, and of at least 1.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    let word: Vec<char> = word.chars().take(128).collect();
    let measured = candidates.into_iter().map(|candidate| (distance(&word, candidate), candidate));
    measured.filter(|(far, _)| *far <= limit).min().map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance, case ignored.
fn distance(a: &[char], b: &str) -> usize {
    let a: Vec<char> = a.iter().map(char::to_ascii_lowercase).collect();
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        let fields = ["memory_mib", "cpu_milli", "host", "name"];
        assert_eq!(nearest("memroy_mib", fields), Some("memory_mib"));
        assert_eq!(nearest("Host", fields), Some("host"));
        assert_eq!(nearest("memory_mb", fields), Some("memory_mib"));
        assert_eq!(nearest("colour", fields), None);
        assert_eq!(nearest("", fields), None);
        assert_eq!(nearest("vms", ["vm"]), Some("vm"));
    }
}
