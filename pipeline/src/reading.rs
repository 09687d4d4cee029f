//! What reading gives, whichever way an archive is read.

use crate::archive::MemberError;
use c4_filters::Reason;

/// A compressed member is taken as a whole up to this size, so that one that turns out damaged
/// gives nothing; of a larger one (an archive that is a single member), what was read before the
/// damage stays.
pub const MEMBER_BYTES: usize = 16 << 20;

/// A page as it was read, before it is known by its archive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawPage {
    /// `WARC-Target-URI`.
    pub url: String,
    /// The text.
    pub text: String,
    /// `WARC-Date`.
    pub timestamp: String,
    /// `Content-Type`.
    pub content_type: String,
    /// `Content-Length`.
    pub content_length: String,
    /// Bytes from the start of the archive.
    pub record_offset: u64,
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
    Page(RawPage),
    /// No page, and no damage either.
    Dropped(Dropped),
    /// No page, and the user should know.
    Damage(Damage),
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
    /// The damage of a member that starts at `offset`; passes I/O errors on.
    pub fn of_member(offset: u64, error: MemberError) -> std::io::Result<Damage> {
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
