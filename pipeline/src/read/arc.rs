//! ARC records, the Internet Archive's format before WARC (Common Crawl until 2012).
//!
//! A record is a line (`URL IP-address date content-type length`, in version 2 with five fields more before the
//! length) and as many bytes, for HTTP the response with its head. The first record, of a URL `filedesc:`, holds
//! the version of the format. See "Arc File Format", Internet Archive 1996,
//! <https://archive.org/web/researcher/ArcFileFormat.php>.

/// The longest header line of a record, in bytes.
const MAX_LINE_BYTES: usize = 64 << 10;

/// The header line of an ARC record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    /// The URL; it may hold spaces.
    pub url: &'a [u8],
    /// The date as it is written: `YYYYMMDDhhmmss`, the beginning of it, or more digits.
    pub date: &'a [u8],
    /// The length of the content in bytes; `None` where the line says -1.
    pub length: Option<u64>,
    /// The length of the line with its end in bytes.
    pub line_bytes: usize,
}

/// The header line that `bytes` start with, if they do and it is whole.
pub(crate) fn header(bytes: &[u8]) -> Option<Header<'_>> {
    let end = memchr::memchr(b'\n', &bytes[..bytes.len().min(MAX_LINE_BYTES)])?;
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    // Cheap, since any line may be tried: a scheme, and a length at the end.
    let scheme = line.iter().position(|b| !b.is_ascii_alphanumeric())?;
    if scheme < 3 || line[scheme] != b':' || !line.last()?.is_ascii_digit() {
        return None;
    }
    let fields: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let last = *fields.last()?;
    let length = number(last);
    if length.is_none() && last != b"-1" {
        return None;
    }
    // The URL and the content type may hold spaces: the date stands behind an address.
    let date = (2..fields.len().checked_sub(2)?).rev().find(|&i| {
        let digits = fields[i].iter().all(u8::is_ascii_digit);
        digits && (8..=20).contains(&fields[i].len()) && is_address(fields[i - 1])
    })?;
    let url_bytes = fields[..date - 1].iter().map(|field| field.len() + 1).sum::<usize>() - 1;
    Some(Header {
        url: &line[..url_bytes],
        date: fields[date],
        length,
        line_bytes: end + 1,
    })
}

fn number(field: &[u8]) -> Option<u64> {
    let digits = !field.is_empty() && field.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(field).ok()?.parse().ok()).flatten()
}

/// Whether a field is an IP address, or what stands in its place: a host, or `unknown`.
fn is_address(field: &[u8]) -> bool {
    let of_host = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'-');
    let has_parts = field.contains(&b'.') || field.contains(&b':');
    matches!(field, b"-" | b"unknown") || (has_parts && field.iter().all(of_host))
}

impl Header<'_> {
    /// The header of a WARC record that says the same: of type warcinfo for `filedesc:`, response for HTTP, else
    /// resource.
    pub(crate) fn as_warc(&self) -> Vec<u8> {
        let kind = match self.url {
            url if url.starts_with(b"filedesc:") => "warcinfo",
            url if url.starts_with(b"http:") || url.starts_with(b"https:") => "response",
            _ => "resource",
        };
        let mut head = format!("WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: ").into_bytes();
        head.extend_from_slice(self.url);
        let rest = format!("\r\nWARC-Date: {}\r\n\r\n", self.timestamp());
        head.extend_from_slice(rest.as_bytes());
        head
    }

    /// The date as WARC writes it, `YYYY-MM-DDThh:mm:ssZ`; what is missing of the time is zero.
    fn timestamp(&self) -> String {
        let mut digits = String::from_utf8_lossy(self.date).into_owned();
        while digits.len() < 14 {
            digits.push('0');
        }
        let [year, month, day] = [&digits[..4], &digits[4..6], &digits[6..8]];
        let [hour, minute, second] = [&digits[8..10], &digits[10..12], &digits[12..14]];
        format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")
    }
}

/// The place, at `from` or later, of the next line that is the header of an ARC record.
pub(crate) fn next_record(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memchr_iter(b'\n', &bytes[from.saturating_sub(1)..])
        .map(|i| from.saturating_sub(1) + i + 1)
        .find(|&at| at >= from && header(&bytes[at..]).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lines_of_both_versions_are_read() {
        let line = b"http://a.example/x y 192.0.2.7 20100208230231 text/html; charset=x 3432\nbody";
        let v1 = header(line).unwrap();
        assert_eq!(v1.url, b"http://a.example/x y");
        assert_eq!(v1.length, Some(3432));
        assert_eq!(v1.line_bytes, line.len() - 4);
        assert_eq!(v1.timestamp(), "2010-02-08T23:02:31Z");
        let line = b"https://a.example/ 2001:db8::1 20081130 text/html 200 checksum - 1209 a.arc.gz 20\r\n";
        let v2 = header(line).unwrap();
        assert_eq!(v2.url, b"https://a.example/");
        assert_eq!(v2.length, Some(20));
        assert_eq!(v2.timestamp(), "2008-11-30T00:00:00Z");
        let first = header(b"filedesc://a.arc 0.0.0.0 20100216123929 text/plain 73\n").unwrap();
        assert!(first.as_warc().starts_with(b"WARC/1.0\r\nWARC-Type: warcinfo\r\n"));
        let open = header(b"http://a.example/ 192.0.2.7 201002082302310000 text/html -1\n").unwrap();
        assert_eq!((open.length, &*open.timestamp()), (None, "2010-02-08T23:02:31Z"));
        for none in [
            &b"http://a.example/ 192.0.2.7 20100208230231 text/html 3432"[..],
            b"http://a.example/ 192.0.2.7 20100208230231 text/html x3\n",
            b"http://a.example/ me 20100208230231 text/html 3\n",
            b"URL IP-address Archive-date Content-type Archive-length\n",
            b"See http://a.example/ 192.0.2.7 20100208230231 text/html 3432\n",
            b"\n",
        ] {
            assert_eq!(header(none), None, "{}", String::from_utf8_lossy(none));
        }
    }
}
