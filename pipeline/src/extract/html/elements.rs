//! The effect of each HTML element on the text around it.

/// The effect of an element's tags on the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// No effect: the text continues.
    None,
    /// A line break before and after.
    Break,
    /// A space before and after.
    Space,
    /// A line break after the end tag only.
    Title,
    /// A line break before and after, and white space inside is kept.
    Pre,
    /// No effect, and the content up to the end tag of this name is not text.
    Raw(&'static [u8]),
}

/// The elements with an effect, as `ia-web-commons` lists them: `option`, `nav`, `main` and other
/// newcomers have none; a space separates `td` from its neighbour, a line break `th`.
const ELEMENTS: [(Effect, &str); 6] = [
    (
        Effect::Break,
        "address article aside body br button canvas caption col colgroup dd div dl dt embed \
         fieldset figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr li map noscript object ol \
         output p progress section table tbody textarea tfoot th thead tr ul video",
    ),
    (
        Effect::Space,
        "cite datalist details iframe img input label legend optgroup q select summary td time",
    ),
    (Effect::Title, "title"),
    (Effect::Pre, "pre"),
    (Effect::Raw(b"script"), "script"),
    (Effect::Raw(b"style"), "style"),
];

/// The two elements whose names do not fit a key; both break the line.
const LONG: [&[u8]; 2] = [b"blockquote", b"figcaption"];

/// One more byte of a name of up to eight, ASCII letters in either case.
const fn extend(key: u64, byte: u8) -> u64 {
    key << 8 | (byte | 0x20) as u64
}

/// Where the search for a key starts in [`TABLE`].
const fn slot(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}

/// The hash table of [`ELEMENTS`], with linear probing, a quarter full; key 0 is an empty slot.
static TABLE: [(u64, Effect); 256] = {
    let mut table = [(0, Effect::None); 256];
    let mut row = 0;
    while row < ELEMENTS.len() {
        let names = ELEMENTS[row].1.as_bytes();
        let mut key = 0;
        let mut i = 0;
        while i <= names.len() {
            if i < names.len() && names[i] != b' ' {
                key = extend(key, names[i]);
            } else {
                let mut at = slot(key);
                while table[at].0 != 0 {
                    at = (at + 1) % 256;
                }
                table[at] = (key, ELEMENTS[row].0);
                key = 0;
            }
            i += 1;
        }
        row += 1;
    }
    table
};

/// The effect of the element called `name`, in any case.
pub(super) fn effect(name: &[u8]) -> Effect {
    if name.len() > 8 {
        let long = LONG.iter().any(|l| l.eq_ignore_ascii_case(name));
        return if long { Effect::Break } else { Effect::None };
    }
    let key = name.iter().fold(0, |key, &b| extend(key, b));
    let mut at = slot(key);
    while TABLE[at].0 != key {
        if TABLE[at].0 == 0 {
            return Effect::None;
        }
        at = (at + 1) % 256;
    }
    TABLE[at].1
}
