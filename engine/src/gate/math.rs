//! The little arithmetic that `core` does not have.

use core::time::Duration;

/// How much a new observation weighs in a moving average that forgets with this horizon:
/// `1 - exp(-elapsed / horizon)`.
pub(super) fn weight(elapsed: Duration, horizon: Duration) -> f64 {
    1.0 - exp_of_minus(elapsed.as_secs_f64() / horizon.as_secs_f64())
}

/// `exp(-x)` for `x >= 0`: a short series of a small argument, squared back up.
fn exp_of_minus(x: f64) -> f64 {
    if x > 40.0 {
        return 0.0;
    }
    let mut small = x;
    let mut squarings = 0;
    while small > 0.25 {
        small /= 2.0;
        squarings += 1;
    }
    let series = 1.0 - small * (1.0 - small / 2.0 * (1.0 - small / 3.0 * (1.0 - small / 4.0)));
    (0..squarings).fold(series, |value, _| value * value)
}

/// The natural logarithm of a positive, normal number: its exponent, and a short series of the
/// mantissa.
pub(super) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as f64 - 1_023.0;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1_023 << 52));
    if mantissa > core::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1.0;
    }
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let series = 1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square / 7.0));
    exponent * core::f64::consts::LN_2 + 2.0 * t * series
}

/// Seconds as a duration; what is not a sensible number of them becomes `most`.
pub(super) fn duration(seconds: f64, most: Duration) -> Duration {
    if seconds < most.as_secs_f64() { Duration::from_secs_f64(seconds.max(0.0)) } else { most }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn the_exponential_is_that_of_the_standard_library() {
        for hundredth in 0..4_500 {
            let x = f64::from(hundredth) / 100.0;
            assert!((exp_of_minus(x) - (-x).exp()).abs() < 1e-4, "{x}");
        }
    }

    #[test]
    fn the_logarithm_is_that_of_the_standard_library() {
        for step in 1..4_000 {
            let x = f64::from(step) * f64::from(step) / 1_000.0;
            assert!((ln(x) - x.ln()).abs() < 1e-5, "{x}");
        }
    }

    #[test]
    fn absurd_seconds_are_bounded() {
        let most = Duration::from_secs(60);
        assert_eq!(duration(f64::NAN, most), most);
        assert_eq!(duration(f64::INFINITY, most), most);
        assert_eq!(duration(-1.0, most), Duration::ZERO);
        assert_eq!(duration(1.5, most), Duration::from_millis(1_500));
    }
}
