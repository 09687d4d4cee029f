//! Detecting the language of a text: the detectors of C4 and mC4, ported bit for bit.

pub mod cld3;
pub mod langdetect;
