//! Checks the arguments of functions with 1.x's rules (`query/compile.go`).

use super::fields::FieldCheck;
use crate::influxql::ast::Expr;
use crate::influxql::duration;
use crate::model::limits::TECHNICAL_PERIOD_MAX;
use crate::query::error::QueryError;
use crate::query::functions::{Arguments, Function, Kind};

type ArgumentCheck = Result<(), QueryError>;

fn fail<T>(text: String) -> Result<T, QueryError> {
    Err(QueryError::Invalid(text))
}

pub(crate) fn check(field: &mut FieldCheck<'_>, name: &str, args: &[Expr]) -> ArgumentCheck {
    let Some(function) = Function::find(name) else {
        return fail(format!("undefined function {name}()"));
    };
    if function.kind != Kind::Selector {
        field.statement.only_selectors = false;
    }
    match function.arguments {
        Arguments::Field => plain(field, name, args),
        Arguments::FieldOrDistinct => field_or_distinct(field, name, args),
        Arguments::NamedField => distinct(field, args, false),
        Arguments::FieldAndNumber => field_and_number(field, name, args),
        Arguments::FieldAndCount => field_and_count(field, name, args),
        Arguments::FieldTagsAndLimit => field_tags_and_limit(field, name, args),
        Arguments::FieldAndUnit => field_and_unit(field, name, args),
        Arguments::Sketch => sketch(field, name, args),
        Arguments::Stream => {
            count_is(name, args, 1)?;
            stream(field, name, args, 1)
        }
        Arguments::StreamAndUnit => stream_and_unit(field, name, args),
        Arguments::StreamAndWindow => stream_and_window(field, name, args),
        Arguments::Forecast => forecast(field, name, args),
        Arguments::Technical { hold_min, warmups } => {
            technical(field, name, args, hold_min, warmups)
        }
        Arguments::Numbers(count) => count_is(name, args, count),
    }
}

/// `nested` is whether the call is an argument of another call.
pub(crate) fn distinct(field: &mut FieldCheck<'_>, args: &[Expr], nested: bool) -> ArgumentCheck {
    match args {
        [] => fail("distinct function requires at least one argument".into()),
        [Expr::VarRef { .. }] => {
            if !nested {
                field.statement.has_distinct = true;
            }
            field.statement.only_selectors = false;
            Ok(())
        }
        [_] => fail("expected field argument in distinct()".into()),
        _ => fail("distinct function can only have one argument".into()),
    }
}

pub(crate) fn check_numbers(name: &str, args: &[Expr]) -> ArgumentCheck {
    match Function::find(name).map(|function| function.arguments) {
        Some(Arguments::Numbers(count)) => count_is(name, args, count),
        _ => Ok(()),
    }
}

pub(crate) fn count_is(name: &str, args: &[Expr], expected: usize) -> ArgumentCheck {
    if args.len() == expected {
        return Ok(());
    }
    let got = args.len();
    fail(format!("invalid number of arguments for {name}, expected {expected}, got {got}"))
}

fn count_between(name: &str, args: &[Expr], least: usize, most: usize) -> ArgumentCheck {
    let got = args.len();
    if least <= got && got <= most {
        return Ok(());
    }
    fail(format!(
        "invalid number of arguments for {name}, expected at least {least} but no more than \
         {most}, got {got}"
    ))
}

fn symbol(field: &mut FieldCheck<'_>, name: &str, arg: &Expr) -> ArgumentCheck {
    let what = match arg {
        Expr::VarRef { .. } => return Ok(()),
        Expr::Wildcard(_) => "wildcard",
        Expr::Regex(_) => "regex field",
        _ => return fail(format!("expected field argument in {name}()")),
    };
    if !field.allow_wildcard {
        return fail(format!("unsupported expression with {what}: {name}()"));
    }
    field.statement.only_selectors = false;
    Ok(())
}

fn plain(field: &mut FieldCheck<'_>, name: &str, args: &[Expr]) -> ArgumentCheck {
    count_is(name, args, 1)?;
    args.first().map_or(Ok(()), |arg| symbol(field, name, arg))
}

fn field_or_distinct(field: &mut FieldCheck<'_>, name: &str, args: &[Expr]) -> ArgumentCheck {
    count_is(name, args, 1)?;
    match args.first() {
        Some(Expr::Call { name: inner, args }) if inner == "distinct" => {
            distinct(field, args, true)
        }
        Some(Expr::Distinct(_)) => Ok(()),
        _ => plain(field, name, args),
    }
}

