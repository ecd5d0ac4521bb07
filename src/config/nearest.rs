//! What somebody may have meant by a word.

/// The word of `known` that is most like `word`, if one is like it at all: at most a third of its
/// letters differ.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    let candidates = known.iter().map(|candidate| {
        let letters: Vec<char> = candidate.to_lowercase().chars().collect();
        (distance(&word, &letters), letters.len(), *candidate)
    });
    let best = candidates.min_by_key(|(distance, ..)| *distance)?;
    let (distance, letters, candidate) = best;
    (distance <= (letters.max(word.len()) / 3).max(1)).then_some(candidate)
}

/// Letters to be put in, taken out, replaced or swapped with a neighbour (the restricted
/// Damerau-Levenshtein distance).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["schedule", "sources", "retry", "keep", "verify"];
        assert_eq!(nearest("shedule", &known), Some("schedule"));
        assert_eq!(nearest("Source", &known), Some("sources"));
        assert_eq!(nearest("kepe", &known), Some("keep"));
        assert_eq!(nearest("compression", &known), None);
        assert_eq!(nearest("", &known), None);
        assert_eq!(
            nearest("standart", &["STANDARD", "GLACIER"]),
            Some("STANDARD")
        );
    }
}
