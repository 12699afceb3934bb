//! Measures the sizes of values, texts and lists in batches.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch};
use datafusion::arrow::datatypes::DataType;

/// Returns the approximate size of the values in a batch, in bytes.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| slice_bytes(column)).sum()
}

/// Returns the size of the largest text, binary value, list or structure in an array, in bytes.
/// Returns 0 for values of a fixed size.
pub(crate) fn largest_value_bytes(array: &dyn Array) -> usize {
    let bytes = match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().offsets().lengths().max(),
        DataType::LargeUtf8 => array.as_string::<i64>().offsets().lengths().max(),
        DataType::Utf8View => array.as_string_view().lengths().map(|bytes| bytes as usize).max(),
        DataType::Binary => array.as_binary::<i32>().offsets().lengths().max(),
        DataType::LargeBinary => array.as_binary::<i64>().offsets().lengths().max(),
        DataType::BinaryView => array.as_binary_view().lengths().map(|bytes| bytes as usize).max(),
        DataType::Dictionary(..) => {
            array.as_any_dictionary_opt().map(|tags| largest_value_bytes(tags.values()))
        }
        data_type if data_type.is_nested() => {
            (0..array.len()).map(|row| slice_bytes(&array.slice(row, 1))).max()
        }
        _ => None,
    };
    bytes.unwrap_or_default()
}

/// Returns the approximate size of the values in an array, in bytes.
pub(crate) fn slice_bytes(array: &dyn Array) -> usize {
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        // A slice of a dictionary array shares all values with the whole array, so only the average
        // size per row counts.
        let values = slice_bytes(dictionary.values());
        let average = values / dictionary.values().len().max(1);
        return slice_bytes(dictionary.keys()) + values.min(average * array.len());
    }
    match array.data_type() {
        DataType::Struct(_) => {
            array.as_struct().columns().iter().map(|column| slice_bytes(column)).sum()
        }
        _ => match elements(array) {
            Some(elements) => size_of::<i64>() * array.len() + slice_bytes(&elements),
            None => {
                let bytes = array.to_data().get_slice_memory_size();
                bytes.unwrap_or_else(|_| array.get_array_memory_size())
            }
        },
    }
}

/// Returns the elements of lists, or `None` for other values. The slices of an array share all
/// elements, so the result contains only the elements of this slice.
pub(crate) fn elements(array: &dyn Array) -> Option<ArrayRef> {
    fn between<O: OffsetSizeTrait>(values: &dyn Array, offsets: &[O]) -> ArrayRef {
        let at = |offset: Option<&O>| offset.map_or(0, |offset| offset.as_usize());
        let (first, last) = (at(offsets.first()), at(offsets.last()));
        values.slice(first, last - first)
    }
    Some(match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            between(list.values(), list.value_offsets())
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            between(list.values(), list.value_offsets())
        }
        DataType::Map(..) => between(array.as_map().entries(), array.as_map().value_offsets()),
        DataType::FixedSizeList(..) => Arc::clone(array.as_fixed_size_list().values()),
        _ => return None,
    })
}

/// Returns the number of elements of the longest list, or `None` for other values.
pub(crate) fn longest_list(array: &dyn Array) -> Option<usize> {
    match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().offsets().lengths().max(),
        DataType::LargeList(_) => array.as_list::<i64>().offsets().lengths().max(),
        DataType::Map(..) => array.as_map().offsets().lengths().max(),
        DataType::FixedSizeList(_, length) => usize::try_from(*length).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::DictionaryArray;
    use datafusion::arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn slices_of_a_dictionary_share_its_values() {
        let texts: Vec<String> = (0..1_000).map(|at| format!("{at:0100}")).collect();
        let array: DictionaryArray<Int32Type> = texts.iter().map(String::as_str).collect();
        let bytes = 1_000 * (100 + 4 + 4);
        assert!((bytes..=bytes + 100).contains(&slice_bytes(&array)));
        assert!((100..=120).contains(&slice_bytes(&array.slice(7, 1))));
    }
}
