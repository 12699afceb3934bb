//! Chooses the accumulator for a function and a value type.

use super::accumulator::Accumulator;
use super::aggregates::count::CountAccumulator;
use super::aggregates::fold::Fold;
use super::aggregates::mean::Mean;
use super::aggregates::spread::Spread;
use super::aggregates::stddev::Stddev;
use super::aggregates::sum::Sum;
use super::error::ScanError;
use super::request::{AggregateCall, AggregateFunction};
use super::selectors::extremes::Extremes;
use super::selectors::first_last::First;
use super::selectors::first_last::Last;
use super::selectors::min_max::Max;
use super::selectors::min_max::Min;
use super::selectors::selected::Selected;
use super::selectors::ties::TiedPoints;
use tidemark_model::value::FieldType;

pub(super) fn accumulator(call: &AggregateCall) -> Result<Box<dyn Accumulator>, ScanError> {
    use AggregateFunction::{Count, First as F, Last as L, Max as Ma, Mean as Me, Min as Mi};
    use AggregateFunction::{FirstRow, LastRow, Rows, Spread as Sp, Stddev as St, Sum as Su};
    use FieldType::{Boolean, Float, Integer, Unsigned};
    // If the cast results in no value, the type does not matter.
    let field_type = call.input.output_type().unwrap_or(Float);
    let aux = || call.aux.clone();
    Ok(match (call.function, field_type) {
        (Rows | Count, _) => Box::new(CountAccumulator::default()),
        (Su, Float) => Box::new(Fold::<Sum, f64>::default()),
        (Su, Integer) => Box::new(Fold::<Sum, i64>::default()),
        (Su, Unsigned) => Box::new(Fold::<Sum, u64>::default()),
        (Me, Float) => Box::new(Fold::<Mean, f64>::default()),
        (Me, Integer) => Box::new(Fold::<Mean, i64>::default()),
        (Me, Unsigned) => Box::new(Fold::<Mean, u64>::default()),
        (Sp, Float) => Box::new(Fold::<Spread, f64>::default()),
        (Sp, Integer) => Box::new(Fold::<Spread, i64>::default()),
        (Sp, Unsigned) => Box::new(Fold::<Spread, u64>::default()),
        (St, Float) => Box::new(Fold::<Stddev, f64>::default()),
        (St, Integer) => Box::new(Fold::<Stddev, i64>::default()),
        (St, Unsigned) => Box::new(Fold::<Stddev, u64>::default()),
        (Mi | Ma, Float) if call.aux.is_empty() => Box::new(Extremes::<f64>::new(call.function)),
        (Mi | Ma, Integer) if call.aux.is_empty() => Box::new(Extremes::<i64>::new(call.function)),
        (Mi | Ma, Unsigned) if call.aux.is_empty() => Box::new(Extremes::<u64>::new(call.function)),
        (Mi, Float | Integer | Unsigned | Boolean) => {
            Box::new(Selected::<Min>::new(field_type, aux()))
        }
        (Ma, Float | Integer | Unsigned | Boolean) => {
            Box::new(Selected::<Max>::new(field_type, aux()))
        }
        (FirstRow, _) => Box::new(Selected::<First>::new(Integer, aux())),
        (LastRow, _) => Box::new(Selected::<Last>::new(Integer, aux())),
        (F, _) => Box::new(Selected::<First>::new(field_type, aux())),
        (L, _) => Box::new(Selected::<Last>::new(field_type, aux())),
        (AggregateFunction::TiedPoints { latest, by_text }, _) => {
            Box::new(TiedPoints::new((latest, by_text), field_type, aux()))
        }
        (function, field_type) => return Err(ScanError::Input { function, field_type }),
    })
}
