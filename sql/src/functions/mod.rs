//! Defines the functions that InfluxDB adds to SQL or changes in SQL. The functions for gap filling
//! are in `gapfill`.

pub(crate) mod arguments;
pub(crate) mod binning;
pub(crate) mod bins;
mod bounded;
mod calls;
mod changes;
mod domains;
mod operators;
mod patterns;
mod regex;
mod selectors;
mod text_comparisons;
mod tz;
mod unix_times;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use binning::Binning;
use bounded::{Bounded, COSTS, Cost};
use calls::CheckedCalls;
use changes::Change;
use domains::{AnyDomain, POWER, SQRT};
use operators::{CONCAT, ILIKE, LIKE, TextOperator};
use patterns::Checked;
use selectors::{Kind, Selector};
use text_comparisons::TextComparisons;
pub(crate) use text_comparisons::is_text;
use tz::Tz;
use unix_times::{FROM_UNIXTIME, TO_TIMESTAMP, UnixTime};

use crate::gapfill;

/// Registers the functions. Each function replaces a DataFusion function with the same name.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    let scalars = [
        ScalarUDF::new_from_impl(UnixTime::new(state.udf(TO_TIMESTAMP)?)),
        ScalarUDF::new_from_impl(UnixTime::new(state.udf(FROM_UNIXTIME)?)),
        ScalarUDF::new_from_impl(Tz::default()),
        ScalarUDF::new_from_impl(Binning::new(true)),
        ScalarUDF::new_from_impl(AnyDomain::new(state.udf(SQRT)?)),
        ScalarUDF::new_from_impl(AnyDomain::new(state.udf(POWER)?)),
    ];
    for function in scalars.into_iter().chain(regex::functions()).chain(gapfill::functions()) {
        drop(state.register_udf(Arc::new(function))?);
    }
    let mut checked = HashMap::new();
    for (name, cost) in COSTS {
        let bounded = Bounded::new(state.udf(name)?, *cost);
        let function = Arc::new(ScalarUDF::new_from_impl(bounded));
        drop(checked.insert(function.name().to_owned(), Arc::clone(&function)));
        drop(state.register_udf(function)?);
    }
    for (name, cost) in [(CONCAT, Cost::Sum), (LIKE, Cost::Like), (ILIKE, Cost::Like)] {
        let operator = Arc::new(ScalarUDF::new_from_impl(TextOperator::new(name)));
        let operator = ScalarUDF::new_from_impl(Bounded::new(operator, cost));
        drop(checked.insert(name.to_owned(), Arc::new(operator)));
    }
    state.register_function_rewrite(Arc::new(Checked { functions: checked }))?;
    state.register_function_rewrite(Arc::new(CheckedCalls))?;
    state.register_function_rewrite(Arc::new(TextComparisons))?;
    for kind in [Kind::First, Kind::Last, Kind::Min, Kind::Max] {
        let function = AggregateUDF::new_from_impl(Selector::new(kind));
        drop(state.register_udaf(Arc::new(function))?);
    }
    for (is_rate, non_negative) in [(false, false), (false, true), (true, false), (true, true)] {
        let function = WindowUDF::new_from_impl(Change::new(is_rate, non_negative));
        drop(state.register_udwf(Arc::new(function))?);
    }
    Ok(())
}

/// Whether the function checks its cost before each call with this number of arguments.
pub(crate) fn is_checked(function: &ScalarUDF, args: usize) -> bool {
    // Without formats, a function that parses times is cheap.
    let is_costly = |bounded: &Bounded| bounded.cost() != Cost::Formats || args > 1;
    function.inner().downcast_ref::<Bounded>().is_some_and(is_costly)
}