fn sketch(field: &mut FieldCheck<'_>, name: &str, args: &[Expr]) -> ArgumentCheck {
    count_is(name, args, 1)?;
    match args.first() {
        Some(call @ Expr::Call { .. }) => field.expr(call),
        _ => plain(field, name, args),
    }
}

fn field_and_number(field: &mut FieldCheck<'_>, name: &str, args: &[Expr]) -> ArgumentCheck {
    count_is(name, args, 2)?;
    match args {
        [arg, Expr::IntegerLiteral(_) | Expr::NumberLiteral(_)] => symbol(field, name, arg),
        _ => fail(format!("expected float argument in {name}()")),
    }
}

fn field_and_count(field: &mut FieldCheck<'_>, name: &str, args: &[Expr]) -> ArgumentCheck {
    count_is(name, args, 2)?;
    match args {
        [_, Expr::IntegerLiteral(count)] if *count <= 0 => {
            fail(format!("{name} window must be greater than 1, got {count}"))
        }
        [arg, Expr::IntegerLiteral(_)] => symbol(field, name, arg),
        _ => fail(format!("expected integer argument in {name}()")),
    }
}

fn positive_duration(arg: &Expr) -> Option<ArgumentCheck> {
    let Expr::DurationLiteral(ns) = arg else { return None };
    Some(if *ns > 0 {
        Ok(())
    } else {
        let text = duration::format(*ns);
        fail(format!("duration argument must be positive, got {text}"))
    })
}

fn stream_and_unit(field: &mut FieldCheck<'_>, name: &str, args: &[Expr]) -> ArgumentCheck {
    count_between(name, args, 1, 2)?;
    if let Some(unit) = args.get(1) {
        positive_duration(unit).unwrap_or_else(|| {
            let got = unit.go_type_name();
            fail(format!("second argument to {name} must be a duration, got {got}"))
        })?;
    }
    stream(field, name, args, 1)
}

/// Checks the arguments of a function that processes a stream of points. If the argument is an
/// aggregate, the statement must have an interval. If the argument is a field, the statement must
/// not have its own interval, but may inherit one from an outer statement.
fn stream(field: &mut FieldCheck<'_>, name: &str, args: &[Expr], extra: i64) -> ArgumentCheck {
    let statement = &mut *field.statement;
    statement.extra_intervals = statement.extra_intervals.max(extra);
    let interval = !statement.interval.is_zero();
    let inherited = statement.inherited_interval;
    match args.first() {
        Some(Expr::Call { .. }) if !interval => {
            fail(format!("{name} aggregate requires a GROUP BY interval"))
        }
        Some(call @ Expr::Call { .. }) => field.nested(call),
        Some(_) if interval && !inherited => {
            fail(format!("aggregate function required inside the call to {name}"))
        }
        Some(arg) => symbol(field, name, arg),
        None => Ok(()),
    }
}

fn stream_and_window(field: &mut FieldCheck<'_>, name: &str, args: &[Expr]) -> ArgumentCheck {
    count_is(name, args, 2)?;
    match args.get(1) {
        Some(Expr::IntegerLiteral(window)) if *window <= 1 => {
            fail(format!("{name} window must be greater than 1, got {window}"))
        }
        Some(Expr::IntegerLiteral(window)) => stream(field, name, args, *window),
        Some(other) => {
            let got = other.go_type_name();
            fail(format!("second argument for {name} must be an integer, got {got}"))
        }
        None => Ok(()),
    }
}

