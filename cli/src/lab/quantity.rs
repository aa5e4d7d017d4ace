//! Quantities of a scenario's file, each with its unit.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use tidegate_sim::lab::ServiceTime;

/// Something that is written as text with a unit.
pub(super) trait Quantity: Sized {
    /// How it looks.
    const EXAMPLE: &'static str;

    /// Reads it, or says what is wrong.
    fn read(text: &str) -> Result<Self, String>;
}

/// A quantity in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of<Q>(pub(super) Q);

impl<'de, Q: Quantity> Deserialize<'de> for Of<Q> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<Q>(PhantomData<Q>);
        impl<Q: Quantity> Visitor<'_> for Text<Q> {
            type Value = Q;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a quantity with its unit, like \"{}\"", Q::EXAMPLE)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Q, E> {
                Q::read(text.trim()).map_err(|why| {
                    E::custom(format!("{text:?}: {why}; write it like \"{}\"", Q::EXAMPLE))
                })
            }
        }
        deserializer.deserialize_any(Text(PhantomData)).map(Self)
    }
}

/// A number of things, by the name of one.
fn count<N: FromStr>(text: &str, one: &str) -> Result<N, String> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '_' | ',')) {
        Some(end) => (&text[..end], text[end..].trim()),
        None => (text, ""),
    };
    if unit != one && unit.strip_suffix('s') != Some(one) {
        return Err(match unit {
            "" => format!("the unit is missing ({one}s)"),
            _ => format!("the unit is {one}s, and not {unit:?}"),
        });
    }
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    digits.parse().map_err(|_| "the number is missing, or too large".to_owned())
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident($number:ty), $one:literal, $example:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $name(pub(super) $number);

        impl Quantity for $name {
            const EXAMPLE: &'static str = $example;

            fn read(text: &str) -> Result<Self, String> {
                count(text, $one).map(Self)
            }
        }
    )*};
}

counts! {
    /// Records.
    Records(u32), "record", "10000 records";
    /// Partitions.
    Partitions(u32), "partition", "12 partitions";
    /// Different keys.
    Keys(u32), "key", "100000 keys";
    /// Members of the group.
    Members(u32), "member", "3 members";
    /// Attempts for one record.
    Attempts(u32), "attempt", "6 attempts";
    /// Requests that are served at once.
    Servers(u32), "server", "500 servers";
    /// Requests that wait.
    Requests(u32), "request", "1000 requests";
}

/// Records a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate(pub(super) f64);

impl Quantity for Rate {
    const EXAMPLE: &'static str = "10000/s";

    fn read(text: &str) -> Result<Self, String> {
        let (number, per) = text.rsplit_once('/').ok_or("the unit is missing")?;
        let number = number.trim();
        let number =
            number.strip_suffix("records").unwrap_or(number).trim().replace([',', '_'], "");
        let seconds = match per.trim() {
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3_600.0,
            other => return Err(format!("{other:?} is not s, min or h")),
        };
        match number.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Ok(Self(number / seconds)),
            _ => Err("there is no number before the slash".to_owned()),
        }
    }
}

/// A part of a whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share(pub(super) f64);

impl Quantity for Share {
    const EXAMPLE: &'static str = "30%";

    fn read(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').ok_or("the unit is missing")?.trim();
        match number.parse::<f64>() {
            Ok(number) if (0.0..=100.0).contains(&number) => Ok(Self(number / 100.0)),
            _ => Err("it must be from 0% to 100%".to_owned()),
        }
    }
}

impl Quantity for Duration {
    const EXAMPLE: &'static str = "100ms";

    fn read(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map_err(|error| error.to_string())
    }
}

impl Quantity for ByteSize {
    const EXAMPLE: &'static str = "64MiB";

    fn read(text: &str) -> Result<Self, String> {
        if text.ends_with(|c: char| c.is_ascii_digit()) {
            return Err("the unit is missing".to_owned());
        }
        text.parse()
    }
}

