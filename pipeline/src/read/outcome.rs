//! What reading gives, whichever way an archive is read.

use crate::read::archive::{Archive, MemberError, Progress};
use crate::runtime::memory::{self, Large};
use c4_data::{Damaged, Page, printable};
use c4_filters::Reason;

/// A compressed member is taken as a whole up to this size, so that one that turns out damaged
/// gives nothing; of a larger one (an archive that is a single member), what was read before the
/// damage stays.
pub const MEMBER_BYTES: usize = 16 << 20;

/// A longer URL makes no page: whatever is known of a page holds its URL, so that long ones fill memory. Browsers and
/// servers take a few kilobytes.
pub(crate) const MAX_URL_BYTES: usize = 64 << 10;

/// So much of a member is read at a time.
const STEP_BYTES: usize = 2 << 20;

/// Adds up to `most` bytes of the archive's current member to `out`. Where `out` gets large, waits until no other
/// thread holds anything large.
///
/// # Errors
/// As [`Archive::read`]: what was decoded before is in `out`.
pub(crate) fn read_on(
    archive: &mut Archive,
    out: &mut Vec<u8>,
    most: usize,
    large: &mut Option<Large>,
) -> Result<Progress, MemberError> {
    let start = out.len();
    loop {
        let left = most - (out.len() - start);
        let progress = archive.read(out, left.min(STEP_BYTES))?;
        if progress == Progress::End || out.len() - start == most {
            return Ok(progress);
        }
        if out.len() >= memory::LARGE_BYTES && large.is_none() {
            *large = Some(Large::wait());
        }
    }
}

/// A place that could not be read. Counts as one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What it counts under.
    pub reason: Reason,
    /// Bytes from the start of the archive (of the member, where there are members).
    pub offset: u64,
    /// What is wrong, for people.
    pub cause: String,
}

/// A record that becomes no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Why.
    pub reason: Reason,
    /// `WARC-Target-URI`, if it has one.
    pub url: String,
    /// Bytes from the start of the archive.
    pub record_offset: u64,
}

/// What a record has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// A page.
    Page(Page),
    /// No page, and no damage either.
    Dropped(Dropped),
    /// No page, and the user should know.
    Damage(Damage),
}

/// A URL as a message names it: harmless to a terminal, and no longer than a line.
pub(crate) fn short(url: &str) -> String {
    match url.char_indices().nth(200) {
        Some((end, _)) => printable(&url[..end]) + "...",
        None => printable(url),
    }
}

/// Shorthand.
pub fn damage(reason: Reason, offset: u64, cause: impl Into<String>) -> Damage {
    Damage {
        reason,
        offset,
        cause: cause.into(),
    }
}

impl Damage {
    /// The damage as a manifest lists it.
    pub fn listed(&self) -> Damaged {
        Damaged {
            offset: self.offset,
            cause: format!("{}: {}", self.reason.code(), self.cause),
        }
    }

    /// The damage of a member that starts at `offset`; passes I/O errors on.
    pub(crate) fn of_member(offset: u64, error: MemberError) -> std::io::Result<Damage> {
        match error {
            MemberError::Io(e) => Err(e),
            MemberError::Truncated => {
                let cause = "the archive is cut in the middle of a member; fetch it again";
                Ok(damage(Reason::Truncated, offset, cause))
            }
            MemberError::Corrupt(cause) => Ok(damage(Reason::CorruptMember, offset, cause)),
        }
    }
}
