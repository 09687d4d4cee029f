//! The members in the buffer of a [`RecordReader`]: reading on in them, and where they start.

use super::{MemberStart, RecordReader};
use crate::read::archive::{Compression, MemberError, MemberProgress, RecordFormat};
use crate::read::outcome::{Damage, MEMBER_BYTES, read_on};
use crate::read::record::{is_blank, next_record};
use std::io;

/// How many bytes of an archive that is not compressed are read at a time.
const PLAIN_BYTES: usize = 1 << 20;

impl RecordReader {
    /// Frees the room that a large record took, and the permit to hold one.
    pub(super) fn let_go(&mut self) {
        if self.large.is_some() && self.buffer.len() < MEMBER_BYTES / 8 {
            self.buffer.shrink_to(MEMBER_BYTES / 8);
            self.large = None;
        }
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    /// Skips line ends and padding between records.
    pub(super) fn skip_blank(&mut self) {
        self.used += self.rest().iter().take_while(|b| is_blank(b)).count();
    }

    /// Opens the next member, behind what is in the buffer.
    pub(super) fn open_member(&mut self) -> io::Result<()> {
        match self.archive.next_member() {
            Ok(Some(offset)) => {
                self.inside = true;
                self.starts.push_back(MemberStart {
                    place: self.buffer.len(),
                    offset,
                    first: self.members == 0,
                });
                self.members += 1;
                if self.starts.len() == 1 {
                    self.records_of_member = 0;
                }
                self.fill()
            }
            Ok(None) => {
                self.done = true;
                Ok(())
            }
            Err(error) => self.note(self.buffer.len(), error),
        }
    }

    pub(super) fn note(&mut self, place: usize, error: MemberError) -> io::Result<()> {
        let damage = Damage::of_member(self.archive.member_start(), error)?;
        self.damage = Some((place, damage));
        Ok(())
    }

    /// Reads on in the last member of the buffer.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        if !self.inside {
            return Ok(());
        }
        // What has been used up makes room, as soon as moving the rest costs no more than was used.
        if self.used > self.buffer.len() / 2 {
            self.base += self.used as u64;
            self.buffer.drain(..self.used);
            for start in &mut self.starts {
                start.place = start.place.saturating_sub(self.used);
            }
            for place in &mut self.record_starts {
                *place = place.saturating_sub(self.used);
            }
            self.used = 0;
            self.let_go();
        }
        let most = match self.archive.compression() {
            Compression::Plain => PLAIN_BYTES,
            _ => MEMBER_BYTES,
        };
        let before = self.buffer.len();
        match read_on(&mut self.archive, &mut self.buffer, most, &mut self.large) {
            Ok(MemberProgress::More) => {}
            Ok(MemberProgress::End) => self.inside = false,
            Err(error) => {
                self.inside = false;
                // A cut member is good up to the cut; what a corrupt one gave last cannot be trusted.
                if !matches!(error, MemberError::Truncated) {
                    self.buffer.truncate(before);
                }
                let start = self.starts.back().map_or(0, |start| start.place);
                self.note(start, error)?;
            }
        }
        Ok(())
    }

    /// Reads on until `n` bytes from here are there, or the last member in the buffer ends.
    pub(super) fn want(&mut self, n: usize) -> io::Result<()> {
        while self.rest().len() < n && self.inside {
            self.fill()?;
        }
        Ok(())
    }

    /// Takes another member into the buffer; false if there is none.
    pub(super) fn cross(&mut self) -> io::Result<bool> {
        if self.inside || self.damage.is_some() || self.done {
            return Ok(false);
        }
        let before = self.members;
        self.open_member()?;
        let format = self.archive.format();
        if let Some(place) = self.starts.back().map(|start| start.place)
            && self.members > before
            && format.is_some()
            && RecordFormat::of(&self.buffer[place..]) == format
        {
            self.record_starts.push_back(place);
        }
        Ok(self.members > before)
    }

    /// The place of the next record, at `from` or later (both from here), by its first line or since a member starts
    /// with it.
    pub(super) fn next_start(&mut self, from: usize, format: RecordFormat) -> Option<usize> {
        let first = self.used + from.max(1);
        while self.record_starts.front().is_some_and(|place| *place < first) {
            self.record_starts.pop_front();
        }
        let member = self.record_starts.front().map(|place| place - self.used);
        let searched = &self.rest()[..member.unwrap_or(self.rest().len())];
        next_record(searched, format, from).or(member)
    }

    /// The byte offset of the record that starts here ([`Record::offset`](crate::read::record::Record::offset)).
    pub(super) fn offset(&mut self) -> u64 {
        while self.starts.get(1).is_some_and(|next| next.place <= self.used) {
            self.starts.pop_front();
            self.records_of_member = 0;
        }
        let start = self.starts.front().copied();
        if self.by_member && self.records_of_member == 1 && start.is_some_and(|start| start.first) {
            // Two records in the first member: not compressed record by record.
            self.by_member = false;
        }
        match start {
            Some(start) if self.by_member => start.offset,
            _ => self.base + self.used as u64,
        }
    }
}
