//! Checks the arguments of functions with 1.x's rules (`query/compile.go`).

use super::fields::StatementCheck;
use crate::error::{Result, invalid};
use crate::functions::{Arguments, Function, Kind};
use tidemark_influxql::ast::Expr;
use tidemark_influxql::duration;
use tidemark_model::limits::TECHNICAL_PERIOD_MAX;

/// Checks a call of a function that is not mathematical.
pub(crate) fn check(statement: &mut StatementCheck, name: &str, args: &[Expr]) -> Result<()> {
    use Expr::{Call, Distinct, IntegerLiteral, NumberLiteral};
    let Some(function) = Function::find(name) else {
        return invalid(format!("undefined function {name}()"));
    };
    if function.kind != Kind::Selector {
        statement.only_selectors = false;
    }
    check_count(function, args)?;
    match (function.arguments, args) {
        (Arguments::NamedField, _) => distinct(statement, args, false),
        (Arguments::FieldOrDistinct, [Call { name: inner, args }]) if inner == "distinct" => {
            distinct(statement, args, true)
        }
        (Arguments::FieldOrDistinct, [Distinct(_)]) => Ok(()),
        (Arguments::Sketch, [call @ Call { .. }]) => statement.expr(call),
        (Arguments::FieldAndNumber, [arg, IntegerLiteral(_) | NumberLiteral(_)]) => {
            symbol(statement, name, arg)
        }
        (Arguments::FieldAndNumber, _) => invalid(format!("expected float argument in {name}()")),
        (Arguments::FieldAndCount, [_, IntegerLiteral(count)]) if *count <= 0 => {
            invalid(format!("{name} window must be greater than 1, got {count}"))
        }
        (Arguments::FieldAndCount, [arg, IntegerLiteral(_)]) => symbol(statement, name, arg),
        (Arguments::FieldAndCount, _) => invalid(format!("expected integer argument in {name}()")),
        (Arguments::FieldAndUnit, [arg, unit @ ..]) => {
            check_unit(unit, |_| "second argument must be a duration".into())?;
            symbol(statement, name, arg)
        }
        (Arguments::StreamAndUnit, [arg, unit @ ..]) => {
            check_unit(unit, |got| {
                format!("second argument to {name} must be a duration, got {got}")
            })?;
            stream(statement, name, arg, 1)
        }
        (Arguments::StreamAndWindow, [_, IntegerLiteral(window)]) if *window <= 1 => {
            invalid(format!("{name} window must be greater than 1, got {window}"))
        }
        (Arguments::StreamAndWindow, [arg, IntegerLiteral(window)]) => {
            stream(statement, name, arg, *window)
        }
        (Arguments::StreamAndWindow, [_, other]) => {
            let got = other.go_type_name();
            invalid(format!("second argument for {name} must be an integer, got {got}"))
        }
        (Arguments::Stream, [arg]) => stream(statement, name, arg, 1),
        (Arguments::Technical { hold_min, warmups }, _) => {
            technical(statement, name, args, hold_min, warmups)
        }
        (Arguments::Forecast, _) => forecast(statement, name, args),
        (Arguments::FieldTagsAndLimit, _) => field_tags_and_limit(statement, name, args),
        (_, [arg]) => symbol(statement, name, arg),
        _ => Ok(()),
    }
}

/// Checks the arguments of `distinct()`. `nested` states whether the call is an argument of another
/// call.
pub(crate) fn distinct(statement: &mut StatementCheck, args: &[Expr], nested: bool) -> Result<()> {
    match args {
        [] => invalid("distinct function requires at least one argument"),
        [Expr::VarRef { .. }] => {
            statement.has_distinct |= !nested;
            statement.only_selectors = false;
            Ok(())
        }
        [_] => invalid("expected field argument in distinct()"),
        _ => invalid("distinct function can only have one argument"),
    }
}

pub(crate) fn check_numbers(name: &str, args: &[Expr]) -> Result<()> {
    Function::find(name).map_or(Ok(()), |function| check_count(function, args))
}

