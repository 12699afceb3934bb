//! Sums and means with Kahan's compensation, in the variant of Neumaier, as in Prometheus.

/// A sum and its error.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    sum: f64,
    compensation: f64,
}

impl Sum {
    pub(crate) fn new(first: f64) -> Self {
        Self { sum: first, compensation: 0.0 }
    }

    pub(crate) fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        if sum.is_infinite() {
            self.compensation = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.compensation += (self.sum - sum) + value;
        } else {
            self.compensation += (value - sum) + self.sum;
        }
        self.sum = sum;
    }

    pub(crate) fn total(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.compensation }
    }

    /// Returns the sum with its compensation. If the sum is infinite, the compensation is zero or
    /// NaN.
    pub(crate) fn plain(self) -> f64 {
        self.sum + self.compensation
    }

    fn scaled(self, factor: f64) -> Self {
        Self { sum: self.sum * factor, compensation: self.compensation * factor }
    }
}

/// A mean. If the sum of the values overflows, the mean is updated value by value from then on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    /// The sum, or the mean if `is_incremental`.
    sum: Sum,
    count: f64,
    is_incremental: bool,
}

impl Mean {
    pub(crate) fn new(first: f64) -> Self {
        Self { sum: Sum::new(first), count: 1.0, is_incremental: false }
    }

    pub(crate) fn add(&mut self, value: f64) {
        let before = self.count;
        self.count += 1.0;
        if !self.is_incremental {
            let mut sum = self.sum;
            sum.add(value);
            if !sum.sum.is_infinite() {
                self.sum = sum;
                return;
            }
            self.is_incremental = true;
            self.sum =
                Sum { sum: self.sum.sum / before, compensation: self.sum.compensation / before };
        }
        self.sum = self.sum.scaled(before / self.count);
        self.sum.add(value / self.count);
    }

    pub(crate) fn value(self) -> f64 {
        if self.is_incremental {
            return self.sum.plain();
        }
        self.sum.sum / self.count + self.sum.compensation / self.count
    }
}
