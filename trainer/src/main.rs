//! `t5`: pre-train T5 on a corpus.

fn main() {}