fn check_count(function: &Function, args: &[Expr]) -> Result<()> {
    let (name, got) = (function.name, args.len());
    let (least, most) = match function.arguments {
        Arguments::NamedField | Arguments::FieldTagsAndLimit => return Ok(()),
        Arguments::Numbers(count) => (count, count),
        Arguments::Field | Arguments::FieldOrDistinct | Arguments::Sketch | Arguments::Stream => {
            (1, 1)
        }
        Arguments::FieldAndNumber | Arguments::FieldAndCount | Arguments::StreamAndWindow => (2, 2),
        Arguments::FieldAndUnit | Arguments::StreamAndUnit => (1, 2),
        Arguments::Forecast => (3, 3),
        Arguments::Technical { warmups: [], .. } => (2, 3),
        Arguments::Technical { .. } => (2, 4),
    };
    if least == most {
        return count_is(name, args, least);
    }
    if (least..=most).contains(&got) {
        return Ok(());
    }
    invalid(format!(
        "invalid number of arguments for {name}, expected at least {least} but no more than \
         {most}, got {got}"
    ))
}

pub(crate) fn count_is(name: &str, args: &[Expr], expected: usize) -> Result<()> {
    if args.len() == expected {
        return Ok(());
    }
    let got = args.len();
    invalid(format!("invalid number of arguments for {name}, expected {expected}, got {got}"))
}

fn symbol(statement: &mut StatementCheck, name: &str, arg: &Expr) -> Result<()> {
    let what = match arg {
        Expr::VarRef { .. } => return Ok(()),
        Expr::Wildcard(_) => "wildcard",
        Expr::Regex(_) => "regex field",
        _ => return invalid(format!("expected field argument in {name}()")),
    };
    if !statement.allow_wildcard {
        return invalid(format!("unsupported expression with {what}: {name}()"));
    }
    statement.only_selectors = false;
    Ok(())
}

/// Checks an optional unit. `refusal` is the error for another type.
fn check_unit(unit: &[Expr], refusal: impl Fn(&str) -> String) -> Result<()> {
    match unit {
        [Expr::DurationLiteral(ns)] if *ns <= 0 => {
            let text = duration::format(*ns);
            invalid(format!("duration argument must be positive, got {text}"))
        }
        [] | [Expr::DurationLiteral(_)] => Ok(()),
        [other, ..] => invalid(refusal(other.go_type_name())),
    }
}

/// Checks the arguments of a function that processes a stream of points. If the argument is an
/// aggregate, the statement must have an interval. If the argument is a field, the statement must
/// not have its own interval, but may inherit one from an outer statement.
fn stream(statement: &mut StatementCheck, name: &str, arg: &Expr, extra: i64) -> Result<()> {
    statement.extra_intervals = statement.extra_intervals.max(extra);
    let interval = !statement.interval.is_zero();
    match arg {
        Expr::Call { .. } if !interval => {
            invalid(format!("{name} aggregate requires a GROUP BY interval"))
        }
        Expr::Call { .. } => statement.nested(arg),
        _ if interval && !statement.inherited_interval => {
            invalid(format!("aggregate function required inside the call to {name}"))
        }
        _ => symbol(statement, name, arg),
    }
}

