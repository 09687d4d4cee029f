//! What has become of each record of an archive, whichever way the archive is read.

use crate::read::archive::{Archive, MemberError, MemberProgress};
use crate::runtime::memory::{self, Large};
use c4_data::{Damaged, Page, printable};
use c4_filters::Reason;

/// The largest compressed member that is taken as a whole, in bytes once decompressed: if it turns out damaged, nothing
/// of it is kept. Of a larger one (an archive that is a single member), what was read before the damage is kept.
pub const MEMBER_BYTES: usize = 16 << 20;

/// The longest URL of a page, in bytes. All that is known of a page holds its URL, so long ones would fill memory;
/// browsers and servers take a few kilobytes.
pub(crate) const MAX_URL_BYTES: usize = 64 << 10;

/// How many bytes of a member are read at a time.
const STEP_BYTES: usize = 2 << 20;

/// Adds up to `most` bytes of the archive's current member to `out`. Where `out` gets large, waits until no other
/// thread holds anything large.
///
/// # Errors
/// The member cannot be read further ([`Archive::read`]); what was decoded before is in `out`.
pub(crate) fn read_on(
    archive: &mut Archive,
    out: &mut Vec<u8>,
    most: usize,
    large: &mut Option<Large>,
) -> Result<MemberProgress, MemberError> {
    let start = out.len();
    loop {
        let left = most - (out.len() - start);
        let progress = archive.read(out, left.min(STEP_BYTES))?;
        if progress == MemberProgress::End || out.len() - start == most {
            return Ok(progress);
        }
        if out.len() >= memory::LARGE_BYTES && large.is_none() {
            *large = Some(Large::wait());
        }
    }
}

/// A place of an archive that could not be read. Counts as one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The reason under which the place is counted.
    pub reason: Reason,
    /// The byte offset in the archive, of the member where there are members.
    pub offset: u64,
    /// What is wrong, in words.
    pub cause: String,
}

/// A record that becomes no page, and of which the user need not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The reason under which the record is counted.
    pub reason: Reason,
    /// The value of `WARC-Target-URI`; empty without one, or if it is too long.
    pub url: String,
    /// The byte offset of the record in the archive.
    pub record_offset: u64,
}

/// What a record has become: a page, nothing, or damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// The record is a page.
    Page(Page),
    /// The record is no page, and no damage either.
    Dropped(Dropped),
    /// The record is no page, and the user should know.
    Damage(Damage),
}

/// A URL as a message names it: harmless to a terminal, and no longer than a line.
pub(crate) fn short(url: &str) -> String {
    match url.char_indices().nth(200) {
        Some((end, _)) => printable(&url[..end]) + "...",
        None => printable(url),
    }
}

/// A damaged place at a byte offset, with its reason and cause.
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

    /// The damage of a member that starts at `offset`.
    ///
    /// # Errors
    /// `error` is one of the operating system's, which is passed on.
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