/// Sizes from the first to the second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes(pub(super) u32, pub(super) u32);

impl Quantity for Sizes {
    const EXAMPLE: &'static str = "1kB\" or \"500B to 2kB";

    fn read(text: &str) -> Result<Self, String> {
        let size = |text: &str| {
            let size = ByteSize::read(text.trim())?;
            u32::try_from(size.0).map_err(|_| "it is too large".to_owned())
        };
        match text.split_once(" to ") {
            Some((least, most)) => Ok(Self(size(least)?, size(most)?)),
            None => size(text).map(|size| Self(size, size)),
        }
    }
}

/// How uneven keys are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skew(pub(super) f64);

impl Quantity for Skew {
    const EXAMPLE: &'static str = "even\" or \"zipf 1.0";

    fn read(text: &str) -> Result<Self, String> {
        if text == "even" {
            return Ok(Self(0.0));
        }
        let exponent = text.strip_prefix("zipf ").ok_or("it is neither even nor zipf")?;
        match exponent.trim().parse::<f64>() {
            Ok(exponent) if exponent.is_finite() => Ok(Self(exponent)),
            _ => Err("zipf wants a number".to_owned()),
        }
    }
}

impl Quantity for ServiceTime {
    const EXAMPLE: &'static str =
        "100ms\", \"50ms to 150ms\", \"exponential 100ms\" or \"median 50ms p99 500ms";

    fn read(text: &str) -> Result<Self, String> {
        let time = |text: &str| Duration::read(text.trim());
        if let Some(mean) = text.strip_prefix("exponential ") {
            return time(mean).map(Self::Exponential);
        }
        if let Some(rest) = text.strip_prefix("median ") {
            let (median, p99) = rest.split_once(" p99 ").ok_or("the p99 is missing")?;
            return Ok(Self::Lognormal { median: time(median)?, p99: time(p99)? });
        }
        match text.split_once(" to ") {
            Some((least, most)) => Ok(Self::Uniform(time(least)?, time(most)?)),
            None => time(text).map(Self::Constant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_units() {
        assert_eq!(Records::read("10,000 records").unwrap().0, 10_000);
        assert_eq!(Members::read("1 member").unwrap().0, 1);
        assert!(Records::read("10000").unwrap_err().contains("unit is missing"));
        assert!(Records::read("10000 servers").unwrap_err().contains("records"));
        assert!(Records::read("records").is_err() && Records::read("99999999999 records").is_err());
        assert_eq!(Rate::read("10000/s").unwrap().0, 10_000.0);
        assert_eq!(Rate::read("120 records/min").unwrap().0, 2.0);
        assert!(Rate::read("10000").is_err() && Rate::read("-1/s").is_err());
        assert!(Rate::read("x/s").is_err() && Rate::read("1/day").is_err());
        assert_eq!(Share::read("30%").unwrap().0, 0.3);
        assert!(Share::read("0.3").is_err() && Share::read("130%").is_err());
        assert!(ByteSize::read("1000").is_err() && Duration::read("10").is_err());
        let sizes = Sizes::read("500B to 2kB").unwrap();
        assert_eq!((sizes.0, sizes.1), (500, 2_000));
        let ms = Duration::from_millis;
        for (text, time) in [
            ("100ms", ServiceTime::Constant(ms(100))),
            ("50ms to 150ms", ServiceTime::Uniform(ms(50), ms(150))),
            ("exponential 100ms", ServiceTime::Exponential(ms(100))),
            ("median 50ms p99 500ms", ServiceTime::Lognormal { median: ms(50), p99: ms(500) }),
        ] {
            assert_eq!(ServiceTime::read(text), Ok(time));
        }
        assert!(ServiceTime::read("gauss 5ms").is_err());
        assert!(Skew::read("zipf x").is_err() && Skew::read("odd").is_err());
    }
}
