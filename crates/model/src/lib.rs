//! The mesh model.
