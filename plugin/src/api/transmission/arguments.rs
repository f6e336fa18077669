//! The arguments of a request, each read as what it must be. An argument that is `null` is not there.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::error::RpcError;

/// The arguments of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arguments<'a>(Option<&'a Map<String, Value>>);

impl<'a> Arguments<'a> {
    /// Those of a request; anything but an object is none, as to Transmission.
    pub(super) fn of(request: &'a Value) -> Self {
        Self(request.get("arguments").and_then(Value::as_object))
    }

    /// The value as it is, `null` too.
    pub(super) fn raw(self, name: &str) -> Option<&'a Value> {
        self.0?.get(name)
    }

    fn get(self, name: &str) -> Option<&'a Value> {
        self.raw(name).filter(|v| !v.is_null())
    }

    fn read<T>(
        self,
        name: &'static str,
        wanted: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, RpcError> {
        let value = self.get(name).map(read);
        value.map_or(Ok(None), |value| {
            let value = value.ok_or(RpcError::Argument { name, wanted });
            value.map(Some)
        })
    }

    /// A boolean; 0, 1, `"true"` and `"false"` are booleans to Transmission too.
    pub(super) fn flag(self, name: &'static str) -> Result<Option<bool>, RpcError> {
        self.read(name, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => text.parse().ok(),
            _ => match integer(value)? {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            },
        })
    }

    /// An integer, 0 or more.
    pub(super) fn count(self, name: &'static str) -> Result<Option<u64>, RpcError> {
        self.read(name, "an integer, 0 or more", |value| {
            u64::try_from(integer(value)?).ok()
        })
    }

    /// The same up to a limit that is above every use.
    pub(super) fn small(self, name: &'static str) -> Result<Option<u32>, RpcError> {
        let count = self.count(name)?;
        Ok(count.map(|n| u32::try_from(n).unwrap_or(u32::MAX)))
    }

    /// An integer.
    pub(super) fn integer(self, name: &'static str) -> Result<Option<i64>, RpcError> {
        self.read(name, "an integer", integer)
    }

    /// A ratio: 0 or more. Transmission takes text too.
    pub(super) fn ratio(self, name: &'static str) -> Result<Option<f64>, RpcError> {
        self.read(name, "a number, 0 or more", |value| {
            let number = match value {
                Value::String(text) => text.trim().parse().ok()?,
                _ => value.as_f64()?,
            };
            (number.is_finite() && number >= 0.0).then_some(number)
        })
    }

    /// Text.
    pub(super) fn text(self, name: &'static str) -> Result<Option<&'a str>, RpcError> {
        self.read(name, "text", Value::as_str)
    }

    /// An absolute path.
    pub(super) fn path(
        self,
        name: &'static str,
        relative: RpcError,
    ) -> Result<Option<PathBuf>, RpcError> {
        let path = self.text(name)?.map(Path::new);
        match path {
            Some(path) if !path.is_absolute() => Err(relative),
            path => Ok(path.map(Path::to_owned)),
        }
    }

    /// A list of text.
    pub(super) fn texts(self, name: &'static str) -> Result<Option<Vec<&'a str>>, RpcError> {
        self.read(name, "a list of text", |value| {
            let list = value.as_array()?.iter();
            list.map(Value::as_str).collect()
        })
    }

    /// A list of integers.
    pub(super) fn integers(self, name: &'static str) -> Result<Option<Vec<i64>>, RpcError> {
        self.read(name, "a list of integers", |value| {
            value.as_array()?.iter().map(integer).collect()
        })
    }

    /// A list.
    pub(super) fn list(self, name: &'static str) -> Result<Option<&'a [Value]>, RpcError> {
        self.read(name, "a list", |value| value.as_array().map(Vec::as_slice))
    }
}

/// An integer, also when it is written as `1.0`.
pub(super) fn integer(value: &Value) -> Option<i64> {
    /// Integers up to here are exact in a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let fractional = || {
        let number = value.as_f64()?;
        let whole = number.trunc() == number && number.abs() <= EXACT;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "it is an integer that fits"
        )]
        whole.then_some(number as i64)
    };
    value.as_i64().or_else(fractional)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_there_is_none_and_what_is_of_another_kind_is_an_error() {
        let request = json!({"arguments": {
            "yes": true, "no": 0, "word": "true", "seven": 7, "float": 2.0, "half": 2.5, "minus": -1, "huge": 1e300,
            "text": "1.25", "null": null, "list": ["a", 5], "numbers": [1, 2.0],
        }});
        let arguments = Arguments::of(&request);
        assert_eq!(arguments.flag("yes").unwrap(), Some(true));
        assert_eq!(arguments.flag("no").unwrap(), Some(false));
        assert_eq!(arguments.flag("word").unwrap(), Some(true));
        assert_eq!(arguments.flag("absent").unwrap(), None);
        assert_eq!(arguments.flag("null").unwrap(), None);
        arguments.flag("seven").unwrap_err();
        arguments.flag("list").unwrap_err();
        assert_eq!(arguments.count("float").unwrap(), Some(2));
        assert_eq!(arguments.small("seven").unwrap(), Some(7));
        assert_eq!(arguments.integer("minus").unwrap(), Some(-1));
        for wrong in ["half", "minus", "huge", "text", "yes", "list"] {
            let error = arguments.count(wrong).unwrap_err();
            assert!(
                error.to_string().contains("an integer, 0 or more"),
                "{error}"
            );
        }
        assert_eq!(arguments.ratio("text").unwrap(), Some(1.25));
        arguments.ratio("minus").unwrap_err();
        arguments.texts("list").unwrap_err();
        assert_eq!(arguments.integers("numbers").unwrap(), Some(vec![1, 2]));
        arguments.integers("list").unwrap_err();
        let none = Arguments::of(&Value::Null);
        assert_eq!(none.text("yes").unwrap(), None);
    }
}
