//! How a record is kept: one byte of format version, then CBOR (RFC 8949). Fields are numbered
//! by their place in an array; a reader skips those that it does not know, so a newer node may
//! add fields at the end without a new version.

use alloc::vec::Vec;

use crate::record::Record;

/// The format that this version writes, and the only one that it reads.
const FORMAT: u8 = 1;

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// They were written in a format that this version does not know.
    #[error("the record has format {0}, expected {FORMAT}")]
    Format(u8),
    /// They are no record.
    #[error("the record is damaged")]
    Damaged(#[source] minicbor::decode::Error),
}

impl Record {
    /// The bytes to keep.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(160);
        bytes.push(FORMAT);
        let Ok(()) = minicbor::encode(self, &mut bytes) else {
            unreachable!("a vector takes every byte")
        };
        bytes
    }

    /// The record behind `bytes`; no bytes at all are the empty record.
    ///
    /// # Errors
    /// When another format or no record at all is behind them.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes {
            [] => Ok(Self::default()),
            [FORMAT, rest @ ..] => minicbor::decode(rest).map_err(DecodeError::Damaged),
            [other, ..] => Err(DecodeError::Format(*other)),
        }
    }
}