/// Checks the arguments of a technical analysis function: `(field, period [, hold period [, warm-up
/// type]])`.
fn technical(
    statement: &mut StatementCheck,
    name: &str,
    args: &[Expr],
    hold_min: i64,
    warmups: &[&str],
) -> Result<()> {
    let [arg, period, rest @ ..] = args else { return Ok(()) };
    let period = match period {
        Expr::IntegerLiteral(period) if *period > TECHNICAL_PERIOD_MAX => {
            return invalid(format!(
                "{name} period must be at most {TECHNICAL_PERIOD_MAX}, got {period}"
            ));
        }
        Expr::IntegerLiteral(period) if *period >= 1 => *period,
        Expr::IntegerLiteral(_) => {
            return invalid(format!("{name} period must be greater than or equal to 1"));
        }
        _ => return invalid(format!("{name} period must be an integer")),
    };
    match rest.first() {
        None | Some(Expr::IntegerLiteral(-1)) => {}
        Some(Expr::IntegerLiteral(hold)) if *hold < hold_min => {
            return invalid(format!(
                "{name} hold period must be greater than or equal to {hold_min}"
            ));
        }
        Some(Expr::IntegerLiteral(_)) => {}
        Some(_) => return invalid(format!("{name} hold period must be an integer")),
    }
    match rest.get(1) {
        None => {}
        Some(Expr::StringLiteral(warmup)) if warmups.contains(&warmup.as_str()) => {}
        Some(Expr::StringLiteral(_)) => {
            let list: Vec<String> = warmups.iter().map(|warmup| format!("'{warmup}'")).collect();
            return invalid(format!("{name} warmup type must be one of: {}", list.join(" ")));
        }
        Some(_) => return invalid(format!("{name} warmup type must be a string")),
    }
    if let Expr::Call { name: inner, .. } = arg
        && inner == "distinct"
        && !statement.interval.is_zero()
    {
        // Unlike other transformations, these do not accept `distinct` (1.x `compileExpr`).
        return statement.expr(arg);
    }
    stream(statement, name, arg, period)
}

fn forecast(statement: &mut StatementCheck, name: &str, args: &[Expr]) -> Result<()> {
    let [call, ahead, season] = args else { return Ok(()) };
    match ahead {
        Expr::IntegerLiteral(n) if *n <= 0 => {
            return invalid(format!("second arg to {name} must be greater than 0, got {n}"));
        }
        Expr::IntegerLiteral(_) => {}
        _ => return invalid(format!("expected integer argument as second arg in {name}")),
    }
    match season {
        Expr::IntegerLiteral(s) if *s < 0 => {
            return invalid(format!("third arg to {name} cannot be negative, got {s}"));
        }
        Expr::IntegerLiteral(_) => {}
        _ => return invalid(format!("expected integer argument as third arg in {name}")),
    }
    match call {
        Expr::Call { .. } if statement.interval.is_zero() => {
            invalid(format!("{name} aggregate requires a GROUP BY interval"))
        }
        Expr::Call { .. } => statement.nested(call),
        _ => invalid(format!("must use aggregate function with {name}")),
    }
}

fn field_tags_and_limit(statement: &mut StatementCheck, name: &str, args: &[Expr]) -> Result<()> {
    if let Some(other) = &statement.top_bottom {
        return invalid(format!(
            "selector function {other}() cannot be combined with other functions"
        ));
    }
    let [first, between @ .., last] = args else {
        let got = args.len();
        return invalid(format!(
            "invalid number of arguments for {name}, expected at least 2, got {got}"
        ));
    };
    let limit = statement.limit;
    match last {
        Expr::IntegerLiteral(n) if *n <= 0 => {
            return invalid(format!("limit ({n}) in {name} function must be at least 1"));
        }
        Expr::IntegerLiteral(n) if limit > 0 && n.unsigned_abs() > limit => {
            return invalid(format!(
                "limit ({n}) in {name} function can not be larger than the LIMIT ({limit}) in \
                 the select statement"
            ));
        }
        Expr::IntegerLiteral(_) => {}
        other => {
            return invalid(format!(
                "expected integer as last argument in {name}(), found {other}"
            ));
        }
    }
    if !matches!(first, Expr::VarRef { .. }) {
        return invalid(format!(
            "expected first argument to be a field in {name}(), found {first}"
        ));
    }
    for arg in between {
        if !matches!(arg, Expr::VarRef { .. }) {
            return invalid(format!("only fields or tags are allowed in {name}(), found {arg}"));
        }
        if !statement.has_target {
            statement.has_auxiliary = true;
            statement.field_count += 1;
        }
    }
    statement.top_bottom = Some(name.to_owned());
    Ok(())
}
