// The functions of InfluxQL, for completion. `UPDATE=1 cargo test --test it functions` writes
// this list from src/query/functions.rs.

/** The functions, each as `{ name, parameters, explained }`. */
export const functions = [
  {
    name: 'count',
    parameters: 'field',
    explained: 'number of values',
  },
  {
    name: 'sum',
    parameters: 'field',
    explained: 'sum of the values',
  },
  {
    name: 'mean',
    parameters: 'field',
    explained: 'mean of the values',
  },
  {
    name: 'median',
    parameters: 'field',
    explained: 'the middle value',
  },
  {
    name: 'mode',
    parameters: 'field',
    explained: 'the most frequent value',
  },
  {
    name: 'spread',
    parameters: 'field',
    explained: 'difference between the greatest and the least value',
  },
  {
    name: 'stddev',
    parameters: 'field',
    explained: 'standard deviation',
  },
  {
    name: 'distinct',
    parameters: 'field',
    explained: 'the distinct values',
  },
  {
    name: 'integral',
    parameters: 'field, unit',
    explained: 'area under the curve',
  },
  {
    name: 'count_hll',
    parameters: 'sketch',
    explained: 'exact number of distinct values',
  },
  {
    name: 'sum_hll',
    parameters: 'field',
    explained: 'the distinct values, for count_hll()',
  },
  {
    name: 'min',
    parameters: 'field',
    explained: 'the least value',
  },
  {
    name: 'max',
    parameters: 'field',
    explained: 'the greatest value',
  },
  {
    name: 'first',
    parameters: 'field',
    explained: 'the oldest value',
  },
  {
    name: 'last',
    parameters: 'field',
    explained: 'the newest value',
  },
  {
    name: 'percentile',
    parameters: 'field, n',
    explained: 'the value that n percent of the values do not exceed',
  },
  {
    name: 'top',
    parameters: 'field, tag, n',
    explained: 'the n greatest values',
  },
  {
    name: 'bottom',
    parameters: 'field, tag, n',
    explained: 'the n least values',
  },
  {
    name: 'sample',
    parameters: 'field, n',
    explained: 'n random values',
  },
  {
    name: 'derivative',
    parameters: 'field, unit',
    explained: 'rate of change',
  },
  {
    name: 'non_negative_derivative',
    parameters: 'field, unit',
    explained: 'rate of growth',
  },
  {
    name: 'difference',
    parameters: 'field',
    explained: 'change from one value to the next',
  },
  {
    name: 'non_negative_difference',
    parameters: 'field',
    explained: 'growth from one value to the next',
  },
  {
    name: 'elapsed',
    parameters: 'field, unit',
    explained: 'time between values',
  },
  {
    name: 'moving_average',
    parameters: 'field, n',
    explained: 'mean of the last n values',
  },
  {
    name: 'cumulative_sum',
    parameters: 'field',
    explained: 'running total',
  },
  {
    name: 'holt_winters',
    parameters: 'field, n, season',
    explained: 'n predicted values',
  },
  {
    name: 'holt_winters_with_fit',
    parameters: 'field, n, season',
    explained: 'the fit and n predicted values',
  },
  {
    name: 'exponential_moving_average',
    parameters: 'field, n',
    explained: 'moving average in which newer values count more',
  },
  {
    name: 'double_exponential_moving_average',
    parameters: 'field, n',
    explained: 'moving average with less lag',
  },
  {
    name: 'triple_exponential_moving_average',
    parameters: 'field, n',
    explained: 'moving average with still less lag',
  },
  {
    name: 'triple_exponential_derivative',
    parameters: 'field, n',
    explained: 'change of the triple average, in percent',
  },
  {
    name: 'kaufmans_efficiency_ratio',
    parameters: 'field, n',
    explained: 'ratio of the net change to the sum of all changes',
  },
  {
    name: 'kaufmans_adaptive_moving_average',
    parameters: 'field, n',
    explained: 'moving average that adapts to noise',
  },
  {
    name: 'relative_strength_index',
    parameters: 'field, n',
    explained: 'momentum from 0 to 100',
  },
  {
    name: 'chande_momentum_oscillator',
    parameters: 'field, n',
    explained: 'momentum from -100 to 100',
  },
  {
    name: 'abs',
    parameters: 'x',
    explained: 'absolute value',
  },
  {
    name: 'ceil',
    parameters: 'x',
    explained: 'rounded up',
  },
  {
    name: 'floor',
    parameters: 'x',
    explained: 'rounded down',
  },
  {
    name: 'round',
    parameters: 'x',
    explained: 'rounded',
  },
  {
    name: 'sqrt',
    parameters: 'x',
    explained: 'square root',
  },
  {
    name: 'pow',
    parameters: 'x, n',
    explained: 'x to the power of n',
  },
  {
    name: 'exp',
    parameters: 'x',
    explained: 'e to the power of x',
  },
  {
    name: 'ln',
    parameters: 'x',
    explained: 'natural logarithm',
  },
  {
    name: 'log',
    parameters: 'x, base',
    explained: 'logarithm',
  },
  {
    name: 'log2',
    parameters: 'x',
    explained: 'logarithm to base 2',
  },
  {
    name: 'log10',
    parameters: 'x',
    explained: 'logarithm to base 10',
  },
  {
    name: 'sin',
    parameters: 'x',
    explained: 'sine',
  },
  {
    name: 'cos',
    parameters: 'x',
    explained: 'cosine',
  },
  {
    name: 'tan',
    parameters: 'x',
    explained: 'tangent',
  },
  {
    name: 'asin',
    parameters: 'x',
    explained: 'arcsine',
  },
  {
    name: 'acos',
    parameters: 'x',
    explained: 'arccosine',
  },
  {
    name: 'atan',
    parameters: 'x',
    explained: 'arctangent',
  },
  {
    name: 'atan2',
    parameters: 'y, x',
    explained: 'angle of a point',
  },
];
