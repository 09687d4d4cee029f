//! Character references (WHATWG HTML section 13.2.5.72 and on, outside attributes).

/// The text for which a character reference stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Referent {
    One(char),
    Text(&'static str),
}

/// Reads the reference at the start of `rest`, which is an `&`; gives the text for which it stands and its length in
/// bytes, or `None` where the `&` is no reference.
pub(super) fn read(rest: &[u8]) -> Option<(Referent, usize)> {
    if rest.get(1) == Some(&b'#') {
        numeric(rest).map(|(c, len)| (Referent::One(c), len))
    } else {
        named(rest).map(|(text, len)| (Referent::Text(text), len))
    }
}

/// The character that `&#…;` or `&#x…;` at the start of `rest` stands for, and its length.
fn numeric(rest: &[u8]) -> Option<(char, usize)> {
    /// The characters of windows-1252 at 0x80 to 0x9F (0 where there is none).
    const WINDOWS_1252: [u16; 32] = [
        0x20ac, 0, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0, 0x17d, 0, 0,
        0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0, 0x17e, 0x178,
    ];
    let (radix, from) = match rest.get(2) {
        Some(b'x' | b'X') => (16, 3),
        _ => (10, 2),
    };
    let mut code = 0_u32;
    let mut len = from;
    while let Some(digit) = rest.get(len).and_then(|&b| char::from(b).to_digit(radix)) {
        code = code.saturating_mul(radix).saturating_add(digit);
        len += 1;
    }
    if len == from {
        return None;
    }
    len += usize::from(rest.get(len) == Some(&b';'));
    if let 0x80..=0x9f = code {
        let mapped = WINDOWS_1252[(code - 0x80) as usize];
        code = if mapped == 0 { code } else { u32::from(mapped) };
    }
    let c = char::from_u32(code).filter(|&c| c != '\0');
    Some((c.unwrap_or(char::REPLACEMENT_CHARACTER), len))
}

/// The text for which the named reference at the start of `rest` stands, and its length in bytes: the longest of the
/// standard's names, of which some need no semicolon.
fn named(rest: &[u8]) -> Option<(&'static str, usize)> {
    let run = rest[1..]
        .iter()
        .take(htmlize::ENTITY_MAX_LENGTH)
        .take_while(|b| b.is_ascii_alphanumeric())
        .count();
    let find = |name: &[u8]| {
        let expansion = htmlize::ENTITIES.get(name)?;
        Some((std::str::from_utf8(expansion).ok()?, name.len()))
    };
    if run == 0 {
        return None;
    }
    if rest.get(1 + run) == Some(&b';') {
        match &rest[1..=run] {
            b"nbsp" => return Some(("\u{a0}", 6)),
            b"amp" => return Some(("&", 5)),
            b"quot" => return Some(("\"", 6)),
            b"lt" => return Some(("<", 4)),
            b"gt" => return Some((">", 4)),
            _ => {}
        }
        if let Some(found) = find(&rest[..run + 2]) {
            return Some(found);
        }
    }
    (3..=htmlize::BARE_ENTITY_MAX_LENGTH.min(run + 1))
        .rev()
        .find_map(|len| find(&rest[..len]))
}
