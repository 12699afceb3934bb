// Generates calls of each InfluxQL function. The arguments are random, and most of them are valid.

const NUMBERS = ['float', 'integer'];
const ALL = ['float', 'integer', 'string', 'boolean'];
const ORDERED = ['float', 'integer', 'boolean'];

const plain = (types) => ({ types, call: (name, field) => `${name}(${field})` });
const withUnit = (types) => ({
  types,
  call: (name, field, random) =>
    random.chance(0.5) ? `${name}(${field})` : `${name}(${field}, ${unit(random)})`,
});
const counted = (types, low, high) => ({
  types,
  call: (name, field, random) => `${name}(${field}, ${random.int(low, high)})`,
});
const technical = (options, least = 1) => ({
  types: NUMBERS,
  call(name, field, random) {
    const args = [field, Math.max(least, random.int(1, 5))];
    if (random.chance(0.5)) args.push(random.int(0, 6));
    if (args.length === 3 && options.length > 0 && random.chance(0.5)) args.push(random.pick(options));
    return `${name}(${args.join(', ')})`;
  },
});

const unit = (random) => random.pick(['1s', '10s', '1m', '500ms', '1h']);
const smoothings = ["'exponential'", "'simple'"];

export const AGGREGATES = {
  count: plain(ALL),
  sum: plain(NUMBERS),
  mean: plain(NUMBERS),
  median: plain(NUMBERS),
  mode: plain(ALL),
  spread: plain(NUMBERS),
  stddev: plain(NUMBERS),
  integral: withUnit(NUMBERS),
  distinct: plain(ALL),
};

export const SELECTORS = {
  first: plain(ALL),
  last: plain(ALL),
  min: plain(ORDERED),
  max: plain(ORDERED),
  percentile: {
    types: NUMBERS,
    call: (name, field, random) =>
      `${name}(${field}, ${random.pick([0, 1, 10, 33.3, 50, 75, 90, 99.9, 100])})`,
  },
  sample: counted(ALL, 1, 5),
  top: counted(NUMBERS, 1, 6),
  bottom: counted(NUMBERS, 1, 6),
};

export const TRANSFORMS = {
  derivative: withUnit(NUMBERS),
  non_negative_derivative: withUnit(NUMBERS),
  difference: plain(NUMBERS),
  non_negative_difference: plain(NUMBERS),
  cumulative_sum: plain(NUMBERS),
  moving_average: counted(NUMBERS, 2, 5),
  elapsed: withUnit(ALL),
};

export const TECHNICAL = {
  exponential_moving_average: technical(smoothings),
  double_exponential_moving_average: technical(smoothings),
  triple_exponential_moving_average: technical(smoothings),
  relative_strength_index: technical(smoothings),
  triple_exponential_derivative: technical(smoothings),
  kaufmans_efficiency_ratio: technical([]),
  kaufmans_adaptive_moving_average: technical([]),
  // 1.6.7 panics if this function receives only one point.
  chande_momentum_oscillator: technical(["'none'", ...smoothings], 2),
};

const predictor = {
  types: NUMBERS,
  call: (name, field, random) => `${name}(${field}, ${random.int(1, 4)}, ${random.pick([0, 1, 2, 4])})`,
};
export const PREDICTORS = { holt_winters: predictor, holt_winters_with_fit: predictor };

const one = { types: NUMBERS, call: (name, field) => `${name}(${field})` };
const two = {
  types: NUMBERS,
  call: (name, field, random) =>
    random.chance(0.5)
      ? `${name}(${field}, ${random.pick([2, 0.5, 3])})`
      : `${name}(${random.pick([2, 0.5, 10])}, ${field})`,
};
const MATH_ONE = ['abs', 'ceil', 'floor', 'round', 'sin', 'cos', 'tan', 'asin', 'acos', 'atan', 'exp',
  'ln', 'log2', 'log10', 'sqrt'];
export const MATH = Object.fromEntries([
  ...MATH_ONE.map((name) => [name, one]),
  ...['log', 'pow', 'atan2'].map((name) => [name, two]),
]);

export const FUNCTIONS = Object.fromEntries(
  Object.entries({ AGGREGATES, SELECTORS, TRANSFORMS, TECHNICAL, PREDICTORS, MATH }).flatMap(
    ([family, functions]) =>
      Object.entries(functions).map(([name, how]) => [name, { family, ...how }]),
  ),
);
