//! Parses the media types of an `Accept` header and sorts them by the client's preference.

/// Returns the accepted media types in lower case, without parameters, and in descending order of
/// weight. Types of equal weight keep their order. Types with weight 0 are omitted.
pub fn media_types(accept: &str) -> Vec<String> {
    let mut weighted: Vec<(f64, String)> = accept.split(',').filter_map(weighted).collect();
    weighted.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    weighted.into_iter().map(|(_, media_type)| media_type).collect()
}

/// Parses an item of the list (RFC 9110, 12.4.2 and 12.5.1). A weight that is not a number counts
/// as 1.
fn weighted(item: &str) -> Option<(f64, String)> {
    let mut parts = item.split(';');
    let media_type = parts.next()?.trim().to_ascii_lowercase();
    let weight = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then_some(value)?.trim().parse::<f64>().ok()
    });
    let weight = weight.filter(|weight| !weight.is_nan()).unwrap_or(1.0);
    (weight > 0.0).then_some((weight, media_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_media_types_sort_by_weight() {
        for (accept, expected) in [
            ("", &[""][..]),
            ("text/csv", &["text/csv"]),
            (
                "application/csv;q=0.5, application/json;q=0.9",
                &["application/json", "application/csv"],
            ),
            ("Text/CSV; header=present; Q=0.2, */*;q=0.1, a/b", &["a/b", "text/csv", "*/*"]),
            ("a/b;q=0, c/d;q=0.0, e/f", &["e/f"]),
            ("a/b;q=x, c/d;q=NaN, e/f;q=2", &["e/f", "a/b", "c/d"]),
            ("a/b, c/d;q=1.0", &["a/b", "c/d"]),
        ] {
            assert_eq!(media_types(accept), expected, "{accept}");
        }
    }
}
