//! Which characters are letters, of which script, and their lower case: Unicode 6.2, as the original has it.

/// `data/cld3/README.md` has the source and the layout.
static DATA: &[u8] = include_bytes!("../../../../data/cld3/letters.bin");

/// Numbers of scripts (`ULScript`).
pub(super) const COMMON: u8 = 0;
pub(super) const LATIN: u8 = 1;
pub(super) const HANI: u8 = 24;
pub(super) const INHERITED: u8 = 40;
/// `NUM_ULSCRIPTS`.
pub(super) const SCRIPTS: u8 = 102;

/// Code points of a block of [`Table`].
const BLOCK: usize = 128;

/// The tables of letters.
pub(super) struct Letters {
    scripts: Table<u8>,
    /// The number that is added to a code point for its lower case, modulo 2^24.
    steps: Table<u32>,
}

impl Letters {
    /// Reads the tables; `None` if they are not whole.
    pub(super) fn load() -> Option<Letters> {
        let mut data = DATA;
        let letters = Letters {
            scripts: Table::load(&mut data, |[script]| script)?,
            steps: Table::load(&mut data, |[a, b, c]| u32::from_le_bytes([a, b, c, 0]))?,
        };
        data.is_empty().then_some(letters)
    }

    /// The script of a letter or mark; [`COMMON`] for all else, and for letters of several scripts.
    #[inline]
    pub(super) fn script(&self, c: char) -> u8 {
        self.scripts.get(c)
    }

    #[inline]
    pub(super) fn lower(&self, c: char) -> char {
        match self.steps.get(c) {
            0 => c,
            step => char::from_u32((u32::from(c) + step) & 0xff_ffff).unwrap_or(c),
        }
    }
}

/// A value for every code point; blocks without any are stored once.
struct Table<T> {
    blocks: Vec<u16>,
    values: Vec<T>,
}

impl<T: Copy + Default> Table<T> {
    /// Two bytes, the number of runs; of each, its first and last code point and its value.
    fn load<const N: usize>(data: &mut &[u8], value: fn([u8; N]) -> T) -> Option<Table<T>> {
        let code_point = |&[a, b, c]: &[u8; 3]| u32::from_le_bytes([a, b, c, 0]) as usize;
        let mut table = Table {
            blocks: vec![0; (char::MAX as usize + 1).div_ceil(BLOCK)],
            values: vec![T::default(); BLOCK],
        };
        let runs = data.split_off(..2)?.first_chunk()?;
        for _ in 0..u16::from_le_bytes(*runs) {
            let first = code_point(data.split_off(..3)?.first_chunk()?);
            let last = code_point(data.split_off(..3)?.first_chunk()?);
            let value = value(*data.split_off(..N)?.first_chunk()?);
            for c in first..=last {
                let block = table.blocks.get_mut(c / BLOCK)?;
                if *block == 0 {
                    *block = u16::try_from(table.values.len() / BLOCK).ok()?;
                    table.values.resize(table.values.len() + BLOCK, T::default());
                }
                table.values[usize::from(*block) * BLOCK + c % BLOCK] = value;
            }
        }
        Some(table)
    }

    #[inline]
    fn get(&self, c: char) -> T {
        let c = c as usize;
        self.values[usize::from(self.blocks[c / BLOCK]) * BLOCK + c % BLOCK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_have_scripts_and_lower_case() {
        let letters = Letters::load().unwrap();
        let scripts = [
            ('a', 1),
            ('É', 1),
            ('ß', 1),
            ('Ω', 2),
            ('ж', 3),
            ('א', 5),
            ('ع', 6),
            ('क', 9),
            ('ก', 19),
            ('ა', 23),
            ('漢', HANI),
            ('か', HANI),
            ('カ', HANI),
            ('한', HANI),
            ('\u{301}', INHERITED),
            ('𐐀', 39),
            ('7', COMMON),
            (' ', COMMON),
            ('&', COMMON),
            ('µ', COMMON),
            ('😀', COMMON),
            (char::MAX, COMMON),
        ];
        for (c, script) in scripts {
            assert_eq!(letters.script(c), script, "{c}");
        }
        for (c, lower) in [('A', 'a'), ('z', 'z'), ('Ж', 'ж'), ('Ⱥ', 'ⱥ'), ('𐐀', '𐐨'), ('漢', '漢')] {
            assert_eq!(letters.lower(c), lower);
        }
        // Unlike Unicode's: one character becomes one.
        assert_eq!(letters.lower('İ'), 'i');
    }
}
