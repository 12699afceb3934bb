//! Tests statements with parameters such as `$name`.

use tidemark_sql::messages::Parameter;
use tidemark_sql::output::Format;

use super::database::{Database, Layout, written};

fn csv(text: &str, parameters: &[(&str, Parameter)]) -> String {
    let mut database = Database::default();
    database.write("cpu,host=a usage=1.5,n=3i 1641024000000000000");
    let parameters =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    match database.ask_with(text, parameters, Layout::PLAIN) {
        Ok(answered) => String::from_utf8(written(&answered, Format::Csv).unwrap()).unwrap(),
        Err(error) => format!("{}: {error}", error.status()),
    }
}

#[test]
fn parameters_keep_value_types() {
    let host = ("host", Parameter::String("a".into()));
    assert_eq!(csv("SELECT usage FROM cpu WHERE host = $host", &[host]), "usage\n1.5\n");
    let values = [
        ("i", Parameter::Integer(-1)),
        ("u", Parameter::Unsigned(u64::MAX)),
        ("f", Parameter::Float(0.5)),
        ("b", Parameter::Boolean(true)),
        ("s", Parameter::String("it's".into())),
        ("n", Parameter::Null),
        ("t", Parameter::Time(1_641_024_000_000_000_001)),
    ];
    assert_eq!(
        csv("SELECT $i AS i, $u AS u, $f AS f, $b AS b, $s AS s, $n AS n", &values),
        "i,u,f,b,s,n\n-1,18446744073709551615,0.5,true,it's,\n"
    );
    assert_eq!(
        csv("SELECT $t + interval '1 day' AS t, $t - time AS d FROM cpu WHERE time < $t", &values),
        "t,d\n2022-01-02T08:00:00.000000001,PT0.000000001S\n"
    );
    let id = ("id", Parameter::Integer(5));
    assert_eq!(csv("SELECT usage FROM cpu WHERE host != $id", &[id]), "usage\n1.5\n");
    let time = ("from", Parameter::String("2022-01-01T08:00:00Z".into()));
    assert_eq!(csv("SELECT n FROM cpu WHERE time >= $from", &[time]), "n\n3\n");
}

#[test]
fn missing_parameter_is_reported() {
    let expected = "400: Error during planning: No value found for placeholder with name $host";
    assert_eq!(csv("SELECT * FROM cpu WHERE host = $host", &[]), expected);
    let other = ("other", Parameter::Integer(1));
    assert_eq!(csv("SELECT * FROM cpu WHERE host = $host", &[other]), expected);
}

#[test]
fn sql_parameters_are_limited() {
    let names: Vec<String> = (0..1_001).map(|at| format!("p{at}")).collect();
    let parameters: Vec<_> =
        names.iter().map(|name| (name.as_str(), Parameter::Integer(1))).collect();
    assert_eq!(csv("SELECT 1", &parameters), "400: the statement has more than 1000 parameters");
}
