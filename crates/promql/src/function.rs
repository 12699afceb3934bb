//! The functions of PromQL and their types.

use super::expr::Type;

/// The types of a function's arguments and result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signature {
    pub(crate) args: &'static [Type],
    pub(crate) variadic: Variadic,
    pub(crate) result: Type,
}

/// The number of arguments that a call may omit or repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variadic {
    /// A call has every argument once.
    No,
    /// A call may omit the last argument.
    Optional,
    /// A call may omit or repeat the last argument.
    Repeated,
}

macro_rules! functions {
    ($($variant:ident $name:literal ($($arg:ident)*) $variadic:ident $result:ident,)*) => {
        /// The functions of Prometheus 3 that are not experimental, and
        /// `double_exponential_smoothing`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Function {
            $($variant,)*
        }

        impl Function {
            pub(crate) fn by_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    // The name in Prometheus 2.
                    "holt_winters" => Some(Self::DoubleExponentialSmoothing),
                    _ => None,
                }
            }

            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            pub(crate) fn signature(self) -> Signature {
                match self {
                    $(Self::$variant => Signature {
                        args: &[$(Type::$arg,)*],
                        variadic: Variadic::$variadic,
                        result: Type::$result,
                    },)*
                }
            }
        }
    };
}

functions! {
    Abs "abs" (Vector) No Vector,
    Absent "absent" (Vector) No Vector,
    AbsentOverTime "absent_over_time" (Matrix) No Vector,
    Acos "acos" (Vector) No Vector,
    Acosh "acosh" (Vector) No Vector,
    Asin "asin" (Vector) No Vector,
    Asinh "asinh" (Vector) No Vector,
    Atan "atan" (Vector) No Vector,
    Atanh "atanh" (Vector) No Vector,
    AvgOverTime "avg_over_time" (Matrix) No Vector,
    Ceil "ceil" (Vector) No Vector,
    Changes "changes" (Matrix) No Vector,
    Clamp "clamp" (Vector Scalar Scalar) No Vector,
    ClampMax "clamp_max" (Vector Scalar) No Vector,
    ClampMin "clamp_min" (Vector Scalar) No Vector,
    Cos "cos" (Vector) No Vector,
    Cosh "cosh" (Vector) No Vector,
    CountOverTime "count_over_time" (Matrix) No Vector,
    DayOfMonth "day_of_month" (Vector) Optional Vector,
    DayOfWeek "day_of_week" (Vector) Optional Vector,
    DayOfYear "day_of_year" (Vector) Optional Vector,
    DaysInMonth "days_in_month" (Vector) Optional Vector,
    Deg "deg" (Vector) No Vector,
    Delta "delta" (Matrix) No Vector,
    Deriv "deriv" (Matrix) No Vector,
    DoubleExponentialSmoothing "double_exponential_smoothing" (Matrix Scalar Scalar) No Vector,
    Exp "exp" (Vector) No Vector,
    FirstOverTime "first_over_time" (Matrix) No Vector,
    Floor "floor" (Vector) No Vector,
    HistogramAvg "histogram_avg" (Vector) No Vector,
    HistogramCount "histogram_count" (Vector) No Vector,
    HistogramFraction "histogram_fraction" (Scalar Scalar Vector) No Vector,
    HistogramQuantile "histogram_quantile" (Scalar Vector) No Vector,
    HistogramStddev "histogram_stddev" (Vector) No Vector,
    HistogramStdvar "histogram_stdvar" (Vector) No Vector,
    HistogramSum "histogram_sum" (Vector) No Vector,
    Hour "hour" (Vector) Optional Vector,
    Idelta "idelta" (Matrix) No Vector,
    Increase "increase" (Matrix) No Vector,
    Irate "irate" (Matrix) No Vector,
    LabelJoin "label_join" (Vector String String String) Repeated Vector,
    LabelReplace "label_replace" (Vector String String String String) No Vector,
    LastOverTime "last_over_time" (Matrix) No Vector,
    Ln "ln" (Vector) No Vector,
    Log10 "log10" (Vector) No Vector,
    Log2 "log2" (Vector) No Vector,
    MaxOverTime "max_over_time" (Matrix) No Vector,
    MinOverTime "min_over_time" (Matrix) No Vector,
    Minute "minute" (Vector) Optional Vector,
    Month "month" (Vector) Optional Vector,
    Pi "pi" () No Scalar,
    PredictLinear "predict_linear" (Matrix Scalar) No Vector,
    PresentOverTime "present_over_time" (Matrix) No Vector,
    QuantileOverTime "quantile_over_time" (Scalar Matrix) No Vector,
    Rad "rad" (Vector) No Vector,
    Rate "rate" (Matrix) No Vector,
    Resets "resets" (Matrix) No Vector,
    Round "round" (Vector Scalar) Optional Vector,
    Scalar "scalar" (Vector) No Scalar,
    Sgn "sgn" (Vector) No Vector,
    Sin "sin" (Vector) No Vector,
    Sinh "sinh" (Vector) No Vector,
    Sort "sort" (Vector) No Vector,
    SortDesc "sort_desc" (Vector) No Vector,
    Sqrt "sqrt" (Vector) No Vector,
    StddevOverTime "stddev_over_time" (Matrix) No Vector,
    StdvarOverTime "stdvar_over_time" (Matrix) No Vector,
    SumOverTime "sum_over_time" (Matrix) No Vector,
    Tan "tan" (Vector) No Vector,
    Tanh "tanh" (Vector) No Vector,
    Time "time" () No Scalar,
    Timestamp "timestamp" (Vector) No Vector,
    Vector "vector" (Scalar) No Vector,
    Year "year" (Vector) Optional Vector,
}

/// Experimental functions, which Prometheus also rejects unless a flag enables them.
pub(crate) const EXPERIMENTAL: [&str; 16] = [
    "end",
    "histogram_quantiles",
    "info",
    "mad_over_time",
    "max_of",
    "min_of",
    "range",
    "sort_by_label",
    "sort_by_label_desc",
    "start",
    "start_timestamp",
    "step",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
];

impl Function {
    /// Whether the value depends on the time of the step, apart from the arguments.
    pub(crate) fn reads_time(self, args: usize) -> bool {
        match self {
            Self::Time | Self::PredictLinear | Self::Timestamp => true,
            Self::DayOfMonth
            | Self::DayOfWeek
            | Self::DayOfYear
            | Self::DaysInMonth
            | Self::Hour
            | Self::Minute
            | Self::Month
            | Self::Year => args == 0,
            _ => false,
        }
    }
}
