//! Wraps the DataFusion aggregates that support texts but not dictionaries. Tags are dictionaries,
//! so these aggregates cast their arguments to texts.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

/// The names of the aggregates. Each aggregate has one argument.
pub(super) const OF_TEXT: &[&str] = &["approx_distinct"];

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct PlainText {
    stock: Arc<AggregateUDF>,
    signature: Signature,
}

impl PlainText {
    pub(super) fn new(stock: Arc<AggregateUDF>) -> Self {
        Self { stock, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for PlainText {
    fn name(&self) -> &str {
        self.stock.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let plain = |given: &DataType| match given {
            DataType::Dictionary(_, text) => (**text).clone(),
            other => other.clone(),
        };
        Ok(given.iter().map(plain).collect())
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.stock.return_type(given)
    }

    fn is_nullable(&self) -> bool {
        self.stock.is_nullable()
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.stock.default_value(data_type)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.stock.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.stock.accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.stock.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.stock.create_groups_accumulator(args)
    }
}
