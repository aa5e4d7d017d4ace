//! Property files as Java's Kafka clients have them, in librdkafka's words: `properties` reads a
//! file, `jaas` and `stores` know what concerns logins and TLS.
//!
//! Nothing here knows the commands: the fuzz target `settings` has these files, too.

mod jaas;
mod properties;
mod stores;

pub(crate) use properties::{Translated, read};
