//! Writing protobuf messages by hand: the few messages that we write have a dozen fields together. `prost` would bring
//! a derive macro and four crates.

/// Appends a field of a number (`uint64`, `int32`, an enumeration …).
pub(crate) fn put_number(message: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(message, number << 3);
    put_varint(message, value);
}

/// Appends a field `float`.
pub(crate) fn put_float(message: &mut Vec<u8>, number: u64, value: f32) {
    put_varint(message, number << 3 | 5);
    message.extend_from_slice(&value.to_le_bytes());
}

/// Appends a field `double`.
pub(crate) fn put_double(message: &mut Vec<u8>, number: u64, value: f64) {
    put_varint(message, number << 3 | 1);
    message.extend_from_slice(&value.to_le_bytes());
}

/// Appends a field of text, bytes, or another message.
pub(crate) fn put_bytes(message: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(message, number << 3 | 2);
    put_varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}
