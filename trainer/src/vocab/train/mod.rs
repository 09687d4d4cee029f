//! How a vocabulary is made.
