// The functions of InfluxQL with their arguments, for completion.

const known = {
  'count(field)': 'how many values',
  'sum(field)': 'their sum',
  'mean(field)': 'their mean',
  'median(field)': 'the middle value',
  'mode(field)': 'the most frequent value',
  'spread(field)': 'greatest less least',
  'stddev(field)': 'standard deviation',
  'distinct(field)': 'each value once',
  'integral(field, unit)': 'area under the curve',
  'min(field)': 'the least value',
  'max(field)': 'the greatest value',
  'first(field)': 'the oldest value',
  'last(field)': 'the newest value',
  'percentile(field, n)': 'the value that n percent do not exceed',
  'top(field, tag, n)': 'the n greatest values',
  'bottom(field, tag, n)': 'the n least values',
  'sample(field, n)': 'n values by chance',
  'derivative(field, unit)': 'rate of change',
  'non_negative_derivative(field, unit)': 'rate of growth',
  'difference(field)': 'from one value to the next',
  'non_negative_difference(field)': 'growth from one value to the next',
  'elapsed(field, unit)': 'time between values',
  'moving_average(field, n)': 'mean of the last n values',
  'cumulative_sum(field)': 'running total',
  'exponential_moving_average(field, n)': 'moving average, newer values count more',
  'double_exponential_moving_average(field, n)': 'with less lag',
  'triple_exponential_moving_average(field, n)': 'with still less lag',
  'triple_exponential_derivative(field, n)': 'rate of the triple average',
  'kaufmans_efficiency_ratio(field, n)': 'direction against noise',
  'kaufmans_adaptive_moving_average(field, n)': 'moving average that adapts to noise',
  'relative_strength_index(field, n)': 'momentum from 0 to 100',
  'chande_momentum_oscillator(field, n)': 'momentum from -100 to 100',
  'holt_winters(field, n, season)': 'n predicted values',
  'holt_winters_with_fit(field, n, season)': 'the fit and n predicted values',
  'abs(x)': 'without its sign', 'ceil(x)': 'rounded up', 'floor(x)': 'rounded down',
  'round(x)': 'rounded', 'sqrt(x)': 'square root', 'pow(x, n)': 'x to the power of n',
  'exp(x)': 'e to the power of x', 'ln(x)': 'natural logarithm', 'log(x, base)': 'logarithm',
  'log2(x)': 'logarithm to base 2', 'log10(x)': 'logarithm to base 10',
  'sin(x)': 'sine', 'cos(x)': 'cosine', 'tan(x)': 'tangent', 'asin(x)': 'arcsine',
  'acos(x)': 'arccosine', 'atan(x)': 'arctangent', 'atan2(y, x)': 'angle of a point',
};

/** `{ name, parameters, explained }` of each function. */
export const functions = Object.entries(known).map(([call, explained]) => {
  const [name, parameters] = call.slice(0, -1).split('(');
  return { name, parameters, explained };
});
