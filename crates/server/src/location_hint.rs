//! Maps a request's location to the platform's location hint for new objects.
//!
//! An object never moves. A new database is therefore placed near the client that creates it,
//! unless the client names a location.

/// The location and the jurisdiction of a deployment's new objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// `DEFAULT_LOCATION`: the location hint that replaces the client's location.
    pub location: Option<&'static str>,
    /// `JURISDICTION`: the jurisdiction of the Catalog, and of databases that name none.
    pub jurisdiction: Option<&'static str>,
}

/// The platform's location hints.
pub const LOCATIONS: &[&str] = &["wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me"];
/// The platform's jurisdictions.
pub const JURISDICTIONS: &[&str] = &["eu", "us", "fedramp", "fedramp-high"];

/// Returns the hint for a continent (the platform's two-letter code) and a longitude, or `None` for
/// an unknown continent.
pub fn hint(continent: &str, longitude: Option<f64>) -> Option<&'static str> {
    /// A longitude between the platform's western and eastern sites in North America.
    const NORTH_AMERICA_MIDDLE: f64 = -100.0;
    const EUROPE_MIDDLE: f64 = 15.0;
    let east_of = |middle: f64| longitude.is_some_and(|longitude| longitude > middle);
    Some(match continent {
        "NA" if east_of(NORTH_AMERICA_MIDDLE) => "enam",
        "NA" => "wnam",
        "SA" => "sam",
        "EU" if east_of(EUROPE_MIDDLE) => "eeur",
        "EU" => "weur",
        "AS" => "apac",
        "OC" => "oc",
        "AF" => "afr",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continents_and_coasts_have_their_hints() {
        assert_eq!(hint("NA", Some(-122.0)), Some("wnam"));
        assert_eq!(hint("NA", Some(-74.0)), Some("enam"));
        assert_eq!(hint("EU", Some(10.7)), Some("weur"));
        assert_eq!(hint("EU", Some(26.1)), Some("eeur"));
        assert_eq!((hint("AF", None), hint("T1", None)), (Some("afr"), None));
    }
}
