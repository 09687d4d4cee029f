//! Reading text as the reference does: Python's lines, words and case, NLTK's sentences, URLs as keys.

pub(crate) mod lower;
pub(crate) mod md5;
pub mod punkt;
pub mod pystr;
pub(crate) mod scan;
pub(crate) mod text_size;
pub mod url;

/// The vector instruction sets of this CPU, all of which must give the same results.
#[cfg(test)]
pub(crate) fn levels() -> Vec<fearless_simd::Level> {
    use fearless_simd::Level;
    let best = Level::new();
    #[cfg(target_arch = "x86_64")]
    let others = [
        best.as_sse2().map(Level::Sse2),
        best.as_sse4_2().map(Level::Sse4_2),
        best.as_avx2().map(Level::Avx2),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let others = [None];
    others.into_iter().flatten().chain([best]).collect()
}
