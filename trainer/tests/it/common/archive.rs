//! Zip archives as GLUE and SuperGLUE have them: the crate `zip` is here without a compressor.

use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::io::Write;

/// A zip archive of these files, deflated.
pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(bytes).unwrap();
        let packed = packed.finish().unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        // Version, flags, method 8, time, date, CRC-32, sizes, length of the name, of what else (APPNOTE.TXT, 4.3.7).
        let mut head = Vec::new();
        head.extend([20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0]);
        head.extend(crc.sum().to_le_bytes());
        head.extend((packed.len() as u32).to_le_bytes());
        head.extend((bytes.len() as u32).to_le_bytes());
        head.extend((name.len() as u16).to_le_bytes());
        head.extend([0, 0]);
        let at = archive.len() as u32;
        archive.extend(b"PK\x03\x04");
        archive.extend(&head);
        archive.extend(name.as_bytes());
        archive.extend(&packed);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&head);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let at = archive.len() as u32;
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend((files.len() as u16).to_le_bytes());
    archive.extend((files.len() as u16).to_le_bytes());
    archive.extend((directory.len() as u32).to_le_bytes());
    archive.extend(at.to_le_bytes());
    archive.extend([0, 0]);
    archive
}
