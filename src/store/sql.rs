//! Small helps for SQL that both databases read: values of rows, and conditions that are put together.

use serde::de::DeserializeOwned;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row};

use super::StoreError;

/// A column that was selected as `CAST(… AS INTEGER)`: no other form of a boolean is read from both databases.
pub(super) fn flag(row: &AnyRow, column: &str) -> Result<bool, StoreError> {
    Ok(row.try_get::<i64, _>(column)? != 0)
}

/// A column of JSON text.
pub(super) fn json<T: DeserializeOwned>(row: &AnyRow, column: &str) -> Result<T, StoreError> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(|error| StoreError::Query(sqlx::Error::Decode(error.into())))
}

/// True where a row stands in the way of another that must not be like it.
pub(super) fn is_taken(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.is_unique_violation())
}

/// A value that is bound to a parameter.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Flag(bool),
    Bytes(Vec<u8>),
    NoText,
    NoNumber,
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        text.map_or(Self::NoText, Self::Text)
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        number.map_or(Self::NoNumber, Self::Number)
    }
}

/// A statement that is put together of our own fixed pieces, `?` standing for the next value.
#[derive(Default)]
pub(super) struct Statement {
    text: String,
    values: Vec<Value>,
}

impl Statement {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), values: Vec::new() }
    }

    /// Adds `piece`, which has one `?` for each of `values`.
    pub(super) fn push<const N: usize>(&mut self, piece: &str, values: [Value; N]) -> &mut Self {
        self.extend(piece, values)
    }

    pub(super) fn extend(&mut self, piece: &str, values: impl IntoIterator<Item = Value>) -> &mut Self {
        let mut number = self.values.len();
        for (index, part) in piece.split('?').enumerate() {
            if index > 0 {
                number += 1;
                self.text.push_str(&format!("${number}"));
            }
            self.text.push_str(part);
        }
        self.values.extend(values);
        self
    }

    /// Adds rows of parameters: `($1, $2), ($3, $4)`.
    pub(super) fn rows<const N: usize>(&mut self, rows: impl IntoIterator<Item = [Value; N]>) -> &mut Self {
        for (index, row) in rows.into_iter().enumerate() {
            self.row(index == 0, row);
        }
        self
    }

    /// Adds one row of parameters.
    pub(super) fn row(&mut self, first: bool, values: impl IntoIterator<Item = Value>) -> &mut Self {
        let values: Vec<_> = values.into_iter().collect();
        let places = vec!["?"; values.len()].join(", ");
        let between = if first { "" } else { ", " };
        self.extend(&format!("{between}({places})"), values)
    }

    pub(super) fn query(self) -> Query<'static, Any, AnyArguments> {
        self.values.into_iter().fold(sqlx::query(AssertSqlSafe(self.text)), |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Number(number) => query.bind(number),
            Value::Flag(flag) => query.bind(flag),
            Value::Bytes(bytes) => query.bind(bytes),
            Value::NoText => query.bind(None::<String>),
            Value::NoNumber => query.bind(None::<i64>),
        })
    }
}
