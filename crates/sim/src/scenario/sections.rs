//! A scenario file in two: what declares the fleet, and the rest. Each keeps its lines where they were, so that what is
//! wrong with either is told with the line of the file.

/// Sections that declare.
const DECLARING: [&str; 9] = ["limits", "class", "host", "array", "volume", "vm", "group", "rule", "check"];

/// The declaring sections and the others; lines of the other part are empty in each.
pub(super) fn split(text: &str) -> (String, String) {
    let (mut declaring, mut others) = (String::new(), String::new());
    let mut declares = false;
    let mut quotes: Option<&str> = None;
    for line in text.lines() {
        if quotes.is_none()
            && let Some(head) = line.trim_start().strip_prefix('[')
        {
            let name = head.trim_start_matches('[').trim_start();
            let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(name.len());
            declares = DECLARING.contains(&&name[..end]);
        }
        let (to, other) = if declares { (&mut declaring, &mut others) } else { (&mut others, &mut declaring) };
        to.push_str(line);
        to.push('\n');
        other.push('\n');
        quotes = quotes_after(line, quotes);
    }
    (declaring, others)
}

/// The quotes of a text of several lines that is open after a line.
fn quotes_after<'a>(line: &str, mut open: Option<&'a str>) -> Option<&'a str> {
    let mut rest = line;
    loop {
        match open {
            Some(quotes) => match rest.find(quotes) {
                Some(at) => (rest, open) = (&rest[at + 3..], None),
                None => return open,
            },
            None => {
                let comment = rest.find('#').unwrap_or(rest.len());
                let next = ["'''", "\"\"\""].into_iter().filter_map(|quotes| Some((rest.find(quotes)?, quotes))).min();
                match next.filter(|(at, _)| *at < comment) {
                    Some((at, quotes)) => (rest, open) = (&rest[at + 3..], Some(quotes)),
                    None => return None,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_keeps_its_lines() {
        let text = "about = 'x'\nscript = '''\n[[host]] is no head here\n'''\n[[host]]\nname = 'h1'\n[[host.fence]]\n[expect]\n";
        let (declaring, others) = split(text);
        assert_eq!(declaring, "\n\n\n\n[[host]]\nname = 'h1'\n[[host.fence]]\n\n");
        assert_eq!(others, "about = 'x'\nscript = '''\n[[host]] is no head here\n'''\n\n\n\n[expect]\n");
    }
}
