//! JSON of a stranger, read into a [`Value`] of bounded size: a body of a few megabytes could otherwise become a hundred
//! times its length in memory. Depth is bounded by `serde_json` itself.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Values in one document.
pub(super) const MAX_VALUES: usize = 1 << 18; // guess: indices of 100,000 files in both of wanted and priority, and some

/// Reads one document.
///
/// # Errors
/// It is none, or has more than [`MAX_VALUES`] values.
pub(super) fn read(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let left = Cell::new(MAX_VALUES);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Bounded(&left).deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// A value, if so many are left.
#[derive(Clone, Copy)]
struct Bounded<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        let left = self.0.get().checked_sub(1);
        let left = left.ok_or_else(|| D::Error::custom("more values than a request may have"))?;
        self.0.set(left);
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(self)? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(self)?;
            values.insert(key, value);
        }
        Ok(values.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_has_so_many_values_and_no_more() {
        let zeros = |n: usize| format!("[{}]", vec!["0"; n].join(","));
        let most = read(zeros(MAX_VALUES - 1).as_bytes()).expect("within the limit");
        assert_eq!(most.as_array().map(Vec::len), Some(MAX_VALUES - 1));
        let more = read(zeros(MAX_VALUES).as_bytes()).expect_err("one more");
        assert!(more.to_string().contains("more values"), "{more}");
        let keys: String = (0..MAX_VALUES).map(|i| format!("\"{i}\":0,")).collect();
        read(format!("{{{keys}\"x\":0}}").as_bytes()).expect_err("keys count too");
        read("[".repeat(1_000_000).as_bytes()).expect_err("too deep");
    }

    proptest! {
        #[test]
        fn it_reads_what_serde_json_reads(text in ".*", structured in "[\\[\\]{}\",:0-9.eE+\\- a-ctrufalsn]*") {
            for text in [text, structured] {
                let right: Option<Value> = serde_json::from_str(&text).ok();
                prop_assert_eq!(read(text.as_bytes()).ok(), right);
            }
        }
    }
}
