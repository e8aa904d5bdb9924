//! Values, rows, keys, schemas, identifiers and limits.
