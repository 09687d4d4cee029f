//! What reading gives, whichever way an archive is read.

use crate::archive::{Archive, MemberError, Progress};
use crate::input::Input;
use crate::memory::{self, Large};
use crate::table::printable;
use c4_data::{Damaged, InputEntry, InputState};
use c4_filters::Reason;
use serde::{Deserialize, Serialize};

/// Damaged places that a manifest lists for an archive; all are counted.
const LISTED_DAMAGE: usize = 20;

/// A compressed member is taken as a whole up to this size, so that one that turns out damaged
/// gives nothing; of a larger one (an archive that is a single member), what was read before the
/// damage stays.
pub const MEMBER_BYTES: usize = 16 << 20;

/// A longer URL makes no page: whatever is known of a page holds its URL, so that long ones fill memory. Browsers and
/// servers take a few kilobytes.
pub const MAX_URL_BYTES: usize = 64 << 10;

/// So much of a member is read at a time.
const STEP_BYTES: usize = 2 << 20;

/// Adds up to `most` bytes of the archive's current member to `out`. Where `out` gets large, waits until no other
/// thread holds anything large.
///
/// # Errors
/// As [`Archive::read`]: what was decoded before is in `out`.
pub fn read_on(
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// A URL as a message names it: harmless to a terminal, and no longer than a line.
pub fn short(url: &str) -> String {
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

/// How reading an archive went.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Health {
    /// The first places that could not be read, by (batch, place in it).
    damage: Vec<(u64, Damage)>,
    /// How many there are.
    damaged: u64,
    /// Why it could not be read to its end, if so.
    pub failed: Option<String>,
    /// It could not be fetched at all, and the build went on without it.
    pub missing: bool,
    /// Its size, if that was not known before it was fetched.
    pub bytes: Option<u64>,
}

impl Health {
    /// Notes places that could not be read; a list of any length takes little memory.
    pub fn note(&mut self, damage: Vec<(u64, Damage)>) {
        self.damaged += damage.len() as u64;
        self.damage.extend(damage);
        self.damage.sort_by_key(|(place, damage)| (*place, damage.offset));
        self.damage.truncate(LISTED_DAMAGE);
    }

    /// As a manifest says it.
    pub fn entry(&self, input: &Input) -> InputEntry {
        let mut damage: Vec<Damaged> = self
            .damage
            .iter()
            .map(|(_, damage)| Damaged {
                offset: damage.offset,
                cause: format!("{}: {}", damage.reason.code(), damage.cause),
            })
            .collect();
        damage.extend(self.failed.iter().map(|cause| Damaged {
            offset: 0,
            cause: cause.clone(),
        }));
        InputEntry {
            archive: input.label.to_string(),
            bytes: input.bytes.or(self.bytes).unwrap_or(0),
            state: match (&self.failed, self.damaged) {
                (Some(_), _) => InputState::Failed,
                (None, 0) => InputState::Read,
                (None, _) => InputState::Damaged,
            },
            damage,
            damaged_records: self.damaged,
        }
    }
}
