use super::*;

fn piece(times: &[i64], values: &[f64]) -> StreamBatch {
    StreamBatch { times_ns: times.to_vec(), values: Values::Float(values.to_vec()) }
}

/// Transforms a stream in one batch. Asserts that every division into two batches has this result.
fn whole(transform: &Transform, times: &[i64], values: &[f64]) -> StreamBatch {
    let all = transform.clone().push(&piece(times, values));
    for cut in 0..=times.len() {
        let mut stream = transform.clone();
        let first = stream.push(&piece(&times[..cut], &values[..cut]));
        let second = stream.push(&piece(&times[cut..], &values[cut..]));
        let mut joined = Column::full(first.values);
        joined.extend_from(&Column::full(second.values));
        let times_ns = [first.times_ns, second.times_ns].concat();
        assert_eq!(StreamBatch { times_ns, values: joined.values }, all, "cut at {cut}");
    }
    all
}

const TIMES: [i64; 5] = [0, 10, 10, 20, 40];
const VALUES: [f64; 5] = [1.0, 5.0, 99.0, 3.0, 4.0];

#[test]
fn derivative_is_per_unit() {
    let derivative = |non_negative| {
        let last = LastPoint::default();
        Transform::Derivative(Derivative { unit_ns: 5, non_negative, descending: false, last })
    };
    let transform = derivative(false);
    assert_eq!(whole(&transform, &TIMES, &VALUES), piece(&[10, 20, 40], &[2.0, -1.0, 0.25]));
    let positive = derivative(true);
    assert_eq!(whole(&positive, &TIMES, &VALUES), piece(&[10, 40], &[2.0, 0.25]));
}

#[test]
fn transforms_compute_differences_and_sums() {
    let difference =
        Transform::Difference(Difference { non_negative: false, last: LastPoint::default() });
    assert_eq!(whole(&difference, &TIMES, &VALUES), piece(&[10, 20, 40], &[4.0, -2.0, 1.0]));
    let average = Transform::MovingAverage(MovingAverage::new(2));
    let expected = piece(&[10, 10, 20, 40], &[3.0, 52.0, 51.0, 3.5]);
    assert_eq!(whole(&average, &TIMES, &VALUES), expected);
    let sum = whole(&Transform::CumulativeSum(CumulativeSum::default()), &TIMES, &VALUES);
    assert_eq!(sum, piece(&TIMES, &[1.0, 6.0, 105.0, 108.0, 112.0]));
    let elapsed =
        whole(&Transform::Elapsed(Elapsed { unit_ns: 4, last_ns: None }), &TIMES, &VALUES);
    assert_eq!(elapsed.values, Values::Integer(vec![2, 0, 2, 5]));
}

#[test]
fn numbers_of_values_have_32_bits() {
    let range = TimeRange::ALL;
    let window = Window { every_ns: 1, offset_ns: 0, zone: Vec::new() };
    let find = |name: &str, numbers: &[i64]| {
        let numbers = numbers.iter().map(|&number| Expr::IntegerLiteral(number));
        let args: Vec<Expr> = std::iter::once(Expr::BooleanLiteral(true)).chain(numbers).collect();
        Transform::find(name, &args, Some(&window), range, false)
    };
    let most = u32::MAX as usize;
    let average = find("moving_average", &[1 << 32]);
    assert_eq!(average, Some(Transform::MovingAverage(MovingAverage::new(most))));
    let forecast = HoltWinters::new(most, most, false, 1);
    let found = find("holt_winters", &[1 << 32, i64::MAX]);
    assert_eq!(found, Some(Transform::HoltWinters(forecast)));
}