/// The arguments are `(field, period [, hold period [, warm-up type]])`.
fn technical(
    field: &mut FieldCheck<'_>,
    name: &str,
    args: &[Expr],
    hold_min: i64,
    warmups: &[&str],
) -> ArgumentCheck {
    let most = if warmups.is_empty() { 3 } else { 4 };
    count_between(name, args, 2, most)?;
    let period = match args.get(1) {
        Some(Expr::IntegerLiteral(period)) if *period > TECHNICAL_PERIOD_MAX => {
            return fail(format!(
                "{name} period must be at most {TECHNICAL_PERIOD_MAX}, got {period}"
            ));
        }
        Some(Expr::IntegerLiteral(period)) if *period >= 1 => *period,
        Some(Expr::IntegerLiteral(_)) => {
            return fail(format!("{name} period must be greater than or equal to 1"));
        }
        _ => return fail(format!("{name} period must be an integer")),
    };
    match args.get(2) {
        None | Some(Expr::IntegerLiteral(-1)) => {}
        Some(Expr::IntegerLiteral(hold)) if *hold < hold_min => {
            return fail(format!("{name} hold period must be greater than or equal to {hold_min}"));
        }
        Some(Expr::IntegerLiteral(_)) => {}
        Some(_) => return fail(format!("{name} hold period must be an integer")),
    }
    match args.get(3) {
        None => {}
        Some(Expr::StringLiteral(warmup)) if warmups.contains(&warmup.as_str()) => {}
        Some(Expr::StringLiteral(_)) => {
            let list: Vec<String> = warmups.iter().map(|warmup| format!("'{warmup}'")).collect();
            return fail(format!("{name} warmup type must be one of: {}", list.join(" ")));
        }
        Some(_) => return fail(format!("{name} warmup type must be a string")),
    }
    stream(field, name, args, period)
}

fn field_and_unit(field: &mut FieldCheck<'_>, name: &str, args: &[Expr]) -> ArgumentCheck {
    count_between(name, args, 1, 2)?;
    if let Some(unit) = args.get(1) {
        positive_duration(unit)
            .unwrap_or_else(|| fail("second argument must be a duration".into()))?;
    }
    args.first().map_or(Ok(()), |arg| symbol(field, name, arg))
}

fn forecast(field: &mut FieldCheck<'_>, name: &str, args: &[Expr]) -> ArgumentCheck {
    count_is(name, args, 3)?;
    match args.get(1) {
        Some(Expr::IntegerLiteral(n)) if *n <= 0 => {
            return fail(format!("second arg to {name} must be greater than 0, got {n}"));
        }
        Some(Expr::IntegerLiteral(_)) => {}
        _ => return fail(format!("expected integer argument as second arg in {name}")),
    }
    match args.get(2) {
        Some(Expr::IntegerLiteral(s)) if *s < 0 => {
            return fail(format!("third arg to {name} cannot be negative, got {s}"));
        }
        Some(Expr::IntegerLiteral(_)) => {}
        _ => return fail(format!("expected integer argument as third arg in {name}")),
    }
    match args.first() {
        Some(Expr::Call { .. }) if field.statement.interval.is_zero() => {
            fail(format!("{name} aggregate requires a GROUP BY interval"))
        }
        Some(call @ Expr::Call { .. }) => field.nested(call),
        _ => fail(format!("must use aggregate function with {name}")),
    }
}

fn field_tags_and_limit(field: &mut FieldCheck<'_>, name: &str, args: &[Expr]) -> ArgumentCheck {
    if let Some(other) = &field.statement.top_bottom {
        return fail(format!(
            "selector function {other}() cannot be combined with other functions"
        ));
    }
    let [first, between @ .., last] = args else {
        let got = args.len();
        return fail(format!(
            "invalid number of arguments for {name}, expected at least 2, got {got}"
        ));
    };
    let limit = field.statement.limit;
    match last {
        Expr::IntegerLiteral(n) if *n <= 0 => {
            return fail(format!("limit ({n}) in {name} function must be at least 1"));
        }
        Expr::IntegerLiteral(n) if limit > 0 && n.unsigned_abs() > limit => {
            return fail(format!(
                "limit ({n}) in {name} function can not be larger than the LIMIT ({limit}) in \
                 the select statement"
            ));
        }
        Expr::IntegerLiteral(_) => {}
        other => {
            return fail(format!("expected integer as last argument in {name}(), found {other}"));
        }
    }
    if !matches!(first, Expr::VarRef { .. }) {
        return fail(format!("expected first argument to be a field in {name}(), found {first}"));
    }
    for arg in between {
        if !matches!(arg, Expr::VarRef { .. }) {
            return fail(format!("only fields or tags are allowed in {name}(), found {arg}"));
        }
        if !field.statement.has_target {
            field.statement.has_auxiliary = true;
            field.statement.field_count += 1;
        }
    }
    field.statement.top_bottom = Some(name.to_owned());
    Ok(())
}
